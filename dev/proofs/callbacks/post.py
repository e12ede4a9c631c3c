"""The way of a callback to one of the API servers: some callbacks arrive twice, and some answers are lost."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable
from random import Random

import requests

from dev.harness.courier import Courier, Delivery

REPEATED = 0.08
"""Share of the deliveries that also reach the other API server, at the same time."""

LOST = 0.04
"""Share of the answers that do not reach White Rabbit."""

BAD_GATEWAY, GATEWAY_TIMEOUT = 502, 504
"""What a proxy answers while nothing listens, and if an answer is lost."""


class Post(Courier):
    """A courier to one API server.

    `twin` is the courier to the other API server. `unanswered` counts the deliveries that got no answer, `lost` the
    answers that were lost, and `repeated` the deliveries that were repeated at the twin.
    """

    def __init__(self, seed: str) -> None:
        super().__init__()
        self.twin = self
        self.unanswered = self.lost = self.repeated = 0
        self._in_flight = 0
        self._random = Random(seed)  # noqa: S311 (nothing secret)
        self._lock = threading.Lock()

    def forward(self, delivery: Delivery) -> int:
        """Send a delivery, sometimes also to the twin's server, and return the status for White Rabbit."""
        with self._lock:
            is_repeated, is_lost = self._random.random() < REPEATED, self._random.random() < LOST
            self.repeated += is_repeated
            self.lost += is_lost
        repeat = self._pool.submit(self.twin.send, delivery) if is_repeated else None
        status = super().forward(delivery)
        if repeat is not None:
            repeat.result()
        return GATEWAY_TIMEOUT if is_lost else status

    def send(self, delivery: Delivery) -> int:
        """Send one delivery, and return the status of the answer; that of a bad gateway if there is no answer."""
        with self._lock:
            self._in_flight += 1
        try:
            return super().send(delivery)
        except requests.RequestException:
            with self._lock:
                self.unanswered += 1
            return BAD_GATEWAY
        finally:
            with self._lock:
                self._in_flight -= 1

    @property
    def is_idle(self) -> bool:
        """Whether no delivery waits for an answer."""
        return self._in_flight == 0


def accepted(posts: Iterable[Post]) -> set[str]:
    """Return the ids of the executions whose callback was answered with 200, also if the answer was lost."""
    return {
        str(json.loads(delivery.body)["id"])
        for post in posts
        for delivery, status, _ in post.answers
        if status == requests.codes.ok
    }


def answers(posts: Iterable[Post]) -> Counter[str]:
    """Count the answers by their status, and by the result that the receiver names; ``none`` counts missing answers."""
    counts: Counter[str] = Counter()
    for post in posts:
        counts["none"] += post.unanswered
        for _, status, text in post.answers:
            counts[str(status)] += 1
            counts[_result(text)] += 1
    return counts


def _result(text: str) -> str:
    try:
        answer = json.loads(text)
    except ValueError:
        return "no JSON"
    return str(answer.get("result") or answer.get("detail"))
