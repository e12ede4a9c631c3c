"""The component operator sends the callback secret of its connection and shows it nowhere."""

from __future__ import annotations

import json
import traceback

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import AirflowFailException
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from dev.harness.standins import FakeAirflow
from tests.operators.remotes import component_operator

SECRET = "sesame-open-up-now"
HEADER = "Bearer let-me-in"


@pytest.fixture
def wr(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Return the emulator, after adding a callback secret and callback headers to its connection."""
    connection = whiterabbit_emulator.connection
    connection["extra"] |= {"callback_secret": SECRET, "callback_headers": {"Authorization": HEADER}}
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
    return whiterabbit_emulator


def shown_by(task: WhiteRabbitExecuteComponentOperator) -> str:
    """Return everything that an operator shows of itself: its repr, attributes, template fields and subject."""
    fields = {name: getattr(task, name) for name in task.template_fields}
    return f"{task!r} {vars(task)!r} {fields!r} {task.submission_name}"


def test_callback_secret(airflow: FakeAirflow, wr: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """The connection's callback secret is sent; the task, its log, its state and its XComs do not show it."""
    caplog.set_level("DEBUG")
    task = component_operator(callback_url="https://example.org/hook")
    airflow.run(task)
    submission = wr.requests(kind="submit")[0].json
    assert "callbackSecret" in submission
    assert submission["callbackHeaders"] == {"Authorization": HEADER}
    for text in (shown_by(task), caplog.text, repr(airflow.store.values), repr(airflow.ti.xcoms)):
        for secret in (SECRET, HEADER, wr.api_key, wr.api_secret):
            assert secret not in text


def test_submission_without_a_callback(airflow: FakeAirflow, wr: Emulator) -> None:
    """A submission without a callback does not hold the callback secret."""
    airflow.run(component_operator())
    assert wr.requests(kind="submit")[0].json == {"module": "PAY", "input": {}, "config": {}}


@pytest.mark.parametrize(
    "fault", [effects.Answer(422, {"message": "no"}), effects.Answer(500), effects.Reset()], ids=repr
)
def test_no_secret_in_errors(
    airflow: FakeAirflow, wr: Emulator, fault: effects.Effect, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback of an error, the log and the task show no secret."""
    caplog.set_level("DEBUG")
    wr.fault(fault, kind="submit")
    task = component_operator(callback_url="https://example.org/hook")
    with pytest.raises((exc.WhiteRabbitError, AirflowFailException)) as caught:
        airflow.run(task)
    text = "".join(traceback.format_exception(caught.value)) + caplog.text + shown_by(task)
    for secret in (SECRET, HEADER, wr.api_key, wr.api_secret):
        assert secret not in text
