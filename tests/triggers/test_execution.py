"""The trigger of executions, over real sockets: whatever the stream and the record do, it sends one right event."""

from __future__ import annotations

import asyncio
import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.emulator.world.journal import Kind
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger
from dev.harness.standins import FakeTaskInstance
from tests.triggers.runs import UNKNOWN, completed, end_of, execution_trigger, logged, payloads_of, session_users
from tests.versions import needs_triggerer_end

pytestmark = pytest.mark.usefixtures("warm")


async def test_completed(whiterabbit_emulator: Emulator) -> None:
    """For an execution that ends during the wait, the trigger opens one stream and reads the record once."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", output={"large": "x" * 100_000}, after=0.2)
    assert await end_of(execution_id) == completed(execution_id)
    assert [entry.kind for entry in wr.journal] == ["stream", "record"]


async def test_failed(whiterabbit_emulator: Emulator) -> None:
    """The event for a FAILED execution has this status, and does not hold the error."""
    execution_id = whiterabbit_emulator.create_execution("SLOW", error={"message": "no funds"}, after=0.1)
    assert await end_of(execution_id) == {"execution_id": execution_id, "status": "FAILED", "message": None}


async def test_already_ended(whiterabbit_emulator: Emulator) -> None:
    """The trigger notices from the record that an execution ended earlier, although the stream sends nothing."""
    wr = whiterabbit_emulator
    wr.stream_options(announce=False, terminal_event=False)
    execution_id = wr.create_execution("QUICK", output=1)
    assert await end_of(execution_id) == completed(execution_id)


async def test_ended_while_opening(whiterabbit_emulator: Emulator) -> None:
    """The trigger notices an execution that ends between the opening of the stream and the read of the record."""
    wr = whiterabbit_emulator
    wr.stream_options(announce=False)
    execution_id = wr.create_execution("POLLED", output=1, polls=1)
    assert await end_of(execution_id) == completed(execution_id)


@pytest.mark.parametrize(
    "fault",
    [
        effects.Close(),
        effects.Close(events=1),
        effects.Reset("request"),
        effects.Reset("answer"),
        effects.Reset("body"),
        effects.Reset("body", extra=20),
        effects.Inject("data: {not json\n\n"),
        effects.Inject('data: {"id": "another", "status": "COMPLETED", "output": 1}\n\n'),
        effects.Inject(b"data: \xff\xfe\n\n"),
        effects.Inject('data: {"status": "PAUSED"}\n\n'),
        effects.Answer(200, "<html>maintenance</html>"),
        effects.Answer(204),
        effects.Answer(429, {"message": "slow down"}, {"Retry-After": "0"}),
        effects.Answer(500),
        effects.Answer(503, "<html>down</html>"),
    ],
    ids=repr,
)
async def test_broken_stream(whiterabbit_emulator: Emulator, fault: effects.Effect) -> None:
    """The trigger opens a stream again that closes, breaks or sends nonsense, and sees the end on the new stream."""
    wr = whiterabbit_emulator
    wr.stream_options(announce=not isinstance(fault, effects.Inject))  # only the last event of a chunk counts
    wr.fault(fault, kind="stream", times=2)
    execution_id = wr.create_execution("SLOW", manual=True)
    trigger = asyncio.create_task(end_of(execution_id))
    await asyncio.to_thread(wr.wait_for_request, kind="stream", count=3)
    wr.complete(execution_id, 1)
    assert await trigger == completed(execution_id)


async def test_silent_stream(whiterabbit_emulator: Emulator) -> None:
    """If a stream sends nothing, not even a ping, the trigger reads the record."""
    wr = whiterabbit_emulator
    wr.fault(effects.Silence(), kind="stream")
    execution_id = wr.create_execution("SLOW", manual=True)
    trigger = asyncio.create_task(end_of(execution_id, Timing(silence=0.2, min_poll_interval=0.01)))
    await asyncio.to_thread(wr.wait_for_stream, execution_id)
    wr.complete(execution_id, 1)
    assert await trigger == completed(execution_id)


@pytest.mark.parametrize("status", [403, 404, 405, 501])
async def test_refused_stream(whiterabbit_emulator: Emulator, status: int) -> None:
    """If the stream is refused, the trigger polls the record; after a 4xx, it does not ask for the stream again."""
    wr = whiterabbit_emulator
    error = {"code": "NO_STREAMS", "message": "no streams here"}
    wr.fault(effects.Answer(status, error), kind="stream", times=None)
    execution_id = wr.create_execution("POLLED", polls=4, output=1)
    assert await end_of(execution_id) == completed(execution_id)
    if status < 500:
        assert len(wr.requests(kind="stream")) == 1


@pytest.mark.parametrize("status", [302, 401, 403, 404, 405, 409, 425, 451])
@pytest.mark.parametrize("kind", ["stream", "record"])
async def test_pages_of_strangers(whiterabbit_emulator: Emulator, kind: Kind, status: int) -> None:
    """A page that a proxy sends instead of the API's answer does not end the wait, whatever its status."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(status, "<html>back in a minute</html>"), kind=kind, times=2)
    execution_id = wr.create_execution("SLOW", manual=True)
    trigger = asyncio.create_task(end_of(execution_id))
    await asyncio.to_thread(wr.wait_for_request, kind=kind, count=3)
    wr.complete(execution_id, 1)
    assert await trigger == completed(execution_id)


