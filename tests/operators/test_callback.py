"""Callbacks that Airflow's own receiver gets: the URL that is submitted, and what is said before anything is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.receiver.address import name_in
from dev.harness.standins import Airflow
from tests.versions import HAS_RECEIVER, needs_receiver

BASE = "https://airflow.example.org/base"
PLACE = f"{BASE}/whiterabbit/callbacks/whiterabbit_default"


@pytest.fixture
def airflow() -> Airflow:
    """Return an Airflow of any version: a store of task states makes no difference here."""
    return Airflow(is_kept=False)


@pytest.fixture
def configured(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Give the connection a secret, and the receiver an address."""
    set_secret(whiterabbit_emulator, monkeypatch, "whsec_1")
    monkeypatch.setenv("AIRFLOW__WHITERABBIT__CALLBACK_BASE_URL", f"{BASE}/")
    return monkeypatch


def set_secret(wr: Emulator, monkeypatch: pytest.MonkeyPatch, secret: str | None, name: str = "DEFAULT") -> None:
    connection = wr.connection
    connection["extra"] |= {"callback_secret": secret}
    monkeypatch.setenv(f"AIRFLOW_CONN_WHITERABBIT_{name}", json.dumps(connection))


def submitted(wr: Emulator) -> dict[str, Any]:
    (entry,) = wr.requests(kind="submit")
    return dict(entry.json)


def component(**arguments: Any) -> WhiteRabbitExecuteComponentOperator:
    return WhiteRabbitExecuteComponentOperator(task_id="pay", module="PAY", wait_for_completion=False, **arguments)


@needs_receiver
@pytest.mark.parametrize(
    ("callback", "query"), [(True, ""), ("my name&?", "?name=my+name%26%3F"), ("é", "?name=%C3%A9")]
)
def test_url(airflow: Airflow, whiterabbit_emulator: Emulator, configured: Any, callback: Any, query: str) -> None:
    """It is put together from the configuration, the connection's id and the name; the secret is the connection's."""
    airflow.run(component(callback=callback))
    sent = submitted(whiterabbit_emulator)
    assert sent["callbackUrl"] == PLACE + query
    assert sent["callbackSecret"] == "***"
    assert name_in(sent["callbackUrl"]) == (None if callback is True else callback)


@needs_receiver
def test_other_connections(airflow: Airflow, whiterabbit_emulator: Emulator, configured: pytest.MonkeyPatch) -> None:
    """Each has its own place, whatever is in its id."""
    set_secret(whiterabbit_emulator, configured, "whsec_2", "A/B")
    airflow.run(component(callback=True, whiterabbit_conn_id="whiterabbit_a/b"))
    assert submitted(whiterabbit_emulator)["callbackUrl"] == f"{BASE}/whiterabbit/callbacks/whiterabbit_a%2Fb"


def test_none(airflow: Airflow, whiterabbit_emulator: Emulator, configured: Any) -> None:
    """Without being asked for there is no callback."""
    airflow.run(component())
    assert "callbackUrl" not in submitted(whiterabbit_emulator)


@needs_receiver
def test_hook(whiterabbit_emulator: Emulator, configured: Any) -> None:
    """The hook has it too, with the headers of the connection or others."""
    WhiteRabbitHook().execute_component("PAY", callback="mine", callback_headers={"X-Team": "payments"})
    sent = submitted(whiterabbit_emulator)
    assert (sent["callbackUrl"], sent["callbackHeaders"]) == (f"{PLACE}?name=mine", {"X-Team": "payments"})


def test_template(configured: Any) -> None:
    """The name is a template; true stays true."""
    operator = component(callback="paid_{{ 1 + 1 }}", dag=DAG("d", schedule=None))
    operator.render_template_fields({})
    assert operator.callback == "paid_2"
    yes = component(callback=True, dag=DAG("d", schedule=None))
    yes.render_template_fields({})
    assert yes.callback is True


def test_two_places() -> None:
    """Said when the DAG is parsed."""
    with pytest.raises(exc.WhiteRabbitInputError, match="not both"):
        component(callback=True, callback_url="https://example.org")


@pytest.mark.skipif(HAS_RECEIVER, reason="this Airflow can serve the receiver")
def test_too_old(airflow: Airflow, whiterabbit_emulator: Emulator, configured: Any) -> None:
    """Where nothing could receive a callback, none is asked for and nothing is sent."""
    with pytest.raises(exc.WhiteRabbitConfigError, match=r"Airflow 3\.1 or newer: give callback_url"):
        airflow.run(component(callback=True))
    assert not whiterabbit_emulator.journal


@needs_receiver
@pytest.mark.parametrize(
    ("options", "secret", "named"),
    [
        ({"BASE_URL": ""}, "whsec_1", "callback_base_url"),
        ({}, "", "callback_secret"),
        ({}, None, "callback_secret"),
        ({"CONNECTIONS": "other, another"}, "whsec_1", "callback_connections"),
        ({"BASE_URL": "http://airflow.example.org"}, "whsec_1", "https://"),
        ({"BASE_URL": "airflow.example.org"}, "whsec_1", "https://"),
    ],
)
def test_nothing_would_arrive(
    airflow: Airflow,
    whiterabbit_emulator: Emulator,
    configured: pytest.MonkeyPatch,
    options: dict[str, str],
    secret: str | None,
    named: str,
) -> None:
    """What is missing is named, before anything is sent or written down."""
    set_secret(whiterabbit_emulator, configured, secret)
    for name, value in options.items():
        configured.setenv(f"AIRFLOW__WHITERABBIT__CALLBACK_{name}", value)
    with pytest.raises(exc.WhiteRabbitError, match=named):
        airflow.run(component(callback=True))
    assert not whiterabbit_emulator.journal
    assert not airflow.happened


@pytest.mark.parametrize("callback", ["", None, 7, ["x"]])
def test_names_that_are_none(airflow: Airflow, whiterabbit_emulator: Emulator, configured: Any, callback: Any) -> None:
    """A template that came out empty is no wish for no callback."""
    with pytest.raises(exc.WhiteRabbitInputError, match="True, False or a name"):
        airflow.run(component(callback=callback))
    assert not whiterabbit_emulator.journal


def test_a_secret_of_the_callers_own(whiterabbit_emulator: Emulator, configured: Any) -> None:
    """The receiver knows the connection's only."""
    for other in ({"callback_secret": "x"}, {"callback_url": "https://example.org"}):
        with pytest.raises(exc.WhiteRabbitInputError, match="not both"):
            WhiteRabbitHook().execute_component("PAY", callback=True, **other)
    assert not whiterabbit_emulator.journal
