"""Bodies that are too large, too slow, too many, cut off, or made up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection

import psutil
import pytest
import requests

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.receiver.bodies import Bodies, Refusal
from tests.receiver.conftest import Database, Served
from tests.receiver.deliveries import record_of, signed
from tests.versions import needs_receiver

pytestmark = needs_receiver

Serve = Callable[..., Served]

MB = 1024 * 1024
HEAD = "POST /whiterabbit/callbacks/whiterabbit_default HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture
def heard(database: Database) -> Database:
    database.listen(assets.module("PAY"))
    return database


def head(length: int | None, **headers: str) -> bytes:
    """Return a request's head, with a signature that looks right before the body is known."""
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    lines = [framing, *(f"{name}: {value}" for name, value in (signed(b"") | headers).items())]
    return (HEAD + "\r\n".join(lines) + "\r\n\r\n").encode()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def memory() -> int:
    """Return what this process, in which the receiver runs, has in memory, in bytes."""
    return int(psutil.Process().memory_info().rss)


def test_the_largest_body(serve: Serve, heard: Database) -> None:
    """A record of exactly the limit is taken, one byte more is 413, and the sender reads the answer."""
    served = serve(max_bytes=2 * MB)
    record = json.dumps(record_of()).encode()
    body = record[:-1] + b" " * (2 * MB - len(record)) + b"}"
    assert len(body) == 2 * MB
    assert served.post(body).json() == {"result": "emitted"}
    larger = json.dumps(record_of()).encode()
    larger += b" " * (2 * MB + 1 - len(larger))
    assert served.post(larger).status_code == 413
    assert len(heard.events()) == 1


@pytest.mark.parametrize("framed", ["length", "chunked"])
@pytest.mark.parametrize("claims", ["a signature", "nothing"])
def test_a_hundred_megabytes(served: Served, heard: Database, framed: str, claims: str) -> None:
    """They are thrown away as they arrive, and the sender reads why."""
    before = memory()
    highest = 0

    def chunks() -> Iterator[bytes]:
        nonlocal highest
        for _ in range(100):
            highest = max(highest, memory())
            yield b" " * MB

    headers = signed(b"") if claims == "a signature" else {}
    headers |= {"content-length": str(100 * MB)} if framed == "length" else {"transfer-encoding": "chunked"}
    with closing(HTTPConnection(*served.address, timeout=60)) as connection:
        path = "/whiterabbit/callbacks/whiterabbit_default"
        connection.request("POST", path, chunks(), headers, encode_chunked=framed == "chunked")
        assert connection.getresponse().status == (413 if claims == "a signature" else 401)
    assert highest - before < 40 * MB
    assert heard.events() == []


def test_a_body_that_never_comes(serve: Serve, heard: Database) -> None:
    """408 when the time is up, and the connection is closed: what dribbles in afterwards finds nobody."""
    served = serve(body_timeout=0.5)
    for length in (1000, None):
        with socket.create_connection(served.address, 30) as sock:
            sock.sendall(head(length) + (b"5\r\n{  " if length is None else b"{ "))
            answer = b"".join(iter(lambda sock=sock: sock.recv(65536), b""))  # to the end of the connection
        assert status_of(answer) == 408
        assert b"connection: close" in answer.lower()
    assert heard.events() == []


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_time_out_that_something_swallows(goes_on: bool) -> None:
    """What lies between takes it for its own, as a piece arrives at that moment; the body is given up all the same."""

    class Request:
        async def stream(self) -> AsyncIterator[bytes]:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            while goes_on:
                yield b" "
                await asyncio.sleep(0)
            yield b" "
            await asyncio.Event().wait()

    with pytest.raises(Refusal) as refused:
        async with asyncio.timeout(60), Bodies(1 << 40, 0.05).of(Request()):  # type: ignore[arg-type]
            pytest.fail("it has no end")
    assert (refused.value.status, refused.value.closes) == (408, True)


