"""The turns of callbacks, and the limits on those that wait."""

from __future__ import annotations

import asyncio
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

pytestmark = needs_receiver

INTERVAL = 0.25


def simulated(main: Callable[[SimulatedLoop], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine function in an event loop whose clock jumps; it gets the loop."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, SimulatedLoop)
        runner.run(main(loop))


def test_turns() -> None:
    """Callbacks that arrive at once take their turns in order, an interval apart; a callback alone does not wait."""

    async def main(loop: SimulatedLoop) -> None:
        pool = Threads(30, 256, INTERVAL)
        turns: list[tuple[int, float]] = []

        async def take(number: int) -> None:
            await pool.take_turn()
            turns.append((number, loop.time()))

        await asyncio.gather(*map(take, range(4)))
        assert turns == [(number, number * INTERVAL) for number in range(4)]
        await asyncio.sleep(10 * INTERVAL)
        begun = loop.time()
        await take(4)
        assert turns[-1] == (4, begun)

    simulated(main)


def test_turns_of_senders_that_do_not_pause() -> None:
    """However many senders send one callback after the other, the callbacks get one turn per interval."""

    async def main(loop: SimulatedLoop) -> None:
        pool = Threads(30, 256, INTERVAL)
        count = 0

        async def send() -> None:
            nonlocal count
            while True:
                await pool.take_turn()
                count += 1

        senders = [asyncio.create_task(send()) for _ in range(16)]
        await asyncio.sleep(100.5 * INTERVAL)
        for sender in senders:
            sender.cancel()
        assert count == 101

    simulated(main)


def test_a_turn_that_is_given_up() -> None:
    """A callback whose request is cancelled, or that waits for too long, takes no turn, and stops to count."""

    async def main(loop: SimulatedLoop) -> None:
        pool = Threads(2.5 * INTERVAL, 5, INTERVAL)  # the first one does not wait
        turns = [asyncio.create_task(pool.take_turn()) for _ in range(6)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="too many callbacks at once"):
            await pool.take_turn()
        for given_up in (1, 2):  # the one whose turn is next, and the one behind it
            turns[given_up].cancel()
        results = await asyncio.gather(*turns, return_exceptions=True)
        cancelled = asyncio.CancelledError
        assert [type(result) for result in results] == [type(None), cancelled, cancelled, *[type(None)] * 2, Refusal]
        assert loop.time() == 2.5 * INTERVAL
        await asyncio.gather(*(pool.take_turn() for _ in range(2)))
        assert loop.time() == 4 * INTERVAL

    simulated(main)


async def test_threads_that_are_given_up() -> None:
    """A job that outlasts its timeout counts as waiting until it ends."""
    pool, may_end = Threads(0.2, threads.THREADS, 0.0), threading.Event()
    results = await asyncio.gather(*(pool.run(may_end.wait) for _ in range(threads.THREADS)), return_exceptions=True)
    assert [str(result) for result in results] == ["the callback took too long"] * threads.THREADS
    for _ in range(2):
        with pytest.raises(Refusal, match="too many callbacks at once"):
            await pool.run(may_end.wait)
    may_end.set()
    await asyncio.to_thread(pool._executor.shutdown)
    await asyncio.sleep(0)  # the event loop has heard of the end of the jobs, and now counts it
    await pool.take_turn()


async def test_what_is_given_up_before_it_begins() -> None:
    """A job that is given up before it begins keeps nothing of its callback in memory while the threads hang."""

    class Body:
        pass

    pool, may_end = Threads(0.2, 256, 0.0), threading.Event()
    hanging = [asyncio.create_task(pool.run(may_end.wait)) for _ in range(threads.THREADS)]
    await asyncio.sleep(0)  # both threads hang before the next job comes
    body = Body()
    kept = weakref.ref(body)
    with pytest.raises(Refusal, match="the callback took too long"):
        await pool.run(id, body)
    del body
    for _ in range(3):  # the event loop hears of the cancelled job at its next turn
        await asyncio.sleep(0)
    gc.collect()
    assert kept() is None
    may_end.set()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_thread_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the process may start no more threads, the callback gets 503, and counts no longer as waiting."""
    pool = Threads(60, 1, 0.0)

    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        for _ in range(3):
            with pytest.raises(Refusal, match="try again later"):
                await pool.run(int, "7")
    assert await pool.run(int, "7") == 7


async def test_an_error_in_a_thread() -> None:
    """The caller gets the error of a function in a thread, and the function counts no longer as waiting."""
    pool = Threads(60, 1, 0.0)

    def fail() -> None:
        raise KeyError("x")

    for _ in range(3):
        with pytest.raises(KeyError):
            await pool.run(fail)
        await asyncio.sleep(0)
