"""Hundreds of waits come back after an outage, and send no more requests per second than is documented."""

from __future__ import annotations

import asyncio
import json
from bisect import bisect
from typing import Any

import pytest

from airflow_provider_whiterabbit.client.transport.limits import REQUESTS_AT_ONCE, REQUESTS_PER_SECOND
from airflow_provider_whiterabbit.client.transport.sharing import STREAMS_PER_RECORD
from airflow_provider_whiterabbit.emulator import Emulator
from benchmarks.server import allow_many_files, get_json, serving
from dev.harness.polling import until
from tests.triggers.runs import execution_trigger, payloads_of

pytestmark = [pytest.mark.alone, pytest.mark.long]

WAITS = 400
OUTAGE = 5


async def test_requests_per_second(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the start of many waits, nor an outage, nor its end brings more requests than the pace allows."""
    allow_many_files()
    with serving(ping_interval=15) as url:
        connection = whiterabbit_emulator.connection | {"host": url}
        monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
        waits = [asyncio.create_task(payloads_of(execution_trigger(f"run-{number}"))) for number in range(WAITS)]
        check_pace("start", await moments_until_all_are_open(url))
        await asyncio.to_thread(get_json, url, f"/outage/{OUTAGE}")
        check_pace("outage", await moments_until_all_are_open(url))
        await asyncio.to_thread(get_json, url, "/end/all")
        assert [payload["status"] for [payload] in await asyncio.gather(*waits)] == ["COMPLETED"] * WAITS


async def moments_until_all_are_open(url: str) -> list[float]:
    """Wait until all streams are open, and return when each request arrived, by the server's monotonic clock."""

    def all_are_open() -> Any:
        return get_json(url, "/counts")["streams"] == WAITS

    await asyncio.to_thread(until, all_are_open, "all streams to be open", 120)
    moments: list[float] = await asyncio.to_thread(get_json, url, "/moments")
    return moments


def check_pace(what: str, moments: list[float]) -> None:
    """Check that at no time more requests had arrived than could be sent, and print how many the busiest second had.

    A busy machine delays requests, which then arrive together; so no second alone can be checked. Those that were on
    their way when the counting began count too.
    """
    busiest = max(number + 1 - bisect(moments, moment - 1) for number, moment in enumerate(moments))
    seconds = moments[-1] - moments[0]
    print(f"{what}: {len(moments)} requests in {seconds:.1f} s, {busiest} in the busiest second")
    for number, moment in enumerate(moments):
        sent = REQUESTS_PER_SECOND // 10 + REQUESTS_PER_SECOND * (moment - moments[0])
        assert number <= sent + (1 + STREAMS_PER_RECORD) * REQUESTS_AT_ONCE
