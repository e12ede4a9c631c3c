"""Callback bodies that are too large, too slow, too many, incomplete or random."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import psutil
import pytest
import requests

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.receiver.bodies import BodyReader, Refusal
from dev.harness.polling import until
from dev.harness.simulated_loop import SimulatedLoop
from tests.receiver.conftest import AssetDatabase, RunningReceiver, StartReceiver
from tests.receiver.deliveries import record_of, signed
from tests.versions import needs_receiver

pytestmark = needs_receiver

MB = 1024 * 1024
HEAD = "POST /whiterabbit/callbacks/whiterabbit_default HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture
def pay_database(database: AssetDatabase) -> AssetDatabase:
    """Return a database with a DAG on the asset of the module PAY."""
    database.schedule(assets.module("PAY"))
    return database


def head(length: int | None, **headers: str) -> bytes:
    """Return the head of a callback request, with a signature that only the body can show to be wrong.

    :param length: bytes of the body; None for a chunked body.
    """
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    lines = [framing, *(f"{name}: {value}" for name, value in (signed(b"") | headers).items())]
    return (HEAD + "\r\n".join(lines) + "\r\n\r\n").encode()


def status_of(answer: bytes) -> int:
    """Return the HTTP status of an answer; 0 for no answer."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


def memory() -> int:
    """Return the resident memory of this process, in which the receiver runs, in bytes."""
    return int(psutil.Process().memory_info().rss)


def test_the_largest_body(start_receiver: StartReceiver, pay_database: AssetDatabase) -> None:
    """The receiver accepts a body of exactly `max_bytes`, and answers 413 to a body with one byte more."""
    receiver = start_receiver(max_bytes=2 * MB)
    record = json.dumps(record_of()).encode()
    body = record[:-1] + b" " * (2 * MB - len(record)) + b"}"
    assert len(body) == 2 * MB
    assert receiver.post(body).json() == {"result": "emitted"}
    larger = json.dumps(record_of()).encode()
    larger += b" " * (2 * MB + 1 - len(larger))
    assert receiver.post(larger).status_code == 413
    assert len(pay_database.events()) == 1


@pytest.mark.parametrize("framed", ["length", "chunked"])
@pytest.mark.parametrize("claims", ["a signature", "nothing"])
def test_a_hundred_megabytes(
    start_receiver: StartReceiver, pay_database: AssetDatabase, framed: str, claims: str
) -> None:
    """The receiver discards a body of 100 MB while it arrives, and the sender reads the refusal."""
    receiver = start_receiver(body_timeout=600)  # a busy machine may need more than the default of 15 s
    before = memory()
    highest = 0

    def chunks() -> Iterator[bytes]:
        nonlocal highest
        for _ in range(100):
            highest = max(highest, memory())
            yield b" " * MB

    headers = signed(b"") if claims == "a signature" else {}
    headers |= {"content-length": str(100 * MB)} if framed == "length" else {"transfer-encoding": "chunked"}
    with closing(HTTPConnection(*receiver.address, timeout=60)) as connection:
        path = "/whiterabbit/callbacks/whiterabbit_default"
        connection.request("POST", path, chunks(), headers, encode_chunked=framed == "chunked")
        assert connection.getresponse().status == (413 if claims == "a signature" else 401)
    assert highest - before < 40 * MB
    assert pay_database.events() == []


def test_a_body_that_never_comes(start_receiver: StartReceiver, pay_database: AssetDatabase) -> None:
    """If a body does not arrive in time, the receiver answers 408 and closes the connection."""
    receiver = start_receiver(body_timeout=0.5)
    for length in (1000, None):
        with socket.create_connection(receiver.address, 60) as sock:
            sock.sendall(head(length) + (b"5\r\n{  " if length is None else b"{ "))
            answer = b"".join(iter(lambda sock=sock: sock.recv(65536), b""))  # to the end of the connection
        assert status_of(answer) == 408
        assert b"connection: close" in answer.lower()
    assert pay_database.events() == []