async def test_late_heads(whiterabbit_emulator: Emulator) -> None:
    """An execution that has ended is noticed although no stream answers; the streams leave nothing behind."""
    wr = whiterabbit_emulator
    wr.fault(effects.Silence(), kind="stream", times=None)
    execution_id = wr.create_execution("QUICK", output=1)
    tasks_before = asyncio.all_tasks()
    timing = Timing(late_head=0.05)
    for _ in range(3):
        assert await end_of(execution_id, timing) == completed(execution_id)
    assert asyncio.all_tasks() == tasks_before


async def test_a_wait_that_is_cancelled_while_it_opens_its_stream(whiterabbit_emulator: Emulator) -> None:
    """A wait that is cancelled before its stream has answered leaves no task and no session."""
    wr = whiterabbit_emulator
    wr.fault(effects.Silence(), kind="stream", times=None)
    tasks_before = asyncio.all_tasks()
    trigger = asyncio.create_task(end_of(wr.create_execution("SLOW", manual=True), Timing(late_head=0.05)))
    await asyncio.to_thread(wr.wait_for_request, kind="record", answered=True)
    trigger.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trigger
    assert await session_users() == 0
    assert asyncio.all_tasks() == tasks_before


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("ping", ["comment", "data", "alternating"])
async def test_pings_and_newlines(whiterabbit_emulator: Emulator, newline: str, ping: str) -> None:
    """Pings as comments and as data, in every newline style and byte by byte, do not end the stream."""
    wr = whiterabbit_emulator
    wr.stream_options(newline=newline, ping=ping, ping_interval=0.02)
    wr.fault(effects.Split((1,)), kind="stream")
    execution_id = wr.create_execution("SLOW", output=1, after=0.2)
    assert await end_of(execution_id) == completed(execution_id)
    assert len(wr.requests(kind="stream")) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_failing_record(whiterabbit_emulator: Emulator, status: int) -> None:
    """Repeated 429 and 5xx answers to all requests do not fail the wait."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(status), path="*/executions/*", times=8)
    execution_id = wr.create_execution("QUICK", output=1)
    assert await end_of(execution_id) == completed(execution_id)


async def test_outage(whiterabbit_emulator: Emulator) -> None:
    """An outage without a deadline does not fail the wait."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    trigger = asyncio.create_task(payloads_of(execution_trigger(execution_id)))
    await asyncio.to_thread(wr.wait_for_stream, execution_id)
    await asyncio.to_thread(wr.pause)
    wr.complete(execution_id, 1)
    await asyncio.to_thread(wr.resume)
    assert await trigger == [completed(execution_id)]


@pytest.mark.parametrize("offset", [-200, -60, 60, 200])
async def test_wrong_clock(whiterabbit_emulator: Emulator, offset: int, caplog: pytest.LogCaptureFixture) -> None:
    """If this machine's clock is wrong by minutes, the trigger signs by the server's, and warns with the offset."""
    wr = whiterabbit_emulator
    wr.clock_offset = offset
    execution_id = wr.create_execution("QUICK", output=1)
    assert await end_of(execution_id) == completed(execution_id)
    warning = re.search(r"clock is (\d+) seconds (behind|ahead of) White Rabbit's", caplog.text)
    assert warning is not None
    assert int(warning[1]) == pytest.approx(abs(offset), abs=1)  # the server's Date has whole seconds
    assert warning[2] == ("behind" if offset > 0 else "ahead of")
    assert [entry.status for entry in wr.journal] == [401, 200, 200]


