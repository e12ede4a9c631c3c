"""The threads of the callback receiver, and the limits that leave the API server to Airflow's other requests.

The receiver shares a process with Airflow's API: one event loop, and one lock that lets one thread at a time run Python
code. An answer costs several milliseconds of this process even if no thread does anything for it, so senders that send
the next callback as soon as they get an answer could occupy the process alone. Therefore callbacks take turns, and so
do connections: the callbacks of one workspace must not delay those of another one.

What anyone can ask for, a secret or the check of a large body, neither waits for the threads that use the database nor
counts as waiting for them: a sender without the secret must not delay others, also while the database hangs.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from airflow_provider_whiterabbit.receiver.bodies import Refusal
from airflow_provider_whiterabbit.receiver.turns import Turns

T = TypeVar("T")

THREADS = 2
"""How many threads of its own the callback receiver has for the database.

One callback at a time can emit events of a connection, so more threads would only wait for the database's lock.
"""

BODY_THREADS = 1
"""How many threads of its own the callback receiver has to check large request bodies."""

SECRET_THREADS = 2
"""How many threads of its own the callback receiver has to read secrets."""

MAX_WAITING = 256
"""How many callbacks of a connection may wait for a turn or the database at once; further ones get the answer 503.

As many may wait for the secret of each connection, and as many for the check of a large body.
"""

TURN_INTERVAL = 0.03
"""Seconds between the turns of two callbacks in one process.

One connection's callbacks hardly get faster without it, because they take as long to emit their events. A turn ends
when the thread has ended. The last of `MAX_WAITING` callbacks waits about ten seconds for its turn, which is much less
than the answer timeout, if no other connection has as many.
"""

ANSWER_TIMEOUT = 30.0
"""Seconds for which a callback may wait for a thread's work or for a secret, before the receiver answers 503.

The thread finishes its work anyway, so the receiver recognises the next delivery of the callback as a repeat.
"""


class Threads:
    """The threads of one receiver, with limits on the callbacks that wait. Its methods belong to one event loop.

    :param timeout: seconds; see `ANSWER_TIMEOUT`.
    :param max_waiting: see `MAX_WAITING`.
    :param turn_interval: seconds; see `TURN_INTERVAL`.
    """

    def __init__(self, timeout: float, max_waiting: int, turn_interval: float) -> None:
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="whiterabbit-callbacks")
        self._body_executor = ThreadPoolExecutor(BODY_THREADS, thread_name_prefix="whiterabbit-bodies")
        self.for_secrets: Executor = ThreadPoolExecutor(SECRET_THREADS, thread_name_prefix="whiterabbit-secrets")
        """Threads of their own: a secrets backend that does not answer must not stop the emission of events."""
        self._turns = Turns(turn_interval, THREADS)
        self._waiters: defaultdict[str, _Waiters] = defaultdict(partial(_Waiters, timeout, max_waiting))
        self._body_waiters = _Waiters(timeout, max_waiting)
        self._secret_waiters: defaultdict[str, _Waiters] = defaultdict(partial(_Waiters, timeout, max_waiting))

    @asynccontextmanager
    async def waiting_for_secret(self, connection_id: str) -> AsyncIterator[None]:
        """Count a callback as waiting for the secret of a connection that the receiver serves, and limit its wait.

        :raises Refusal: 503, if too many callbacks wait for this secret, or this one waits for longer than the timeout.
        """
        async with self._secret_waiters[connection_id].waiting():
            yield

    async def run_in_turn(self, connection_id: str, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function that uses the database in a thread, when it is the turn of a connection's callback.

        :raises Refusal: 503, if too many callbacks of the connection wait already, or this one waits for its turn for
            longer than the timeout, or the call takes longer than that.
        """
        waiters = self._waiters[connection_id]
        async with waiters.waiting():
            await self._turns.begin(connection_id)
        return await waiters.run(self._executor, partial(function, *arguments), self._turns.end)

    async def check_body(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function that checks a large body in a thread; it must not wait for anything.

        :raises Refusal: 503, if too many bodies wait already, or the call takes longer than the timeout.
        """
        return await self._body_waiters.run(self._body_executor, partial(function, *arguments))


class _Waiters:
    """Counts the callbacks that wait for one thing, and limits their number and the time that each of them waits.

    :param timeout: seconds.
    """

    def __init__(self, timeout: float, most: int) -> None:
        self._timeout = timeout
        self._most = most
        self._count = 0

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Count a callback as waiting, and limit the time for which it waits.

        :raises Refusal: 503, if too many callbacks wait already, or this one waits for longer than the timeout.
        """
        self._begin()
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except TimeoutError:
            raise _timeout_refusal() from None
        finally:
            self._count -= 1

    async def run(self, executor: Executor, function: Callable[[], T], on_end: Callable[[], None] = lambda: None) -> T:
        """Call a function in a thread.

        :param on_end: called in the event loop when the function has ended, or was given up before it began.
        :raises Refusal: 503, if too many callbacks wait already, or the call takes longer than the timeout.
        """
        self._begin()
        # A job that is given up stays in the queue of the threads, however long these hang, but without its function.
        functions = [function]
        del function
        try:
            job = executor.submit(lambda: functions.pop()())
        except RuntimeError:  # the process may start no more threads
            functions.clear()
            self._count -= 1
            on_end()
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "try again later", retry_after=10) from None
        future = asyncio.wrap_future(job)
        future.add_done_callback(partial(self._end, on_end))
        try:
            return await asyncio.wait_for(asyncio.shield(future), self._timeout)
        except TimeoutError:
            raise _timeout_refusal() from None
        finally:
            if job.cancel():  # a job that has begun goes on, and counts as waiting until it ends
                functions.clear()

    def _begin(self) -> None:
        if self._count >= self._most:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many callbacks at once", retry_after=5)
        self._count += 1

    def _end(self, on_end: Callable[[], None], future: asyncio.Future[Any]) -> None:
        self._count -= 1
        on_end()
        if not future.cancelled():
            future.exception()  # otherwise asyncio logs that the exception was never retrieved


def _timeout_refusal() -> Refusal:
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the callback took too long", retry_after=10)
