"""What ``[whiterabbit]`` says about the receiver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from airflow.providers.common.compat.sdk import conf

from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError

SECTION = "whiterabbit"
PREFIX = "/whiterabbit"


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """Settings of the receiver: the options ``callback_…``, which `get_provider_info` describes.

    :raises WhiteRabbitConfigError: if one of the numbers can't be used.
    """

    connections: frozenset[str] = frozenset()
    tolerance: float = 300.0
    max_bytes: int = 10 * 1024 * 1024
    body_timeout: float = 15.0
    raw_signatures: bool = True
    output_bytes: int = 0

    def __post_init__(self) -> None:
        for name, least in (("tolerance", 1), ("max_bytes", 1024), ("body_timeout", 0.1), ("output_bytes", 0)):
            if not least <= getattr(self, name) < float("inf"):
                raise WhiteRabbitConfigError(f"[{SECTION}] callback_{name} must be a number from {least:g} up")

    @classmethod
    def from_configuration(cls) -> Self:
        """Read Airflow's configuration.

        :raises WhiteRabbitConfigError: if an option can't be used; names it.
        """
        defaults = cls()
        found: dict[str, Any] = {"connections": served_connections()}
        for name, read in (
            ("tolerance", conf.getfloat),
            ("max_bytes", conf.getint),
            ("body_timeout", conf.getfloat),
            ("raw_signatures", conf.getboolean),
            ("output_bytes", conf.getint),
        ):
            try:
                found[name] = read(SECTION, f"callback_{name}", fallback=getattr(defaults, name))
            except Exception as error:  # Airflow's, which is another class in each version
                raise WhiteRabbitConfigError(f"[{SECTION}] callback_{name} can't be read: {error}") from error
        return cls(**found)


def served_connections() -> frozenset[str]:
    """Return the ids of the connections whose callbacks are received."""
    listed = str(conf.get(SECTION, "callback_connections", fallback="") or "")
    return frozenset(filter(None, (name.strip() for name in listed.split(","))))
