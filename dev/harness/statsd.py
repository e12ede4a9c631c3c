"""A StatsD server in a thread, to which Airflow reports metrics with the tags in their names (the form of InfluxDB)."""

from __future__ import annotations

import re
import socket
import threading
from collections import defaultdict
from typing import NamedTuple, Self

_LINE = re.compile(r"(?P<name>[^,:|]+)(?P<tags>(?:,[^,:|]+)*):(?P<value>[^:|]+)\|(?P<kind>c|ms)")


class Metric(NamedTuple):
    """The name of a metric without Airflow's prefix, and its tags, such as ``connection=whiterabbit_default``."""

    name: str
    tags: tuple[str, ...] = ()


class StatsdServer:
    """Listens on a free UDP port of this machine, from its creation on, and keeps this provider's metrics.

    `counters` holds the sums of the counters, and `timers` the milliseconds of each report of a timer.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.counters: dict[Metric, float] = defaultdict(float)
        self.timers: dict[Metric, list[float]] = defaultdict(list)
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", ("127.0.0.1", self.port))  # closing a socket does not end a read from it
        self._thread.join()
        self._socket.close()

    @property
    def environ(self) -> dict[str, str]:
        """Environment variables that let Airflow report to this server."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self.port),
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
        }

    def sums(self) -> dict[str, float]:
        """Return the sums of the counters by their names, whatever their tags."""
        sums: dict[str, float] = defaultdict(float)
        for metric, value in list(self.counters.items()):
            sums[metric.name] += value
        return dict(sums)

    def _listen(self) -> None:
        while packet := self._socket.recv(65536):
            for line in packet.decode().splitlines():
                found = _LINE.fullmatch(line)
                if found is None or not found["name"].startswith("airflow.whiterabbit."):
                    continue
                metric = Metric(found["name"].removeprefix("airflow."), tuple(found["tags"].split(",")[1:]))
                if found["kind"] == "c":
                    self.counters[metric] += float(found["value"])
                else:
                    self.timers[metric].append(float(found["value"]))
