"""The argument `callback` of the component operator and the hook: the URL that it submits, and its errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.receiver.address import callback_name_in
from dev.harness.standins import FakeAirflow
from tests.failing import fails_for_good
from tests.operators.remotes import component_operator
from tests.operators.test_templates import render
from tests.versions import HAS_RECEIVER, needs_receiver

BASE = "https://airflow.example.org/base"
DEFAULT_URL = f"{BASE}/whiterabbit/callbacks/whiterabbit_default"


@pytest.fixture
def airflow() -> FakeAirflow:
    """Return an Airflow without a task state store, which these tests do not need."""
    return FakeAirflow(has_store=False)


@pytest.fixture
def configured(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Give the connection a callback secret, and configure the base URL of the receiver."""
    set_secret(whiterabbit_emulator, monkeypatch, "whsec_of_the_tests")
    monkeypatch.setenv("AIRFLOW__WHITERABBIT__CALLBACK_BASE_URL", f"{BASE}/")
    return monkeypatch


def set_secret(wr: Emulator, monkeypatch: pytest.MonkeyPatch, secret: str | None, name: str = "DEFAULT") -> None:
    """Define the connection ``whiterabbit_<name>`` to the emulator with a callback secret."""
    connection = wr.connection
    connection["extra"] |= {"callback_secret": secret}
    monkeypatch.setenv(f"AIRFLOW_CONN_WHITERABBIT_{name}", json.dumps(connection))


def submission(wr: Emulator) -> dict[str, Any]:
    """Return the JSON of the only submission."""
    (entry,) = wr.requests(kind="submit")
    return dict(entry.json)


def submit_operator(**arguments: Any) -> WhiteRabbitExecuteComponentOperator:
    """Return an operator that submits a component and does not wait."""
    return component_operator(wait_for_completion=False, **arguments)


@needs_receiver
@pytest.mark.parametrize(
    ("callback", "query"), [(True, ""), ("my name&?", "?name=my+name%26%3F"), ("é", "?name=%C3%A9")]
)
def test_url(airflow: FakeAirflow, whiterabbit_emulator: Emulator, configured: Any, callback: Any, query: str) -> None:
    """The URL has the base URL, the connection id and the callback name; the connection's secret is sent."""
    airflow.run(submit_operator(callback=callback))
    sent = submission(whiterabbit_emulator)
    assert sent["callbackUrl"] == DEFAULT_URL + query
    assert sent["callbackSecret"] == "***"
    assert callback_name_in(sent["callbackUrl"]) == (None if callback is True else callback)


@needs_receiver
def test_other_connection(airflow: FakeAirflow, whiterabbit_emulator: Emulator, configured: pytest.MonkeyPatch) -> None:
    """Each connection has its own URL, in which its id is quoted."""
    set_secret(whiterabbit_emulator, configured, "whsec_of_another", "A/B")
    airflow.run(submit_operator(callback=True, whiterabbit_conn_id="whiterabbit_a/b"))
    assert submission(whiterabbit_emulator)["callbackUrl"] == f"{BASE}/whiterabbit/callbacks/whiterabbit_a%2Fb"


def test_no_callback(airflow: FakeAirflow, whiterabbit_emulator: Emulator, configured: Any) -> None:
    """Without the argument, no callback is submitted."""
    airflow.run(submit_operator())
    assert "callbackUrl" not in submission(whiterabbit_emulator)


@needs_receiver
def test_hook(whiterabbit_emulator: Emulator, configured: Any) -> None:
    """The hook takes the argument too, together with callback headers."""
    WhiteRabbitHook().execute_component("PAY", callback="mine", callback_headers={"X-Team": "payments"})
    sent = submission(whiterabbit_emulator)
    assert (sent["callbackUrl"], sent["callbackHeaders"]) == (f"{DEFAULT_URL}?name=mine", {"X-Team": "payments"})


def test_template(configured: Any) -> None:
    """The name of a callback is rendered; True stays True."""
    named = submit_operator(callback="paid_{{ 1 + 1 }}", dag=DAG("d", schedule=None))
    named.render_template_fields({})
    assert named.callback == "paid_2"
    unnamed = submit_operator(callback=True, dag=DAG("d", schedule=None))
    unnamed.render_template_fields({})
    assert unnamed.callback is True


def test_callback_and_url() -> None:
    """An operator with both `callback` and `callback_url` raises an error when the DAG is parsed."""
    with pytest.raises(exc.WhiteRabbitInputError, match="not both"):
        submit_operator(callback=True, callback_url="https://example.org")


