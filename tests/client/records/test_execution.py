"""Records and events: strict where money depends on it, and lenient elsewhere with one warning."""

from __future__ import annotations

import json
import logging
from dataclasses import FrozenInstanceError
from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.client.records import fields
from airflow_provider_whiterabbit.client.records.execution import Callback, Execution, ExecutionEvent, ExecutionStatus
from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError
from tests.client.properties import examples

CALLBACK = {
    "url": "https://example.org/hook",
    "signed": True,
    "signatureAlgorithm": "hmac-sha256",
    "headerNames": ["X-Team"],
    "lastAttemptAt": "2026-04-20T10:00:05.123Z",
    "deliveredAt": None,
    "attemptCount": 2,
    "lastError": {"status": 500},
}
RECORD = {
    "id": "7d0c",
    "module": "RANDOM_UUID",
    "status": "COMPLETED",
    "completed": True,
    "output": {"uuid": "1f0e"},
    "error": None,
    "totalUsage": 1.5,
    "callback": CALLBACK,
    "createdAt": "2026-04-20T10:00:00Z",
    "updatedAt": "2026-04-20T12:00:00+02:00",
}
EVENT = {"id": "7d0c", "status": "FAILED", "output": None, "error": "no", "timestamp": "2026-04-20T10:00:00Z"}
TEN = pendulum.datetime(2026, 4, 20, 10)


@pytest.fixture(autouse=True)
def _nothing_warned_of_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "_warned", set())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_documented_record(caplog: pytest.LogCaptureFixture):
    """Every field of a documented record is read, and nothing is warned of."""
    assert Execution.from_dict(RECORD) == Execution(
        id="7d0c",
        status=ExecutionStatus.COMPLETED,
        output={"uuid": "1f0e"},
        error=None,
        module="RANDOM_UUID",
        total_usage=1.5,
        callback=Callback(
            url="https://example.org/hook",
            signed=True,
            signature_algorithm="hmac-sha256",
            header_names=("X-Team",),
            last_attempt_at=TEN.add(seconds=5, microseconds=123_000),
            delivered_at=None,
            attempt_count=2,
            last_error={"status": 500},
        ),
        created_at=TEN,
        updated_at=TEN,
    )
    assert warnings(caplog) == []


def test_a_documented_event(caplog: pytest.LogCaptureFixture):
    """Every field of a documented event is read, and nothing is warned of."""
    expected = ExecutionEvent("7d0c", ExecutionStatus.FAILED, output=None, error="no", timestamp=TEN)
    assert ExecutionEvent.from_dict(EVENT) == expected
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("status", "terminal"), [("CREATED", False), ("EXECUTING", False), ("COMPLETED", True), ("FAILED", True)]
)
def test_statuses(status: str, terminal: bool):
    """The four documented statuses are known, two of them final, and the record's own `completed` is not needed."""
    record = Execution.from_dict({"id": "1", "status": status, "output": 1, "error": 2, "completed": not terminal})
    event = ExecutionEvent.from_dict({"id": "1", "status": status, "output": 1, "error": 2})
    assert record.status == event.status == status
    assert record.completed is record.status.is_terminal is event.status.is_terminal is terminal
    assert record.progress == event.progress == status


@pytest.mark.parametrize("parse", [Execution.from_dict, ExecutionEvent.from_dict])
@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"status": status}
            for status in ("", "completed", "COMPLETED ", "CANCELED", "PAUSED", None, 1, True, [], {})
        ),
        *({"id": identity} for identity in ("", None, 7, [], {})),
        {"status": "x" * 10_000},
    ],
    ids=lambda changes: repr(changes)[:40],
)
def test_unknown_is_not_success(parse: Any, changes: dict[str, Any]):
    """An id or a status that is missing or unknown raises, with a short message."""
    data = {"id": "1", "status": "COMPLETED", "output": 1, "error": None}
    with pytest.raises(WhiteRabbitProtocolError) as refused:
        parse({**data, **changes})
    assert len(str(refused.value)) < 250
    with pytest.raises(WhiteRabbitProtocolError):
        parse({name: value for name, value in data.items() if name not in changes})


@pytest.mark.parametrize("parse", [Execution.from_dict, ExecutionEvent.from_dict])
@pytest.mark.parametrize("data", [None, [], "text", 1, True, [RECORD]])
def test_only_objects_are_records(parse: Any, data: Any):
    """What is not a JSON object raises."""
    with pytest.raises(WhiteRabbitProtocolError, match="expected a JSON object"):
        parse(data)


@pytest.mark.parametrize("parse", [Execution.from_dict, ExecutionEvent.from_dict])
@pytest.mark.parametrize(("status", "promised"), [("COMPLETED", "output"), ("FAILED", "error")])
def test_the_outcome_that_a_status_promises(parse: Any, status: str, promised: str):
    """A final status without its field raises; the field may be null, and before the end neither is needed."""
    with pytest.raises(WhiteRabbitProtocolError, match=f"'{promised}' is missing"):
        parse({"id": "1", "status": status, ({"output", "error"} - {promised}).pop(): None})
    outcome = parse({"id": "1", "status": status, promised: None})
    assert (outcome.output, outcome.error) == (None, None)
    begun = parse({"id": "1", "status": "EXECUTING"})
    assert (begun.output, begun.error) == (None, None)


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}, "text", 1.5, {"a": [1]}])
def test_outcomes_are_any_json(value: Any):
    """Output and error are whatever JSON the component gave, untouched."""
    assert Execution.from_dict({"id": "1", "status": "COMPLETED", "output": value}).output is value
    assert ExecutionEvent.from_dict({"id": "1", "status": "FAILED", "error": value}).error is value


