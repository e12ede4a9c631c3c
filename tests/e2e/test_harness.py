"""The harness leaves no process running, even after exceptions and kills."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from dev.harness.airflow_api import AirflowApi
from dev.harness.airflow_home import SERVER, AirflowHome
from dev.harness.airflow_settings import MAJOR
from dev.harness.polling import until
from dev.harness.sessions import Sessions
from tests.e2e import ROOT
from tests.e2e.processes import living_in

pytestmark = [pytest.mark.e2e]

# A parent process that ignores SIGTERM, and a child process in its own process group, like a task of Airflow.
TREE = """
import signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(["sleep", "1000"], process_group=0)
time.sleep(1000)
"""
BUSY = ["sh", "-c", "while :; do :; done & wait"]
OWNER = f"""
import os, sys, time
from pathlib import Path
from dev.harness.sessions import Sessions
with Sessions(os.environ, Path(sys.argv[1]), remove=Path(sys.argv[1])) as sessions:
    sessions.start("tree", [sys.executable, "-c", {TREE!r}])
    time.sleep(1000)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return an empty folder for the processes."""
    folder = (tmp_path / "home").resolve()
    folder.mkdir()
    return folder


def test_exception_ends_sessions(home: Path) -> None:
    """After an exception no process of a session is left, even if the processes ignore SIGTERM."""
    with suppress(ZeroDivisionError), Sessions(os.environ, home) as sessions:
        sessions.start("tree", [sys.executable, "-c", TREE])
        until(lambda: len(sessions.processes("tree")) == 2, "the child process", 120)
        raise ZeroDivisionError
    assert living_in(home) == []


def test_guard_ends_the_sessions_of_a_killed_owner(home: Path) -> None:
    """If the owner is killed, the guard ends its sessions and removes the folder."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(home)], cwd=ROOT)
    until(lambda: len(living_in(home)) == 2, "the child process", 120)
    owner.kill()
    owner.wait()
    until(lambda: not living_in(home) and not home.exists(), "the guard to end the sessions", 120)


def test_killed_session_can_be_started_again(home: Path) -> None:
    """After a kill, another process can be started under the same name, and its exit is noticed."""
    with Sessions(os.environ, home) as sessions:
        sessions.start("tree", [sys.executable, "-c", TREE])
        until(lambda: len(sessions.processes("tree")) == 2, "the child process", 120)
        sessions.kill("tree")
        assert living_in(home) == []
        sessions.start("tree", ["true"])
        until(lambda: sessions.dead() == ["tree"], "the exit to be noticed", 120)


def test_frozen_session_stops_and_continues(home: Path) -> None:
    """All processes of a frozen session are stopped until the session is thawed or ended."""
    with Sessions(os.environ, home) as sessions:
        sessions.start("busy", BUSY)
        until(lambda: len(sessions.processes("busy")) == 2, "the child process", 120)
        leader, child = sessions.processes("busy")
        sessions.freeze("busy")
        until(lambda: leader.status() == child.status() == psutil.STATUS_STOPPED, "both processes to stop", 120)
        cpu_seconds = child.cpu_times().user
        sessions.thaw("busy")
        until(lambda: child.cpu_times().user > cpu_seconds, "the child process to continue", 120)
        sessions.freeze("busy")
    assert living_in(home) == []


def test_error_of_a_failed_command_contains_its_output(home: Path) -> None:
    """The error of a failed command contains the command's exit code and output."""
    with Sessions(os.environ, home) as sessions, pytest.raises(RuntimeError, match="exit code 3\nno such thing"):
        sessions.run("command", ["sh", "-c", "echo no such thing; exit 3"])


@pytest.mark.long
def test_airflow_leaves_nothing_behind_after_an_exception() -> None:
    """Airflow's components can be killed and started again, and after an exception no process and no file is left."""
    airflow = AirflowHome([])
    with suppress(ZeroDivisionError), airflow:
        # In Airflow 3, the triggerer sends its first heartbeat before it has forked the process that runs the triggers.
        assert until(lambda: airflow.processes("triggerer")[MAJOR - 2 :], "all processes of the triggerer", 120)
        before = airflow.processes("triggerer")
        airflow.kill("triggerer")
        assert not set(before) & set(living_in(airflow.home))
        airflow.start("triggerer")
        airflow.wait_until_ready()
        if MAJOR > 2:  # in Airflow 2 a home can have only one web server
            airflow.start(f"{SERVER}-2")
            second = AirflowApi(airflow.url_of(f"{SERVER}-2"), MAJOR, airflow.home / "logs")
            until(second.health, "the second API server", 120)
        until(lambda: len(airflow.processes("triggerer")) == len(before), "all processes of the triggerer", 120)
        airflow.processes("triggerer")[0].kill()
        assert until(airflow.revive, "the kill to be noticed", 120) == ["triggerer"]
        raise ZeroDivisionError
    assert living_in(airflow.home) == []
    assert not airflow.home.exists()
