"""Run the cases of a bad day one after the other, on one Airflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_home import AirflowHome
from dev.harness.postgres import Postgres
from dev.proofs.bad_day.cases import CASES, Case
from dev.proofs.bad_day.outcome import Row, collect_problem, outcome_of
from dev.proofs.bad_day.testbed import SETTINGS, Testbed

DAGS = Path(__file__).parent / "dags"
SIZES = {"triggerer": 25, "worker": 5, "component": 5, "ending": 5}
"""How many waits of each way end around each case."""


def run_cases(
    cases: Sequence[Case] = CASES, sizes: Mapping[str, int] = SIZES, on_row: Callable[[Row], object] = lambda row: None
) -> list[Row]:
    """Run the cases and return the rows of the table.

    :param sizes: how many waits of each way end around each case.
    :param on_row: is called with each row when its case has ended.
    """
    environ = SETTINGS | {"BAD_DAY_SIZES": json.dumps(sizes)}
    with (
        Emulator() as wr,
        Postgres() as postgres,
        AirflowHome([DAGS], database=postgres.url, environ=environ) as airflow,
    ):
        airflow.start("triggerer-2")
        _store_connection(airflow, wr)
        testbed = Testbed(wr, airflow, postgres)
        for number in range(len(cases)):
            testbed.start_batch(f"BAD_DAY_{number}", sizes)
        rows = []
        for case in cases:
            rows.append(_run_case(testbed, case))
            on_row(rows[-1])
        return rows


def _store_connection(airflow: AirflowHome, wr: Emulator) -> None:
    """Store the connection in Airflow's database, so that the tasks need the database, which fails in one case."""
    connection = wr.connection | {"connection_id": "whiterabbit_default", "extra": json.dumps(wr.connection["extra"])}
    airflow.api.call("POST", "/connections", connection)


def _run_case(testbed: Testbed, case: Case) -> Row:
    """Let one part fail while all waits are in flight and the waits of the first batch end."""
    batch = testbed.batches[0]
    testbed.kills = 0
    testbed.restarts.clear()
    problem = ""
    try:
        for other in testbed.batches:
            testbed.until(partial(testbed.is_in_flight, other), "all waits to be in flight")
        case.fail(testbed)
        testbed.until(batch.has_ended, "the waits to end")
        testbed.until(lambda: batch.run.state != "running", "the run to end")
        problem = collect_problem(batch)
    except TimeoutError as error:
        problem = str(error)
    waits = sum(len(other.waits) for other in testbed.batches)
    row = outcome_of(testbed, case, batch, waits, problem)
    testbed.batches.pop(0)
    return row
