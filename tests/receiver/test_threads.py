"""The turns of callbacks, and the limits on those that wait."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from dev.harness.simulated_loop import SimulatedLoop
from tests.versions import needs_receiver

pytest.importorskip("fastapi", reason="needs the receiver of callbacks (Airflow 3.1)")

from airflow_provider_whiterabbit.receiver import threads
from airflow_provider_whiterabbit.receiver.bodies import Refusal
from airflow_provider_whiterabbit.receiver.threads import Threads
from airflow_provider_whiterabbit.receiver.turns import Turns

pytestmark = needs_receiver

INTERVAL = 0.25


def simulated(main: Callable[[SimulatedLoop], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine function in an event loop whose clock jumps; it gets the loop."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, SimulatedLoop)
        runner.run(main(loop))


class Hanging:
    """A job of the connection ``a`` that hangs in the threads of a pool, until the test ends it."""

    def __init__(self, pool: Threads) -> None:
        self._pool = pool
        self._may_end = threading.Event()
        self._begun: list[int] = []

    def run(self) -> None:
        """Hang."""
        self._begun.append(threading.get_ident())
        self._may_end.wait()

    async def in_all_threads(self) -> None:
        """Wait until the job hangs in each thread: one that starts late finds that its job was given up."""
        async with asyncio.timeout(60):
            while len(self._begun) < threads.THREADS:
                with contextlib.suppress(Refusal):
                    await self._pool.run_in_turn("a", self.run)
                await asyncio.sleep(0.01)  # the event loop hears of a job that was given up

    def end(self) -> None:
        """End the jobs. As the threads may need a while for that, callbacks have much time from now on."""
        for connection_id in "ab":
            self._pool._waiters[connection_id]._timeout = 60
        self._may_end.set()


def test_turns() -> None:
    """Callbacks that arrive at once take their turns in order, an interval apart; a callback alone does not wait."""

    async def main(loop: SimulatedLoop) -> None:
        turns = Turns(INTERVAL, 256)
        taken: list[tuple[int, float]] = []

        async def take(number: int) -> None:
            await turns.begin("a")
            taken.append((number, loop.time()))

        await asyncio.gather(*map(take, range(4)))
        assert taken == [(number, number * INTERVAL) for number in range(4)]
        await asyncio.sleep(10 * INTERVAL)
        begun = loop.time()
        await take(4)
        assert taken[-1] == (4, begun)

    simulated(main)


def test_turns_of_senders_that_do_not_pause() -> None:
    """However many senders send one callback after the other, the callbacks get one turn per interval."""

    async def main(loop: SimulatedLoop) -> None:
        turns = Turns(INTERVAL, 1)
        count = 0

        async def send() -> None:
            nonlocal count
            while True:
                await turns.begin("a")
                count += 1
                turns.end()

        senders = [asyncio.create_task(send()) for _ in range(16)]
        await asyncio.sleep(100.5 * INTERVAL)
        for sender in senders:
            sender.cancel()
        assert count == 101

    simulated(main)


def test_turns_of_several_connections() -> None:
    """A connection with hundreds of callbacks delays a callback of another connection by one turn."""

    async def main(loop: SimulatedLoop) -> None:
        turns = Turns(INTERVAL, 1)
        taken: list[str] = []

        async def take(connection_id: str) -> None:
            await turns.begin(connection_id)
            taken.append(connection_id)
            await asyncio.sleep(2 * INTERVAL)  # longer than the interval: the turns wait for each other
            turns.end()

        await asyncio.gather(*map(take, "aaaaaabbbc"))
        assert "".join(taken) == "aabcababaa"
        assert loop.time() == 20 * INTERVAL

    simulated(main)


async def test_a_connection_that_floods() -> None:
    """While one connection has as many callbacks as may wait, another one's callback is among the next."""
    pool, may_end, loop = Threads(60, 20, 0.0), threading.Semaphore(0), asyncio.get_running_loop()
    began: asyncio.Queue[str] = asyncio.Queue()

    def run(connection_id: str) -> None:
        loop.call_soon_threadsafe(began.put_nowait, connection_id)
        may_end.acquire()

    jobs = [asyncio.create_task(pool.run_in_turn(name, run, name)) for name in "a" * 21 + "b"]
    await asyncio.wait(jobs[20:21])
    order = [await began.get() for _ in range(threads.THREADS)]
    while len(order) < 21:  # one ends, and one begins
        may_end.release()
        order.append(await began.get())
    may_end.release(threads.THREADS)
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert [str(result) for result in results] == ["None"] * 20 + ["too many callbacks at once", "None"]
    assert order.index("b") <= threads.THREADS + 1  # behind those that ran already, and one that had its turn before


