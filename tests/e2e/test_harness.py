"""Whatever happens, nothing that was started is left running."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest

from dev.harness.airflow_api import AirflowApi, until
from dev.harness.airflow_home import SERVER, AirflowHome
from dev.harness.airflow_settings import MAJOR
from dev.harness.sessions import Sessions
from tests.e2e import ROOT
from tests.e2e.processes import living_in

pytestmark = pytest.mark.e2e

# A parent that does not end when asked to, and a child in a process group of its own, as Airflow's tasks are.
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
def home(tmp_path):
    folder = (tmp_path / "home").resolve()
    folder.mkdir()
    return folder


def test_exception_ends_sessions(home):
    """Even those that don't listen, with all their children."""
    with suppress(ZeroDivisionError), Sessions(os.environ, home) as sessions:
        sessions.start("tree", [sys.executable, "-c", TREE])
        until(lambda: len(sessions.processes("tree")) == 2, "the child", 20)
        raise ZeroDivisionError
    assert living_in(home) == []


def test_killed_owner_takes_sessions_along(home):
    """The guard ends them when the owner could not, and removes what was temporary."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(home)], cwd=ROOT)
    until(lambda: len(living_in(home)) == 2, "the child", 20)
    owner.kill()
    owner.wait()
    until(lambda: not living_in(home) and not home.exists(), "the guard to tidy up", 30)


def test_killed_session_can_be_started_again(home):
    """A name is free again after a kill; the death of a leader is noticed."""
    with Sessions(os.environ, home) as sessions:
        sessions.start("tree", [sys.executable, "-c", TREE])
        until(lambda: len(sessions.processes("tree")) == 2, "the child", 20)
        sessions.kill("tree")
        assert living_in(home) == []
        sessions.start("tree", ["true"])
        until(lambda: sessions.dead() == ["tree"], "the end to be noticed", 20)


def test_frozen_session_halts_and_goes_on(home):
    """All its processes stand still, until they are thawed or ended."""
    with Sessions(os.environ, home) as sessions:
        sessions.start("busy", BUSY)
        until(lambda: len(sessions.processes("busy")) == 2, "the child", 20)
        leader, child = sessions.processes("busy")
        sessions.freeze("busy")
        until(lambda: leader.status() == child.status() == psutil.STATUS_STOPPED, "the halt", 20)
        worked = child.cpu_times().user
        sessions.thaw("busy")
        until(lambda: child.cpu_times().user > worked, "it to go on", 20)
        sessions.freeze("busy")
    assert living_in(home) == []


def test_failing_command_tells_what_it_printed(home):
    """Its output is in the error."""
    with Sessions(os.environ, home) as sessions, pytest.raises(RuntimeError, match="exit code 3\nno such thing"):
        sessions.run("command", ["sh", "-c", "echo no such thing; exit 3"])


def test_airflow_is_gone_after_an_exception():
    """A component can be killed or die, and be started again; in the end no process and no file is left."""
    airflow = AirflowHome([])
    with suppress(ZeroDivisionError), airflow:
        # It is heard of before it has forked the process that runs the triggers, in Airflow 3.
        forked = until(lambda: airflow.processes("triggerer")[MAJOR - 2 :], "all of the triggerer", 30)
        before = airflow.processes("triggerer")
        assert forked
        airflow.kill("triggerer")
        assert not set(before) & set(living_in(airflow.home))
        airflow.start("triggerer")
        airflow.wait_until_ready()
        if MAJOR > 2:  # of Airflow 2's web servers a home has one
            airflow.start(f"{SERVER}-2")
            second = AirflowApi(airflow.url_of(f"{SERVER}-2"), MAJOR, airflow.home / "logs")
            until(second.health, "the second server", 60)
        until(lambda: len(airflow.processes("triggerer")) == len(before), "all of the triggerer", 30)
        airflow.processes("triggerer")[0].kill()
        assert until(airflow.revive, "its death to be noticed", 20) == ["triggerer"]
        raise ZeroDivisionError
    assert living_in(airflow.home) == []
    assert not airflow.home.exists()
