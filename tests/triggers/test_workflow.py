"""The trigger of workflow runs over real sockets; what both triggers share is tested with executions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_whiterabbit.client.transport import aio_io as sessions
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.triggers.workflow import WhiteRabbitWorkflowRunTrigger

UNKNOWN = "00000000-0000-0000-0000-000000000000"


async def end_of(workflow_run_id: str, **arguments: Any) -> dict[str, Any]:
    """Run a trigger to its end and return the payload of the one event that it must yield."""
    trigger = WhiteRabbitWorkflowRunTrigger(workflow_run_id, **{"poll_interval": 0.05, **arguments})
    events = [event.payload async for event in trigger.run()]
    assert len(events) == 1
    assert not sessions._shared.get(asyncio.get_running_loop())
    return events[0]


def ended(workflow_run_id: str, status: str = "COMPLETED") -> dict[str, Any]:
    return {"workflow_run_id": workflow_run_id, "status": status, "message": None}


def create(wr: Emulator, *stages: Any, **ending: Any) -> str:
    wr.script_workflow("flow", stages, **ending)
    return wr.create_run("flow")


@pytest.mark.parametrize("after", [0, 0.1], ids=["before", "meanwhile"])
@pytest.mark.parametrize(
    ("stage", "ending", "status"),
    [
        ({"output": 1}, {}, "COMPLETED"),
        ({"error": "no funds"}, {}, "FAILED"),
        ({"output": 1}, {"ending": "CANCELED", "reason": "second thoughts"}, "CANCELED"),
    ],
)
async def test_ends(
    whiterabbit_emulator: Emulator, stage: dict[str, Any], ending: dict[str, Any], status: str, after: float
) -> None:
    """A run that ends while the trigger listens, or did before, needs one stream and one read of the record."""
    run_id = create(whiterabbit_emulator, {"module": "A", **stage, "after": after}, **ending)
    assert await end_of(run_id) == ended(run_id, status)
    assert [entry.kind for entry in whiterabbit_emulator.journal] == ["run_stream", "run_record"]


async def test_canceled_by_somebody(whiterabbit_emulator: Emulator) -> None:
    """A run that somebody cancels ends the wait at once."""
    wr = whiterabbit_emulator
    run_id = create(wr, {"module": "A", "manual": True})
    trigger = asyncio.create_task(end_of(run_id))
    await asyncio.to_thread(wr.wait_for_stream, run_id)
    wr.cancel_run(run_id, "second thoughts")
    assert await trigger == ended(run_id, "CANCELED")


async def test_progress(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """How far the run got is logged as its events arrive, each step once although the stream is cut between."""
    caplog.set_level(logging.INFO)
    wr = whiterabbit_emulator
    wr.fault(effects.Close(events=1), kind="run_stream", times=2)
    run_id = create(wr, *[{"module": name, "manual": True, "usage": 1.5} for name in "ABC"])
    trigger = asyncio.create_task(end_of(run_id))
    await asyncio.to_thread(wr.wait_for_request, kind="run_record", count=5, answered=True)
    await asyncio.to_thread(wr.wait_for_stream, run_id)
    for stage in range(3):
        wr.start_stage(run_id, stage)
        wr.complete_stage(run_id, stage, 1)
    assert await trigger == ended(run_id)
    told = [record.getMessage() for record in caplog.records if "stages done" in record.getMessage()]
    assert [line.split(": ")[1].split(" after ")[0] for line in told] == [
        "EXECUTING, 0 of 3 stages done, 0 credits",
        "EXECUTING, 1 of 3 stages done, 1.5 credits",
        "EXECUTING, 2 of 3 stages done, 3 credits",
        "COMPLETED, 3 of 3 stages done, 4.5 credits",
    ]
    assert wr.api_key not in caplog.text


async def test_huge_record(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Outputs of megabytes are not read: the first look finds id and status, and the end is heard of."""
    caplog.set_level(logging.INFO)
    wr = whiterabbit_emulator
    run_id = create(wr, {"module": "A", "output": "x" * 3_000_000}, {"module": "B", "manual": True})
    trigger = asyncio.create_task(end_of(run_id))
    await asyncio.to_thread(wr.wait_for_request, kind="run_record", answered=True)
    wr.complete_stage(run_id, 1, 1)
    assert await trigger == ended(run_id)
    assert f"{run_id}: EXECUTING after" in caplog.text
    assert "stages done" not in caplog.text


