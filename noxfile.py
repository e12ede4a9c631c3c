"""The matrix: every supported version of Airflow, and every Python that it allows. Run by `make matrix`.

One session, and with arguments for pytest one test of it, is run by

    .venv-matrix/bin/nox -s "whole(airflow='3.0')" -- tests/e2e/test_sensor.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

# pyenv keeps each Python in a folder beside the others; its commands on PATH know only those that were chosen.
os.environ["PATH"] = os.pathsep.join([*map(str, Path(sys.base_prefix).parent.glob("3.*/bin")), os.environ["PATH"]])

nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True

PYTHONS = {
    "2.11": ("3.11", "3.12"),
    "3.0": ("3.11", "3.12"),
    "3.1": ("3.11", "3.12", "3.13"),
    "3.2": ("3.11", "3.12", "3.13"),
    "3.3": ("3.11", "3.12", "3.13"),
}
"""The Pythons of each Airflow, of those that we support. The first one runs the tests on a real Airflow too."""

NEWEST = "3.3"

REST = "rest"
"""Tag of what `make test` has not run: everything but the newest Airflow on the first of its Pythons."""

OF_NO_AIRFLOW = ("--ignore=tests/docs", "--ignore=tests/benchmarks")
"""Tests of the pages and of the measuring, which are written for one Airflow, the newest."""

OF_THE_PROTOCOL = ("--ignore=tests/client", "--ignore=tests/emulator")
"""Tests of what knows nothing of Airflow. Each set of versions has them on one Python, each Python with one set."""

AT_ONCE = ("-n", "2", "--dist", "worksteal", "-m", "not e2e and not alone and not ui")
ALONE = "alone and not e2e"
REAL = "(e2e or alone) and not kills and not bad_day and not ui"


def _install(session: nox.Session, constraints: str, *groups: str) -> None:
    session.install(
        "--compile-bytecode",  # or each of many processes compiles all of Airflow, where none may write byte code
        *("--constraint", f"constraints/{constraints}.txt", "--editable", ".[emulator]"),
        *("--group", "dev"),
        *(argument for group in groups for argument in ("--constraint", f"constraints/{group}.txt", "--group", group)),
    )
    session.run("python", "-c", "import airflow, sys; print('Airflow', airflow.__version__, 'Python', sys.version)")


def _test(session: nox.Session, one_by_one: str, *options: str) -> None:
    """Run what starts no Airflow two at a time, and then what needs the machine for itself."""
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    session.run("pytest", *AT_ONCE, *options)
    session.run("pytest", "-m", one_by_one, *options)


@nox.session(python="3.11")
@nox.parametrize("airflow", [nox.param(airflow, tags=[REST] if airflow != NEWEST else []) for airflow in PYTHONS])
def whole(session: nox.Session, airflow: str) -> None:
    """Run all tests, those on a real Airflow included."""
    _install(session, f"airflow-{airflow}")
    _test(session, REAL, *(() if airflow == NEWEST else OF_NO_AIRFLOW))


@nox.session(tags=[REST])
@nox.parametrize(
    ("python", "airflow"), [(python, airflow) for airflow, (_, *others) in PYTHONS.items() for python in others]
)
def unit(session: nox.Session, airflow: str) -> None:
    """Run the tests that need no Airflow processes on the other Pythons."""
    _install(session, f"airflow-{airflow}")
    _test(session, ALONE, *OF_NO_AIRFLOW, *(() if airflow == NEWEST else OF_THE_PROTOCOL))


@nox.session(python="3.11", tags=[REST])
def lowest(session: nox.Session) -> None:
    """Run the tests that need no Airflow processes with the lowest versions that pyproject.toml allows."""
    _install(session, "lowest")
    _test(session, ALONE, *OF_NO_AIRFLOW)


@nox.session(python="3.11", default=False)
@nox.parametrize("airflow", ["3.3", "2.11"])
def ui(session: nox.Session, airflow: str) -> None:
    """Look at the web UI in a browser, which has to be installed."""
    _install(session, f"airflow-{airflow}", "ui")
    session.run("pytest", *(session.posargs or ("-m", "ui", "tests/ui")))
