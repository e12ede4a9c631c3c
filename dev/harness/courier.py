"""A proxy between White Rabbit and Airflow's receivers that can repeat, change, delay, reorder or lose callbacks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests

from dev.harness.http_server import HttpServer, QuietHandler

DROPPED_HEADERS = {"host", "content-length", "connection", "accept", "accept-encoding", "user-agent"}


@dataclass(frozen=True)
class Delivery:
    """One request that delivers a callback."""

    path: str
    headers: dict[str, str]
    body: bytes


Plan = Callable[[Delivery], Sequence[Delivery]]
"""Returns the deliveries that the courier sends to Airflow in place of one from White Rabbit."""


class Courier(HttpServer):
    """Listens at the URL that executions are submitted with, and forwards each delivery as the current plan says.

    The courier may start before Airflow does; `set_targets` tells it the addresses of Airflow's receivers.
    """

    def __init__(self) -> None:
        self.plan: Plan = lambda delivery: [delivery]
        self.answers: list[tuple[Delivery, int, str]] = []
        self._targets: Iterator[str] = iter(())
        self._pool = ThreadPoolExecutor(200)
        courier = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                headers = {name: value for name, value in headers.items() if name not in DROPPED_HEADERS}
                self.send_response(courier.forward(Delivery(self.path, headers, body)))
                self.end_headers()

        super().__init__(Handler)

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
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
