"""What a triggerer needs for so many waits, with the pings of life: the sizing table of ``docs/scale.md``."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.report import ROOT, Goal
from benchmarks.waiting import HTTP2, measure_once

TITLE = "Sizing"
PAGE = ROOT / "docs" / "scale.md"
COUNTS = (250, 1000, 2000, 5000)
PING_INTERVAL = 15.0
"""Seconds between two pings of a stream, as White Rabbit sends them."""

PROTOCOLS = {"ours": "HTTP/1.1", HTTP2: "HTTP/2"}
"""The ways of `benchmarks.waits` with the protocols that they use."""

SPARE_FILES = 500
"""Files that a triggerer needs besides those of waits."""


def measure(smoke: bool) -> Any:
    """Measure this provider's trigger over TLS with each protocol and number of waits."""
    rows = []
    for way in PROTOCOLS:
        for count in (10,) if smoke else COUNTS:
            seconds, interval = (0.5, 1.0) if smoke else (60.0, PING_INTERVAL)
            usage = measure_once(way, count, tls=True, seconds=seconds, ping_interval=interval)
            rows.append({"way": way, "count": count} | usage)
    return rows


def table(data: Any) -> list[list[str]]:
    """Return what the process used for so many waits, and what to set for them."""
    heading = ["waits", "protocol", "memory, MiB", "sockets", "CPU while they wait, % of a core", "all stream after, s"]
    rows = [[*heading, "all stream again after a drop, s", "`capacity` for each of two triggerers", "`ulimit -n`"]]
    for usage in data:
        count = usage["count"]
        rows.append(
            [
                f"{count:,}",
                PROTOCOLS[usage["way"]],
                f"{usage['resident'] / 2**20:,.0f}",
                f"{usage['sockets']:,.0f}",
                f"{usage['cpu_per_hour'] * count / 36:.1f}",
                f"{usage['start_seconds']:.0f}",
                f"{usage['again_seconds']:.0f}",
                f"{count}",
                f"{math.ceil((usage['sockets'] + SPARE_FILES) / 1024) * 1024}",
            ]
        )
    return rows


def goals(_: Any) -> list[Goal]:
    """Return no goals: those of many waits are in the benchmark `waits`."""
    return []