@pytest.mark.parametrize("more_chunks", [True, False])
async def test_a_timeout_that_something_swallows(more_chunks: bool) -> None:
    """The reader gives up a body in time, even if the request's stream swallows the cancellation of one timeout."""

    class Request:
        """A request whose body never ends."""

        async def stream(self) -> AsyncIterator[bytes]:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            while more_chunks:
                yield b" "
                await asyncio.sleep(0)
            yield b" "
            await asyncio.Event().wait()

    with pytest.raises(Refusal) as refused:
        async with asyncio.timeout(60), BodyReader(1 << 40, 0.05).read(Request()):  # type: ignore[arg-type]
            pytest.fail("the body has no end")
    assert (refused.value.status, refused.value.closes_connection) == (408, True)


@pytest.mark.parametrize(("blocked", "status"), [(0.0, 408), (5.0, 408), (10.0, 503), (60.0, 503)])
def test_a_body_while_the_process_stands_still(blocked: float, status: int) -> None:
    """If a body does not arrive in time because the event loop is blocked, the answer is 503, not 408."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, SimulatedLoop)

        class Request:
            """A request whose body does not end, while other code of the process keeps the event loop."""

            async def stream(self) -> AsyncIterator[bytes]:
                yield b" "
                await asyncio.sleep(1)
                loop.now += blocked
                yield b" "
                await asyncio.Event().wait()

        async def read() -> Refusal:
            with pytest.raises(Refusal) as refused:
                async with BodyReader(1024, 15).read(Request()):  # type: ignore[arg-type]
                    pytest.fail("the body has no end")
            return refused.value

        refusal = runner.run(read())
    assert (refusal.status, refusal.closes_connection) == (status, True)


def test_a_refusal_does_not_wait_for_ever(start_receiver: StartReceiver) -> None:
    """A sender that the receiver refuses by the head alone gets the answer in time, even if it sends no body."""
    with socket.create_connection(start_receiver(body_timeout=0.5).address, 60) as sock:
        sock.sendall(f"{HEAD}content-length: 1000\r\n\r\n".encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert status_of(answer) == 401
    assert b"connection: close" in answer.lower()


def test_sixty_slow_senders(start_receiver: StartReceiver, pay_database: AssetDatabase) -> None:
    """Sixty slow senders do not disturb other requests, and each of them is refused in the end."""
    receiver = start_receiver(body_timeout=3)
    sockets = [socket.create_connection(receiver.address, 60) for _ in range(60)]
    stop = threading.Event()

    def dribble() -> None:
        while not stop.wait(0.05):
            for sock in sockets:
                try:
                    sock.sendall(b" ")
                except OSError:  # the receiver closed the connection
                    continue

    for sock in sockets:
        sock.sendall(head(100_000))
    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        for _ in range(20):
            assert receiver.post(record_of()).json() == {"result": "emitted"}
            assert requests.get(f"{receiver.url}/health", timeout=60).ok
        statuses = [status_of(sock.recv(65536)) for sock in sockets]
    finally:
        stop.set()
        thread.join()
        for sock in sockets:
            sock.close()
    assert len(statuses) == 60
    assert set(statuses) <= {408, 503}  # 503 where this machine was too busy to tell who was slow
    assert len(pay_database.events()) == 20


@pytest.mark.long
def test_memory_that_all_share(start_receiver: StartReceiver, pay_database: AssetDatabase) -> None:
    """All large bodies share a memory limit, which does not affect small bodies; their memory is freed at the end."""
    receiver = start_receiver(max_bytes=4 * MB, body_timeout=10)
    almost = b" " * (4 * MB - 1)
    before = memory()
    sockets = [socket.create_connection(receiver.address, 60) for _ in range(100)]

    def fill(sock: socket.socket) -> None:
        sock.sendall(head(4 * MB))
        sock.sendall(almost)

    with ThreadPoolExecutor(100) as pool:
        list(pool.map(fill, sockets))
        assert memory() - before < 120 * MB  # 100 bodies of 4 MB would take 400 MB
        assert receiver.post(record_of()).json() == {"result": "emitted"}
        statuses = sorted(pool.map(lambda sock: status_of(sock.recv(65536)), sockets))
    for sock in sockets:
        sock.close()
    assert set(statuses) == {408, 503}
    assert statuses.count(408) >= 4
    large = json.dumps(record_of(output="x" * 3 * MB)).encode()
    assert [receiver.post(large).status_code for _ in range(8)] == [200] * 8


def test_slow_senders_keep_no_large_body_out(start_receiver: StartReceiver, pay_database: AssetDatabase) -> None:
    """Slow senders that hold all shared memory lose it to callbacks with large bodies; the slow ones are refused."""
    receiver = start_receiver(max_bytes=MB, body_timeout=600)
    sockets = [socket.create_connection(receiver.address, 60) for _ in range(8)]

    def is_taken(record: dict[str, Any]) -> bool:
        return receiver.post(record).status_code == 200

    try:
        for sock in sockets:
            sock.sendall(head(MB) + b" " * (MB - 10))
        for _ in range(2):  # the first one may come before the slow senders hold the memory
            record = record_of(output="x" * 500_000)
            until(lambda record=record: is_taken(record), "the slow senders to lose their memory", 60)
        for sock in sockets:
            sock.sendall(b" " * 10)
        assert 503 in {status_of(sock.recv(65536)) for sock in sockets}
    finally:
        for sock in sockets:
            sock.close()
    assert len(pay_database.events()) == 2
    almost = json.dumps(record_of(output="x" * (MB - 1000))).encode()
    with ThreadPoolExecutor(4) as pool:  # all memory is free again
        assert [answer.status_code for answer in pool.map(receiver.post, [almost] * 4)] == [200] * 4


def test_senders_that_leave(receiver: RunningReceiver, pay_database: AssetDatabase) -> None:
    """A sender that disconnects before the end of its body causes no event, and its memory is freed."""
    for _ in range(200):
        with socket.create_connection(receiver.address, 60) as sock:
            sock.sendall(head(100_000) + b" " * 70_000)
    assert receiver.post(record_of()).json() == {"result": "emitted"}
    assert len(pay_database.events()) == 1


@pytest.mark.long
def test_two_thousand_random_bodies(receiver: RunningReceiver, pay_database: AssetDatabase) -> None:
    """No changed, cut, extended or random body becomes an event: its signature belongs to another body or secret."""
    choice = random.Random(20261124)  # noqa: S311
    original = json.dumps(record_of()).encode()
    headers = [signed(original), signed(original, form="raw"), {}, signed(original, "guess")]
    before = memory()

    def fuzz(seed: int) -> int:
        generator = random.Random(seed)  # noqa: S311
        body = bytearray(original)
        match generator.randrange(4):
            case 0:
                body[generator.randrange(len(body))] ^= 1 << generator.randrange(8)
            case 1:
                del body[generator.randrange(len(body)) :]
            case 2:
                body[generator.randrange(len(body)) : 0] = generator.randbytes(generator.randrange(1, 200))
            case _:
                body = bytearray(generator.randbytes(generator.randrange(2000)))
        return session().post(url, data=bytes(body), headers=generator.choice(headers), timeout=60).status_code

    local = threading.local()

    def session() -> requests.Session:
        if not hasattr(local, "session"):
            local.session = requests.Session()
            local.session.trust_env = False
        return local.session

    url = f"{receiver.url}/callbacks/whiterabbit_default"
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(fuzz, [choice.randrange(2**32) for _ in range(2_000)]))
    print(f"2,000 bodies in {time.monotonic() - started:.0f} s, {(memory() - before) / MB:.1f} MB more in memory")
    assert set(statuses) == {401}
    assert pay_database.events() == []
    assert memory() - before < 50 * MB
    assert receiver.post(original).json() == {"result": "emitted"}
