"""A White Rabbit that misbehaves as a case says and else answers rightly; over raw sockets, without an HTTP library."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self

from dev.proofs.hostile.case import Case
from dev.proofs.hostile.peer import ELSEWHERE, GoneError, Peer, Place, Request, Right, head

Target = Literal["execution", "run"]

IDENTITY = "0f1e2d3c-4b5a-4968-8776-655443322110"
"""The id of the only execution or workflow run."""

OUTPUT = {"paid": "12.5"}
_TIME = "2026-04-20T10:00:00Z"
PING_INTERVAL = 0.5
"""Seconds between two pings of a stream."""

UNKNOWN = b'{"errors": [{"code": "NOT_FOUND", "message": "no such thing"}]}'


def record_of(target: Target, status: str, /, **changes: Any) -> dict[str, Any]:
    """Return the record of an execution or a workflow run."""
    ended = status not in ("CREATED", "EXECUTING")
    record: dict[str, Any] = {"id": IDENTITY, "status": status, "completed": ended, "totalUsage": 1}
    if target == "execution":
        record |= {"module": "PAY", "output": OUTPUT if ended else None, "error": None}
    else:
        stage = {"id": "s", "module": "PAY", "status": "COMPLETED" if ended else "RUNNING", "output": OUTPUT}
        record |= {"pendingStageCount": 0, "failedStageCount": 0, "runStages": [{**stage, "error": None}]}
    return record | {"createdAt": _TIME, "updatedAt": _TIME} | changes


def event_of(target: Target, status: str, /, **changes: Any) -> dict[str, Any]:
    """Return the data of an event."""
    output: Any = OUTPUT if status == "COMPLETED" else None
    if target == "run":
        output = {"totalUsage": 1, "pendingStageCount": 0, "failedStageCount": 0, "nonTerminalStages": []}
    error = "no funds" if status == "FAILED" else None
    return {"id": IDENTITY, "status": status, "output": output, "error": error, "timestamp": _TIME} | changes


class Server:
    """What the server of one cell tells, and when it misbehaves. `Http1Server` and `Http2Server` speak the protocols.

    :param case: how the server misbehaves.
    :param place: the requests to which it misbehaves.
    :param lag: seconds for which the record does not show an end that an event shows.
    """

    url = ""
    """Its base URL, from the start of the ``with`` statement on."""
    ca_bundle: str | None = None
    """The path of the certificates that its clients trust."""

    def __init__(self, case: Case, place: Place, target: Target, lag: float = 0.0) -> None:
        self.case, self.place, self.target, self.lag = case, place, target, lag
        self.hits = 0
        """To how many requests the server has misbehaved."""
        self.submissions = 0
        """How many submissions it has received."""
        self.strays: list[str] = []
        """What a client of White Rabbit must not send: requests to other addresses, and cookies."""
        self.has_shown_end = False
        """Whether it has shown the end also where it does not misbehave."""
        self._ended_at: float | None = None
        if case.ends == "before" or (place == "record" and case.is_valid):
            self.end()

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """Complete the execution or the workflow run."""
        self._ended_at = self._ended_at or time.monotonic()

    def json(self, status: str, /, **changes: Any) -> bytes:
        """Return the JSON of a record."""
        return json.dumps(record_of(self.target, status, **changes)).encode()

    def event(self, status: str, /, **changes: Any) -> bytes:
        """Return the JSON of an event."""
        return json.dumps(event_of(self.target, status, **changes)).encode()

    def place_of(self, method: str, path: str) -> Place:
        """Return what a request is for."""
        if method == "POST":
            return "submission"
        return "stream" if path.endswith("/stream") else "record"

    def is_affected(self, place: Place) -> bool:
        """Whether the server misbehaves to the next request."""
        return place == self.place and (self.case.times is None or self.hits < self.case.times)

    def refuses(self, place: Place) -> bool:
        """Whether there are no streams, because the misbehaviour affects each read of the record."""
        return place == "stream" and self.place == "record" and self.case.times is None

    def misbehave(self, peer: Any, place: Place) -> None:
        """Misbehave to a request."""
        case = self.case
        if case.is_valid:
            self.end()
        peer.right = self.right(place)
        self.hits += 1
        if case.ends == "after" and self.hits == (case.times or 1):
            self.end()
        case.play(peer, self)

    def right(self, place: Place) -> Right:
        """Return the right answer to a request."""
        if place == "stream":
            body = b"data: " + self.event("EXECUTING") + b"\n\n"
            if self.case.is_valid and self._ended_at is not None:
                body += b"data: " + self.event("COMPLETED") + b"\n\n"
            return Right(body, "text/event-stream", place)
        if place == "submission":
            accepted = self.json("CREATED") if self.target == "execution" else _run_started()
            return Right(accepted, "application/json", place)
        return Right(self.json(self.status()), "application/json", place)

    def status(self) -> str:
        """Return the status that the record shows now."""
        if self._ended_at is None or time.monotonic() < self._ended_at + self.lag:
            return "EXECUTING"
        self.has_shown_end = True
        return self.case.status


class Http1Server(Server):
    """A server of HTTP/1.1, for a ``with`` statement. It listens on a free port of the loopback interface."""

    def __init__(self, case: Case, place: Place, target: Target, lag: float = 0.0) -> None:
        self._changed = threading.Condition()
        super().__init__(case, place, target, lag)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._peers: set[Peer] = set()
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._acceptor.join()
        self._listener.close()
        for peer in list(self._peers):
            peer.shut()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def end(self) -> None:
        """Complete the execution or the workflow run."""
        with self._changed:
            super().end()
            self._changed.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            peer = Peer(connection)
            self._peers.add(peer)
            thread = threading.Thread(target=self._serve, args=(peer,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: Peer) -> None:
        try:
            while request := peer.read_request():
                self._answer(peer, request)
        except GoneError:
            pass
        finally:
            self._peers.discard(peer)
            with contextlib.suppress(OSError):
                peer.close()

    def _answer(self, peer: Peer, request: Request) -> None:
        if request.path == ELSEWHERE:
            self.strays.append("a redirect was followed")
        if b"\r\ncookie:" in request.head:
            self.strays.append("a cookie was sent")
        if request.path == "/v1/system/components":
            peer.answer(b"[]", "Content-Type: application/json")
            return
        place = self.place_of(request.method, request.path)
        self.submissions += place == "submission"
        if self.is_affected(place):
            self.misbehave(peer, place)
        elif self.refuses(place):
            peer.answer(UNKNOWN, "Content-Type: application/json", status="404 Not Found")
        elif place == "stream":
            self._send_stream(peer)
        else:
            peer.right = self.right(place)
            peer.answer()

    def _send_stream(self, peer: Peer) -> None:
        """Send pings until the end, and then the event of the end."""
        peer.send(head("Content-Type: text/event-stream", "Connection: close"))
        peer.send(b"data: " + self.event("EXECUTING") + b"\n\n")
        while (status := self.status()) == "EXECUTING":
            peer.send(b":ping\n\n")
            self._wait_for_change(lambda: self._ended_at is not None and not self.lag)
        peer.send(b"data: " + self.event(status) + b"\n\n")
        peer.close()
        raise GoneError

    def _wait_for_change(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            if not condition():
                self._changed.wait(PING_INTERVAL)


def _run_started() -> bytes:
    return json.dumps({"runId": IDENTITY, "jobId": "bull-1"}).encode()
