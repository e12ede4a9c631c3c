"""Reads from Airflow's database which runs the executions have started."""

from __future__ import annotations

from collections import Counter
from typing import Any

import sqlalchemy

_RUNS = """
SELECT partition_key, dag_id FROM dag_run WHERE partition_key IS NOT NULL AND dag_id LIKE 'chaos_%'
"""
_SHARED_RUNS = """
SELECT event.extra ->> 'execution_id', run.dag_id
FROM dag_run AS run
JOIN dagrun_asset_event AS consumed ON consumed.dag_run_id = run.id
JOIN asset_event AS event ON event.id = consumed.event_id
WHERE run.partition_key IS NULL AND event.partition_key IS NULL AND run.dag_id LIKE 'chaos_%'
"""
_QUEUED = """
SELECT (SELECT count(*) FROM asset_dag_run_queue)
     + (SELECT count(*) FROM asset_partition_dag_run WHERE created_dag_run_id IS NULL)
"""
_UNFINISHED = "SELECT count(*) FROM dag_run WHERE state <> 'success' AND dag_id LIKE 'chaos_%'"
_EVENTS = """
SELECT asset.name, event.timestamp::text, event.partition_key
FROM asset_event AS event JOIN asset ON asset.id = event.asset_id
WHERE event.extra ->> 'execution_id' = :id AND event.extra ->> 'from_rest_api' IS NULL
"""
_PARTITIONS = "SELECT target_dag_id, created_dag_run_id FROM asset_partition_dag_run WHERE partition_key = :id"

Runs = Counter[tuple[str, str]]
"""How many runs started for an execution, by the execution's id and the DAG's id.

A run that executions share counts for each of them, as often as it has received the execution's event.
"""


class Ledger:
    """Airflow's tables.

    :param url: SQLAlchemy URL of the database.
    """

    def __init__(self, url: str) -> None:
        self._engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)

    def runs(self) -> Runs:
        """Return how many runs each execution has started."""
        return Counter((str(row[0]), str(row[1])) for sql in (_RUNS, _SHARED_RUNS) for row in self._query(sql))

    def queued(self) -> int:
        """Return for how many runs Airflow has events and has not created the run yet."""
        return int(self._query(_QUEUED)[0][0])

    def unfinished(self) -> int:
        """Return how many runs have not succeeded."""
        return int(self._query(_UNFINISHED)[0][0])

    def explain(self, execution_id: str) -> str:
        """Return the asset events of an execution and the runs that Airflow has queued for them."""
        rows = [*self._query(_EVENTS, id=execution_id), *self._query(_PARTITIONS, id=execution_id)]
        return "; ".join(str(tuple(row)) for row in rows) or "no event"

    def _query(self, sql: str, **parameters: str) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(sqlalchemy.text(sql), parameters))