def test_a_refusal_does_not_wait_for_ever(serve: Serve) -> None:
    """Whoever is refused by the head alone, and does not send the body, hears of it when the time is up."""
    with socket.create_connection(serve(body_timeout=0.5).address, 30) as sock:
        sock.sendall(f"{HEAD}content-length: 1000\r\n\r\n".encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert status_of(answer) == 401
    assert b"connection: close" in answer.lower()


def test_sixty_slow_senders(serve: Serve, heard: Database) -> None:
    """While they dribble, others are served as ever; in the end each is cut off."""
    served = serve(body_timeout=3)
    sockets = [socket.create_connection(served.address, 30) for _ in range(60)]
    stop = threading.Event()

    def dribble() -> None:
        while not stop.wait(0.05):
            for sock in sockets:
                try:
                    sock.sendall(b" ")
                except OSError:  # cut off
                    continue

    for sock in sockets:
        sock.sendall(head(100_000))
    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        for _ in range(20):
            assert served.post(record_of()).json() == {"result": "emitted"}
            assert requests.get(f"{served.url}/health", timeout=10).ok
        statuses = [status_of(sock.recv(65536)) for sock in sockets]
    finally:
        stop.set()
        thread.join()
        for sock in sockets:
            sock.close()
    assert statuses == [408] * 60
    assert len(heard.events()) == 20


def test_memory_that_all_share(serve: Serve, heard: Database) -> None:
    """Large bodies that are held open are bounded together; small ones get through beside them; then all is free."""
    served = serve(max_bytes=4 * MB, body_timeout=10)
    almost = b" " * (4 * MB - 1)
    before = memory()
    sockets = [socket.create_connection(served.address, 30) for _ in range(100)]

    def fill(sock: socket.socket) -> None:
        sock.sendall(head(4 * MB))
        sock.sendall(almost)

    with ThreadPoolExecutor(100) as pool:
        list(pool.map(fill, sockets))
        assert memory() - before < 120 * MB  # and not 400
        assert served.post(record_of()).json() == {"result": "emitted"}
        statuses = sorted(pool.map(lambda sock: status_of(sock.recv(65536)), sockets))
    for sock in sockets:
        sock.close()
    assert set(statuses) == {408, 503}
    assert statuses.count(408) >= 4
    large = json.dumps(record_of(output="x" * 3 * MB)).encode()
    assert [served.post(large).status_code for _ in range(8)] == [200] * 8


def test_senders_that_leave(served: Served, heard: Database) -> None:
    """A body that is cut off is nothing, and nothing of it stays."""
    for _ in range(200):
        with socket.create_connection(served.address, 30) as sock:
            sock.sendall(head(100_000) + b" " * 70_000)
    assert served.post(record_of()).json() == {"result": "emitted"}
    assert len(heard.events()) == 1


def test_two_thousand_random_bodies(served: Served, heard: Database) -> None:
    """Changed, cut, doubled or made up, signed for another body or with a guess: none of them becomes an event."""
    choice = random.Random(20261124)  # noqa: S311
    original = json.dumps(record_of()).encode()
    headers = [signed(original), signed(original, form="raw"), {}, signed(original, "guess")]
    before = memory()

    def fuzz(seed: int) -> int:
        own = random.Random(seed)  # noqa: S311
        body = bytearray(original)
        match own.randrange(4):
            case 0:
                body[own.randrange(len(body))] ^= 1 << own.randrange(8)
            case 1:
                del body[own.randrange(len(body)) :]
            case 2:
                body[own.randrange(len(body)) : 0] = own.randbytes(own.randrange(1, 200))
            case _:
                body = bytearray(own.randbytes(own.randrange(2000)))
        return session().post(url, data=bytes(body), headers=own.choice(headers), timeout=60).status_code

    local = threading.local()

    def session() -> requests.Session:
        if not hasattr(local, "session"):
            local.session = requests.Session()
            local.session.trust_env = False
        return local.session

    url = f"{served.url}/callbacks/whiterabbit_default"
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(fuzz, [choice.randrange(2**32) for _ in range(2_000)]))
    print(f"2,000 bodies in {time.monotonic() - started:.0f} s, {(memory() - before) / MB:.1f} MB more in memory")
    assert set(statuses) == {401}
    assert heard.events() == []
    assert memory() - before < 50 * MB
    assert served.post(original).json() == {"result": "emitted"}
