"""The trigger of workflow runs, over real sockets; `test_execution` tests what both triggers share."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.triggers.workflow import WhiteRabbitWorkflowRunTrigger
from tests.triggers.runs import UNKNOWN, logged, only_payload_of


async def end_of(workflow_run_id: str, **arguments: Any) -> dict[str, Any]:
    """Run a trigger for a workflow run to its end, and return the payload of its only event."""
    return await only_payload_of(WhiteRabbitWorkflowRunTrigger(workflow_run_id, **{"poll_interval": 0.05, **arguments}))


def ended(workflow_run_id: str, status: str = "COMPLETED") -> dict[str, Any]:
    """Return the payload of the event for a run that has ended."""
    return {"workflow_run_id": workflow_run_id, "status": status, "message": None}


def create_run(wr: Emulator, *stages: Any, **ending: Any) -> str:
    """Start a run of a workflow with these stages; return the id of the run."""
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
async def test_end(
    whiterabbit_emulator: Emulator, stage: dict[str, Any], ending: dict[str, Any], status: str, after: float
) -> None:
    """For a run that ends before or during the wait, the trigger opens one stream and reads the record once."""
    run_id = create_run(whiterabbit_emulator, {"module": "A", **stage, "after": after}, **ending)
    assert await end_of(run_id) == ended(run_id, status)
    assert [entry.kind for entry in whiterabbit_emulator.journal] == ["run_stream", "run_record"]


async def test_canceled_by_a_person(whiterabbit_emulator: Emulator) -> None:
    """A run that a person cancels ends the wait at once."""
    wr = whiterabbit_emulator
    run_id = create_run(wr, {"module": "A", "manual": True})
    trigger = asyncio.create_task(end_of(run_id))
    await asyncio.to_thread(wr.wait_for_stream, run_id)
    wr.cancel_run(run_id, "second thoughts")
    assert await trigger == ended(run_id, "CANCELED")


async def test_progress(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """The progress of the run is logged as its events arrive, each step once, although the stream closes twice."""
    caplog.set_level(logging.INFO)
    wr = whiterabbit_emulator
    wr.fault(effects.Close(events=1), kind="run_stream", times=2)
    run_id = create_run(wr, *[{"module": name, "manual": True, "usage": 1.5} for name in "ABC"])
    trigger = asyncio.create_task(end_of(run_id))
    await asyncio.to_thread(wr.wait_for_request, kind="run_record", count=5, answered=True)
    await asyncio.to_thread(wr.wait_for_stream, run_id)
    for stage in range(3):
        wr.start_stage(run_id, stage)
        wr.complete_stage(run_id, stage, 1)
        await logged(f"{stage + 1} of 3 stages done", caplog)
    assert await trigger == ended(run_id)
    lines = [record.getMessage() for record in caplog.records if "stages done" in record.getMessage()]
    assert [re.sub(r", [\d.]+ s after it was created$", "", line.split(": ")[1]) for line in lines] == [
        "EXECUTING, 0 of 3 stages done, 0 credits",
        "EXECUTING, 1 of 3 stages done, 1.5 credits",
        "EXECUTING, 2 of 3 stages done, 3 credits",
        "COMPLETED, 3 of 3 stages done, 4.5 credits",
    ]
    assert wr.api_key not in caplog.text


async def test_huge_record(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """If a record has megabytes, the trigger reads only its id and status, and sees the end on the stream."""
    caplog.set_level(logging.INFO)
    wr = whiterabbit_emulator
    run_id = create_run(wr, {"module": "A", "output": "x" * 3_000_000}, {"module": "B", "manual": True})
    trigger = asyncio.create_task(end_of(run_id))
    await asyncio.to_thread(wr.wait_for_request, kind="run_record", answered=True)
    wr.complete_stage(run_id, 1, 1)
    assert await trigger == ended(run_id)
    assert f"{run_id}: EXECUTING" in caplog.text
    assert "stages done" not in caplog.text


async def test_huge_record_that_has_ended(whiterabbit_emulator: Emulator) -> None:
    """The trigger sees from the first members of a huge record that the run has ended."""
    wr = whiterabbit_emulator
    wr.stream_options(announce=False)
    run_id = create_run(wr, {"module": "A", "output": "x" * 3_000_000})
    assert await end_of(run_id) == ended(run_id)


@pytest.mark.parametrize(
    "fault",
    [
        effects.Close(),
        effects.Reset("body", extra=20),
        effects.Inject('data: {"id": "another", "status": "COMPLETED"}\n\n'),
        effects.Inject('data: {"status": "PAUSED"}\n\n'),
        effects.Answer(503),
    ],
    ids=repr,
)
async def test_broken_stream(whiterabbit_emulator: Emulator, fault: effects.Effect) -> None:
    """The trigger opens a stream again that closes, breaks or sends nonsense, and sees the end on the new stream."""
    wr = whiterabbit_emulator
    wr.stream_options(announce=not isinstance(fault, effects.Inject))  # only the last event of a chunk counts
    wr.fault(fault, kind="run_stream", times=2)
    run_id = create_run(wr, {"module": "A", "manual": True})
    trigger = asyncio.create_task(end_of(run_id))
    await asyncio.to_thread(wr.wait_for_request, kind="run_stream", count=3)
    wr.complete_stage(run_id, 0, 1)
    assert await trigger == ended(run_id)


async def test_deadline(whiterabbit_emulator: Emulator) -> None:
    """At the deadline, the trigger sends an event with the last known status."""
    run_id = create_run(whiterabbit_emulator, {"module": "A", "manual": True})
    event = await end_of(run_id, deadline=datetime.now(UTC) + timedelta(seconds=0.2))
    assert (event["workflow_run_id"], event["status"]) == (run_id, "TIMEOUT")
    assert f"Workflow run {run_id}" in event["message"]
    assert "EXECUTING" in event["message"]


@pytest.mark.parametrize(
    ("workflow_run_id", "message_part"), [(UNKNOWN, "404"), ("../x", "workflow_run_id"), ("", "workflow_run_id")]
)
async def test_error(workflow_run_id: str, message_part: str) -> None:
    """An unknown run and an id that cannot be part of a URL path end the wait at once."""
    event = await end_of(workflow_run_id)
    assert (event["workflow_run_id"], event["status"]) == (workflow_run_id, "ERROR")
    assert message_part in event["message"]


async def test_record_without_stages(whiterabbit_emulator: Emulator) -> None:
    """A record whose stages are not a list ends the wait with an error."""
    wr = whiterabbit_emulator
    run_id = create_run(wr, {"module": "A", "manual": True})
    wr.fault(effects.Answer(200, {"id": run_id, "status": "COMPLETED", "runStages": "none"}), kind="run_record")
    event = await end_of(run_id)
    assert event["status"] == "ERROR"
    assert "runStages" in event["message"]


async def test_on_kill(read_log: Callable[[], str]) -> None:
    """A killed trigger logs that the run, with its id, may still be running."""
    await WhiteRabbitWorkflowRunTrigger("r-1").on_kill()
    assert "r-1 may still be running at White Rabbit" in read_log()


@pytest.mark.parametrize("end", [{"output": 1}, {"error": "no funds"}])
async def test_on_kill_after_the_end(
    whiterabbit_emulator: Emulator, read_log: Callable[[], str], end: dict[str, Any]
) -> None:
    """A trigger that knows the end logs nothing when Airflow ends it; one whose wait timed out does."""
    run_id = create_run(whiterabbit_emulator, {"module": "A", **end})
    active_id = create_run(whiterabbit_emulator, {"module": "A", "manual": True})
    cases: tuple[tuple[str, dict[str, Any], bool], ...] = ((run_id, {}, False), (active_id, {"timeout": 0.1}, True))
    for identity, arguments, may_run in cases:
        trigger = WhiteRabbitWorkflowRunTrigger(identity, **arguments)
        async for _ in trigger.run():
            read_log()
            await trigger.on_kill()
        assert (f"{identity} may still be running at White Rabbit" in read_log()) is may_run


def test_serialize() -> None:
    """A trigger serializes its arguments, from which Airflow makes the same trigger again, and no secret."""
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
