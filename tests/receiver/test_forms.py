"""Which signatures the receiver accepts: their forms, their secrets, and the connection that a record belongs to."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.receiver.address import connection_in
from airflow_provider_whiterabbit.receiver.secrets import SECRET_LIFETIME
from tests.receiver.conftest import AssetDatabase, RunningReceiver, StartReceiver
from tests.receiver.deliveries import CONNECTION, OTHER_SECRET, SECRET, record_of, signed
from tests.versions import needs_receiver

pytestmark = needs_receiver

FORMS = ["raw", "bare"]
"""The forms of signature without a time."""

EMITTED, REPEATED = (200, "emitted"), (200, "repeated")


@pytest.fixture
def pay_database(database: AssetDatabase) -> AssetDatabase:
    """Return a database with a DAG on the asset of the module PAY of each connection that has a secret."""
    for connection in (CONNECTION, "twin", "other/one"):
        asset = assets.module("PAY", whiterabbit_conn_id=connection)
        database.add_assets(asset)
        database.schedule(asset)
    return database


def answer_to(receiver: RunningReceiver, record: Any, connection: str = CONNECTION, **signing: Any) -> tuple[int, str]:
    """Deliver a record, and return status and text of the answer."""
    body = json.dumps(record).encode()
    answer = receiver.post(body, signed(body, **signing), connection)
    return answer.status_code, "".join(answer.json().values())


# --- forms without a time


@pytest.mark.parametrize("form", FORMS)
def test_forms_without_a_time_are_off(receiver: RunningReceiver, pay_database: AssetDatabase, form: str) -> None:
    """By default, the receiver accepts only signatures with a time."""
    record = record_of()
    status, detail = answer_to(receiver, record, form=form)
    assert status == 401
    assert "raw_signatures" in detail
    assert pay_database.events() == []
    assert answer_to(receiver, record) == EMITTED


@pytest.mark.parametrize("form", FORMS)
def test_forms_without_a_time(start_receiver: StartReceiver, pay_database: AssetDatabase, form: str) -> None:
    """With `raw_signatures`, the receiver accepts these forms, for records that are not too old."""
    receiver = start_receiver(raw_signatures=True, raw_max_age=3600)
    record = record_of()
    assert answer_to(receiver, record, form=form) == EMITTED
    assert answer_to(receiver, record, form=form) == REPEATED
    body = json.dumps(record).encode()
    assert receiver.post(body + b" ", signed(body, form=form)).status_code == 401
    assert answer_to(receiver, record, secret=OTHER_SECRET, form=form)[0] == 401
    for age in (timedelta(hours=2), timedelta(days=3650), timedelta(hours=-1)):
        old = record_of(updatedAt=(datetime.now(UTC) - age).isoformat())
        assert answer_to(receiver, old, form=form)[0] == 401
        assert answer_to(receiver, old) == EMITTED
    assert answer_to(receiver, record_of(updatedAt=None), form=form)[0] == 401


@pytest.mark.parametrize("form", FORMS)
def test_a_signature_with_a_time_decides(start_receiver: StartReceiver, pay_database: AssetDatabase, form: str) -> None:
    """A request with signatures of both kinds is stale if the one with a time is."""
    receiver = start_receiver(raw_signatures=True)
    body = json.dumps(record_of()).encode()
    assert receiver.post(body, signed(body, form=form) | signed(body, age=301)).status_code == 401
    assert pay_database.events() == []
    assert receiver.post(body, signed(body, form=form) | signed(body)).status_code == 200


# --- the connection of a record

BASE = "https://airflow.example.org/base/whiterabbit/callbacks"


@pytest.mark.parametrize(
    ("url", "connection"),
    [
        (f"{BASE}/a", "a"),
        (f"{BASE}/a?name=b", "a"),
        (f"{BASE}/a%2Fb%3F", "a/b?"),
        (f"{BASE}/a/b", "a/b"),
        (f"{BASE}/", ""),
        ("https://airflow.example.org/whiterabbit/callbacks/a", "a"),
        ("https://hooks.example.org/my/own/place", None),
        ("https://hooks.example.org/?next=/whiterabbit/callbacks/a", None),
        ("https://hooks.example.org/#/whiterabbit/callbacks/a", None),
        ("https://[/whiterabbit/callbacks/a", None),
        ("", None),
    ],
)
def test_connection_in_a_url(url: str, connection: str | None) -> None:
    """The path of a receiver's URL ends with the quoted id of a connection."""
    assert connection_in(url) == connection


@pytest.mark.parametrize(
    ("named", "elsewhere", "secret"),
    [
        (CONNECTION, "twin", SECRET),
        ("twin", CONNECTION, SECRET),
        ("other/one", "twin", OTHER_SECRET),
        ("twin", "other/one", OTHER_SECRET),
    ],
)
def test_a_record_of_another_connection(
    receiver: RunningReceiver, pay_database: AssetDatabase, named: str, elsewhere: str, secret: str
) -> None:
    """A record whose signed URL names a connection gets no event of another one, although both have the same secret."""
    record = record_of(callback={"url": f"{BASE}/{quote(named, safe='')}?name=x"})
    assert answer_to(receiver, record, elsewhere, secret=secret) == (
        400,
        "the callback URL in the record belongs to another connection",
    )
    assert pay_database.events() == []
    assert answer_to(receiver, record, named, secret=secret) == EMITTED
    assert {event["extra"]["whiterabbit_conn_id"] for event in pay_database.events()} == {named}


