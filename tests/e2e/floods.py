"""Senders that flood the receiver: with large bodies, slow bodies and random bodies."""

from __future__ import annotations

import json
import random
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import requests

from tests.receiver.deliveries import record_of, signed

MB = 1024 * 1024


def upload(address: tuple[str, int], path: str, megabytes: int, meanwhile: Callable[[], None]) -> int:
    """Upload a large body, with a signature that only the body can show to be wrong, and return the status.

    :param meanwhile: called before every tenth megabyte: the body may take 15 seconds, also on a busy machine.
    """

    def chunks() -> Iterator[bytes]:
        for number in range(megabytes):
            if number % 10 == 0:
                meanwhile()
            yield b" " * MB

    headers = signed(b"") | {"content-length": str(megabytes * MB)}
    connection = HTTPConnection(*address, timeout=60)
    connection.request("POST", path, chunks(), headers)
    status = connection.getresponse().status
    connection.close()
    return status


class Dribblers:
    """Senders that send their bodies one byte at a time."""

    def __init__(self, address: tuple[str, int], path: str, count: int) -> None:
        headers = "\r\n".join(f"{name}: {value}" for name, value in signed(b"").items())
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n{headers}\r\n\r\n"
        self._stop = threading.Event()
        self._sockets = [socket.create_connection(address, 30) for _ in range(count)]
        for sock in self._sockets:
            sock.sendall(head.encode())
        self._thread = threading.Thread(target=self._dribble)
        self._thread.start()

    def _dribble(self) -> None:
        while not self._stop.wait(0.1):
            for sock in self._sockets:
                try:
                    sock.sendall(b" ")
                except OSError:  # the server closed the connection
                    continue

    def answered(self) -> int:
        """Return how many senders have an answer."""
        return len(select.select(self._sockets, [], [], 0)[0])

    def end(self) -> list[int]:
        """Wait for the answer to each sender, and return their statuses."""
        try:
            return [int(sock.recv(65536).split(b" ", 2)[1]) for sock in self._sockets]
        finally:
            self._stop.set()
            self._thread.join()
            for sock in self._sockets:
                sock.close()


def fuzz(url: str, secret: str, count: int) -> Counter[int]:
    """Send random bodies with signatures of other bodies, and return how often each status was the answer."""
    original = json.dumps(record_of("BULK")).encode()
    signatures = [signed(original, secret), signed(original, secret, form="raw"), signed(original, "guess"), {}]
    local = threading.local()

    def send(seed: int) -> int:
        generator = random.Random(seed)  # noqa: S311
        body = bytearray(original)
        match generator.randrange(3):
            case 0:
                body[generator.randrange(len(body))] ^= 1 << generator.randrange(8)
            case 1:
                del body[generator.randrange(len(body)) :]
            case _:
                body = bytearray(generator.randbytes(generator.randrange(3000)))
        if not hasattr(local, "session"):
            local.session = requests.Session()
        answer = local.session.post(url, data=bytes(body), headers=generator.choice(signatures), timeout=60)
        return int(answer.status_code)

    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(send, range(count)))
