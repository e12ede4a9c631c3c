"""Tests of the benchmarks that run without the benchmarks' own environment, so without plots and other providers."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_whiterabbit.client import webhooks
from benchmarks import (
    callbacks,
    growth,
    many,
    outputs,
    parsing,
    process,
    runs,
    server,
    signing,
    sizing,
    system,
    waiting,
    waits,
)
from benchmarks.__main__ import BENCHMARKS
from benchmarks.blocking import WatchedSelector
from benchmarks.callback_senders import MODULE, SECRET, Signal, at_rate, by_senders, new_body, signature
from benchmarks.report import PACKAGES, PAGE, Goal, markdown, section, with_section
from benchmarks.tls_server import PROTOCOLS
from benchmarks.world import output_of
from dev.harness.polling import until
from dev.harness.simulated_loop import SimulatedLoop


def test_page_has_a_section_for_every_benchmark() -> None:
    """The page of every benchmark has its marker comments, so that results can be written between them."""
    for name in BENCHMARKS:
        page = getattr(importlib.import_module(f"benchmarks.{name}"), "PAGE", PAGE).read_text()
        assert "\n\nfigures\n\n" in with_section(page, name, "figures")


def test_new_results_replace_old_results() -> None:
    """New results replace only the text between a benchmark's two marker comments."""
    page = "before\n<!-- results: a -->\nold\n<!-- end of a -->\nafter\n"
    new = with_section(page, "a", "new")
    assert new == "before\n<!-- results: a -->\n\nnew\n\n<!-- end of a -->\nafter\n"
    assert with_section(new, "a", "new") == new


def test_page_without_a_section() -> None:
    """Results for a page that lacks the marker comments raise an error."""
    with pytest.raises(ValueError, match="no section"):
        with_section("<!-- end of a --> <!-- results: a -->", "a", "new")


def test_table() -> None:
    """A Markdown table has a heading, a delimiter row, and one line for each row."""
    assert markdown([["way", "s"], ["a", "1"]]) == "| way | s |\n| --- | ---: |\n| a | 1 |"


@pytest.mark.parametrize(("value", "met"), [(1.9, True), (2.0, True), (2.1, False)])
def test_goal(value: float, met: bool) -> None:
    """A goal is met if its value is at most its limit."""
    assert Goal("ratio", value, 2.0, "times").met is met


MACHINE = dict.fromkeys(("processor", "memory", "system", "python", *PACKAGES), "x")
RESULT = {"measured": "2026-11-27", "machine": MACHINE, "data": None}


def test_goals_with_rounds() -> None:
    """A goal that was measured several times shows the lowest and the highest figure."""
    text = section(Measured("one"), RESULT, None, judged=True)  # type: ignore[arg-type]
    assert "| goal | measured | rounds | at most | result |" in text
    assert "| ratio | 1.9 times | 1.7 to 2.5 | 2 times | met |" in text
    assert "| memory | 3 KiB |  | 2 KiB | **missed** |" in text


def test_several_tables() -> None:
    """A benchmark with several tables shows each below its heading."""
    text = section(Measured("one", "two"), RESULT, "plot.svg", judged=False)  # type: ignore[arg-type]
    assert text.startswith("one:\n\n| a |\n| --- |\n| 1 |\n\ntwo:\n\n| a |")
    assert "![Measured](plot.svg)" in text


class Measured:
    """A benchmark with a table below each of these headings, and with two goals."""

    TITLE = "Measured"

    def __init__(self, *headings: str) -> None:
        self.headings = headings

    def tables(self, _: Any) -> dict[str, list[list[str]]]:
        """Return the tables."""
        return {heading: [["a"], ["1"]] for heading in self.headings}

    def goals(self, _: Any) -> list[Goal]:
        """Return a goal of several rounds and one of a single round."""
        return [Goal("ratio", 1.9, 2.0, "times", spread=(1.7, 2.5)), Goal("memory", 3, 2, "KiB")]


def allocate(size: int) -> float:
    """Allocate and free `size` bytes, and return the measured peak; a child process runs this function."""
    with process.peak_over_baseline() as usage:
        len(b"x" * size)
    return usage["peak"]


def fail() -> None:
    """Raise an error; a child process runs this function."""
    raise ValueError("on purpose")


def test_peak_of_memory() -> None:
    """The measured peak of a process includes memory that is already freed, and little else."""
    size = 50_000_000
    peak = process.run("tests.benchmarks.test_measures:allocate", size=size)
    assert 0.9 * size <= peak <= 1.5 * size


