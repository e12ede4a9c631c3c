"""What the button *Test* of a connection tells."""

from __future__ import annotations

import base64
import socket
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key

from airflow_provider_whiterabbit.emulator import Emulator, effects
from tests.hooks.making import MakeHook, der


def test_connection_accepted(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """A valid connection is accepted, and nothing is submitted."""
    assert make_hook().test_connection() == (True, "White Rabbit accepted the key and the signature.")
    assert {entry.method for entry in whiterabbit_emulator.journal} == {"GET"}


def test_connection_restricted(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """A key that may not read executions is accepted, with a note."""
    whiterabbit_emulator.fault(effects.Answer(403, {"message": "restricted"}))
    works, message = make_hook().test_connection()
    assert works
    assert "may not read executions" in message


@pytest.mark.parametrize("extra", [{"api_key": "ws_wrong"}, {}], ids=["key", "secret"])
def test_connection_refused(make_hook: MakeHook, extra: dict[str, Any]) -> None:
    """A wrong key or a wrong secret is refused with a message that names both."""
    changes = {} if extra else {"password": der(load_der_private_key(base64.b64decode(OTHER_SECRET), None))}
    works, message = make_hook(changes, **extra).test_connection()
    assert not works
    assert "refused the API key or the signature" in message
    assert "ws_wrong" not in message


OTHER_SECRET = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g"  # RFC 8032, section 7.1, test 1


@pytest.mark.parametrize(("offset", "works"), [(0, True), (10, True), (120, True), (-120, True), (4000, False)])
def test_connection_clock(make_hook: MakeHook, whiterabbit_emulator: Emulator, offset: int, works: bool) -> None:
    """The message tells how wrong this machine's clock is; an offset of minutes is corrected, a larger one refused."""
    whiterabbit_emulator.clock_offset = offset
    accepted, message = make_hook().test_connection()
    assert accepted is works
    assert ("This machine's clock is" in message) is (abs(offset) > 30)


def test_connection_unreachable(make_hook: MakeHook) -> None:
    """A host that refuses connections is reported as one that cannot be reached."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        works, message = make_hook({"host": f"http://127.0.0.1:{bound.getsockname()[1]}"}).test_connection()
    assert not works
    assert "can't be reached" in message
    assert "refused" in message


@pytest.mark.parametrize("body", ["<html>not found</html>", {"detail": "Not Found"}])
def test_connection_to_something_else(make_hook: MakeHook, whiterabbit_emulator: Emulator, body: Any) -> None:
    """A 404 of another web server does not count as White Rabbit's answer."""
    whiterabbit_emulator.fault(effects.Answer(404, body))
    works, message = make_hook().test_connection()
    assert not works
    assert "check the connection's host" in message
