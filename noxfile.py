"""Run the tests on every supported version of Airflow and every Python that it supports; `make matrix` runs this file.

To run one session, and with arguments for pytest only some of its tests:

    .venv-matrix/bin/nox -s "whole(airflow='3.0')" -- tests/e2e/test_sensor.py

or only some of the suites in `SUITES`, by their names:

    .venv-matrix/bin/nox -s "whole(airflow='3.0')" -- real alone
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

# pyenv installs each Python in a folder beside the others, and puts only the selected ones on PATH: add the others.
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
"""The supported Pythons of each supported Airflow. On the first Python, the tests that start a real Airflow run too."""

OLDEST, NEWEST = "2.11", "3.3"

REST = "rest"
"""The tag of the sessions that run for every change, beside `make test-all` (the newest Airflow on its first Python).

They take each Airflow on its first Python, and each other Python with one Airflow. All pairs run in the workflow, and
with `make matrix` alone.
"""

WITHOUT_TOOLS = (
    *("--ignore=tests/docs", "--ignore=tests/site", "--ignore=tests/benchmarks", "--ignore=tests/dev"),
    *(f"--ignore=tests/e2e/test_{name}.py" for name in ("demo", "harness", "postgres", "tutorial")),
)
"""Leaves out the tests of the documentation and of the tools for development, which need only the newest Airflow."""

WITHOUT_PROTOCOL = (
    *("--ignore-glob=tests/client/*", "--ignore=tests/emulator"),
    *(
        "--ignore=tests/triggers/test_herd.py",
        "--ignore=tests/triggers/test_outage.py",
        "--ignore=tests/e2e/test_proxy.py",
    ),
)
"""Leaves out the tests of the client and the emulator, which do not import Airflow.

They run on every Python and with each extreme of the dependencies: on 3.11 with the lowest versions and with those
of the newest Airflow, on 3.12 with those of the oldest Airflow, and on 3.13 with those of the newest.
"""

UNIT = ("-n", "5", "--dist", "worksteal", "-m", "not e2e and not alone and not ui")
"""The tests that start no Airflow processes. They wait half of the time: five of them fit on two cores."""

REAL = ("-n", "2", "--dist", "loadfile", "tests/e2e", "-m", "e2e and not kills and not bad_day and not ui")
"""The tests that start a real Airflow, those of two modules at a time."""

ALONE = ("tests/client/transport", "tests/triggers", "-m", "alone")
"""The tests that measure time, one after the other."""

SUITES = {"unit": UNIT, "real": REAL, "alone": ALONE}
"""The suites by the names that the command line takes. `.ci/run` runs `unit` beside what mostly waits."""

PINNED_BUILDS = (
    *("--preview-features", "build-dependency-hashes", "--require-build-hashes"),
    *("--build-constraints", "constraints/build.txt"),
)
"""Where uv has to build a package, it uses only build tools whose hashes are pinned."""


def _install(session: nox.Session, *constraints: str) -> None:
    """Install exactly the files whose hashes are in the constraints, then this package, which has no hash."""
    session.install(
        "--compile-bytecode",  # otherwise, if Python may not store byte code, each process compiles all of Airflow
        *("--require-hashes", *PINNED_BUILDS),
        *(argument for name in constraints for argument in ("--requirements", f"constraints/{name}.txt")),
    )
    session.install("--no-deps", *PINNED_BUILDS, "--editable", ".")
    session.run("python", "-c", "import airflow, sys; print('Airflow', airflow.__version__, 'Python', sys.version)")


def _test(session: nox.Session, *suites: tuple[str, ...], without: tuple[str, ...] = ()) -> None:
    """Run the suites one after the other, those of them that the command line names, or its tests.

    :param suites: for each run of pytest, the options that select its tests.
    :param without: options that leave out tests.
    """
    chosen = [SUITES[name] for name in session.posargs if name in SUITES]
    if len(chosen) < len(session.posargs):
        session.run("pytest", *session.posargs)
        return
    for suite in [suite for suite in suites if suite in chosen or not chosen]:
        # 5: none of the tests is in the suite, which happens without those of the protocol
        session.run("pytest", *suite, *without, success_codes=[0, 5] if suite is ALONE else [0])


@nox.session(python="3.11")
@nox.parametrize("airflow", [nox.param(airflow, tags=[REST] if airflow != NEWEST else []) for airflow in PYTHONS])
def whole(session: nox.Session, airflow: str) -> None:
    """Run all tests, including those that start a real Airflow."""
    _install(session, f"airflow-{airflow}")
    _test(session, UNIT, REAL, ALONE, without=() if airflow == NEWEST else (*WITHOUT_TOOLS, *WITHOUT_PROTOCOL))


@nox.session
@nox.parametrize(
    ("python", "airflow"),
    [
        nox.param(python, airflow, tags=[REST] if (python, airflow) in {("3.12", OLDEST), ("3.13", NEWEST)} else [])
        for airflow, (_, *others) in PYTHONS.items()
        for python in others
    ],
)
def unit(session: nox.Session, airflow: str) -> None:
    """Run the tests that start no Airflow processes, on the other Pythons."""
    _install(session, f"airflow-{airflow}")
    _test(session, UNIT, ALONE, without=(*WITHOUT_TOOLS, *(() if airflow in (OLDEST, NEWEST) else WITHOUT_PROTOCOL)))


@nox.session(python="3.11", tags=[REST])
def lowest(session: nox.Session) -> None:
    """Run the tests that start no Airflow processes, with the lowest versions that pyproject.toml allows."""
    _install(session, "lowest")
    _test(session, UNIT, ALONE, without=WITHOUT_TOOLS)


@nox.session(python="3.11", default=False)
@nox.parametrize("airflow", ["3.3", "2.11"])
def ui(session: nox.Session, airflow: str) -> None:
    """Test Airflow's web UI and the documentation's site in a browser, which must be installed."""
    _install(session, f"airflow-{airflow}", "ui")
    session.run("pytest", *(session.posargs or ("-m", "ui", "tests/ui", "tests/site")))
