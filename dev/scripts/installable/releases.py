"""The releases of Airflow that the package is installed with, and the days of these releases."""

from __future__ import annotations

from dataclasses import dataclass

PYTHON = "3.11"
"""The Python that all supported versions of Airflow run on."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release of Airflow.

    :param airflow: the version.
    :param day: the day of the release, as ``YYYY-MM-DD`` in UTC.
    :param tests: the arguments of pytest that select the tests to run.
    """

    airflow: str
    day: str
    tests: tuple[str, ...]

    @property
    def end_of_day(self) -> str:
        """The last second of the day, for uv's option ``--exclude-newer``."""
        return f"{self.day}T23:59:59Z"


ALL = ("tests", "--ignore=tests/docs", "--ignore=tests/benchmarks", "--ignore=tests/dev")
"""All tests but those of this repository's pages and programs, which need the newest Airflow."""

WITH_AIRFLOW = (
    *("tests/hooks", "tests/operators", "tests/sensors", "tests/triggers", "tests/ending"),
    *("tests/test_compat.py", "tests/test_provider_info.py", "tests/test_versions.py"),
    "--ignore=tests/triggers/test_event_loop.py",  # it takes a quarter of the time, and tests little of Airflow
)
"""Tests of what imports Airflow, and of its use of the libraries of the transports."""

RELEASES = (
    Release("2.11.0", "2025-05-20", ALL),
    Release("2.11.2", "2026-03-14", WITH_AIRFLOW),
    Release("3.0.0", "2025-04-22", WITH_AIRFLOW),
    Release("3.0.6", "2025-08-29", WITH_AIRFLOW),
    Release("3.1.0", "2025-09-25", WITH_AIRFLOW),
    Release("3.1.8", "2026-03-11", WITH_AIRFLOW),
    Release("3.2.0", "2026-04-07", WITH_AIRFLOW),
    Release("3.2.2", "2026-05-29", WITH_AIRFLOW),
    Release("3.3.0", "2026-07-06", WITH_AIRFLOW),
    Release("3.3.2", "2026-09-17", WITH_AIRFLOW),
)
"""The first release and the newest patch of each supported version of Airflow.

Source of the days: the upload times of ``apache-airflow`` in the package index, as uv writes them into a lock file:
``echo apache-airflow==3.3.2 | uv pip compile - --no-deps --format pylock.toml``.
"""
