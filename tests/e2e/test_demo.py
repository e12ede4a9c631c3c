"""The demo tells what happens and leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dev.harness.airflow_api import until
from tests.e2e import ROOT
from tests.e2e.processes import living_in

pytestmark = pytest.mark.e2e

STORY = (
    r"White Rabbit is emulated at http://127\.0\.0\.1:\d+",
    r"Airflow [\d.]+ is starting",
    r"Airflow is ready in .+, healthy: .*scheduler, triggerer",
    r"run of DAG whiterabbit_long_execution is triggered",
    r"Task submit .+ POST /v1/sdk/components → 200",
    r"Task submit has ended; execution \S+",
    r"Sensor wait is deferred .+WhiteRabbitExecutionTrigger",
    r"event stream: GET /v1/sdk/components/executions/\S+/stream → 200",
    r"Log of wait: .*COMPLETED",
    r"Sensor wait has ended: success",
    r"Task report, .+: success",
    r'XCom of wait, dict: {"blockNumber": 21345678, "success": true}',
    r"The run has ended: success. API calls: 1 POST, 1 stream, \d+ GET; worker slots held while waiting: 0",
    r"nothing is left running",
)


def start_demo(folder: Path) -> subprocess.Popen[str]:
    """Start the demo with all its temporary files in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "dev.scripts.demo"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_demo_tells_its_story(tmp_path):
    """Each step is told in its order, and the figures at the end are those of one deferred wait."""
    with start_demo(tmp_path) as demo:
        output, _ = demo.communicate(timeout=180)
    assert demo.returncode == 0, output
    steps = [re.search(step, output) for step in STORY]
    missing = [step for step, match in zip(STORY, steps, strict=True) if match is None]
    assert missing == [], output
    assert steps == sorted(steps, key=re.Match.start), output
    assert living_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_interrupted_demo_tidies_up(tmp_path, sent, code):
    """Stopped while Airflow is starting, it leaves neither processes nor files."""
    with start_demo(tmp_path) as demo:
        until(lambda: living_in(tmp_path), "Airflow's first process", 60)
        demo.send_signal(sent)
        output, _ = demo.communicate(timeout=60)
    assert demo.returncode == code, output
    until(lambda: not living_in(tmp_path) and not list(tmp_path.iterdir()), "the guard to tidy up", 30)