async def test_refused_key(whiterabbit_emulator: Emulator) -> None:
    """A refused key ends the wait at once, with the server's message."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "bad key"}]}), times=None)
    event = await end_of(wr.create_execution("SLOW", manual=True))
    assert event["status"] == "ERROR"
    assert "401" in event["message"]
    assert "bad key" in event["message"]


@pytest.mark.parametrize("execution_id", ["../x", "a/b", "", "{{ unrendered }}"])
async def test_unsafe_id(whiterabbit_emulator: Emulator, execution_id: str) -> None:
    """An id that cannot be part of a URL path ends the wait before anything is sent."""
    event = await end_of(execution_id)
    assert event["status"] == "ERROR"
    assert "execution_id" in event["message"]
    assert not whiterabbit_emulator.journal


@needs_triggerer_end
@pytest.mark.parametrize("value", [None, "None", ""])
async def test_no_id(whiterabbit_emulator: Emulator, value: Any) -> None:
    """A template that renders to nothing, or to None, ends the wait before anything is sent; the error names it."""
    with DAG("empty", schedule=None, render_template_as_native_obj=value is None):
        sensor = WhiteRabbitExecutionSensor(task_id="wait", execution_id="{{ pulled }}", start_from_trigger=True)
    trigger = execution_trigger("{{ pulled }}")
    trigger.task_instance = FakeTaskInstance(map_index=None, task=sensor)  # type: ignore[assignment]
    trigger.render_template_fields({"ti": trigger.task_instance, "pulled": value})
    (event,) = await payloads_of(trigger)
    assert event["status"] == "ERROR"
    assert "execution_id must be an id" in event["message"]
    assert "rendered from '{{ pulled }}'" in event["message"]
    assert not whiterabbit_emulator.journal


async def test_unknown_execution(whiterabbit_emulator: Emulator) -> None:
    """An unknown execution ends the wait at once."""
    event = await end_of(UNKNOWN)
    assert event["status"] == "ERROR"
    assert "404" in event["message"]


async def test_deadline(whiterabbit_emulator: Emulator) -> None:
    """At the deadline, the trigger sends an event with the last known status."""
    execution_id = whiterabbit_emulator.create_execution("SLOW", manual=True, executing_after=0)
    event = await end_of(execution_id, deadline=datetime.now(UTC) + timedelta(seconds=0.3))
    assert event["status"] == "TIMEOUT"
    assert "EXECUTING" in event["message"]


async def test_deadline_during_outage(whiterabbit_emulator: Emulator) -> None:
    """During an outage, the trigger still ends at its deadline, with the last failure in the message."""
    whiterabbit_emulator.fault(effects.Answer(503), times=None)
    execution_id = whiterabbit_emulator.create_execution("SLOW", manual=True)
    event = await end_of(execution_id, timeout=0.3)
    assert event["status"] == "TIMEOUT"
    assert "503" in event["message"]


async def test_started_after_the_deadline(whiterabbit_emulator: Emulator) -> None:
    """A trigger that starts after its deadline still reads the record once, and notices the end."""
    execution_id = whiterabbit_emulator.create_execution("QUICK", output=1)
    assert await end_of(execution_id, deadline=datetime(2020, 1, 1, tzinfo=UTC)) == completed(execution_id)


async def test_log(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Each status is logged once, with the age of the execution; no secret is logged."""
    caplog.set_level(logging.DEBUG)
    wr = whiterabbit_emulator
    wr.fault(effects.Close(events=1), kind="stream", times=3)
    execution_id = wr.create_execution("SLOW", manual=True)
    trigger = asyncio.create_task(end_of(execution_id))
    # The trigger reads the record after it opens a stream, and once more after the stream closed.
    await asyncio.to_thread(wr.wait_for_request, kind="record", count=7, answered=True)
    wr.start(execution_id)
    await logged(f"{execution_id}: EXECUTING", caplog)
    wr.complete(execution_id, 1)
    await trigger
    for status in ("CREATED", "EXECUTING", "COMPLETED"):
        assert len(re.findall(rf"{execution_id}: {status}, \d+\.\d s after it was created", caplog.text)) == 1
    assert wr.api_key not in caplog.text
    assert wr.api_secret not in caplog.text


async def test_log_without_news(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """A wait without news logs from time to time, when a keep-alive arrives, that it goes on."""
    caplog.set_level(logging.INFO)
    wr = whiterabbit_emulator
    wr.stream_options(ping_interval=0.02)
    execution_id = wr.create_execution("SLOW", manual=True, executing_after=0)
    trigger = asyncio.create_task(end_of(execution_id, Timing(alive_interval=0.1)))
    await logged(f"{execution_id}: still EXECUTING, 0 min after it was created; the stream is alive", caplog)
    wr.complete(execution_id, 1)
    assert await trigger == completed(execution_id)
    assert [entry.kind for entry in wr.journal] == ["stream", "record"]


def test_serialize() -> None:
    """A trigger serializes its arguments, from which Airflow makes the same trigger again, and no secret."""
    arguments = {
        "execution_id": "e",
        "whiterabbit_conn_id": "c",
        "poll_interval": 3.0,
        "deadline": datetime(2026, 1, 1, tzinfo=UTC),
        "timeout": 5.0,
    }
    path, kwargs = WhiteRabbitExecutionTrigger(**arguments).serialize()
    assert path == f"{WhiteRabbitExecutionTrigger.__module__}.{WhiteRabbitExecutionTrigger.__qualname__}"
    assert kwargs == arguments


def test_serialize_ending() -> None:
    """A trigger that may end its task takes the argument `retries` of a stored trigger, and does not serialize it."""
    ending = {"end_from_trigger": True, "soft_fail": True}
    _, kwargs = WhiteRabbitExecutionTrigger("e", **ending, retries=2).serialize()
    assert kwargs.items() >= ending.items()
    assert "retries" not in kwargs
