"""What the button *Test* of a connection tells."""

from __future__ import annotations

import base64
import socket
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key

from airflow_provider_whiterabbit.compat import Connection
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from tests.hooks.making import MakeHook, der


def test_connection_accepted(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """A valid connection is accepted, and nothing is submitted."""
    assert make_hook().test_connection() == (True, "White Rabbit accepted the key and the signature.")
    assert {entry.method for entry in whiterabbit_emulator.journal} == {"GET"}


@pytest.mark.parametrize(
    ("extra", "works", "begins"),
    [
        ({"ca_bundel": "/x"}, True, "White Rabbit accepted the key and the signature. "),
        ({"api-key": "ws_1", "api_key": ""}, False, "Connection whiterabbit_default: The connection has no API key"),
    ],
    ids=str,
)
def test_unknown_fields(make_hook: MakeHook, extra: dict[str, Any], works: bool, begins: str) -> None:
    """*Test* names extra fields that the provider does not know, which are typing errors mostly."""
    tested = make_hook(**extra).test_connection()
    (name, known) = ("ca_bundel", "ca_bundle") if works else ("api-key", "api_key")
    what = f"The connection has an extra field '{name}', which this provider does not know; did you mean '{known}'?"
    assert tested[0] is works
    assert tested[1].startswith(begins)
    assert tested[1].endswith(f" {what}")


@pytest.mark.parametrize(("name", "field"), [("api_secret", "password"), ("private_key", "password"), ("url", "host")])
def test_fields_of_the_connection_itself(make_hook: MakeHook, name: str, field: str) -> None:
    """A private key in a field of its own is not said to be another secret."""
    _, message = make_hook(**{name: "x"}).test_connection()
    assert message.endswith(f"'{name}', which this provider does not know; did you mean the connection's {field}?")


def test_fields_of_the_form(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """The form of Airflow 2 sends its fields under two names; a field that has the long name alone is not read."""
    key = {"api_key": whiterabbit_emulator.api_key, "extra__whiterabbit__api_key": whiterabbit_emulator.api_key}
    assert make_hook(**key).test_connection() == (True, "White Rabbit accepted the key and the signature.")
    _, message = make_hook(extra__whiterabbit__ca_bundle="/x").test_connection()
    assert "'extra__whiterabbit__ca_bundle', which this provider does not know; did you mean 'ca_bundle'?" in message


def test_connection_restricted(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """A key that may not read executions is accepted, with a note."""
    whiterabbit_emulator.fault(effects.Answer(403, {"message": "restricted"}))
    works, message = make_hook().test_connection()
    assert works
    assert "may not read executions" in message


@pytest.mark.parametrize("extra", [{"api_key": "ws_wrong"}, {}], ids=["key", "secret"])
def test_connection_refused(make_hook: MakeHook, whiterabbit_emulator: Emulator, extra: dict[str, Any]) -> None:
    """A wrong key or a wrong secret is refused with a message that names both, the connection and the host."""
    changes = {} if extra else {"password": der(load_der_private_key(base64.b64decode(OTHER_SECRET), None))}
    works, message = make_hook(changes, **extra).test_connection()
    assert not works
    assert message.startswith(
        f"{PLACE} {whiterabbit_emulator.url.removeprefix('http://')}: White Rabbit refused the API key"
    )
    assert "ws_wrong" not in message


PLACE = "Connection whiterabbit_default, host"


def test_of_a_copy(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's web UI tests a copy of a connection under a random id, which the message does not name."""
    wr = whiterabbit_emulator

    def copy(password: str | None) -> None:
        fields = {"host": wr.url, "password": password, "extra": '{"api_key": "ws_wrong"}'}
        connection = Connection(conn_id="aB3dE6gH", conn_type="whiterabbit", **fields)
        monkeypatch.setenv("AIRFLOW_CONN_AB3DE6GH", connection.get_uri())

    copy(wr.api_secret)
    works, message = WhiteRabbitHook("aB3dE6gH").test_connection()
    assert (works, message.partition(": ")[0]) == (False, f"Host {wr.url.removeprefix('http://')}")
    copy(None)
    assert WhiteRabbitHook("aB3dE6gH").test_connection()[1].startswith("The connection has no API secret")


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
        host = f"127.0.0.1:{bound.getsockname()[1]}"
        works, message = make_hook({"host": f"http://{host}"}).test_connection()
    assert not works
    assert message.startswith(f"{PLACE} {host}: White Rabbit can't be reached: cannot connect to 127.0.0.1: ")
    assert "refused" in message


@pytest.mark.parametrize("body", ["<html>not found</html>", {"detail": "Not Found"}])
def test_connection_to_something_else(make_hook: MakeHook, whiterabbit_emulator: Emulator, body: Any) -> None:
    """A 404 of another web server does not count as White Rabbit's answer."""
    whiterabbit_emulator.fault(effects.Answer(404, body))
    works, message = make_hook().test_connection()
    assert not works
    assert "check the connection's host" in message