def test_a_turn_that_is_given_up() -> None:
    """A callback that is cancelled takes no turn: those behind it do not wait for it."""

    async def main(loop: SimulatedLoop) -> None:
        turns = Turns(INTERVAL, 256)
        waiting = [asyncio.create_task(turns.begin("a")) for _ in range(5)]
        await asyncio.sleep(0)
        for given_up in (1, 2):  # the one whose turn is next, and the one behind it
            waiting[given_up].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert [task.cancelled() for task in waiting] == [False, True, True, False, False]
        assert loop.time() == 2 * INTERVAL
        waiting = [asyncio.create_task(turns.begin("a")) for _ in range(2)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()  # all of them
        await turns.begin("b")
        assert loop.time() == 3 * INTERVAL

    simulated(main)


async def test_a_turn_that_does_not_come() -> None:
    """While the threads hang, callbacks wait no longer than the timeout, and then stop to count."""
    pool = Threads(0.2, threads.THREADS + 2, 0.0)
    hanging = Hanging(pool)
    slow, refused = "the callback took too long", "too many callbacks at once"
    try:
        for expected in ([slow] * 4 + [refused], [slow] * 2 + [refused] * 3):  # the jobs of the first time run still
            jobs = [pool.run_in_turn("a", hanging.run) for _ in range(5)]
            results = await asyncio.gather(*jobs, return_exceptions=True)
            assert sorted(map(str, results)) == expected
            await hanging.in_all_threads()
    finally:
        hanging.end()
    assert await pool.run_in_turn("b", int, "7") == 7


@pytest.mark.parametrize("first", ["the turn", "the cancellation"])
async def test_a_turn_that_comes_as_it_is_given_up(first: str) -> None:
    """A callback that is cancelled at the moment of its turn gives the turn to the next one."""
    turns = Turns(0.0, 1)
    await turns.begin("a")
    waiting = [asyncio.create_task(turns.begin("a")) for _ in range(2)]
    await asyncio.sleep(0)
    steps = [turns.end, waiting[0].cancel]
    for step in steps if first == "the turn" else reversed(steps):
        step()
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 60)
    assert [type(result) for result in results] == [asyncio.CancelledError, type(None)]


async def test_threads_that_are_given_up() -> None:
    """A job that outlasts its timeout counts as waiting until it ends."""
    pool = Threads(0.2, threads.THREADS, 0.0)
    hanging = Hanging(pool)
    results = await asyncio.gather(
        *(pool.run_in_turn("a", hanging.run) for _ in range(threads.THREADS)), return_exceptions=True
    )
    assert [str(result) for result in results] == ["the callback took too long"] * threads.THREADS
    await hanging.in_all_threads()
    for _ in range(2):
        with pytest.raises(Refusal, match="too many callbacks at once"):
            await pool.run_in_turn("a", hanging.run)
    hanging.end()
    assert await pool.run_in_turn("b", int, "7") == 7  # its turn comes when a thread has ended
    assert await pool.run_in_turn("a", int, "7") == 7


async def test_what_is_given_up_before_it_begins() -> None:
    """A job that is given up before it begins keeps nothing of its callback in memory while the threads hang."""

    class Body:
        pass

    pool = Threads(0.2, 256, 0.0)
    hanging = Hanging(pool)
    await hanging.in_all_threads()  # before the next job comes
    body = Body()
    kept = weakref.ref(body)
    with pytest.raises(Refusal, match="the callback took too long"):
        await pool.run_in_turn("a", id, body)
    del body
    for _ in range(3):  # the event loop hears of the cancelled job at its next turn
        await asyncio.sleep(0)
    gc.collect()
    assert kept() is None
    hanging.end()


async def test_a_thread_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the process may start no more threads, the callback gets 503, and counts no longer as waiting."""
    pool = Threads(60, 1, 0.0)

    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        for _ in range(3):
            with pytest.raises(Refusal, match="try again later"):
                await pool.run_in_turn("a", int, "7")
    assert await pool.run_in_turn("a", int, "7") == 7


async def test_an_error_in_a_thread() -> None:
    """The caller gets the error of a function in a thread, and the function counts no longer as waiting."""
    pool = Threads(60, 1, 0.0)

    def fail() -> None:
        raise KeyError("x")

    for _ in range(3):
        with pytest.raises(KeyError):
            await pool.run_in_turn("a", fail)
        await asyncio.sleep(0)
