"""Executions: records and events are parsed strictly where payments depend on it, and leniently elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.client.records import fields
from airflow_provider_whiterabbit.client.records.execution import Callback, Execution, ExecutionEvent
from airflow_provider_whiterabbit.client.records.glance import Glance
from airflow_provider_whiterabbit.client.records.status import ExecutionStatus
from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError
from tests.client.properties import examples

CALLBACK = {
    "url": "https://example.org/hook",
    "signed": True,
    "signatureAlgorithm": "hmac-sha256",
    "headerNames": ["X-Team"],
    "lastAttemptAt": "2026-04-20T10:00:05.123Z",
    "deliveredAt": "2026-04-20T10:00:06Z",
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


def test_a_documented_record(warnings: Callable[[], list[str]]) -> None:
    """Every field of a documented execution record is parsed, without a warning."""
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
            delivered_at=TEN.add(seconds=6),
            attempt_count=2,
            last_error={"status": 500},
        ),
        created_at=TEN,
        updated_at=TEN,
    )
    assert warnings() == []


def test_a_documented_event(warnings: Callable[[], list[str]]) -> None:
    """Every field of a documented event of an execution is parsed, without a warning."""
    expected = ExecutionEvent("7d0c", ExecutionStatus.FAILED, output=None, error="no", timestamp=TEN)
    assert ExecutionEvent.from_dict(EVENT) == expected
    assert warnings() == []


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
def test_unknown_is_not_success(parse: Any, changes: dict[str, Any]) -> None:
    """An id or a status that is missing, or unknown and perhaps an end, raises an error with a short message."""
    data = {"id": "1", "status": "COMPLETED", "completed": True, "output": 1, "error": None}
    with pytest.raises(WhiteRabbitProtocolError) as refused:
        parse({**data, **changes})
    assert len(str(refused.value)) < 250
    with pytest.raises(WhiteRabbitProtocolError):
        parse({name: value for name, value in data.items() if name not in changes})


@pytest.mark.parametrize("status", ["PAUSED", "completed", "CANCELED", "\ud83d\x00", "x" * 10_000], ids=ascii)
def test_an_unknown_status_that_is_no_end(status: str, warnings: Callable[[], list[str]]) -> None:
    """An unknown status is kept if ``completed`` is false: neither success nor failure, with one short warning."""
    data = {"id": "1", "status": status, "completed": False, "output": None, "error": None}
    event = {name: value for name, value in data.items() if name != "completed"}
    for parsed in (Execution.from_dict(data), ExecutionEvent.from_dict(event), Execution.from_dict(data)):
        assert parsed.status == status
        assert not any((parsed.is_terminal, parsed.succeeded, parsed.failed, parsed.lags))
    [warning] = warnings()
    assert "is unknown and counts as not ended" in warning
    assert len(warning.encode()) < 250


@pytest.mark.parametrize(
    ("status", "completed", "lags", "warning"),
    [
        ("COMPLETED", True, False, None),
        ("COMPLETED", False, False, "the status counts"),
        ("FAILED", False, False, "the status counts"),
        ("COMPLETED", None, False, None),
        ("EXECUTING", True, True, "not up to date"),
        ("CREATED", True, True, "not up to date"),
        ("EXECUTING", False, False, None),
        ("EXECUTING", "true", False, None),
    ],
)
def test_completed(
    status: str, completed: Any, lags: bool, warning: str | None, warnings: Callable[[], list[str]]
) -> None:
    """The status tells an end; a field ``completed`` that contradicts it gives a warning, once for each execution."""
    data = {"id": "1", "status": status, "completed": completed, "output": 1, "error": None if lags else "no"}
    if status == "COMPLETED":
        data["error"] = None
    for _ in range(2):
        for record in (Execution.from_dict(data), Glance.from_dict(data, ExecutionStatus)):
            assert (record.lags, record.is_terminal) == (lags, status in ("COMPLETED", "FAILED"))
    assert len(warnings()) == (warning is not None)
    assert (warning or "") in "".join(warnings())


def test_completed_with_an_error(warnings: Callable[[], list[str]]) -> None:
    """COMPLETED with an error is COMPLETED; a warning says so, without the error, which may repeat an input."""
    data = {"id": "1", "status": "COMPLETED", "completed": True, "output": 1, "error": {"message": "half of it"}}
    assert Execution.from_dict(data).succeeded
    (warning,) = warnings()
    assert "although there is an error" in warning
    assert "half of it" not in warning


@pytest.mark.parametrize("parse", [Execution.from_dict, ExecutionEvent.from_dict])
@pytest.mark.parametrize("data", [None, [], "text", 1, True, [RECORD]])
def test_only_objects_are_records(parse: Any, data: Any) -> None:
    """A record or event of an execution that is not a JSON object raises an error."""
    with pytest.raises(WhiteRabbitProtocolError, match="expected a JSON object"):
        parse(data)


@pytest.mark.parametrize("parse", [Execution.from_dict, ExecutionEvent.from_dict])
@pytest.mark.parametrize(("status", "promised"), [("COMPLETED", "output"), ("FAILED", "error")])
def test_output_and_error_fields(parse: Any, status: str, promised: str) -> None:
    """COMPLETED needs the field ``output`` and FAILED needs ``error``, perhaps null; EXECUTING needs neither."""
    with pytest.raises(WhiteRabbitProtocolError, match=f"'{promised}' is missing"):
        parse({"id": "1", "status": status, ({"output", "error"} - {promised}).pop(): None})
    ended = parse({"id": "1", "status": status, promised: None})
    assert (ended.output, ended.error) == (None, None)
    executing = parse({"id": "1", "status": "EXECUTING"})
    assert (executing.output, executing.error) == (None, None)


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}, "text", 1.5, {"a": [1]}])
def test_output_and_error_are_any_json(value: Any) -> None:
    """The output and the error of an execution can be any JSON value, and are not changed."""
    assert Execution.from_dict({"id": "1", "status": "COMPLETED", "output": value}).output is value
    assert ExecutionEvent.from_dict({"id": "1", "status": "FAILED", "error": value}).error is value


UNKNOWN_FORMS = {
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


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in UNKNOWN_FORMS.items() for value in values]
)
def test_other_fields_become_none(name: str, value: Any, warnings: Callable[[], list[str]]) -> None:
    """Any other field of a record that has an unknown form becomes None, with one warning for all records."""
    attribute = {"totalUsage": "total_usage", "createdAt": "created_at", "updatedAt": "updated_at"}.get(name, name)
    for _ in range(3):
        assert getattr(Execution.from_dict({**RECORD, name: value}), attribute) is None
    [warning] = warnings()
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
def test_callback_fields_become_none(name: str, attribute: str, value: Any, warnings: Callable[[], list[str]]) -> None:
    """A field of the callback that has an unknown form becomes None, with one warning; the other fields are kept."""
    for _ in range(2):
        callback = Execution.from_dict({**RECORD, "callback": {**CALLBACK, name: value}}).callback
        assert callback is not None
        assert getattr(callback, attribute) is None
        assert callback.last_error == {"status": 500}
    assert len(warnings()) == 1


def test_missing_and_null_fields(warnings: Callable[[], list[str]]) -> None:
    """Optional fields that are missing or null become None, without a warning."""
    minimal = {"id": "1", "status": "CREATED", "output": None, "error": None}
    optional = dict.fromkeys(("module", "totalUsage", "callback", "createdAt", "updatedAt", "timestamp"))
    for data in (minimal, {**minimal, **optional}):
        assert Execution.from_dict(data) == Execution("1", ExecutionStatus.CREATED, None, None)
        assert ExecutionEvent.from_dict(data) == ExecutionEvent("1", ExecutionStatus.CREATED, None, None)
    assert Callback.from_dict({}) == Callback()
    assert warnings() == []


def test_a_warning_does_not_show_the_value(warnings: Callable[[], list[str]], caplog: pytest.LogCaptureFixture) -> None:
    """The warning about a field of an unknown form names the field, and does not show its value."""
    Execution.from_dict({**RECORD, "callback": {"url": ["hunter2"]}, "module": {"a": "hunter2"}})
    assert len(warnings()) == 2
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
def test_any_record_is_parsed_or_refused(changes: dict[str, Any]) -> None:
    """A record with any JSON in its fields is parsed, unless `id` or `status` raises a protocol error."""
    data = {**RECORD, **changes}
    try:
        record = Execution.from_dict(data)
    except WhiteRabbitProtocolError:
        assert changes.keys() & {"id", "status"}
    else:
        assert (record.id, record.status, record.output, record.error) == tuple(
            data[name] for name in ("id", "status", "output", "error")
        )


def test_to_dict() -> None:
    """`to_dict` returns a copy of the JSON of the API, unknown fields included."""
    data = {**RECORD, "new": {"field": 1}}
    record = Execution.from_dict(data)
    assert json.loads(json.dumps(record.to_dict())) == data
    record.to_dict()["id"] = "other"
    assert record.to_dict() == data


def test_records_are_frozen() -> None:
    """The fields of an execution record cannot be assigned."""
    record = Execution.from_dict(RECORD)
    with pytest.raises(FrozenInstanceError):
        record.status = ExecutionStatus.FAILED  # type: ignore[misc]


def test_repr_is_short() -> None:
    """The `repr` of a record does not contain its raw JSON."""
    assert "raw" not in repr(Execution.from_dict(RECORD))


@pytest.mark.parametrize(("answer", "shown"), [({"id": "e-1", "status": "PAUSED"}, "PAUSED"), ({"id": "e-1"}, "None")])
def test_submission_with_an_unknown_record(answer: dict[str, Any], shown: str) -> None:
    """`from_submission` names the execution in the error about its record, because the execution runs all the same."""
    with pytest.raises(WhiteRabbitProtocolError, match=f"Execution e-1 was submitted.*{shown}"):
        Execution.from_submission(answer)
    assert Execution.from_submission(RECORD) == Execution.from_dict(RECORD)


def test_unknown_statuses_without_end(warnings: Callable[[], list[str]]) -> None:
    """A server that sends another unknown status in each answer does not fill the log."""
    for number in range(fields.MAX_WARNINGS + 50):
        ExecutionEvent.from_dict({"id": f"e-{number}", "status": f"S{number}", "output": None, "error": None})
    assert len(warnings()) == fields.MAX_WARNINGS