@pytest.mark.skipif(HAS_RECEIVER, reason="this Airflow can serve the receiver")
def test_old_airflow(airflow: FakeAirflow, whiterabbit_emulator: Emulator, configured: Any) -> None:
    """An Airflow that cannot serve the receiver raises an error, and nothing is sent."""
    with fails_for_good(exc.WhiteRabbitConfigError, r"Airflow 3\.1 or newer: give callback_url"):
        airflow.run(submit_operator(callback=True))
    assert not whiterabbit_emulator.journal


@needs_receiver
@pytest.mark.parametrize(
    ("options", "secret", "message_part"),
    [
        ({"BASE_URL": ""}, "whsec_of_the_tests", "callback_base_url"),
        ({}, "", "callback_secret"),
        ({}, None, "callback_secret"),
        ({}, "[]", "callback_secret"),
        ({}, "too short", "callback_secret"),
        ({"CONNECTIONS": "other, another"}, "whsec_of_the_tests", "callback_connections"),
        ({"BASE_URL": "http://airflow.example.org"}, "whsec_of_the_tests", "https://"),
        ({"BASE_URL": "airflow.example.org"}, "whsec_of_the_tests", "callback_base_url must be a URL"),
        ({"BASE_URL": "https://a.example/?x=1"}, "whsec_of_the_tests", "callback_base_url must be a URL"),
        (
            {"BASE_URL": "https://a.example/whiterabbit/callbacks"},
            "whsec_of_the_tests",
            "callback_base_url must be a URL",
        ),
        ({"CONNECTIONS": "whiterabbit_default;b"}, "whsec_of_the_tests", "callback_connections must be ids"),
    ],
)
def test_incomplete_configuration(
    airflow: FakeAirflow,
    whiterabbit_emulator: Emulator,
    configured: pytest.MonkeyPatch,
    options: dict[str, str],
    secret: str | None,
    message_part: str,
) -> None:
    """A missing or wrong option raises an error with its name before anything is stored or sent."""
    set_secret(whiterabbit_emulator, configured, secret)
    for name, value in options.items():
        configured.setenv(f"AIRFLOW__WHITERABBIT__CALLBACK_{name}", value)
    with fails_for_good(exc.WhiteRabbitError, message_part):
        airflow.run(submit_operator(callback=True))
    assert not whiterabbit_emulator.journal
    assert not airflow.happened


@pytest.mark.parametrize("callback", ["", None, 7, ["x"], "a\0", "half \ud83d"])
def test_invalid_name(airflow: FakeAirflow, whiterabbit_emulator: Emulator, configured: Any, callback: Any) -> None:
    """A name that is none is found when the DAG is parsed, or before the submission if another task has given it."""
    with pytest.raises(exc.WhiteRabbitInputError, match="True, False or a name"):
        submit_operator(callback=callback)
    with pytest.raises(exc.WhiteRabbitInputError, match="True, False or a name"):
        WhiteRabbitHook().execute_component("PAY", callback=callback)
    operator = submit_operator(callback=True)
    operator.callback = callback
    with fails_for_good(exc.WhiteRabbitInputError, "True, False or a name"):
        airflow.run(operator)
    assert not whiterabbit_emulator.journal


@needs_receiver
@pytest.mark.parametrize("text", ["False", "false", "True", "true"])
def test_flags_as_texts(airflow: FakeAirflow, whiterabbit_emulator: Emulator, configured: Any, text: str) -> None:
    """A template of a param that is true or false gives no callback a name."""
    airflow.run(render(submit_operator(callback="{{ params.wanted }}"), wanted=text))
    (submission,) = whiterabbit_emulator.requests(kind="submit")
    assert submission.json.get("callbackUrl", "").endswith("/callbacks/whiterabbit_default") is (text.lower() == "true")
    assert "name=" not in submission.json.get("callbackUrl", "")


def test_other_secret_or_url(whiterabbit_emulator: Emulator, configured: Any) -> None:
    """The hook refuses `callback` together with a secret or a URL of the caller."""
    for other in ({"callback_secret": "x"}, {"callback_url": "https://example.org"}):
        with pytest.raises(exc.WhiteRabbitInputError, match="not both"):
            WhiteRabbitHook().execute_component("PAY", callback=True, **other)
    assert not whiterabbit_emulator.journal
