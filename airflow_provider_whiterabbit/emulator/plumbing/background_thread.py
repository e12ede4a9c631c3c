"""The background thread that runs the emulator's event loop, and calls from other threads into the event loop."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from airflow_provider_whiterabbit.emulator.plumbing.listener import Listener, bind

T = TypeVar("T")

_started: weakref.WeakSet[Background] = weakref.WeakSet()
"""The background threads that this process has started; a child process gets a copy that has no threads."""


class Background:
    """Runs an event loop in a background thread; the emulator's listener accepts connections in the event loop.

    :param listener: must know its application already (`Listener.serve`).
    :param on_start: called in the loop after the listener has begun to accept connections.
    :param on_stop: awaited in the loop after the listener has stopped accepting connections.
    """

    def __init__(
        self, listener: Listener, on_start: Callable[[], object], on_stop: Callable[[], Awaitable[object]]
    ) -> None:
        self._listener = listener
        self._on_loop_start = on_start
        self._on_loop_stop = on_stop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process: int | None = None
        """Id of the process that has the thread; a forked process has a copy of this object without the thread."""
        self._thread_stopping = asyncio.Event()
        self._address: tuple[str, int] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that the emulator's listener was last bound to.

        :raises RuntimeError: if the thread was never started.
        """
        if self._address is None:
            raise RuntimeError("the emulator is not running: use it as a context manager, or call start_server()")
        return self._address

    @property
    def is_running(self) -> bool:
        """Whether the thread runs in this process."""
        return self._thread is not None and self._process == os.getpid()

    def start(self, host: str, port: int) -> None:
        """Start the background thread, and return when the emulator accepts connections.

        :param port: 0 for the port of the previous start, or for any free port at the first start.
        :raises OSError: if the address cannot be bound.
        :raises RuntimeError: if the thread is running already, in this process or in the one that it was forked from.
        """
        self._refuse_in_forked_process()
        if self._thread is not None:
            raise RuntimeError("the emulator is running already")
        if not port and self._address is not None:
            port = self._address[1]
        loop_socket = bind(host, port)
        self._address = (host, loop_socket.getsockname()[1])
        loop_ready: Future[None] = Future()
        self._thread_stopping = asyncio.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run_loop(loop_socket, loop_ready)),
            name="whiterabbit-emulator",
            daemon=True,
        )
        self._process = os.getpid()
        _started.add(self)
        self._thread.start()
        try:
            loop_ready.result()
        except OSError:
            self._thread = None
            raise

    def stop(self) -> None:
        """Close all connections and end the background thread. Nothing happens if no thread runs in this process."""
        if self._thread is not None and self.is_running:
            self.call(self._thread_stopping.set)
            self._thread.join()
            self._thread = None

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the thread of the event loop, and return the function's result.

        The function is called in the current thread if that is the loop's thread, or if no loop is running.
        """
        loop = self._loop_of_other_thread()
        if loop is None:
            return function()
        loop_result: Future[T] = Future()

        def call_in_loop() -> None:
            try:
                loop_result.set_result(function())
            except Exception as error:
                loop_result.set_exception(error)

        loop.call_soon_threadsafe(call_in_loop)
        return loop_result.result()

    def wait(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine in the background thread's event loop, and return the coroutine's result.

        :param timeout: seconds; None to wait without a limit.
        :raises TimeoutError: if the coroutine takes longer than `timeout`.
        :raises RuntimeError: if no loop is running, if the loop's own thread would wait for itself, or in a process
            that was forked from the one with the thread.
        """
        try:
            self.check_running()
            loop = self._loop_of_other_thread()
            if loop is None:
                raise RuntimeError("this waits for the emulator, so one of the emulator's scripts can't call it")
        except RuntimeError:
            coroutine.close()
            raise
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, timeout), loop).result()

    def check_running(self) -> None:
        """Raise `RuntimeError` unless the thread runs in this process."""
        self._refuse_in_forked_process()
        if self._thread is None:
            raise RuntimeError("this needs a running emulator: use it as a context manager, or call start_server()")

    def forget_connections(self) -> None:
        """Give up a forked process's copies of the sockets; those of the process with the thread stay open.

        With a copy left open, a connection that the emulator closes would stay open for its client.
        """
        if self._thread is not None:
            self._listener.forget_connections()

    def _loop_of_other_thread(self) -> asyncio.AbstractEventLoop | None:
        self._refuse_in_forked_process()
        return None if self._thread in (None, threading.current_thread()) else self._loop

    def _refuse_in_forked_process(self) -> None:
        if self._thread is not None and self._process != os.getpid():
            raise RuntimeError(
                f"the emulator runs in process {self._process}, and this is a process that was forked from it: send"
                " requests to its url, control it over HTTP under /_emulator, or start an Emulator of this process"
            )

    async def _run_loop(self, loop_socket: socket.socket, loop_ready: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await self._listener.listen(loop_socket)
        except OSError as error:
            loop_ready.set_exception(error)
            return
        self._on_loop_start()
        loop_ready.set_result(None)
        await self._thread_stopping.wait()
        await self._listener.close()
        await self._on_loop_stop()
        await self._listener.close_connections(with_reset=False)


def _forget_connections_in_child() -> None:
    for background in list(_started):
        background.forget_connections()


os.register_at_fork(after_in_child=_forget_connections_in_child)
