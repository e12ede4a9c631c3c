"""The benchmark's own parts, without what only its environment has (plots, other providers)."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import pytest

from benchmarks import outputs, parsing, process, server, signing, system, waits
from benchmarks.__main__ import MEASURES
from benchmarks.calls import SimulatedLoop
from benchmarks.process import WatchedSelector
from benchmarks.report import PAGE, Goal, markdown, replaced


def test_the_page_has_a_place_for_every_measure():
    """Results can be written into the page, for every measure."""
    page = PAGE.read_text()
    for name in MEASURES:
        assert "\n\nfigures\n\n" in replaced(page, name, "figures")


def test_results_replace_earlier_ones():
    """Between its two comments a page holds the latest results only, and all else is left alone."""
    page = "before\n<!-- results: a -->\nold\n<!-- end of a -->\nafter\n"
    new = replaced(page, "a", "new")
    assert new == "before\n<!-- results: a -->\n\nnew\n\n<!-- end of a -->\nafter\n"
    assert replaced(new, "a", "new") == new


def test_a_page_without_a_place():
    """Results that nobody would see are an error."""
    with pytest.raises(ValueError, match="no place"):
        replaced("<!-- end of a --> <!-- results: a -->", "a", "new")


def test_table():
    """A table has a head, its rule, and rows."""
    assert markdown([["way", "s"], ["a", "1"]]) == "| way | s |\n| --- | ---: |\n| a | 1 |"


@pytest.mark.parametrize(("value", "met"), [(1.9, True), (2.0, True), (2.1, False)])
def test_goal(value: float, met: bool):
    """A goal is met by what is no larger than its limit."""
    assert Goal("ratio", value, 2.0, "times").met is met


def allocate(size: int) -> int:
    """Fill so many bytes, and forget them."""
    with process.peak_over_baseline() as used:
        len(b"x" * size)
    return used["peak"]


def fail() -> None:
    raise ValueError("on purpose")


def test_peak_of_memory():
    """The peak of a process holds what was forgotten again, and little else."""
    size = 50_000_000
    peak = process.run("tests.benchmarks.test_measures:allocate", size=size)
    assert 0.9 * size <= peak <= 1.5 * size


def test_failure_in_a_process():
    """What fails in a process is told with its reason."""
    with pytest.raises(RuntimeError, match="on purpose"):
        process.run("tests.benchmarks.test_measures:fail")


def test_environment_of_a_process(monkeypatch: pytest.MonkeyPatch):
    """A process has an Airflow home of its own, whatever the caller's is."""
    monkeypatch.setenv("AIRFLOW_HOME", "/nowhere")
    assert "benchmark-" in process.run("os:getenv", key="AIRFLOW_HOME")


def test_block_of_the_loop():
    """The longest block is the longest time of one callback; the collector's share is told apart."""
    selector = WatchedSelector()

    async def block() -> None:
        selector.reset()
        await asyncio.sleep(0)
        time.sleep(0.2)  # noqa: ASYNC251 (to block is the point)
        await asyncio.sleep(0)

    async def collect() -> None:
        selector.reset()
        await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(block())
        assert selector.reset()[0] >= 0.2
        runner.run(collect())
        assert selector.reset()[1] > 0


def test_simulated_clock():
    """An hour passes at once, timers keep their order, and a thread is waited for."""
    loop = SimulatedLoop()
    order: list[str] = []

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(f"{seconds:g}")

    async def everything() -> None:
        tasks = [asyncio.create_task(sleep(seconds)) for seconds in (3600, 1, 60)]
        await asyncio.to_thread(time.sleep, 0.05)
        assert loop.time() == 0
        await asyncio.gather(*tasks)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(everything())
    assert order == ["1", "60", "3600"]
    assert loop.time() == pytest.approx(3600)


