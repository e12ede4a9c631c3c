"""The senders of the benchmark of callbacks: of White Rabbit's callbacks, and of other requests to Airflow's API.

Each kind runs in a process of its own, and both begin at the same time (`Signal`). Connections stay open, as those of
reverse proxies do.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import ssl
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

MODULE = "BENCHMARK"
SECRET = "whsec_of_the_benchmark"  # noqa: S105
CONNECTIONS = ("whiterabbit_default", "after_an_hour")

OTHER_REQUEST = "/api/v2/dags?limit=10"
"""The other request. It needs a token, and Airflow reads its database for the answer."""

REPEATED_EXECUTIONS = 50
"""How many executions the senders of repeats know. They deliver each of them once before the measurement."""

EMITTED = "200 emitted"

TIMEOUT = aiohttp.ClientTimeout(total=60)


class Signal:
    """Makes several processes begin at the same time. Its folder holds a file for each process that is ready.

    :param name: of this process.
    """

    def __init__(self, folder: str, name: str = "") -> None:
        self._folder = Path(folder)
        self._name = name

    def wait(self) -> None:
        """Report that this process is ready, and wait until all begin."""
        (self._folder / self._name).touch()
        while not (self._folder / "begin").exists():
            time.sleep(0.005)

    def is_ready(self, *names: str) -> bool:
        """Whether the processes with these names are ready."""
        return all((self._folder / name).exists() for name in names)

    def give(self) -> None:
        """Let the processes begin."""
        (self._folder / "begin").touch()


def new_body() -> bytes:
    """Return the record of a new execution that has ended, as White Rabbit delivers it: 300 bytes."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    record = {
        "id": str(uuid.uuid4()),
        "module": MODULE,
        "status": "COMPLETED",
        "completed": True,
        "output": {"hash": f"0x{uuid.uuid4().hex}"},
        "error": None,
        "totalUsage": 1,
        "createdAt": now,
        "updatedAt": now,
    }
    return json.dumps(record).encode()


def signature(body: bytes) -> dict[str, str]:
    """Return the headers that sign a body now."""
    timestamp = datetime.now(UTC).isoformat()
    signed = hmac.new(SECRET.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"x-signature-version": "v1", "x-signature-timestamp": timestamp, "x-signature": f"sha256={signed}"}


def callbacks(
    url: str, ca_bundle: str, signal: str, seconds: float, *, rate: float, senders: int, **kind: Any
) -> dict[str, Any]:
    """Run in a child process: send callbacks; return the seconds that each took, and the count of each answer.

    :param url: URL of the API server.
    :param ca_bundle: file with the authority of the API server's certificate.
    :param signal: folder of the `Signal` that begins the measurement.
    :param seconds: length of the measurement.
    :param rate: callbacks per second; 0 for as many as the senders get answered.
    :param senders: how many callbacks are on their way at once, if `rate` is 0.
    :param kind: the parameters of `CallbackSender`.
    """

    async def run() -> dict[str, Any]:
        async with _session(url, ca_bundle) as session:
            sender = CallbackSender(session, **kind)
            await sender.warm_up()
            sent = await _measured(sender.send, Signal(signal, "callbacks"), seconds, rate, senders)
        return sent | {"answers": dict(sender.answers), "emitted": sender.emitted}

    return asyncio.run(run())


class CallbackSender:
    """Sends callbacks of one connection, and counts the answers.

    :param repeats: send executions that already have their events, instead of new ones.
    """

    def __init__(self, session: aiohttp.ClientSession, connection: str, repeats: bool) -> None:
        self.answers = Counter[str]()
        self.emitted = 0
        self._session = session
        self._path = f"/whiterabbit/callbacks/{connection}"
        self._known = [new_body() for _ in range(REPEATED_EXECUTIONS if repeats else 1)]
        self._bodies = itertools.cycle(self._known) if repeats else iter(new_body, None)

    async def warm_up(self) -> None:
        """Send the executions that are known before the measurement, so that they have their events."""
        for body in self._known:
            await self._send(body)
        self.answers.clear()

    async def send(self) -> None:
        """Send the next callback."""
        await self._send(next(self._bodies))

    async def _send(self, body: bytes) -> None:
        async with self._session.post(self._path, data=body, headers=signature(body)) as answer:
            text = f"{answer.status} {(await answer.json()).get('result', '')}"
        self.answers[text] += 1
        self.emitted += text == EMITTED


def others(url: str, ca_bundle: str, signal: str, seconds: float, *, rate: float) -> dict[str, Any]:
    """Run in a child process: send other requests; return the seconds that each took.

    The parameters are those of `callbacks`.

    :raises RuntimeError: if the API server answers with an error.
    """

    async def run() -> dict[str, Any]:
        async with _session(url, ca_bundle) as session:
            async with session.get("/auth/token") as answer:
                headers = {"Authorization": f"Bearer {(await answer.json())['access_token']}"}

            async def send() -> None:
                async with session.get(OTHER_REQUEST, headers=headers) as answer:
                    text = await answer.text()
                    if answer.status != 200:
                        raise RuntimeError(f"Airflow answered {answer.status} to GET {OTHER_REQUEST}: {text:.500}")

            await send()
            return await _measured(send, Signal(signal, "others"), seconds, rate)

    return asyncio.run(run())


@asynccontextmanager
async def _session(url: str, ca_bundle: str) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context(cafile=ca_bundle))
    async with aiohttp.ClientSession(url, connector=connector, timeout=TIMEOUT) as session:
        yield session


async def _measured(
    send: Callable[[], Awaitable[None]], signal: Signal, seconds: float, rate: float, senders: int = 0
) -> dict[str, Any]:
    """Send requests from the signal on, and return how long each took, and the seconds until all were answered."""
    signal.wait()
    began = time.perf_counter()
    took = await (at_rate(send, rate, seconds) if rate else by_senders(send, senders, seconds))
    return {"took": took, "seconds": time.perf_counter() - began}


async def at_rate(send: Callable[[], Awaitable[None]], rate: float, seconds: float) -> list[float]:
    """Send requests at even intervals, also while earlier ones are not answered yet.

    :return: the seconds from the time at which each request was due to its answer.
    """
    began = time.perf_counter()
    took: list[float] = []

    async def send_due(due: float) -> None:
        await asyncio.sleep(due - time.perf_counter())
        await send()
        took.append(time.perf_counter() - due)

    async with asyncio.TaskGroup() as group:
        for number in range(round(rate * seconds)):
            group.create_task(send_due(began + number / rate))
    return took


async def by_senders(send: Callable[[], Awaitable[None]], senders: int, seconds: float) -> list[float]:
    """Let senders send one request after the other, and return the seconds that each request took."""
    end = time.perf_counter() + seconds
    took: list[float] = []

    async def send_on() -> None:
        while (began := time.perf_counter()) < end:
            await send()
            took.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for _ in range(senders):
            group.create_task(send_on())
    return took
