"""Connects the blocking client to a host, within a time limit for the host's name and all its addresses together."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.transport.failures import TooSlowError


def connected(host: str, port: int, seconds: float, options: Sequence[tuple[Any, ...]] = ()) -> socket.socket:
    """Return a TCP socket that is connected to one of a host's addresses, which are tried one after the other.

    `socket.create_connection` allows the time for each address, and any time to resolve the name. Here, each address
    gets an equal share of the time that is left, so that one that does not answer leaves time for the others.

    :param options: arguments of `socket.setsockopt`, to be set before the socket connects.
    :raises TooSlowError: if it takes more than `seconds`.
    :raises OSError: if the name can't be resolved, or the last address refuses.
    """
    ends = monotonic() + seconds
    addresses = _resolved(host, port, seconds)
    failure: Exception = OSError(f"{host} has no address")
    for number, address in enumerate(addresses):
        share = (ends - monotonic()) / (len(addresses) - number)
        try:
            return _connected(address, max(share, 0.001), options)  # 0 would mean without a limit
        except TimeoutError:
            failure = TooSlowError(f"no connection within {seconds:g} s")
        except OSError as error:
            failure = error
    raise failure


def _resolved(host: str, port: int, seconds: float) -> list[tuple[Any, ...]]:
    """Return the addresses of a host. A name server that does not answer can hold `getaddrinfo` for minutes."""
    if _is_address(host):  # which no name server is asked for
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    answer: Future[list[tuple[Any, ...]]] = Future()

    def resolve() -> None:
        try:
            answer.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except UnicodeError as error:  # a label of the name is too long
            answer.set_exception(socket.gaierror(socket.EAI_NONAME, str(error)))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=resolve, name="whiterabbit-resolver", daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        raise TooSlowError(f"the name {host} was not resolved within {seconds:g} s") from None


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, host)
            return True
    return False


def _connected(address: tuple[Any, ...], share: float, options: Sequence[tuple[Any, ...]]) -> socket.socket:
    family, kind, protocol, _, place = address
    connection = socket.socket(family, kind, protocol)
    try:
        for option in options:
            connection.setsockopt(*option)
        connection.settimeout(share)
        connection.connect(place)
    except BaseException:
        connection.close()
        raise
    return connection
