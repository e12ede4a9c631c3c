"""Runs a coroutine for blocking code, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar, cast

T = TypeVar("T")


def run_apart(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end in a thread of its own, and return its result or raise its error.

    What a handler of a signal raises meanwhile, such as Airflow's timeout of a task, cancels the coroutine and is
    raised. In an event loop of this thread, it could be raised within a callback, where asyncio only logs it.

    :param work: returns the coroutine.
    """
    outcome: Future[T] = Future()
    cancelling: Future[Callable[[], object]] = Future()

    async def cancellable() -> T:
        task, loop = cast("asyncio.Task[Any]", asyncio.current_task()), asyncio.get_running_loop()
        cancelling.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
        return await work()

    def run() -> None:
        try:
            outcome.set_result(asyncio.run(cancellable()))
        except BaseException as error:  # raised in the thread that waits
            outcome.set_exception(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="whiterabbit-many", daemon=True)
    thread.start()
    try:
        return outcome.result()
    except BaseException:
        if not outcome.done():
            with contextlib.suppress(RuntimeError):  # the loop was closed in this moment
                cancelling.result()()
        raise
    finally:
        thread.join()