async def test_huge_record_that_has_ended(whiterabbit_emulator: Emulator) -> None:
    """A glance suffices to see that a run has ended."""
    wr = whiterabbit_emulator
    wr.stream_options(announce=False)
    run_id = create(wr, {"module": "A", "output": "x" * 3_000_000})
    assert await end_of(run_id) == ended(run_id)


@pytest.mark.parametrize(
    "trouble",
    [
        effects.Close(),
        effects.Reset("body", extra=20),
        effects.Inject('data: {"id": "another", "status": "COMPLETED"}\n\n'),
        effects.Inject('data: {"status": "PAUSED"}\n\n'),
        effects.Answer(503),
    ],
    ids=repr,
)
async def test_stream_in_trouble(whiterabbit_emulator: Emulator, trouble: effects.Effect) -> None:
    """A stream that closes, breaks or talks nonsense is opened again, and the end is heard there."""
    wr = whiterabbit_emulator
    wr.fault(trouble, kind="run_stream", times=2)
    run_id = create(wr, {"module": "A", "manual": True})
    trigger = asyncio.create_task(end_of(run_id))
    await asyncio.to_thread(wr.wait_for_request, kind="run_stream", count=3)
    wr.complete_stage(run_id, 0, 1)
    assert await trigger == ended(run_id)


async def test_deadline(whiterabbit_emulator: Emulator) -> None:
    """At the deadline the trigger says so itself, with the last status that it knows."""
    run_id = create(whiterabbit_emulator, {"module": "A", "manual": True})
    event = await end_of(run_id, deadline=datetime.now(UTC) + timedelta(seconds=0.2))
    assert (event["workflow_run_id"], event["status"]) == (run_id, "TIMEOUT")
    assert f"Workflow run {run_id}" in event["message"]
    assert "EXECUTING" in event["message"]


@pytest.mark.parametrize(
    ("workflow_run_id", "named"), [(UNKNOWN, "404"), ("../x", "workflow_run_id"), ("", "workflow_run_id")]
)
async def test_error(workflow_run_id: str, named: str) -> None:
    """What can't be waited for ends the wait at once."""
    event = await end_of(workflow_run_id)
    assert (event["workflow_run_id"], event["status"]) == (workflow_run_id, "ERROR")
    assert named in event["message"]


async def test_record_of_another_shape(whiterabbit_emulator: Emulator) -> None:
    """A record without stages is not taken for one."""
    wr = whiterabbit_emulator
    run_id = create(wr, {"module": "A", "manual": True})
    wr.fault(effects.Answer(200, {"id": run_id, "status": "COMPLETED", "runStages": "none"}), kind="run_record")
    event = await end_of(run_id)
    assert event["status"] == "ERROR"
    assert "runStages" in event["message"]


async def test_on_kill(said: Callable[[], str]) -> None:
    """A killed trigger says, with the id, that the run goes on, and asks nothing of White Rabbit."""
    await WhiteRabbitWorkflowRunTrigger("r-1").on_kill()
    assert "r-1 goes on at White Rabbit" in said()


def test_serialize() -> None:
    """A trigger is made again from what it serializes, and holds no secret."""
    arguments = {
        "workflow_run_id": "r",
        "whiterabbit_conn_id": "c",
        "poll_interval": 3.0,
        "deadline": datetime(2026, 1, 1, tzinfo=UTC),
        "timeout": 5.0,
    }
    path, kwargs = WhiteRabbitWorkflowRunTrigger(**arguments).serialize()
    assert path == "airflow_provider_whiterabbit.triggers.workflow.WhiteRabbitWorkflowRunTrigger"
    assert kwargs == arguments
    assert WhiteRabbitWorkflowRunTrigger(**kwargs).serialize() == (path, kwargs)
