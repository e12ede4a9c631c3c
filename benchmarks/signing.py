"""Signing: CPU time to write and sign the body of a request, by the size of the body."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.process import new_secret
from benchmarks.report import Goal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Signing"
SIZES = {"1 KB": 1_000, "100 KB": 100_000, "5 MB": 5_000_000}
COLUMNS = {
    "dumps": "`json.dumps`",
    "sign": "signature alone",
    "body": "this provider's body",
    "both": "this provider's body and headers",
}


def body_of(size: int) -> dict[str, Any]:
    """Return the body of a submission with about `size` bytes: texts, numbers of all kinds, lists and objects."""
    draw = random.Random(size)  # noqa: S311
    orders: list[Any] = []
    value = {"module": "SWAP", "input": {"orders": orders, "dryRun": False}, "config": {"slippage": 0.005}}
    left = size - len(json.dumps(value))
    while left > 0:
        order = {
            "id": len(orders),
            "hash": f"0x{draw.getrandbits(256):064x}",
            "amount": str(draw.getrandbits(80)),
            "price": draw.choice((1.0, 0.25, round(draw.uniform(0, 5000), 6), draw.random() * 1e-6)),
            "confirmed": draw.random() < 0.5,
            "note": draw.choice((None, "ok", "grüße 🐇", 'a "quoted" text')),
            "legs": [{"token": "USDC", "decimals": 6, "rate": draw.random()} for _ in range(draw.randrange(3))],
        }
        orders.append(order)
        left -= len(json.dumps(order, ensure_ascii=False))
    return value


def microseconds(function: Callable[[], object], repetitions: int) -> float:
    """Return the CPU microseconds of one call: the minimum of several rounds, because noise only adds time."""
    calls, seconds = 1, 0.0
    while (seconds := _cpu_seconds(function, calls)) < 0.01:
        calls *= 2
    return min(seconds, *(_cpu_seconds(function, calls) for _ in range(repetitions))) / calls * 1e6


def _cpu_seconds(function: Callable[[], object], calls: int) -> float:
    started = time.process_time()
    for _ in range(calls):
        function()
    return time.process_time() - started


def measure(smoke: bool) -> Any:
    """Measure bodies of each size."""
    from airflow_provider_whiterabbit.client.wire.canonical import to_json
    from airflow_provider_whiterabbit.client.wire.messages import Request
    from airflow_provider_whiterabbit.client.wire.signing import Signer, load_private_key

    secret = new_secret()
    key, signer = load_private_key(secret), Signer("ws_benchmark", secret)
    timings: dict[str, Any] = {}
    for name, size in SIZES.items():
        value = body_of(size)
        body = to_json(value)
        timings[name] = {
            column: microseconds(function, 1 if smoke else 9)
            for column, function in {
                "dumps": lambda value=value: json.dumps(value),
                "sign": lambda body=body: key.sign(body),
                "body": lambda value=value: to_json(value),
                "both": lambda value=value: signer.headers(Request("POST", "/v1/sdk/components", to_json(value))),
            }.items()
        } | {"bytes": len(body)}
    return timings


def table(data: Any) -> list[list[str]]:
    """Return the CPU microseconds for each size of body."""
    rows = [["body", "bytes", *(f"{title}, µs" for title in COLUMNS.values()), "body and headers / `json.dumps`"]]
    for size, timing in data.items():
        times = [f"{timing[column]:,.0f}" for column in COLUMNS]
        rows.append([size, f"{timing['bytes']:,}", *times, f"{timing['both'] / timing['dumps']:.1f}"])
    return rows


def goals(data: Any) -> list[Goal]:
    """Return the goals for the smallest and the largest body."""
    large = data["5 MB"]
    return [
        Goal("body and headers of 1 KB", data["1 KB"]["both"], 200, "µs"),
        Goal("body and headers of 5 MB / `json.dumps`", large["both"] / large["dumps"], 5, "times"),
    ]


def plot(data: Any, figure: Figure) -> None:
    """Draw the CPU time by the size of the body, one line for each column of the table."""
    axes = figure.subplots()
    sizes = [timing["bytes"] for timing in data.values()]
    for column, title in COLUMNS.items():
        axes.plot(sizes, [timing[column] for timing in data.values()], marker="o", label=title.replace("`", ""))
    axes.set(xscale="log", yscale="log", xlabel="bytes of the body", ylabel="CPU, µs")
    axes.legend()
