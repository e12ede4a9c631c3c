"""The hook's methods for executions."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api, webhooks
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from tests.hooks.making import MakeHook

SECRET, OLD = "the secret of today", "the secret of yesterday"


def test_the_whole_way(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """The hook submits, streams, reads and waits for an execution."""
    hook = make_hook()
    whiterabbit_emulator.script("SWAP", output={"hash": "0x1"}, after=0.1)
    execution = hook.execute_component("SWAP", {"amount": "1.5"}, {"chain": 1})
    assert [event.status for event in hook.stream_execution(execution.id)][-1] == "COMPLETED"
    assert hook.get_execution(execution.id).output == {"hash": "0x1"}
    ended = hook.wait_for_execution(execution.id, timeout=timedelta(seconds=20), poll_interval=1)
    assert ended.to_dict() == whiterabbit_emulator.execution(execution.id)
    assert json.loads(json.dumps(ended.to_dict())) == ended.to_dict()


def test_every_argument(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """Arguments are sent with the names and units of the API."""
    make_hook().execute_component(
        "PAY",
        attempts=2,
        inline_wait=timedelta(seconds=1.5),
        callback_url="https://example.org/hook",
        callback_secret="sesame",
        callback_headers={"X-Team": "payments"},
    )
    assert whiterabbit_emulator.requests(kind="submit")[0].json == {
        "module": "PAY",
        "input": {},
        "config": {},
        "attempts": 2,
        "waitForMs": 1500,
        "callbackUrl": "https://example.org/hook",
        "callbackSecret": "***",
        "callbackHeaders": {"X-Team": "payments"},
    }


def test_callback_defaults_come_from_the_connection(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """The connection's callback secret and headers are sent with a callback URL, and not without one."""
    hook = make_hook(callback_secret=SECRET, callback_headers='{"X-Team": "payments"}')
    hook.execute_component("PAY")
    hook.execute_component("PAY", callback_url="https://example.org/hook")
    without_callback, with_callback = [entry.json for entry in whiterabbit_emulator.requests(kind="submit")]
    assert "callbackSecret" not in without_callback
    assert with_callback["callbackHeaders"] == {"X-Team": "payments"}
    assert "callbackSecret" in with_callback


@pytest.mark.parametrize("secrets", [[SECRET, OLD], json.dumps([SECRET, OLD]), SECRET], ids=["list", "JSON", "one"])
def test_the_first_secret_signs(make_hook: MakeHook, whiterabbit_emulator: Emulator, secrets: Any) -> None:
    """If the connection has several callback secrets, White Rabbit signs with the first of them."""
    url = f"{whiterabbit_emulator.url}/nobody-listens-here"
    make_hook(callback_secret=secrets).execute_component("PAY", callback_url=url)
    delivery = whiterabbit_emulator.wait_for_request(path="/nobody-listens-here")[0]
    assert webhooks.verify(delivery.body, delivery.headers, SECRET).module == "PAY"


