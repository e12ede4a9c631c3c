"""The way from White Rabbit to Airflow, on which deliveries may be repeated, changed, delayed, overtaken or lost."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import requests

DROPPED = {"host", "content-length", "connection", "accept", "accept-encoding", "user-agent"}


@dataclass(frozen=True)
class Delivery:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


Plan = Callable[[Delivery], Sequence[Delivery]]


class _Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


class Courier:
    """Stands where White Rabbit believes Airflow to be, and hands on what a plan makes of each delivery.

    Until it is told where Airflow is, it may stand there already.
    """

    def __init__(self) -> None:
        self.plan: Plan = lambda delivery: [delivery]
        self.answers: list[tuple[Delivery, int, str]] = []
        self._targets: Iterator[str] = iter(())
        self._pool = ThreadPoolExecutor(200)
        courier = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                headers = {name: value for name, value in headers.items() if name not in DROPPED}
                self.send_response(courier.hand_on(Delivery(self.path, headers, body)))
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._pool.shutdown(cancel_futures=True)

    def aim(self, targets: Sequence[str]) -> None:
        """Say where the receivers are: base URLs, which take turns."""
        self._targets = itertools.cycle(targets)

    def hand_on(self, delivery: Delivery) -> int:
        """Hand on what the plan makes of a delivery, all at the same time; return the worst answer, 503 for none."""
        statuses = list(self._pool.map(self.send, self.plan(delivery)))
        return max(statuses, default=503)

    def send(self, delivery: Delivery) -> int:
        """Send a delivery as it is."""
        url = next(self._targets) + delivery.path
        answer = requests.post(url, data=delivery.body, headers=delivery.headers, timeout=60)
        self.answers.append((delivery, answer.status_code, answer.text))
        return answer.status_code
