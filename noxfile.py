"""The matrix: every supported version of Airflow, and every Python that it allows. Run by `make matrix`."""

from __future__ import annotations

import nox

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


def _install(session: nox.Session, airflow: str) -> None:
    session.install("--constraint", f"constraints/airflow-{airflow}.txt", "--editable", ".[emulator]", "--group", "dev")
    session.run("python", "-c", "import airflow, sys; print('Airflow', airflow.__version__, 'Python', sys.version)")


@nox.session(python="3.11")
@nox.parametrize("airflow", list(PYTHONS))
def whole(session: nox.Session, airflow: str) -> None:
    """Run all tests, those on a real Airflow included."""
    _install(session, airflow)
    session.run("pytest", "-m", "not kills and not bad_day", *session.posargs)


@nox.session
@nox.parametrize(
    ("python", "airflow"), [(python, airflow) for airflow, (_, *others) in PYTHONS.items() for python in others]
)
def unit(session: nox.Session, airflow: str) -> None:
    """Run the tests that need no Airflow processes on the other Pythons."""
    _install(session, airflow)
    session.run("pytest", "-m", "not e2e", *session.posargs)
