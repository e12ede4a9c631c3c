"""`make live`, tried against the emulator: what it says is what happened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from airflow_provider_whiterabbit.emulator import Emulator, effects

ROOT = Path(__file__).parents[2]


def live(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dev.scripts.live"]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_success(whiterabbit_emulator: Emulator) -> None:
    """It submits twice, polls the one and streams the other."""
    done = live(whiterabbit_emulator.environ)
    assert done.returncode == 0, done.stderr
    assert whiterabbit_emulator.url in done.stdout
    for execution in whiterabbit_emulator.executions:
        assert execution["output"]["uuid"] in done.stdout
    assert len(whiterabbit_emulator.requests(kind="submit")) == 2
    assert len(whiterabbit_emulator.requests(kind="stream")) >= 1


def test_failure(whiterabbit_emulator: Emulator) -> None:
    """It ends with status 1 and the reason when something is wrong."""
    whiterabbit_emulator.fault(effects.Answer(422, {"message": "no such module"}), kind="submit")
    done = live(whiterabbit_emulator.environ)
    assert done.returncode == 1
    assert "no such module" in done.stderr


def test_no_credentials() -> None:
    """It says which credentials it needs."""
    done = live({})
    assert done.returncode == 2
    assert "AIRFLOW_CONN_WHITERABBIT_DEFAULT" in done.stderr
