"""A bad day: a real Airflow with PostgreSQL and two triggerers, 200 waits in flight, and everything fails once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_home import AirflowHome
from dev.harness.postgres import Postgres
from dev.proofs.bad_day.cases import CASES, Case
from dev.proofs.bad_day.day import SETTINGS, Day
from dev.proofs.bad_day.verdict import Row, collected, judge

DAGS = Path(__file__).parent / "dags"
SIZES = {"triggerer": 25, "worker": 5, "component": 5, "ending": 5}
"""How many waits of each way end around each case."""


def play(
    cases: Sequence[Case] = CASES, sizes: Mapping[str, int] = SIZES, say: Callable[[Row], object] = lambda row: None
) -> list[Row]:
    """Play the cases one after the other and return the rows of the table.

    :param say: is told each row as soon as it is known.
    """
    environ = SETTINGS | {"BAD_DAY_SIZES": json.dumps(sizes)}
    with (
        Emulator() as wr,
        Postgres() as postgres,
        AirflowHome([DAGS], database=postgres.url, environ=environ) as airflow,
    ):
        airflow.start("triggerer-2")
        _connect(airflow, wr)
        day = Day(wr, airflow, postgres)
        for number in range(len(cases)):
            day.start(f"BAD_DAY_{number}", sizes)
        rows = []
        for case in cases:
            rows.append(_play(day, case))
            say(rows[-1])
        return rows


def _connect(airflow: AirflowHome, wr: Emulator) -> None:
    """Store the connection where Airflow looks it up in its database, which is not there all day."""
    connection = wr.connection | {"connection_id": "whiterabbit_default", "extra": json.dumps(wr.connection["extra"])}
    airflow.api.call("POST", "/connections", connection)


def _play(day: Day, case: Case) -> Row:
    """Let one thing go wrong with all waits in flight, and those of the first batch ending around it."""
    batch = day.batches[0]
    day.kills = 0
    day.revived.clear()
    trouble = ""
    try:
        for flying in day.batches:
            day.until(partial(day.is_in_flight, flying), "all waits to be in flight")
        case.play(day)
        day.until(batch.has_ended, "the waits to end")
        day.until(lambda: batch.run.state != "running", "the run to end")
        trouble = collected(batch)
    except TimeoutError as error:
        trouble = str(error)
    waits = sum(len(flying.waits) for flying in day.batches)
    row = judge(day, case, batch, waits, trouble)
    day.batches.pop(0)
    return row