def test_server():
    """The benchmark's server streams, counts, ends executions one by one or all, and tells both records apart."""
    with server.serving(ping=0.05) as url:
        record = "/v1/sdk/components/executions/{}"
        assert server.ask(url, record.format("run-1"))["status"] == "EXECUTING"
        assert server.ask(url, "/end/run-1") == {}
        assert server.ask(url, record.format("run-1"))["status"] == "COMPLETED"
        assert server.ask(url, record.format("run-2"))["status"] == "EXECUTING"
        output = server.ask(url, record.format("done-5000-1"))["output"]
        assert output == server.output_of(5000)
        assert server.ask(url, "/counts") == {"streams": 0, "record": 4}


@pytest.mark.parametrize("way", ["bare", "triggerer", "aiohttp", "ours", "threads"])
def test_waits(way: str):
    """Each way to wait begins, is measured, and costs something."""
    with server.serving(ping=0.05) as url:
        found = process.run("benchmarks.waits:child", process.connections(url), way=way, count=3, url=url, seconds=0.3)
    assert found["cpu_per_hour"] > 0
    assert found["start_cpu"] > 0


@pytest.mark.parametrize(
    ("way", "size", "result"),
    [
        ("poke", 100_000, "items"),
        ("resume", 100_000, "items"),
        ("wait", 100_000, "a worker resumes"),
        ("end", 100_000, "ended in the triggerer"),
        ("end", 3_000_000, "a worker resumes"),
    ],
)
def test_outputs(way: str, size: int, result: str):
    """An output takes the way that was asked for, but one too large for the triggerer ends in a worker."""
    with server.serving() as url:
        found = process.run("benchmarks.outputs:child", process.connections(url), way=way, url=url, size=size)
    assert result in found["result"]


def test_calls_of_an_hour():
    """A wait of an hour opens one stream, and reads the record six times, the worker's looks included."""
    assert process.run("benchmarks.calls:child", way="deferrable", waits=1) == {"stream": 1, "record": 6, "poll": 0}


def test_signing():
    """Every size is measured, and its body has about that size."""
    data: Any = signing.measure(smoke=True)
    for name, size in signing.SIZES.items():
        assert data[name]["bytes"] == pytest.approx(size, rel=0.2)
    assert len(signing.table(data)) == 1 + len(signing.SIZES)


def test_every_module_that_a_dag_names_is_measured():
    """The modules are those of the provider's metadata, and importing them takes time."""
    modules = parsing.own_modules()
    for name in ("sensors.execution", "operators.component", "hooks.whiterabbit", "triggers.workflow"):
        assert f"airflow_provider_whiterabbit.{name}" in modules
    costs = process.run("benchmarks.parsing:child", modules=modules[:2], times=2)
    assert all(cost > 0 for found in costs.values() for cost in found)


def test_tables_of_one_run():
    """Tables and goals can be made of what was measured."""
    figures = {"start_cpu": 1.0, "start_block": 0.01, "block": 0.02, "cpu_per_hour": 0.2, "memory": 1024.0}
    data = [{"way": way, "count": count} | figures for count in (5, 10) for way in waits.WAYS]
    assert len(waits.table(data)) == 1 + len(data)
    assert [goal.value for goal in waits.goals(data)] == [1.0, 1.0, 20.0, 10.0, 1.0, 1.0]
    rows = [
        {"way": way, "size": 1, "seconds": 1.0, "cpu": 1.0, "peak": 3_000_000, "result": ""} for way in outputs.WAYS
    ]
    assert [goal.value for goal in outputs.goals(rows)] == [1.0, 3.0]


def test_tables_of_the_whole_system():
    """Ends that are missing, or come late, miss a goal each; percentiles and plot are those of what was measured."""
    even = [place / 100 for place in range(101)]
    data = {way: system.figures(even, waits=101, start=3.0, cpu=2.02) for way in system.WAYS}
    assert [goal.met for goal in system.goals(data)] == [True] * 4
    assert system.table(data)[-1][1:] == ["101", "101", "0.50", "0.95", "1.00", "1.0", "20", "3"]
    data["ours"] = system.figures([3 * second for second in even], waits=102, start=3.0, cpu=6.06)
    assert [goal.met for goal in system.goals(data)] == [False] * 4
    assert [goal.value for goal in system.goals(data)] == pytest.approx([1, 3, 3, 3 * 101 / 102])
