"""Fixtures for the tests of the command that settles doubts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from airflow_provider_whiterabbit.doubts.command import main
from tests.doubts.fake_airflow import FakeAirflow

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def airflow() -> Iterator[FakeAirflow]:
    """Run a server with the routes of Airflow's REST API."""
    with FakeAirflow() as airflow:
        yield airflow


@pytest.fixture
def command(airflow: FakeAirflow, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs the command for the server's DAG run; it returns status, output and errors."""

    def run(*options: str) -> tuple[int, str, str]:
        status = 0
        try:
            main([airflow.dag_id, airflow.run_id, *(() if "--url" in options else ("--url", airflow.url)), *options])
        except SystemExit as ended:
            status = int(ended.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run