BAD = {
    "module": [7, [], {}],
    "totalUsage": ["1", True, [], {}],
    "createdAt": [
        "yesterday",
        "now",
        "",
        "10:00",
        "2026",
        "2026-04-20",
        1_776_679_200,
        "2026-99-99T00:00:00Z",
        "P1D",
        [],
        True,
    ],
    "updatedAt": ["T", {}, 1_776_679_200, [], True],
    "callback": ["text", [], 7],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_other_fields_degrade(name: str, value: Any, caplog: pytest.LogCaptureFixture):
    """A field that a payment does not depend on reads as None in a new form, with one warning in all."""
    attribute = {"totalUsage": "total_usage", "createdAt": "created_at", "updatedAt": "updated_at"}.get(name, name)
    for _ in range(3):
        assert getattr(Execution.from_dict({**RECORD, name: value}), attribute) is None
    [warning] = warnings(caplog)
    assert repr(name) in warning


@pytest.mark.parametrize(
    ("name", "attribute", "value"),
    [
        ("url", "url", 7),
        ("signed", "signed", "yes"),
        ("signatureAlgorithm", "signature_algorithm", []),
        ("headerNames", "header_names", "X-Team"),
        ("headerNames", "header_names", ["X-Team", 7]),
        ("lastAttemptAt", "last_attempt_at", "soon"),
        ("deliveredAt", "delivered_at", 7),
        ("attemptCount", "attempt_count", True),
        ("attemptCount", "attempt_count", 1.5),
    ],
)
def test_callbacks_degrade(name: str, attribute: str, value: Any, caplog: pytest.LogCaptureFixture):
    """Nothing in the callback part is worth failing for: each field degrades alone, with one warning."""
    for _ in range(2):
        callback = Execution.from_dict({**RECORD, "callback": {**CALLBACK, name: value}}).callback
        assert callback is not None
        assert getattr(callback, attribute) is None
        assert callback.last_error == {"status": 500}
    assert len(warnings(caplog)) == 1


def test_missing_and_null_fields_are_no_news(caplog: pytest.LogCaptureFixture):
    """Optional fields that are missing or null read as None, without a warning."""
    least = {"id": "1", "status": "CREATED", "output": None, "error": None}
    optional = dict.fromkeys(("module", "totalUsage", "callback", "createdAt", "updatedAt", "timestamp"))
    for data in (least, {**least, **optional}):
        assert Execution.from_dict(data) == Execution("1", ExecutionStatus.CREATED, None, None)
        assert ExecutionEvent.from_dict(data) == ExecutionEvent("1", ExecutionStatus.CREATED, None, None)
    assert Callback.from_dict({}) == Callback()
    assert warnings(caplog) == []


def test_a_warning_does_not_show_the_value(caplog: pytest.LogCaptureFixture):
    """The warning names the field and not what stood in it."""
    Execution.from_dict({**RECORD, "callback": {"url": ["hunter2"]}, "module": {"a": "hunter2"}})
    assert len(warnings(caplog)) == 2
    assert "hunter2" not in caplog.text


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.from_regex(r"[0-9TWPZ:/+-]{1,12}"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(CALLBACK)), inner, max_size=8),
    max_leaves=8,
)


@given(changes=st.dictionaries(st.sampled_from(sorted(RECORD)), json_values, max_size=10))
@examples(200)
def test_any_record_is_read_or_refused(changes: dict[str, Any]):
    """Whatever JSON a server sends as a record gives a record or a protocol error, and nothing else."""
    data = {**RECORD, **changes}
    try:
        record = Execution.from_dict(data)
    except WhiteRabbitProtocolError:
        assert changes.keys() & {"id", "status"}
    else:
        assert (record.id, record.status, record.output, record.error) == tuple(
            data[name] for name in ("id", "status", "output", "error")
        )


def test_the_record_as_json():
    """The record can be given on as the API gave it, unknown fields included, apart from what we keep."""
    data = {**RECORD, "new": {"field": 1}}
    record = Execution.from_dict(data)
    assert json.loads(json.dumps(record.to_dict())) == data
    record.to_dict()["id"] = "other"
    assert record.to_dict() == data


def test_models_are_frozen():
    """What was read cannot be changed by mistake."""
    record = Execution.from_dict(RECORD)
    with pytest.raises(FrozenInstanceError):
        record.status = ExecutionStatus.FAILED  # type: ignore[misc]


def test_a_representation_is_short():
    """The text of a record does not repeat it as raw JSON."""
    assert "raw" not in repr(Execution.from_dict(RECORD))
