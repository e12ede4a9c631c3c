"""The limits that a connection may set for large deployments, with their defaults and their ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError

REQUESTS_PER_SECOND = 250
"""How many requests this process sends to a host in any one second, at most; opening a stream is one request."""

REQUESTS_AT_ONCE = 32
"""How many requests for records of this process may wait for an answer at once."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that an extra field of the connection may set.

    :param unit: what it counts; numbers of anything but seconds are whole.
    """

    default: float
    least: float
    most: float
    unit: str = ""

    def parse(self, value: Any, name: str) -> Any:
        """Return the number in an extra field, which forms and URIs hold as text; the default for None.

        :param name: the extra field, for the error.
        :raises WhiteRabbitConfigError: if it is not a number in the range.
        """
        if value is None:
            return self.default
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = float("nan")
        is_whole = bool(self.unit) or number.is_integer()
        if isinstance(value, bool) or not (self.least <= number <= self.most and is_whole):
            kind = f"a number of {self.unit}" if self.unit else "a whole number"
            raise WhiteRabbitConfigError(
                f"The extra field '{name}' must be {kind} from {self.least} to {self.most}, got {value!r:.50}; remove "
                f"the field for the default, {self.default:g}."
            )
        return number if self.unit else int(number)


LIMITS = {
    "requests_per_second": Limit(REQUESTS_PER_SECOND, 1, 10_000),
    "requests_at_once": Limit(REQUESTS_AT_ONCE, 1, 1_000),
    "request_attempts": Limit(retry.ATTEMPTS, 1, 100),
    # A server sends a keep-alive every 15 seconds. With less, streams that live would be closed.
    "stream_silence": Limit(Timing().silence, 20, 3_600, "seconds"),
}
"""By the name of the extra field, which is that of the setting too."""
