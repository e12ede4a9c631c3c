"""A White Rabbit of raw sockets, without an HTTP library, that misbehaves as a case says and else answers rightly."""

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
_PING_INTERVAL = 0.5
_UNKNOWN = b'{"errors": [{"code": "NOT_FOUND", "message": "no such thing"}]}'


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
    """The server of one cell, for a ``with`` statement. It listens on a free port of the loopback interface.

    :param case: how the server misbehaves.
    :param place: the requests to which it misbehaves.
    :param lag: seconds for which the record does not show an end that an event shows.
    """

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
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._peers: set[Peer] = set()
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)

    def __enter__(self) -> Self:
        if self.case.ends == "before" or (self.place == "record" and self.case.is_valid):
            self.end()
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
            self._ended_at = self._ended_at or time.monotonic()
            self._changed.notify_all()

    def json(self, status: str, /, **changes: Any) -> bytes:
        """Return the JSON of a record."""
        return json.dumps(record_of(self.target, status, **changes)).encode()

    def event(self, status: str, /, **changes: Any) -> bytes:
        """Return the JSON of an event."""
        return json.dumps(event_of(self.target, status, **changes)).encode()

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
        place: Place = "submission" if request.method == "POST" else "record"
        if request.path.endswith("/stream"):
            place = "stream"
        self.submissions += place == "submission"
        case = self.case
        if place == self.place and (case.times is None or self.hits < case.times):
            self._misbehave(peer, place)
        elif place == "stream" and (self.place == "record" and case.times is None):
            peer.answer(_UNKNOWN, "Content-Type: application/json", status="404 Not Found")
        elif place == "stream":
            self._send_stream(peer)
        else:
            peer.right = self._right(place)
            peer.answer()

    def _misbehave(self, peer: Peer, place: Place) -> None:
        case = self.case
        if case.is_valid:
            self.end()
        peer.right = self._right(place)
        self.hits += 1
        if case.ends == "after" and self.hits == (case.times or 1):
            self.end()
        case.play(peer, self)

    def _right(self, place: Place) -> Right:
        if place == "stream":
            body = b"data: " + self.event("EXECUTING") + b"\n\n"
            if self.case.is_valid and self._ended_at is not None:
                body += b"data: " + self.event("COMPLETED") + b"\n\n"
            return Right(body, "text/event-stream", place)
        if place == "submission":
            accepted = self.json("CREATED") if self.target == "execution" else _run_started()
            return Right(accepted, "application/json", place)
        return Right(self.json(self._status()), "application/json", place)

    def _status(self) -> str:
        if self._ended_at is None or time.monotonic() < self._ended_at + self.lag:
            return "EXECUTING"
        self.has_shown_end = True
        return self.case.status

    def _send_stream(self, peer: Peer) -> None:
        """Send pings until the end, and then the event of the end."""
        peer.send(head("Content-Type: text/event-stream", "Connection: close"))
        peer.send(b"data: " + self.event("EXECUTING") + b"\n\n")
        while (status := self._status()) == "EXECUTING":
            peer.send(b":ping\n\n")
            self._wait_for_change(lambda: self._ended_at is not None and not self.lag)
        peer.send(b"data: " + self.event(status) + b"\n\n")
        peer.close()
        raise GoneError

    def _wait_for_change(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            if not condition():
                self._changed.wait(_PING_INTERVAL)


def _run_started() -> bytes:
    return json.dumps({"runId": IDENTITY, "jobId": "bull-1"}).encode()
