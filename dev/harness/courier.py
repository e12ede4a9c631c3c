"""A proxy between White Rabbit and Airflow's receivers that can repeat, change, delay, reorder or lose callbacks."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import requests

DROPPED_HEADERS = {"host", "content-length", "connection", "accept", "accept-encoding", "user-agent"}


@dataclass(frozen=True)
class Delivery:
    """One request that delivers a callback."""

    path: str
    headers: dict[str, str]
    body: bytes


Plan = Callable[[Delivery], Sequence[Delivery]]
"""Returns the deliveries that the courier sends to Airflow in place of one from White Rabbit."""


class _Server(ThreadingHTTPServer):
    """A web server with room for many requests at once."""

    request_queue_size = 512
    daemon_threads = True


class Courier:
    """Listens at the URL that executions are submitted with, and forwards each delivery as the current plan says.

    The courier may start before Airflow does; `set_targets` tells it the addresses of Airflow's receivers.
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
                headers = {name: value for name, value in headers.items() if name not in DROPPED_HEADERS}
                self.send_response(courier.forward(Delivery(self.path, headers, body)))
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

    def set_targets(self, targets: Sequence[str]) -> None:
        """Set the base URLs of Airflow's API servers, which get the deliveries in turns."""
        self._targets = itertools.cycle(targets)

    def forward(self, delivery: Delivery) -> int:
        """Send what the plan returns for a delivery, all at once, and return the highest status of the answers.

        :return: 503 if the plan sends nothing.
        """
        statuses = list(self._pool.map(self.send, self.plan(delivery)))
        return max(statuses, default=503)

    def send(self, delivery: Delivery) -> int:
        """Send one delivery to the next API server, and return the status of the answer."""
        url = next(self._targets) + delivery.path
        answer = requests.post(url, data=delivery.body, headers=delivery.headers, timeout=60)
        self.answers.append((delivery, answer.status_code, answer.text))
        return answer.status_code
