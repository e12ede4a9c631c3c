"""What the benchmark server knows: executions, open streams, and how many requests have arrived."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from typing import Any, Protocol

SLOTS = 1000
"""Number of time slots in a ping interval; each stream gets its pings in one slot, to spread them evenly."""

TIME = "2026-04-20T10:00:00Z"


def output_of(size: int) -> Any:
    """Return a list of transfers with about `size` bytes of JSON; the same size always gives the same list."""
    draw = random.Random(size)  # noqa: S311
    transfers: list[Any] = []
    while size > 0:
        transfer = {
            "hash": f"0x{draw.getrandbits(256):064x}",
            "token": draw.choice(("USDC", "WETH", "DAI")),
            "amount": str(draw.getrandbits(80)),
            "block": draw.getrandbits(24),
            "price": round(draw.uniform(0, 5000), 6),
            "memo": draw.choice((None, "grüße", "refund")),
        }
        transfers.append(transfer)
        size -= len(json.dumps(transfer))
    return transfers


class Reply(Protocol):
    """The answer to one request, over HTTP/1.1 or HTTP/2: a whole one, or an event stream."""

    execution_id: str
    """Id of the execution whose event stream it is; empty if it is none."""

    slot: int
    """The slot of the ping interval in which the event stream gets its pings."""

    def send(self, status: int, body: bytes) -> None:
        """Send a whole answer."""

    def open_stream(self) -> None:
        """Send the head of an event stream."""

    def ping(self) -> None:
        """Send a ping of the event stream."""

    def end(self, event: bytes) -> None:
        """Send the last event of the event stream, and end the stream."""

    def abort(self) -> None:
        """Abort the connection."""


class World:
    """The server's executions, open streams and request counts.

    :param ping_interval: seconds between two pings of a stream.
    """

    def __init__(self, ping_interval: float) -> None:
        self.ping_interval = ping_interval
        self.ended: set[str] = set()
        self.requests: Counter[str] = Counter()
        self.moments: list[float] = []
        self.outage_ends = 0.0
        self.streams: list[list[Reply]] = [[] for _ in range(SLOTS)]
        self._slots = itertools.cycle(range(SLOTS))
        self.ends: dict[str, float] = {}
        """When the submitted executions have ended, or will end, in Unix seconds."""
        self.duration = 5.0
        self._outputs: dict[int, str] = {}

    def start(self) -> None:
        """Start to send pings to all streams."""
        loop = asyncio.get_running_loop()
        first = loop.time() + self.ping_interval / SLOTS
        loop.call_at(first, self._ping_slot, loop, first, 0)

    def _ping_slot(self, loop: asyncio.AbstractEventLoop, now: float, slot: int) -> None:
        for stream in self.streams[slot]:
            stream.ping()
        following = now + self.ping_interval / SLOTS
        loop.call_at(following, self._ping_slot, loop, following, (slot + 1) % SLOTS)

    def answer(self, path: str, reply: Reply) -> None:
        """Answer a request; the bodies of requests do not matter."""
        *_, kind, name = path.split("/")
        if path.startswith("/v1/"):
            self.moments.append(time.monotonic())
            if self.moments[-1] < self.outage_ends:
                reply.abort()
                return
        if name == "stream":
            self.requests["stream"] += 1
            self._stream(kind, reply)
        elif kind == "executions":
            self.requests["record"] += 1
            reply.send(200, self.record(name))
        elif name == "components":
            self.requests["submission"] += 1
            reply.send(200, self.record(self._submit()))
        elif kind == "duration":
            self.duration = float(name)
            reply.send(200, b"{}")
        elif name == "ends":
            reply.send(200, json.dumps(self.ends).encode())
        elif kind == "poll":
            self.requests["poll"] += 1
            reply.send(200 if self.has_ended(name) else 404, b"{}")
        elif kind == "end":
            self.end(name)
            reply.send(200, b"{}")
        elif kind == "outage":
            self.begin_outage(float(name))
            reply.send(200, b"{}")
        elif name == "moments":
            reply.send(200, json.dumps(self.moments).encode())
        else:
            streams = sum(map(len, self.streams))
            reply.send(200, json.dumps({"streams": streams, **self.requests}).encode())

    def _submit(self) -> str:
        """Begin an execution that ends by itself, and return its id."""
        execution_id = f"run-{len(self.ends)}"
        self.ends[execution_id] = time.time() + self.duration
        asyncio.get_running_loop().call_later(self.duration, self.end, execution_id)
        return execution_id

    def _stream(self, execution_id: str, reply: Reply) -> None:
        """Open an event stream, and send pings to it from now on."""
        reply.execution_id = execution_id
        reply.open_stream()
        if self.has_ended(execution_id):
            reply.end(self.record(execution_id))
        else:
            reply.slot = next(self._slots)
            self.streams[reply.slot].append(reply)

    def forget(self, stream: Reply) -> None:
        """Send no more pings to a stream that was closed."""
        if stream in self.streams[stream.slot]:
            self.streams[stream.slot].remove(stream)

    def begin_outage(self, seconds: float) -> None:
        """Abort all streams now, and all requests for so many seconds. Forget when requests have arrived."""
        self.moments.clear()
        self.outage_ends = time.monotonic() + seconds
        for stream in [stream for slot in self.streams for stream in slot]:
            stream.abort()

    def end(self, execution_id: str = "all") -> None:
        """End one execution, or all, and send the terminal event to their streams."""
        self.ended.add(execution_id)
        for stream in [stream for slot in self.streams for stream in slot]:
            if self.has_ended(stream.execution_id):
                stream.end(self.record(stream.execution_id))

    def has_ended(self, execution_id: str) -> bool:
        """Whether an execution has ended."""
        return not self.ended.isdisjoint((execution_id, "all")) or execution_id.startswith("done-")

    def record(self, execution_id: str) -> bytes:
        """Return the record of an execution as JSON."""
        ended = self.has_ended(execution_id)
        size = int(execution_id.split("-")[1]) if execution_id.startswith("done-") else 2
        if size not in self._outputs:
            self._outputs[size] = json.dumps(output_of(size), separators=(",", ":"))
        record = {
            "id": execution_id,
            "module": "WAIT",
            "status": "COMPLETED" if ended else "EXECUTING",
            "completed": ended,
            "error": None,
            "totalUsage": 0,
            "callback": None,
            "createdAt": TIME,
            "updatedAt": TIME,
            "timestamp": TIME,
        }
        output = self._outputs[size] if ended else "null"
        return f'{json.dumps(record)[:-1]}, "output": {output}}}'.encode()
