"""Waiting for many executions with the hook, over real sockets."""

from __future__ import annotations

import resource
import signal
import threading
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client.transport.limits import REQUESTS_AT_ONCE
from airflow_provider_whiterabbit.client.transport.many import places
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from tests.hooks.making import MakeHook

pytestmark = pytest.mark.usefixtures("emulator_connection")

UNKNOWN = "00000000-0000-0000-0000-000000000000"


def in_background(wr: Emulator, action: Any, count: int = 1) -> threading.Thread:
    """Do something when so many records were read."""

    def act() -> None:
        wr.wait_for_request(kind="record", count=count, answered=True, timeout=60)
        action()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_a_thousand(whiterabbit_emulator: Emulator, make_hook: MakeHook, caplog: pytest.LogCaptureFixture) -> None:
    """The results of a thousand executions that end in another order have the order of the ids; the log is short."""
    caplog.set_level("INFO")
    wr = whiterabbit_emulator
    ids = [wr.create_execution("SLOW", output=number, after=2 - number / 1000) for number in range(990)]
    ids[10:10] = [wr.create_execution("SLOW", error={"message": "no funds"}, after=0.5) for _ in range(10)]
    results = make_hook(requests_per_second=5000).wait_for_executions(ids, timeout=300)
    assert [result["id"] for result in results] == ids
    assert results[0] == {"id": ids[0], "status": "COMPLETED", "output": 0, "usage": results[0]["usage"]}
    assert results[10] == {"id": ids[10], "status": "FAILED", "error": {"message": "no funds"}, "usage": 1}
    assert "Executions: 1,000 of 1,000 ended, 10 failed, 1,000 credits" in caplog.text
    assert len([record for record in caplog.records if "whiterabbit" in record.name]) < 20


def test_equal_ids_and_none(whiterabbit_emulator: Emulator) -> None:
    """Equal ids are followed once and have a result each; no ids have no results."""
    wr = whiterabbit_emulator
    one, other = (wr.create_execution("SLOW", manual=True) for _ in range(2))

    def complete() -> None:
        wr.wait_for_request(kind="stream", count=2, timeout=60)
        wr.complete(one, 1)
        wr.complete(other, 2)

    completing = threading.Thread(target=complete)
    completing.start()
    results = WhiteRabbitHook().wait_for_executions(iter([one, other, one]))
    completing.join()
    assert [result["output"] for result in results] == [1, 2, 1]
    assert len(wr.requests(kind="stream")) == 2
    assert WhiteRabbitHook().wait_for_executions([]) == []


def test_those_that_have_ended_need_no_stream(whiterabbit_emulator: Emulator) -> None:
    """The records are read first, in order, for as long as most of them have ended; the others are streamed."""
    wr = whiterabbit_emulator
    ended = [wr.create_execution("X", output=1) for _ in range(70)]
    running = [wr.create_execution("X", manual=True) for _ in range(60)]
    in_background(wr, lambda: [wr.complete(each) for each in running], count=len(ended) + len(running))
    results = WhiteRabbitHook().wait_for_executions([*ended, *running])
    assert [result["id"] for result in results] == [*ended, *running]
    streamed = {entry.path.split("/")[-2] for entry in wr.requests(kind="stream")}
    assert streamed == set(running)


def test_a_record_that_hangs_delays_the_others_little(whiterabbit_emulator: Emulator) -> None:
    """If one of the records that are read first does not come, the rest is followed by streams, not read one by one."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("X", output=1) for _ in range(96)]
    hold = wr.fault(effects.Hold(), kind="record")

    def release() -> None:
        wr.wait_for_request(kind="stream", timeout=60)
        wr.release(hold)

    releasing = threading.Thread(target=release)
    releasing.start()
    hook = WhiteRabbitHook()
    hook.timing = Timing(final_read=0.2)
    assert len(hook.wait_for_executions(ids)) == 96
    releasing.join()
    assert len(wr.requests(kind="stream")) > 32


def test_without_outputs(whiterabbit_emulator: Emulator) -> None:
    """Without outputs, a result has the id, the status, the credits and the error."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("X", output="large", usage=2.5), wr.create_execution("X", error="no")]
    assert WhiteRabbitHook().wait_for_executions(ids, outputs=False) == [
        {"id": ids[0], "status": "COMPLETED", "usage": 2.5},
        {"id": ids[1], "status": "FAILED", "error": "no", "usage": 1},
    ]


