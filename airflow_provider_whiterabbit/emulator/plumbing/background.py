"""The thread in which the emulator's event loop runs, and how other threads talk to it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from airflow_provider_whiterabbit.emulator.plumbing.listener import Listener, bind
from airflow_provider_whiterabbit.emulator.server.app import Application

T = TypeVar("T")


class Background:
    """Serves an application from a thread of its own.

    :param listener: brings the application its requests.
    """

    def __init__(self, app: Application, listener: Listener) -> None:
        self._app = app
        self._listener = listener
        listener.serve(app)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = asyncio.Event()
        self._address: tuple[str, int] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port.

        :raises RuntimeError: if it was never started.
        """
        if self._address is None:
            raise RuntimeError("the emulator is not running: use it as a context manager, or call start_server()")
        return self._address

    def start(self, host: str, port: int) -> None:
        """Serve; returns when connections are accepted. A `port` of 0 is the one of before, or any free one.

        :raises OSError: if the address can't be had.
        :raises RuntimeError: if it runs already.
        """
        if self._thread is not None:
            raise RuntimeError("the emulator is running already")
        if not port and self._address is not None:
            port = self._address[1]
        sock = bind(host, port)
        self._address = (host, sock.getsockname()[1])
        ready: Future[None] = Future()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(sock, ready)), name="whiterabbit-emulator", daemon=True
        )
        self._thread.start()
        try:
            ready.result()
        except OSError:
            self._thread = None
            raise

    def stop(self) -> None:
        """End streams and connections, and the thread; no error if it does not run."""
        if self._thread is not None:
            self.call(self._stopping.set)
            self._thread.join()
            self._thread = None

    def call(self, function: Callable[[], T]) -> T:
        """Return what a function returns in the loop's thread. If there is none, nobody else is there to disturb."""
        if self._thread is None or self._loop is None or threading.current_thread() is self._thread:
            return function()
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(function())
            except Exception as error:
                result.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return result.result()

    def wait(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Return what a coroutine returns in the loop.

        :raises TimeoutError: after that many seconds.
        :raises RuntimeError: if called from the loop's own thread, which would wait for itself, or without a loop.
        """
        if self._thread is None or self._loop is None or threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("this needs a running emulator, and can't be called from one of its scripts")
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, timeout), self._loop).result()

    async def _serve(self, sock: socket.socket, ready: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await self._listener.listen(sock)
        except OSError as error:
            ready.set_exception(error)
            return
        self._app.start()
        ready.set_result(None)
        await self._stopping.wait()
        await self._listener.close()
        await self._app.close()
        await self._listener.hang_up(rudely=False)
