"""The demo prints each event of its run, and leaves no process and no file behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dev.harness.polling import until
from tests.e2e import ROOT
from tests.e2e.processes import living_in

pytestmark = [pytest.mark.e2e, pytest.mark.long]

EXPECTED_LINES = (
    r"White Rabbit is emulated at http://127\.0\.0\.1:\d+",
    r"Airflow [\d.]+ is starting",
    r"Airflow is ready in .+, healthy: .*scheduler, triggerer",
    r"run of DAG whiterabbit_long_execution is triggered",
    r"Task submit .+ POST /v1/sdk/components → 200",
    r"Task submit has ended and returned the id of execution \S+",
    r"Sensor wait is deferred .+WhiteRabbitExecutionTrigger",
    r"event stream: GET /v1/sdk/components/executions/\S+/stream → 200",
    r"Log of wait: .*COMPLETED",
    r"Sensor wait has ended: success",
    r"Task report, .+: success",
    r'XCom of wait, dict: {"blockNumber": "46147", "status": "success"}',
    r"The run has ended: success. API calls: 1 POST, 1 stream, \d+ GET; worker slots held while waiting: 0",
    r"no process is left running",
)


def start_demo(folder: Path) -> subprocess.Popen[str]:
    """Start the demo with all its temporary files in a folder, and with the default action for SIGINT.

    A job that a shell runs in the background ignores SIGINT, and its child processes inherit that. If the parent
    process has a handler for a signal, the child process starts with the default action for that signal.
    """
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "dev.scripts.demo"],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, handler)


def test_demo_prints_each_event(tmp_path: Path) -> None:
    """The demo prints each event in order, and its final line reports the API calls of one deferred wait."""
    with start_demo(tmp_path) as demo:
        output, _ = demo.communicate(timeout=180)
    assert demo.returncode == 0, output
    matches = [re.search(line, output) for line in EXPECTED_LINES]
    missing = [line for line, match in zip(EXPECTED_LINES, matches, strict=True) if match is None]
    assert missing == [], output
    assert matches == sorted(matches, key=re.Match.start), output
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
