"""The hook that is awaited, over real sockets: it does what the blocking hook does."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.aio import WhiteRabbitAsyncHook
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.secrets import secret

pytestmark = pytest.mark.usefixtures("emulator_connection")

NOT_AWAITED = {"aio", "component_request", "get_async_client", "get_conn", "read_secrets", "run_async"}
NOT_AWAITED |= {"close", "once", "test_connection"}


def test_the_same_methods() -> None:
    """Each method that calls White Rabbit is there under the same name, with the same parameters."""
    names = {
        name
        for cls in WhiteRabbitHook.__mro__
        if cls.__module__.startswith("airflow_provider_whiterabbit")
        for name, value in vars(cls).items()
        if not name.startswith("_") and inspect.isfunction(value)
    }
    assert names > NOT_AWAITED
    for name in names - NOT_AWAITED:
        blocking = inspect.signature(getattr(WhiteRabbitHook, name))
        awaited = inspect.signature(getattr(WhiteRabbitAsyncHook, name))
        assert blocking.parameters == awaited.parameters, name


async def test_components(whiterabbit_emulator: Emulator) -> None:
    """A component is submitted, followed and read."""
    wr = whiterabbit_emulator
    wr.script("PAY", output={"paid": 1}, after=0.1)
    async with WhiteRabbitHook().aio() as hook:
        submitted = await hook.execute_component("PAY", {"amount": 5}, inline_wait=0)
        statuses = [str(event.status) async for event in hook.stream_execution(submitted.id)]
        assert statuses[-1] == "COMPLETED"
        assert (await hook.wait_for_execution(submitted.id, timeout=30)).output == {"paid": 1}
        assert (await hook.get_execution(submitted.id)).output == {"paid": 1}
        assert [result["id"] for result in await hook.wait_for_executions([submitted.id])] == [submitted.id]
        assert any(component["module"] == "RANDOM_UUID" for component in await hook.get_components())
    assert len(wr.requests(kind="submit")) == 1


async def test_workflows(whiterabbit_emulator: Emulator) -> None:
    """A workflow is started, followed, read and changed."""
    wr = whiterabbit_emulator
    wr.script_workflow("flow", [{"module": "PAY", "output": 1}])
    async with WhiteRabbitHook().aio() as hook:
        run_id = await hook.trigger_workflow("flow")
        assert [event.id async for event in hook.stream_workflow_run(run_id)][-1] == run_id
        assert (await hook.wait_for_workflow_run(run_id)).stages[0].output == 1
        assert (await hook.get_workflow_run(run_id)).id == run_id
        with pytest.raises(exc.WhiteRabbitInputError, match="nothing to change"):
            await hook.update_component("flow", "c")


async def test_callbacks(whiterabbit_emulator: Emulator) -> None:
    """A submission takes the secret of a callback from the connection, and its callback can be delivered again."""
    wr = whiterabbit_emulator
    async with WhiteRabbitHook().aio() as hook:
        submitted = await hook.execute_component("PAY", callback_url="http://127.0.0.1:1/")
        await hook.wait_for_execution(submitted.id)
        await hook.redeliver_callback(submitted.id)
    assert wr.requests(kind="replay")


async def test_secrets(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets that an input names are sent, and hidden in what White Rabbit answers."""
    monkeypatch.setenv("AIRFLOW_VAR_RPC_KEY", "Kj7dYw2mZq91XvbT")
    named = secret(variable="rpc_key")
    async with WhiteRabbitHook().aio() as hook:
        with pytest.raises(exc.WhiteRabbitInputError, match="allowed_secrets"):
            await hook.execute_component("ECHO", {"key": named})
        submitted = await hook.execute_component("ECHO", {"key": named}, allowed_secrets=[named])
        assert (await hook.wait_for_execution(submitted.id)).output["input"] == {"key": "***"}
    assert b"Kj7dYw2mZq91XvbT" in whiterabbit_emulator.requests(kind="submit")[0].body


async def test_many_submissions(whiterabbit_emulator: Emulator) -> None:
    """Hundreds of submissions at once are sent once each, and their ends are awaited together."""
    async with WhiteRabbitHook().aio() as hook:
        inputs = [{"number": number} for number in range(200)]
        submitted = await asyncio.gather(*(hook.execute_component("ECHO", one) for one in inputs))
        results = await hook.wait_for_executions(execution.id for execution in submitted)
    assert [result["output"]["input"] for result in results] == inputs
    assert len(whiterabbit_emulator.requests(kind="submit")) == 200


async def test_shared_by_tasks(whiterabbit_emulator: Emulator) -> None:
    """Tasks, or functions of one task, that share a hook enter it each for itself; the last one closes it."""
    shared = WhiteRabbitHook().aio()
    fault = whiterabbit_emulator.fault(effects.Hold(before=True), kind="submit")

    async def submit() -> str:
        async with shared as hook:
            return (await hook.execute_component("ECHO")).id

    async with asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(submit())
        await asyncio.to_thread(whiterabbit_emulator.wait_for_request, kind="submit")
        async with shared as hook:
            quick = await submit()
            assert (await hook.get_execution(quick)).id == quick
        whiterabbit_emulator.release(fault)
    assert {quick, slow.result()} == {record["id"] for record in whiterabbit_emulator.executions}
    with pytest.raises(exc.WhiteRabbitError, match="Use the hook in an async with"):
        await shared.get_execution(quick)
    assert await submit()


async def test_uncertain(whiterabbit_emulator: Emulator) -> None:
    """A lost answer to a submission raises the error of an uncertain submission."""
    whiterabbit_emulator.fault(effects.Reset("answer"), kind="submit", times=None)
    async with WhiteRabbitHook().aio() as hook:
        with pytest.raises(exc.WhiteRabbitUncertainSubmissionError):
            await hook.execute_component("PAY")
    assert len(whiterabbit_emulator.requests(kind="submit")) == 1


@pytest.mark.parametrize("arguments", [("",), ("PAY", [1]), ("PAY", {"amount": 2**60})], ids=repr)
async def test_wrong_arguments(whiterabbit_emulator: Emulator, arguments: Any) -> None:
    """A wrong argument is refused before anything is sent."""
    async with WhiteRabbitHook().aio() as hook:
        with pytest.raises(exc.WhiteRabbitInputError):
            await hook.execute_component(*arguments)
    assert not whiterabbit_emulator.journal


async def test_without_async_with() -> None:
    """Outside of its `async with`, the hook says how it is used."""
    hook = WhiteRabbitHook().aio()
    with pytest.raises(exc.WhiteRabbitError, match="Use the hook in an async with"):
        await hook.get_execution("e")
    async with hook:
        pass
    with pytest.raises(exc.WhiteRabbitError, match="Use the hook in an async with"):
        await hook.get_execution("e")