def test_failure_in_a_process() -> None:
    """An error in a child process is raised with its reason."""
    with pytest.raises(RuntimeError, match="on purpose"):
        process.run("tests.benchmarks.test_measures:fail")


def test_environment_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child process gets an Airflow home of its own, whatever AIRFLOW_HOME its parent has."""
    monkeypatch.setenv("AIRFLOW_HOME", "/nowhere")
    assert "benchmark-" in process.run("os:getenv", key="AIRFLOW_HOME")


def test_block_of_the_loop() -> None:
    """The selector reports the longest callback, and the longest garbage collection separately."""
    selector = WatchedSelector()

    async def block() -> None:
        selector.reset()
        await asyncio.sleep(0)
        time.sleep(0.2)  # noqa: ASYNC251 (blocks the loop on purpose)
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


def test_simulated_clock() -> None:
    """The simulated clock skips an hour at once, keeps the order of timers, and stands still while a thread runs."""
    loop = SimulatedLoop()
    order: list[str] = []

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(f"{seconds:g}")

    async def sleep_beside_a_thread() -> None:
        tasks = [asyncio.create_task(sleep(seconds)) for seconds in (3600, 1, 60)]
        await asyncio.to_thread(time.sleep, 0.05)
        assert loop.time() == 0
        await asyncio.gather(*tasks)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(sleep_beside_a_thread())
    assert order == ["1", "60", "3600"]
    assert loop.time() == pytest.approx(3600)


def test_server() -> None:
    """The benchmark's server ends one execution, returns the output of a completed one, and counts the requests."""
    with server.serving(ping_interval=0.05) as url:
        record = "/v1/sdk/components/executions/{}"
        assert server.get_json(url, record.format("run-1"))["status"] == "EXECUTING"
        assert server.get_json(url, "/end/run-1") == {}
        assert server.get_json(url, record.format("run-1"))["status"] == "COMPLETED"
        assert server.get_json(url, record.format("run-2"))["status"] == "EXECUTING"
        output = server.get_json(url, record.format("done-5000-1"))["output"]
        assert output == output_of(5000)
        assert server.get_json(url, "/counts") == {"streams": 0, "record": 4}


@pytest.mark.long
@pytest.mark.parametrize("tls", [True, False], ids=["TLS", "HTTP"])
@pytest.mark.parametrize("way", ["bare", "triggerer", "aiohttp", "ours", "threads"])
def test_waits(way: str, tls: bool) -> None:
    """Waits of each way start, and come back after a drop; the benchmark measures their CPU time."""
    usage = waiting.measure_once(way, 3, tls=tls, seconds=0.3, ping_interval=0.05)
    assert usage["cpu_per_hour"] > 0
    assert usage["start_cpu"] > 0
    assert ("again_cpu" in usage) is (way != "threads")
    assert (usage["start_handshakes"] >= 3) is tls
    if way == "ours" and tls:
        assert usage["start_resumed"] > 0  # the session of the warm-up
        assert usage["sockets"] > 0  # at the end, those of the warm-up's records may be closed


@pytest.mark.long
@pytest.mark.skipif("h2" not in PROTOCOLS, reason="needs the library h2")
def test_waits_over_http2() -> None:
    """Over HTTP/2, waits share the connection of the warm-up, and another one after a drop."""
    usage = waiting.measure_once(waiting.HTTP2, 8, tls=True, seconds=0.3, ping_interval=0.05)
    assert usage["cpu_per_hour"] > 0
    assert usage["start_handshakes"] == 0
    assert 1 <= usage["again_handshakes"] < 8
    assert usage["sockets"] < 8


@pytest.mark.long
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
def test_outputs(way: str, size: int, result: str) -> None:
    """Each way reads the output as requested, except that a worker ends a task whose output exceeds 1 MB."""
    with server.serving() as url:
        usage = process.run("benchmarks.outputs:child", process.connections(url), way=way, url=url, size=size)
    assert result in usage["result"]


@pytest.mark.long
def test_calls_of_an_hour() -> None:
    """A deferred one-hour wait opens one stream and reads the record six times, including the workers' reads."""
    assert process.run("benchmarks.calls:child", way="deferrable", waits=1) == {"stream": 1, "record": 6, "poll": 0}


@pytest.mark.long
def test_signing() -> None:
    """Signing is measured for every size, with a body of about that size."""
    data: Any = signing.measure(smoke=True)
    for name, size in signing.SIZES.items():
        assert data[name]["bytes"] == pytest.approx(size, rel=0.2)
    assert len(signing.table(data)) == 1 + len(signing.SIZES)


