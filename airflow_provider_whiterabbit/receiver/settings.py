"""The settings of the callback receiver: the options ``callback_…`` of ``[whiterabbit]`` in Airflow's configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Self

from airflow_provider_whiterabbit.compat import conf
from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError

SECTION = "whiterabbit"
"""The section of Airflow's configuration that holds the options of this provider."""

URL_PREFIX = "/whiterabbit"
"""The URL path under which Airflow's API server serves the callback receiver."""


_CONNECTION_ID = re.compile(r"[\w#!()\-.:/\\]+")  # what Airflow accepts, in all of its versions

_MINIMUMS = {"tolerance": 1, "max_bytes": 1024, "body_timeout": 0.1, "output_bytes": 0, "raw_max_age": 1}


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """Settings of the callback receiver, which come from the options that `get_provider_info` describes.

    :param connections: ids of the connections whose callbacks the receiver accepts.
    :param tolerance: seconds by which a signature's time may differ from this machine's clock, from 1.
    :param max_bytes: size of the largest callback body that the receiver accepts, in bytes, from 1024.
    :param body_timeout: seconds that a callback body may take to arrive, from 0.1.
    :param raw_signatures: accept the forms of signature that hold no time too.
    :param raw_max_age: seconds after the record's ``updatedAt`` for which such a form is accepted, from 1.
    :param output_bytes: size of the largest output that an asset event may hold, in bytes; 0 for no outputs.
    :raises WhiteRabbitConfigError: if a number is out of its range.
    """

    connections: frozenset[str] = frozenset()
    tolerance: float = 300.0
    max_bytes: int = 10 * 1024 * 1024
    body_timeout: float = 15.0
    raw_signatures: bool = False
    output_bytes: int = 0
    raw_max_age: float = 7 * 86400.0

    def __post_init__(self) -> None:
        for setting, minimum in _MINIMUMS.items():
            if not minimum <= getattr(self, setting) < float("inf"):
                raise WhiteRabbitConfigError(f"[{SECTION}] callback_{setting} must be a number of at least {minimum:g}")

    @classmethod
    def from_configuration(cls) -> Self:
        """Read the settings of the callback receiver from Airflow's configuration.

        :raises WhiteRabbitConfigError: if the value of an option is not valid; the message names the option.
        """
        defaults = cls()
        options: dict[str, Any] = {"connections": served_connections()}
        for setting, read_option in (
            ("tolerance", conf.getfloat),
            ("max_bytes", conf.getint),
            ("body_timeout", conf.getfloat),
            ("raw_signatures", conf.getboolean),
            ("output_bytes", conf.getint),
            ("raw_max_age", conf.getfloat),
        ):
            try:
                options[setting] = read_option(SECTION, f"callback_{setting}", fallback=getattr(defaults, setting))
            except Exception as error:  # each version of Airflow raises another class
                raise WhiteRabbitConfigError(f"[{SECTION}] callback_{setting} is not valid: {error}") from error
        return cls(**options)


def served_connections() -> frozenset[str]:
    """Return the ids of the Airflow connections whose callbacks the receiver accepts.

    :raises WhiteRabbitConfigError: if the option is no list of ids; the receiver would answer 404 to every callback.
    """
    option = str(conf.get(SECTION, "callback_connections", fallback="") or "")
    connection_ids = frozenset(filter(None, (connection_id.strip() for connection_id in option.split(","))))
    for connection_id in sorted(connection_ids):
        if not _CONNECTION_ID.fullmatch(connection_id):
            raise WhiteRabbitConfigError(
                f"[{SECTION}] callback_connections must be ids of connections, separated by commas: "
                f"{connection_id!r:.100} is not an id"
            )
    return connection_ids
