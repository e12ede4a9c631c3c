"""The demos print each event of their runs, and leave no process and no file behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from dev.harness.airflow_api import AirflowApi
from dev.harness.airflow_settings import MAJOR
from dev.harness.polling import until
from tests.e2e import ROOT
from tests.e2e.processes import living_in

pytestmark = [pytest.mark.e2e, pytest.mark.long]

EXPECTED_LINES = (
    r"White Rabbit is emulated at http://127\.0\.0\.1:\d+",
    r"Airflow [\d.]+ is starting",
    r"Airflow is ready in .+, healthy: .*scheduler, triggerer",
    r"run of DAG whiterabbit_long_execution is triggered",
    r"White Rabbit gets WAIT_FOR_EVM_TRANSACTION: POST /v1/sdk/components → 200",
    r"event stream: GET /v1/sdk/components/executions/\S+/stream → 200",
    r"Task report, .+: success",
    r'XCom of execute, dict: {"blockNumber": "46147", "status": "success"}',
    r'XCom of wait, dict: {"blockNumber": "46147", "status": "success"}',
    r"The run has ended: success. .+: 2 POST, 2 streams, \d+ GET; worker slots held while waiting: 0",
    r"no process is left running",
)
"""What the demo prints, in this order."""

EXPECTED_OF_TASKS = (
    (
        r"Log of execute: Submitted component WAIT_FOR_EVM_TRANSACTION",
        r"Operator execute is deferred .+WhiteRabbitExecutionTrigger",
        r"Log of execute: .*COMPLETED",
        r"Operator execute has ended: success",
    ),
    (
        r"Task submit has ended and returned the id of execution \S+",
        r"Sensor wait is deferred .+WhiteRabbitExecutionTrigger",
        r"Log of wait: .*COMPLETED",
        r"Sensor wait has ended: success",
    ),
)
"""What it prints of each of the two waits, which run side by side."""

EXPECTED_OF_DOUBT = (
    r"its answer to the submission is lost",
    r"run of DAG whiterabbit_ask is triggered",
    r"Log of broadcast: .*BROADCAST_BITCOIN_TRANSACTION",
    r"Task broadcast does not know whether its submission arrived",
    r"White Rabbit's dashboard shows the execution \S+: COMPLETED",
    r"answers through Airflow's API: \*It is there\*",
    r'XCom of broadcast: {"txid": "f4184fc5"}',
    r"The run has ended: success\. Submissions: 1; executions: 1",
    r"no process is left running",
)
"""What the demo of a lost answer prints, in this order."""


def start_demo(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start the demo with all its temporary files in a folder, and with the default action for SIGINT.

    A job that a shell runs in the background ignores SIGINT, and its child processes inherit that. If the parent
    process has a handler for a signal, the child process starts with the default action for that signal.
    """
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "dev.scripts.demo", *options],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, handler)


def check_order(output: str, lines: Sequence[str]) -> None:
    """Check that the output contains all lines in their order."""
    matches = [re.search(line, output) for line in lines]
    assert [line for line, match in zip(lines, matches, strict=True) if match is None] == [], output
    assert matches == sorted(matches, key=re.Match.start), output


def read_until(demo: subprocess.Popen[str], pattern: str) -> tuple[str, re.Match[str]]:
    """Read what a demo prints until a line matches; return all that it has printed, and the match."""
    assert demo.stdout is not None
    printed = ""
    for line in demo.stdout:
        printed += line
        if match := re.search(pattern, line):
            return printed, match
    raise AssertionError(printed)


@pytest.mark.parametrize(
    ("options", "expected"),
    [([], [EXPECTED_LINES, *EXPECTED_OF_TASKS]), (["--doubt", "--unattended"], [EXPECTED_OF_DOUBT])],
    ids=["waits", "doubt"],
)
def test_demo_prints_each_event(tmp_path: Path, options: list[str], expected: list[Sequence[str]]) -> None:
    """The demo prints each event in order, and leaves nothing behind."""
    with start_demo(tmp_path, *options) as demo:
        output, _ = demo.communicate(timeout=900)
    assert demo.returncode == 0, output
    for lines in expected:
        check_order(output, lines)
    assert living_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_ui_stays_open_until_interrupted(tmp_path: Path) -> None:
    """A run that a person triggers in the open web UI ends; Ctrl-C then ends all, and leaves nothing behind."""
    with start_demo(tmp_path, "--ui") as demo:
        printed, address = read_until(demo, r"until you press Ctrl-C: (http://\S+)/dags/(\S+)")
        api = AirflowApi(address[1], MAJOR, next(tmp_path.iterdir()) / "logs")
        assert api.trigger(address[2]).wait(timeout=600) == "success"
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, rest
    check_order(printed + rest, [*EXPECTED_LINES[:-1], "until you press Ctrl-C", "are stopping", EXPECTED_LINES[-1]])
    assert living_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_any_answer_of_a_person_ends_the_demo(tmp_path: Path) -> None:
    """A person who tries another answer than the proposed one sees its effect, and no error of the demo."""
    with start_demo(tmp_path, "--doubt") as demo:
        printed, address = read_until(demo, r"Open (http://[^/]+)(/dags/\S+)/runs/(\S+)/tasks/(\S+)/required_actions")
        url, dag, run_id, task_id = address.groups()
        api = AirflowApi(url, MAJOR, next(tmp_path.iterdir()) / "logs")
        path = f"{dag}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
        api.call("PATCH", path, {"chosen_options": ["Stop"], "params_input": {}})
        rest, _ = demo.communicate(timeout=600)
    assert demo.returncode == 0, printed + rest
    check_order(rest, [r"The run has ended: failed\. Submissions: 1; executions: 1", EXPECTED_OF_DOUBT[-1]])
    assert living_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_interrupted_demo_leaves_nothing_behind(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    """A demo that is interrupted while Airflow starts leaves neither processes nor files behind."""
    with start_demo(tmp_path) as demo:
        until(lambda: living_in(tmp_path), "Airflow's first process", 60)
        demo.send_signal(sent)
        output, _ = demo.communicate(timeout=60)
    assert demo.returncode == code, output
    until(lambda: not living_in(tmp_path) and not list(tmp_path.iterdir()), "the guard to end all processes", 30)