def test_progress_of_runs() -> None:
    """Every way reads the whole stream of a run; only this provider's way checks that the run has ended."""
    data = runs.measure(smoke=True)
    assert [row[0] for row in runs.table(data)[1:]] == list(runs.WAYS.values())
    assert all(row["cpu"] > 0 for row in data)
    assert len(runs.goals(data)) == 2


def test_every_module_that_a_dag_imports_is_measured() -> None:
    """The measured modules are those of the provider's metadata, and their import takes time."""
    modules = parsing.own_modules()
    for name in ("sensors.execution", "operators.component", "hooks.whiterabbit", "triggers.workflow"):
        assert f"airflow_provider_whiterabbit.{name}" in modules
    costs = process.run("benchmarks.parsing:child", modules=modules[:2], times=2)
    assert all(second > 0 for seconds in costs.values() for second in seconds)


def test_tables_of_one_run() -> None:
    """The tables and goals of waits, sizes and outputs hold the measured figures."""
    figures = {"block": 0.02, "start_block": 0.01, "collection": 0.5, "cpu_per_hour": 0.2, "memory": 1024.0}
    figures |= {"resident": 2**20, "sockets": 10.0}
    for phase in ("start", "again"):
        figures |= {f"{phase}_{name}": 1.0 for name in ("seconds", "cpu", "handshakes", "resumed")}
        figures[f"{phase}_peak"] = 2**20
    summary = waits.summary([figures, figures | {"cpu_per_hour": 0.4, "block": 0.03}, figures])
    data = [
        {"kind": kind, "way": way, "count": count} | summary
        for kind in waits.SETS
        for count in (5, 10)
        for way in waits.WAYS
    ]
    tables = waits.tables(data)
    assert [len(rows) for rows in tables.values()] == [1 + len(data) // 2] * 4
    idle, herd, *_ = tables.values()
    assert idle[1][1:] == ["5", "0.200", "1.00", "1.0", "10", "30", "10"]
    assert herd[1][1:] == ["5", *["1.0", "200.00", "1", "0 / 1"] * 2]
    assert [goal.value for goal in waits.goals(data)] == [*[1.0, 1.0, 10.0, 100.0, 30.0, 1.0, 1.0] * 2, 1.0]
    usages = [{"way": way, "count": 10} | figures for way in sizing.PROTOCOLS]
    assert sizing.table(usages)[1:] == [
        ["10", protocol, "1", "10", "0.1", "1", "1", "10", "1024"] for protocol in ("HTTP/1.1", "HTTP/2")
    ]
    rows = [
        {"way": way, "size": 1, "seconds": 1.0, "cpu": 1.0, "peak": 3_000_000, "result": ""} for way in outputs.WAYS
    ]
    assert [goal.value for goal in outputs.goals(rows)] == [1.0, 3.0]


def test_tables_of_the_whole_system() -> None:
    """A missing end, a late end and more CPU each miss a goal, and the table shows the measured percentiles."""
    even = [percentile / 100 for percentile in range(101)]
    data = {way: system.figures(even, waits=101, start=3.0, cpu=2.02) for way in system.WAYS}
    assert [goal.met for goal in system.goals(data)] == [True] * 4
    assert system.table(data)[-1][1:] == ["101", "101", "0.50", "0.95", "1.00", "1.0", "20", "3"]
    data["ours"] = system.figures([3 * second for second in even], waits=102, start=3.0, cpu=6.06)
    assert [goal.met for goal in system.goals(data)] == [False] * 4
    assert [goal.value for goal in system.goals(data)] == pytest.approx([1, 3, 3, 3 * 101 / 102])


def test_table_of_growth() -> None:
    """Queries of an idle Airflow do not count; a wait that is lost, and a triggerer without waits, miss a goal."""
    row = {"triggerers": 2, "waits": 1000, "ended": 1000, "start": 12.0, "divided": [490, 510], "cpu": 0.2, "end": 40.0}
    row |= {"queries_without": 30.0, "queries": 40.0, "rows": 2000.0}
    assert growth.table([row])[1] == ["2", "1,000", "490 + 510", "12", "25", "20", "30", "40", "36", "7,200"]
    assert [goal.met for goal in growth.goals([row])] == [True, True]
    assert [goal.value for goal in growth.goals([row, row | {"ended": 997, "divided": [1000]}])] == [3, 1]


def test_callbacks_of_the_benchmark() -> None:
    """The benchmark's callbacks are signed as White Rabbit signs them, and each is about a new execution."""
    bodies = [new_body(), new_body()]
    first, second = (webhooks.verify(body, signature(body), [SECRET]) for body in bodies)
    assert first.module == MODULE
    assert first.succeeded
    assert first.id != second.id


async def test_requests_at_a_rate() -> None:
    """Requests at a rate begin on time although earlier ones still run, and a late answer counts from the due time."""
    running, most = 0, 0

    async def send() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.2)
        running -= 1

    took = await at_rate(send, rate=50, seconds=0.2)
    assert len(took) == 10
    assert min(took) >= 0.2
    assert most > 1