def test_secrets_are_masked(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """Airflow's masker knows each of several callback secrets, also those that sign no more."""
    from airflow_provider_whiterabbit.compat import redact

    listed, texts = ["in a list: the first", "in a list: the second"], ["in a text: the first", "in a text: the second"]
    for secrets in (listed, json.dumps(texts)):
        make_hook(callback_secret=secrets).execute_component("PAY")
    for secret in (*listed, *texts):
        assert redact(f"log of {secret}") == "log of ***"


@pytest.mark.parametrize("secret", ["too short", 7, ["***", OLD], '["***"]', {"a": OLD}], ids=repr)
def test_secrets_that_are_not_valid(make_hook: MakeHook, whiterabbit_emulator: Emulator, secret: Any) -> None:
    """A mistake in the callback secret fails *Test* and submissions that use it, and nothing else."""
    hook = make_hook(callback_secret=secret)
    assert hook.execute_component("PAY").id
    assert hook.execute_component("PAY", callback_url="https://example.org", callback_secret="own").id
    with pytest.raises(exc.WhiteRabbitConfigError, match="'callback_secret' must be text of at least 16") as caught:
        hook.execute_component("PAY", callback_url="https://example.org")
    works, message = hook.test_connection()
    assert not works
    assert "callback_secret" in message
    assert OLD not in message + str(caught.value)
    assert len(whiterabbit_emulator.requests(kind="submit")) == 2


def test_no_callback_headers(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """If the caller passes empty callback headers, the connection's headers are not sent."""
    hook = make_hook(callback_headers={"Authorization": "Bearer x"})
    hook.execute_component("PAY", callback_url="https://example.org/hook", callback_headers={})
    assert whiterabbit_emulator.requests(kind="submit")[0].json["callbackHeaders"] == {}


def test_redeliver_callback(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """The hook asks White Rabbit to deliver a callback again."""
    wr = whiterabbit_emulator
    hook = make_hook()
    execution = hook.execute_component("X", callback_url=f"{wr.url}/nobody-listens-here")
    wr.wait_for_request(path="/nobody-listens-here")
    hook.redeliver_callback(execution.id)
    assert wr.requests(path=f"*/{execution.id}/replay-callback")[0].status == 200


@pytest.mark.parametrize(
    ("arguments", "message_part"),
    [
        ({"module": ""}, "module"),
        ({"module": None}, "module"),
        ({"input": [1]}, "input"),
        ({"config": "x"}, "config"),
        ({"attempts": 0}, "attempts"),
        ({"attempts": 4}, "attempts"),
        ({"attempts": True}, "attempts"),
        ({"inline_wait": -1}, "inline_wait"),
        ({"inline_wait": 15.1}, "inline_wait"),
        ({"inline_wait": float("nan")}, "inline_wait"),
        ({"inline_wait": timedelta(seconds=16)}, "inline_wait"),
        ({"inline_wait": "5"}, "inline_wait"),
        ({"callback_url": "http://example.org"}, "callback_url"),
        ({"callback_url": "example.org"}, "callback_url"),
        ({"callback_url": ""}, "callback_url"),
        ({"callback_secret": "x"}, "callback_url"),
        ({"callback_url": "https://example.org", "callback_headers": {"a b": "c"}}, "callback_headers"),
        ({"callback_url": "https://example.org", "callback_headers": {"a": "b\nc"}}, "callback_headers"),
        ({"input": {"amounts": [1, 2, 3, 2**53]}}, "input.amounts[3]"),
        ({"input": {"amounts": [1, float("nan")]}}, "input.amounts[1]"),
        ({"config": {"a b": {1: 2}}}, "config['a b']"),
        ({"input": {"text": "\ud800"}}, "input.text"),
        ({"input": {"when": timedelta(1)}}, "input.when"),
    ],
)
def test_wrong_argument(
    make_hook: MakeHook, whiterabbit_emulator: Emulator, arguments: dict[str, Any], message_part: str
) -> None:
    """An invalid argument raises an error with its place before anything is sent."""
    with pytest.raises(exc.WhiteRabbitInputError) as caught:
        make_hook().execute_component(**{"module": "PAY", **arguments})
    assert message_part in str(caught.value)
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize("execution_id", ["", "../x", "a/b", "a?b", "a b", "..", "{{ ti }}", None, 7, "a" * 300, "a\n"])
def test_unsafe_id(make_hook: MakeHook, whiterabbit_emulator: Emulator, execution_id: Any) -> None:
    """Every method raises an error for an id that cannot be part of a URL path."""
    hook = make_hook()
    for call in (
        hook.get_execution,
        hook.wait_for_execution,
        hook.redeliver_callback,
        lambda identity: next(hook.stream_execution(identity)),
    ):
        with pytest.raises(exc.WhiteRabbitInputError, match="execution_id"):
            call(execution_id)
    assert not whiterabbit_emulator.journal


def test_client_for_triggers(make_hook: MakeHook) -> None:
    """The asynchronous client reads, and refuses to submit."""

    async def check() -> None:
        async with await make_hook().get_async_client() as client:
            with pytest.raises(exc.WhiteRabbitNotFoundError):
                await client.send(api.get_execution(api.NIL_UUID))
            with pytest.raises(exc.WhiteRabbitInputError, match="must not be sent twice"):
                await client.send(api.execute_component("PAY"))

    asyncio.run(check())


def test_ui_field_behaviour() -> None:
    """The hook has the metadata of the connection form, for older versions of Airflow."""
    behaviour = WhiteRabbitHook.get_ui_field_behaviour()
    assert set(behaviour) == {"hidden_fields", "relabeling", "placeholders"}
    assert "login" in behaviour["hidden_fields"]
    assert "port" not in behaviour["hidden_fields"]