@pytest.mark.parametrize("url", ["https://hooks.example.org/my/own/place", "", None, 7, ["x"], "https://[/"])
def test_a_url_that_names_no_connection(receiver: RunningReceiver, pay_database: AssetDatabase, url: Any) -> None:
    """If the signed URL names no connection, as behind a proxy with its own paths, the path of the request counts."""
    assert answer_to(receiver, record_of(callback={"url": url})) == EMITTED


# --- secrets of a connection


def set_secrets(monkeypatch: pytest.MonkeyPatch, value: Any) -> None:
    """Set the extra field `callback_secret` of the default connection."""
    connection = {"conn_type": "whiterabbit", "extra": {"callback_secret": value}}
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))


NEW, OLD = "whsec_of_tomorrow", "whsec_of_yesterday"


@pytest.mark.parametrize("value", [[NEW, OLD], [OLD, NEW], json.dumps([NEW, OLD]), f'\n [ "{NEW}","{OLD}"] '], ids=str)
def test_several_secrets(
    start_receiver: StartReceiver, pay_database: AssetDatabase, monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    """A connection may have several secrets, as a list or as the JSON text of a list; the receiver accepts them all."""
    set_secrets(monkeypatch, value)
    receiver = start_receiver()
    for secret in (NEW, OLD):
        assert answer_to(receiver, record_of(), secret=secret) == EMITTED
    for secret in (SECRET, json.dumps([NEW, OLD]), NEW + OLD):
        assert answer_to(receiver, record_of(), secret=secret)[0] == 401


@pytest.mark.parametrize(
    "value",
    [
        "abc",
        "x" * 15,
        7,
        True,
        {"a": NEW},
        [NEW, "abc"],
        [NEW, None],
        ["***", NEW],
        '["***", "abc"]',
        [[NEW]],
        f"['{NEW}', '{OLD}']",
        f'["{NEW}", "{OLD}",]',
        f' ["{NEW}" "{OLD}"]',
        "[" * 100000,
        "[x" + NEW,
    ],
    ids=lambda value: str(value)[:30],
)
def test_secrets_that_are_not_valid(
    start_receiver: StartReceiver,
    pay_database: AssetDatabase,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    value: Any,
) -> None:
    """A secret that is short or no text is our mistake: the answer is 503, and the log names the field."""
    set_secrets(monkeypatch, value)
    receiver = start_receiver()
    for secret in (NEW, "abc", "***", "x" * 15, "7", value if isinstance(value, str) else ""):
        assert answer_to(receiver, record_of(), secret=secret)[0] == 503
    assert "callback_secret" in caplog.text
    for shown in (NEW, "abc", "x" * 15):
        assert shown not in caplog.text
    assert pay_database.events() == []


@pytest.mark.parametrize("value", ["", None, [], "[]"], ids=repr)
def test_no_secrets(
    start_receiver: StartReceiver, pay_database: AssetDatabase, monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    """Without a secret, nothing is valid."""
    set_secrets(monkeypatch, value)
    assert answer_to(start_receiver(), record_of(), secret="")[0] == 401


def test_rotation(start_receiver: StartReceiver, pay_database: AssetDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A running receiver accepts the old and the new secret from one step of a rotation to the next."""
    seconds = 0.0
    receiver = start_receiver({"clock": lambda: seconds})
    for value, accepted, refused in (
        (OLD, [OLD], [NEW]),
        ([OLD, NEW], [OLD, NEW], [SECRET]),
        ([NEW, OLD], [OLD, NEW], [SECRET]),
        (NEW, [NEW], [OLD]),
    ):
        set_secrets(monkeypatch, value)
        seconds += SECRET_LIFETIME
        assert [answer_to(receiver, record_of(), secret=secret) for secret in accepted] == [EMITTED] * len(accepted)
        assert [answer_to(receiver, record_of(), secret=secret)[0] for secret in refused] == [401] * len(refused)


# --- what the log shows of a signed record

FORGED = "x\nINFO all is well\r\u2028INFO\x85INFO\x0bINFO\x1b[31m\u202eINFO\u2066\tINFO"


@pytest.mark.parametrize(
    "record",
    [
        record_of(module=FORGED),
        record_of(status=FORGED, completed=False),
        record_of(status=FORGED),
        record_of(id=FORGED),
        record_of(error=FORGED),
        record_of(error={"message": FORGED}),
        record_of(callback={"url": f"{BASE}/{quote(FORGED)}"}),
        record_of(**{FORGED: 1}, updatedAt=FORGED),
    ],
    ids=["module", "open status", "status", "id", "error", "error object", "url", "time"],
)
def test_log_lines_can_not_be_forged(
    receiver: RunningReceiver, database: AssetDatabase, caplog: pytest.LogCaptureFixture, record: dict[str, Any]
) -> None:
    """A signed record puts neither line ends nor control characters into the log."""
    caplog.set_level(logging.DEBUG)
    assert answer_to(receiver, record)[0] in (400, 503)
    lines = [entry.getMessage() for entry in caplog.records if entry.name.startswith("airflow_provider_whiterabbit")]
    assert lines
    for line in lines:
        assert line.isprintable(), ascii(line)
        assert re.search("[\u202a-\u202e\u2066-\u2069]", line) is None