async def test_requests_of_senders() -> None:
    """Each sender sends one request after the other."""
    running: list[int] = [0]

    async def send() -> None:
        running.append(running[-1] + 1)
        await asyncio.sleep(0.01)
        running.append(running[-1] - 1)

    took = await by_senders(send, senders=3, seconds=0.1)
    assert max(running) == 3
    assert len(took) >= 3


def test_signal(tmp_path: Path) -> None:
    """Processes that are ready wait for the signal."""
    begun: list[str] = []

    def begin(name: str) -> None:
        Signal(str(tmp_path), name).wait()
        begun.append(name)

    signal = Signal(str(tmp_path))
    with ThreadPoolExecutor() as threads:
        jobs = [threads.submit(begin, name) for name in ("a", "b")]
        until(lambda: signal.is_ready("a", "b"), "both to be ready", 60)
        assert not begun
        signal.give()
    assert [job.result() for job in jobs] == [None, None]
    assert sorted(begun) == ["a", "b"]


def test_tables_of_callbacks() -> None:
    """Wrong answers, slow other requests and a low rate each miss a goal, and idle rounds count for nobody's CPU."""

    def measured(load: callbacks.Load | None, slower: float = 1.0) -> Any:
        answer = f"200 {load.answer}" if load else ""
        sent = {"took": [0.02 * slower] * 120, "seconds": 12 * slower, "answers": {answer: 120}}
        others = [slower * number / 1000 for number in range(101)]
        return {"others": others, "cpu": 4.0 if load else 1.0, "machine": 50.0, "callbacks": load and sent}

    data = {name: callbacks.figures([measured(load)] * 3) for name, load in callbacks.LOADS.items()}
    assert [goal.met for goal in callbacks.goals(data)] == [True] * 4
    rows = callbacks.table(data)
    assert rows[1][1:] == ["0", "", "", "", "50", "95", "1.0", "1.0", "50 %"]
    assert rows[2][1:] == ["10", "20", "20", "25", "50", "95", "1.0", "1.0", "50 %"]
    for name in ("steady", "hour"):
        load = callbacks.LOADS[name]
        data[name] = callbacks.figures([measured(load, slower=3)] * 3)
    data["repeated"]["answers"]["503 "] = 1
    assert [goal.met for goal in callbacks.goals(data)] == [False] * 4
    assert [goal.value for goal in callbacks.goals(data)] == pytest.approx([1, 3, 3, 300])


def test_tables_of_many() -> None:
    """The table has a row for each way; the goals compare the ways."""
    mapped = {"executions": 100, "cpu": 80.0, "seconds": 80.0, "rows": 5000, "known": None}
    one = {"executions": 100, "cpu": 1.5, "seconds": 5.25, "rows": 100, "known": 0.1}
    deferred = {"executions": 100, "cpu": 2.5, "seconds": 30.5, "rows": 120, "known": 0.2}
    data = {"mapped": mapped, "one_task": one, "deferred": deferred}
    assert [row[1:] for row in many.table(data)[1:]] == [
        ["100", "80.0", "80.0", "5,000", ""],
        ["100", "1.5", "5.2", "100", "0.10"],
        ["100", "2.5", "30.5", "120", "0.20"],
    ]
    assert [goal.met for goal in many.goals(data)] == [True] * 5
    data["one_task"] = {"executions": 101, "cpu": 1.7, "seconds": 5.5, "rows": 100, "known": 1.1}
    data["deferred"] = {**deferred, "known": 1.2}
    assert [goal.met for goal in many.goals(data)] == [False] * 5


def test_submissions() -> None:
    """The server answers submissions with ids, and ends the executions after their time."""
    with server.serving(60) as url:
        server.get_json(url, "/duration/0.05")
        request = urllib.request.Request(f"{url}/v1/sdk/components", data=b'{"module": "WAIT"}')  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            record = json.load(answer)
        assert list(server.get_json(url, "/ends")) == [record["id"]]
        path = f"/v1/sdk/components/executions/{record['id']}"
        until(lambda: server.get_json(url, path)["completed"], "the execution to end", 60, 0.01)
