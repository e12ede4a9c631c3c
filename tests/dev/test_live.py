"""`make live` reports what happens; these tests run its script against the emulator."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from airflow_provider_whiterabbit.emulator import Emulator, effects

ROOT = Path(__file__).parents[2]


def run_live(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the script with additional environment variables."""
    command = [sys.executable, "-m", "dev.scripts.live"]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_success(whiterabbit_emulator: Emulator) -> None:
    """The script executes RANDOM_UUID twice, polls the first time, streams the second time, and says the cost."""
    whiterabbit_emulator.script("RANDOM_UUID", usage=1.5)
    completed = run_live(whiterabbit_emulator.environ)
    assert completed.returncode == 0, completed.stderr
    assert whiterabbit_emulator.url in completed.stdout
    for execution in whiterabbit_emulator.executions:
        assert execution["output"]["uuid"] in completed.stdout
    submissions = whiterabbit_emulator.requests(kind="submit")
    assert [entry.json["module"] for entry in submissions] == ["RANDOM_UUID", "RANDOM_UUID"]
    announced, spent = (line for line in completed.stdout.splitlines() if line.startswith("cost: "))
    assert "RANDOM_UUID twice" in announced
    assert spent == "cost: 3 credits"
    assert completed.stdout.index(announced) < completed.stdout.index(whiterabbit_emulator.executions[0]["id"])
    assert len(whiterabbit_emulator.requests(kind="stream")) >= 1


def test_failure(whiterabbit_emulator: Emulator) -> None:
    """If White Rabbit refuses a submission, the script exits with status 1 and prints the reason."""
    whiterabbit_emulator.fault(effects.Answer(422, {"message": "no such module"}), kind="submit")
    completed = run_live(whiterabbit_emulator.environ)
    assert completed.returncode == 1
    assert "no such module" in completed.stderr


def test_no_credentials() -> None:
    """Without credentials, the script exits with status 2 and names the variable that must hold them."""
    completed = run_live({})
    assert completed.returncode == 2
    assert "AIRFLOW_CONN_WHITERABBIT_DEFAULT" in completed.stderr
