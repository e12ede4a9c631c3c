"""A White Rabbit over HTTP/2 that misbehaves as a case says and else answers rightly, and as rightly over HTTP/1.1."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from h2.exceptions import ProtocolError

from dev.harness.http2_server import Http2Server as Listening
from dev.harness.http2_server import Peer, http2_server
from dev.proofs.hostile.case import Case
from dev.proofs.hostile.http2_peer import Http2Peer
from dev.proofs.hostile.peer import ELSEWHERE, Place, Right, head
from dev.proofs.hostile.server import PING_INTERVAL, UNKNOWN, Server, Target

_JSON = "application/json"


class Http2Server(Server):
    """A server of HTTP/2, for a ``with`` statement. Its event loop has a thread of its own."""

    def __init__(self, case: Case, place: Place, target: Target, lag: float = 0.0) -> None:
        self._has_ended = asyncio.Event()
        super().__init__(case, place, target, lag)
        self._stopped = asyncio.Event()
        self._streams: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(started)))
        self._thread.start()
        self._loop = started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def end(self) -> None:
        """Complete the execution or the workflow run."""
        super().end()
        if not self.lag:
            self._has_ended.set()

    async def _run(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        with TemporaryDirectory() as folder:
            async with http2_server(Path(folder), self._answer) as listening:
                self._configure(listening)
                started.set_result(asyncio.get_running_loop())
                await self._stopped.wait()

    def _configure(self, listening: Listening) -> None:
        self.url, self.ca_bundle = listening.url, listening.ca_bundle
        listening.greeting, listening.http1 = self._greet, self._answer_by_http1

    def _greet(self, connection: Peer) -> None:
        """Misbehave to the connection itself, if the case says so, instead of sending the server's settings."""
        if self.case.is_greeting and self.is_affected(self.place):
            connection.is_mute = True
            self._play(Http2Peer(connection, 0, self.right(self.place)), self.place)

    def _answer(self, connection: Peer, stream: int, headers: dict[str, str]) -> None:
        path = headers[":path"]
        place = self.place_of(headers[":method"], path)
        peer = Http2Peer(connection, stream, self.right(place))
        if path == ELSEWHERE:
            self.strays.append("a redirect was followed")
        if "cookie" in headers:
            self.strays.append("a cookie was sent")
        if self.is_affected(place) and not self.case.is_greeting:
            self._play(peer, place)
        elif self.refuses(place):
            _send(peer, Right(UNKNOWN, _JSON, place), "404")
        elif place == "stream":
            self._streams.add(task := asyncio.create_task(self._send_stream(peer)))
            task.add_done_callback(self._streams.discard)
        else:
            _send(peer, peer.right)

    def _play(self, peer: Http2Peer, place: Place) -> None:
        try:
            self.misbehave(peer, place)
        except Exception as error:  # a mistake of the case, which the event loop would only log
            self.strays.append(f"the play raised {error!r}")

    async def _send_stream(self, peer: Http2Peer) -> None:
        """Send pings until the end, and then the event of the end."""
        with contextlib.suppress(ProtocolError):  # the client has closed the stream or the connection
            connection = peer.connection
            connection.head(peer.stream, {":status": "200", "content-type": "text/event-stream"})
            connection.event(peer.stream, self.event("EXECUTING").decode())
            while (status := self.status()) == "EXECUTING" and not connection.is_closed.is_set():
                connection.body(peer.stream, b":ping\n\n", end=False)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._has_ended.wait(), PING_INTERVAL)
            connection.body(peer.stream, b"data: " + self.event(status) + b"\n\n")

    def _answer_by_http1(self, connection: Peer, data: bytes) -> None:
        """Answer a request of a client that has chosen HTTP/1.1. There are no streams."""
        method, path, _ = data.decode("latin-1").split(" ", 2)
        place = self.place_of(method, path)
        body, status = (UNKNOWN, "404 Not Found") if place == "stream" else (self.right(place).body, "200 OK")
        connection.transport.write(head(f"Content-Type: {_JSON}", length=len(body), status=status) + body)


def _send(peer: Http2Peer, right: Right, status: str = "200") -> None:
    with contextlib.suppress(ProtocolError):  # after a misbehaviour, the client may have closed the stream
        peer.connection.head(peer.stream, {":status": status, "content-type": right.content_type})
        peer.connection.body(peer.stream, right.body)
