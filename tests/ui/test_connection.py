"""UI tests of the connection form: its fields, saving, hidden secrets, and the button *Test*."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.get_provider_info import CONN_FIELDS
from dev.harness.airflow_home import AirflowHome
from tests.ui import AIRFLOW, LINKS

if TYPE_CHECKING:
    from tests.ui.browser import Answers
    from tests.ui.pages import Connections

pytestmark = pytest.mark.ui

CALLBACK_SECRET = "a callback's secret, and nobody else's"
ACCEPTED = "White Rabbit accepted the key and the signature."
OTHER_SECRET = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g"  # RFC 8032, section 7.1, test 1


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    """Run an emulator for this module's tests, which inject faults into it."""
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def fields(server: Emulator) -> Iterator[dict[str, str]]:
    """Return the form's fields for a working connection; reset the emulator after the test."""
    yield {"host": server.url, "password": server.api_secret, "api_key": server.api_key}
    server.reset()


def test_fields(connections: Connections) -> None:
    """The form shows the provider's fields with labels, placeholders and help, and hides unused fields."""
    connections.new("payments")
    shown = connections.fields()
    assert (shown["Base URL"].kind, shown["Base URL"].placeholder) == ("text", "https://api.whiterabbit.app")
    assert shown["API secret"].placeholder == "Ed25519 private key: base64 of PKCS#8 DER, or PEM"
    for extra in CONN_FIELDS.values():
        assert shown[extra["label"]].help == extra["description"]
    masked = {label for label, field in shown.items() if field.kind == "password"}
    assert masked == {"API secret", "API key", "Callback secret"}
    assert {"Port", "Description"} < set(shown)
    assert not {"Host", "Password", "Login", "Schema"} & set(shown)


def test_saved_and_kept_secret(
    connections: Connections,
    answers: Answers,
    airflow: AirflowHome,
    fields: dict[str, str],
    shoot: Callable[..., None],
) -> None:
    """A connection works after it is saved once and twice, and the server never sends its secrets to the page again."""
    api_key = fields.pop("api_key")
    secrets = (fields["password"], api_key, CALLBACK_SECRET)
    connections.new("payments")
    connections.fill(fields)
    shoot("connection-form", width=960, height=680)
    connections.fill({"api_key": api_key})
    shoot("connection-extra", width=960, height=830)
    connections.fill({"callback_secret": CALLBACK_SECRET, **LINKS})
    connections.save()
    connections.edit("payments")
    assert connections.field("host").input_value() == fields["host"]
    assert connections.field("execution_url").input_value() == LINKS["execution_url"]
    for name in ("password", "api_key", "callback_secret"):
        assert connections.field(name).input_value() not in secrets
        assert not any(secret in connections.page.content() for secret in secrets)
    connections.field("description").fill("saved again")
    connections.save()
    works_by_command(airflow, "payments")
    texts = [*answers.texts, json.dumps(airflow.api.call("GET", "/connections/payments"))]
    assert any("saved again" in text for text in texts[:-1])
    assert LINKS["execution_url"] in texts[-1]
    assert [text for text in texts if any(secret in text for secret in secrets)] == []


def works_by_command(airflow: AirflowHome, connection_id: str) -> None:
    """Test the stored connection with the command `airflow connections test`."""
    command = ["airflow", "connections", "test", connection_id]
    done = subprocess.run(command, env=airflow.environ, capture_output=True, text=True, check=False)
    assert "Connection success!" in done.stdout, done.stdout + done.stderr


def test_right_key(
    connections: Connections, server: Emulator, fields: dict[str, str], shoot: Callable[..., None]
) -> None:
    """With the right key and secret, *Test* reports success and submits nothing."""
    fields["host"], _, fields["port"] = fields["host"].rpartition(":")
    connections.new("payments")
    connections.fill(fields)
    works, message = connections.press_test("payments")
    assert (works, message) == (True, ACCEPTED)
    assert {entry.method for entry in server.journal} == {"GET"}
    shoot("test-accepted", height=360)


def test_no_port(connections: Connections, fields: dict[str, str]) -> None:
    """*Test* works with an empty port field, except in two versions of Airflow that have a bug."""
    connections.new("payments")
    connections.fill(fields)
    has_bug = AIRFLOW in ("3.3.1", "3.3.2")  # apache/airflow#73298
    assert connections.press_test("payments") == ((False, "Bad Request") if has_bug else (True, ACCEPTED))


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case with its expected result of *Test*.

    :param works: whether *Test* reports success.
    :param message: part of the message.
    :param changes: changed fields of the working connection.
    :param answer: answer of White Rabbit to every request, instead of its normal answer.
    :param clock_offset: seconds that White Rabbit's clock is ahead of this machine's.
    """

    works: bool
    message: str
    changes: Mapping[str, str] = field(default_factory=dict)
    answer: effects.Answer | None = None
    clock_offset: float = 0


OUTCOMES = {
    "key without executions": Outcome(
        True, "but this key may not read executions", answer=effects.Answer(403, {"message": "restricted"})
    ),
    "clock that can be corrected": Outcome(True, "seconds behind White Rabbit's: set it", clock_offset=120),
    "clock that is refused": Outcome(False, "Set this machine's clock.", clock_offset=4000),
    "wrong key": Outcome(False, "White Rabbit refused the API key or the signature", {"api_key": "ws_wrong"}),
    "wrong secret": Outcome(False, "White Rabbit refused the API key or the signature", {"password": OTHER_SECRET}),
    "malformed secret": Outcome(False, "is not base64. It must be the API secret", {"password": "not a key"}),
    "secret of another kind": Outcome(False, "does not hold an unencrypted private key", {"password": "bm90IGEga2V5"}),
    "no key": Outcome(False, "The connection has no API key", {"api_key": ""}),
    "no secret": Outcome(False, "The connection has no API secret", {"password": ""}),
    "no URL": Outcome(False, "The connection's host '//example.org' has no scheme", {"host": "//example.org"}),
    "something else": Outcome(
        False, "check the connection's host", answer=effects.Answer(404, {"detail": "Not Found"})
    ),
    "something that knows all": Outcome(False, "an execution that can't exist", answer=effects.Answer(200, {})),
    "redirect": Outcome(False, "this provider follows no redirect", answer=effects.Answer(302, {})),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcome(
    connections: Connections, server: Emulator, fields: dict[str, str], shoot: Callable[..., None], name: str
) -> None:
    """*Test* reports what is right or wrong with the connection, and submits nothing."""
    outcome = OUTCOMES[name]
    server.clock_offset = outcome.clock_offset
    if outcome.answer is not None:
        server.fault(outcome.answer, times=None)
    works, message = connections.test("payments", fields | outcome.changes)
    assert works is outcome.works
    assert outcome.message in message
    assert {entry.method for entry in server.journal} <= {"GET"}
    if name == "wrong key":
        shoot("test-refused", height=400)


def test_unreachable(connections: Connections, fields: dict[str, str]) -> None:
    """*Test* reports that White Rabbit cannot be reached if no server listens on the port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        fields["host"] = f"http://127.0.0.1:{bound.getsockname()[1]}"
        works, message = connections.test("payments", fields)
    assert not works
    assert "White Rabbit can't be reached" in message
