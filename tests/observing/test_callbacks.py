"""The metrics of callbacks: their names, their tags, and what happens if the metrics system fails."""

from __future__ import annotations

import logging
import queue
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.observing import callbacks
from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.receiver.bodies import REFUSALS
from airflow_provider_whiterabbit.receiver.events import CallbackResult
from tests.observing.reporting import SERVERS, reporting
from tests.receiver.conftest import AssetDatabase, StartReceiver
from tests.receiver.deliveries import record_of, signed
from tests.versions import needs_receiver

pytestmark = needs_receiver

Calls = list[tuple[Any, ...]]


class Recorder:
    """A metrics system that keeps the provider's metrics, or raises at one. It ignores Airflow's own metrics."""

    def __init__(self) -> None:
        self.calls: Calls = []
        self.error: Exception | None = None

    def incr(self, stat: str, count: int = 1, rate: float = 1, *, tags: dict[str, str] | None = None) -> None:
        """Keep a counter."""
        self._keep(stat, count, tags or {})

    def timing(self, stat: str, dt: Any, *, tags: dict[str, str] | None = None) -> None:
        """Keep a timer."""
        self._keep(stat, dt, tags or {})

    def _keep(self, stat: str, *values: Any) -> None:
        if stat.startswith("whiterabbit."):
            if self.error:
                raise self.error
            self.calls.append((stat, *values))


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Let Airflow report the metrics of its servers to a recorder."""
    recorder = Recorder()
    with reporting(SERVERS, lambda: recorder):
        yield recorder


@pytest.mark.parametrize("outcome", ["emitted", "repeated", "unwanted", "unheard"])
def test_outcomes(recorder: Recorder, outcome: str) -> None:
    """A valid callback is counted by its outcome, and its duration is a timedelta, which has no unit to mistake."""
    callbacks.callback_answered(outcome, 1.5, "whiterabbit_default")
    tags = {"connection": "whiterabbit_default"}
    assert recorder.calls == [
        (f"whiterabbit.callbacks.{outcome}", 1, tags),
        ("whiterabbit.callbacks.seconds", timedelta(seconds=1.5), tags),
    ]


def test_refusals(recorder: Recorder) -> None:
    """A refused callback is counted by its reason; its duration, which its sender decides, is not reported."""
    callbacks.callback_answered("refused.signature", 15.0, None)
    assert recorder.calls == [("whiterabbit.callbacks.refused.signature", 1, {})]


def test_unknown_outcome(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """An outcome without a metric is logged once, and raises nothing: it must not fail the answer."""
    for _ in range(2):
        callbacks.callback_answered("refused.whim", 15.0, None)
    assert not recorder.calls
    assert caplog.text.count("The metric callbacks.refused.whim could not be reported: there is no such metric") == 1


def test_every_outcome_has_a_metric() -> None:
    """Each result and each reason of a refusal has a metric of its name."""
    outcomes = {result.value for result in CallbackResult} | {f"refused.{reason}" for reason in REFUSALS.values()}
    names = {f"callbacks.{outcome}" for outcome in (*outcomes, "refused.error", "seconds")}
    assert names == {metric for metric in Metric if metric.startswith("callbacks.")}


@pytest.mark.parametrize("error", [OSError("no route"), ValueError("a tag"), socket.gaierror("no host")])
def test_errors(recorder: Recorder, caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    """An error of the metrics system is logged once with the name of the metric, and raises nothing."""
    recorder.error = error
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            callbacks.callback_answered("emitted", 0.1, "a")
    expected = f"The metric whiterabbit.callbacks.emitted could not be reported: {error!r}"
    assert [record.getMessage() for record in caplog.records].count(expected) == 1
    assert len(caplog.records) == 2  # the counter and the timer


def test_callbacks(start_receiver: StartReceiver, database: AssetDatabase, recorder: Recorder) -> None:
    """The receiver counts each callback once, under a name and with tags that no sender can choose."""
    database.add_assets(assets.module("PAY"), assets.module("LATE"))
    database.schedule(assets.module("PAY"))
    database.schedule(assets.module("LATE"), paused=True)
    receiver = start_receiver(max_bytes=2048)
    record = record_of()
    assert receiver.post(record).json() == {"result": "emitted"}
    assert receiver.post(record).json() == {"result": "repeated"}
    assert receiver.post(record_of("LATE")).status_code == 503
    assert receiver.post(record_of(), {}).status_code == 401
    assert receiver.post(record_of(status="EXECUTING", output=None)).status_code == 400
    assert receiver.post(b" " * 3000).status_code == 413
    assert receiver.post(record_of(), connection="stranger").status_code == 404
    counters = [(name, tags) for name, value, tags in recorder.calls if value == 1]
    default = {"connection": "whiterabbit_default"}
    assert [(name.removeprefix("whiterabbit.callbacks."), tags) for name, tags in counters] == [
        ("emitted", default),
        ("repeated", default),
        ("unheard", default),
        ("refused.signature", default),
        ("refused.record", default),
        ("refused.size", default),
        ("refused.connection", {}),
    ]
    durations = [value for name, value, _ in recorder.calls if name == "whiterabbit.callbacks.seconds"]
    assert len(durations) == 3
    assert all(timedelta() < duration < timedelta(minutes=1) for duration in durations)


def test_an_answer_does_not_depend_on_metrics(
    start_receiver: StartReceiver, database: AssetDatabase, recorder: Recorder
) -> None:
    """The receiver answers as always if the metrics system fails."""
    database.add_assets(assets.module("PAY"))
    database.schedule(assets.module("PAY"))
    recorder.error = OSError("no route to host")
    assert start_receiver().post(record_of()).json() == {"result": "emitted"}


def test_a_sender_that_leaves(start_receiver: StartReceiver, database: AssetDatabase) -> None:
    """A sender that disconnects before the end of its body, and has shown no secret, counts as slow."""
    outcomes: queue.Queue[str] = queue.Queue()
    receiver = start_receiver({"measure": lambda outcome, *_: outcomes.put(outcome)})
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed(b"", "guess").items())
    head = f"POST /whiterabbit/callbacks/whiterabbit_default HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n{lines}\r\n"
    with socket.create_connection(receiver.address, 30) as sock:
        sock.sendall(head.encode() + b"{")
    assert outcomes.get(timeout=30) == "refused.slow"