def test_timeout(whiterabbit_emulator: Emulator) -> None:
    """At the deadline, the error has the results of those that have ended, and names the first that has not."""
    wr = whiterabbit_emulator
    ids = [
        wr.create_execution("X", manual=True),
        wr.create_execution("X", output=1),
        wr.create_execution("X", output=2),
    ]
    hook = WhiteRabbitHook()
    hook.timing = Timing(final_read=60)
    with pytest.raises(exc.WhiteRabbitTimeoutError) as caught:
        hook.wait_for_executions([*ids, ids[0]], timeout=1)
    assert [result["output"] for result in caught.value.ended] == [1, 2]
    assert "1 of 3 executions had not ended at the deadline (2 of 3 ended, 0 failed" in str(caught.value)
    assert f"Execution {ids[0]} had not ended at the deadline" in str(caught.value)


def test_unknown_id(whiterabbit_emulator: Emulator) -> None:
    """An unknown id ends the wait at once with an error that names the id, and all streams are closed."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("X", manual=True) for _ in range(50)]
    with pytest.raises(exc.WhiteRabbitNotFoundError, match=UNKNOWN):
        WhiteRabbitHook().wait_for_executions([*ids, UNKNOWN])


@pytest.mark.parametrize(
    "ids", ["e-1", b"e-1", {"e-1": 1}, None, 5, ["e-1", None], ["e-1", "../x"], [["e-1"]]], ids=repr
)
def test_wrong_ids(whiterabbit_emulator: Emulator, ids: Any) -> None:
    """What is not a list of ids is refused before anything is sent; the error has the position."""
    with pytest.raises(exc.WhiteRabbitInputError, match=r"execution_ids(\[[01]\])? must be"):
        WhiteRabbitHook().wait_for_executions(ids)
    assert not whiterabbit_emulator.journal


async def test_running_event_loop() -> None:
    """In a running event loop, the error names what can be awaited."""
    with pytest.raises(exc.WhiteRabbitError, match=r"await hook\.wait_for_executions"):
        WhiteRabbitHook().wait_for_executions(["e"])


def test_outage(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """An outage ends no wait; the log tells each trouble once, not once for each execution."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("SLOW", manual=True) for _ in range(30)]

    def break_down() -> None:
        wr.pause()
        for execution_id in ids:
            wr.complete(execution_id, 1)
        wr.resume()

    breaking = in_background(wr, break_down, count=len(ids))
    hook = WhiteRabbitHook()
    hook.timing = Timing(min_poll_interval=0.01)
    results = hook.wait_for_executions(ids, poll_interval=1)
    breaking.join()
    assert {result["output"] for result in results} == {1}
    assert len([line for line in caplog.messages if "the wait continues" in line]) < 10


def test_records_at_once(whiterabbit_emulator: Emulator) -> None:
    """Not more records than `requests_at_once` are read at the same time."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("X", manual=True) for _ in range(100)]
    first = REQUESTS_AT_ONCE  # which are read before any stream is opened, because they may have ended
    hold = wr.fault(effects.Hold(), kind="record", skip=first, times=None)
    seen: list[int] = []

    def release() -> None:
        wr.wait_for_request(kind="stream", count=100, timeout=60)
        seen.append(len(wr.requests(kind="record")) - first)
        wr.clear_faults()
        wr.release(hold)
        for execution_id in ids:
            wr.complete(execution_id)

    releasing = threading.Thread(target=release)
    releasing.start()
    hook = WhiteRabbitHook()
    hook.timing = Timing(late_head=60)
    assert len(hook.wait_for_executions(ids)) == 100
    releasing.join()
    assert seen[0] <= REQUESTS_AT_ONCE


class Stopped(BaseException):
    """What a handler of a signal raises, such as Airflow's timeout of a task."""


def test_a_signal_ends_the_wait(whiterabbit_emulator: Emulator) -> None:
    """What a handler of a signal raises ends the wait, and leaves no thread and no stream behind."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("SLOW", manual=True) for _ in range(20)]

    def handle(*_: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGUSR1, handle)
    main = threading.main_thread().ident
    assert main is not None
    sending = in_background(wr, lambda: signal.pthread_kill(main, signal.SIGUSR1), count=20)
    try:
        with pytest.raises(Stopped):
            WhiteRabbitHook().wait_for_executions(ids)
    finally:
        signal.signal(signal.SIGUSR1, before)
    sending.join()
    assert not [thread for thread in threading.enumerate() if thread.name == "whiterabbit-many"]


@pytest.mark.parametrize(("limit", "expected"), [(600, 300), (2500, 1000)])
def test_few_open_files(limit: int, expected: int) -> None:
    """With a low limit of open files, fewer executions are followed at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < limit:
        pytest.skip("this process may not open so many files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        assert places() == expected
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
