"""Reads from Airflow's database what has become of the tasks, of their submissions, and of the runs of callbacks.

The proof asks the database instead of the API servers, because these are among the parts that fail.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import sqlalchemy

from airflow_provider_whiterabbit.operators.submission import records_in
from dev.proofs.cluster.plan import CALLED_DAG

_TASKS = """
SELECT task_id, map_index, state, try_number, pid FROM task_instance WHERE dag_id = :dag_id
"""
_RESULTS = "SELECT task_id, map_index, value FROM xcom WHERE dag_id = :dag_id AND key = 'return_value'"
_IDS = "SELECT task_id, map_index, value FROM xcom WHERE dag_id = :dag_id AND key = 'execution_id'"
_RECORDS = "SELECT task_id, map_index, key, value FROM task_state_store WHERE dag_id = :dag_id"
_CALLED = """
SELECT run.partition_key, instance.state, instance.try_number, xcom.value
FROM dag_run AS run
LEFT JOIN task_instance AS instance ON instance.dag_id = run.dag_id AND instance.run_id = run.run_id
LEFT JOIN xcom ON xcom.dag_id = run.dag_id AND xcom.run_id = run.run_id AND xcom.key = 'return_value'
WHERE run.dag_id = :dag_id
"""

_WAITS = "SELECT triggerer_id, count(*) FROM trigger WHERE triggerer_id IS NOT NULL GROUP BY triggerer_id"
_SCHEDULED = """
SELECT queued_by_job_id, count(*) FROM task_instance
WHERE state IN ('queued', 'running') AND queued_by_job_id IS NOT NULL GROUP BY queued_by_job_id
"""
_HEARTBEATS = """
SELECT id, extract(epoch FROM now() - latest_heartbeat) FROM job WHERE job_type = :job_type AND state = 'running'
"""
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"

Place = tuple[str, int]
"""A task id and a map index."""


@dataclass(frozen=True)
class Task:
    """A task instance.

    :param pid: id of the process that runs or has run it last; None if there was none.
    """

    state: str | None
    try_number: int
    pid: int | None


@dataclass(frozen=True)
class Record:
    """What the task state store holds of a submission.

    :param key: the key under which the task has submitted; empty for the only submission of an operator.
    :param is_intent: whether there is no id, so that the POST may be under way, or may have been.
    :param doubt: the kind of a doubt that a later try has noted, or None.
    """

    key: str
    is_intent: bool
    doubt: str | None


@dataclass(frozen=True)
class Called:
    """A run that a callback has started.

    :param result: what its task has returned; None if it has returned nothing yet.
    """

    state: str | None
    try_number: int
    result: Any


class Ledger:
    """Airflow's tables.

    :param url: SQLAlchemy URL of the database.
    """

    def __init__(self, url: str) -> None:
        self._engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)

    def tasks(self, dag_id: str) -> dict[Place, Task]:
        """Return the task instances of a DAG, which has one run."""
        return {(row[0], row[1]): Task(*row[2:]) for row in self._query(_TASKS, dag_id)}

    def results(self, dag_id: str) -> dict[Place, Any]:
        """Return what the task instances of a DAG have returned."""
        return {(row[0], row[1]): row[2] for row in self._query(_RESULTS, dag_id)}

    def execution_ids(self, dag_id: str) -> dict[Place, str]:
        """Return the ids that the operators of a DAG have stored as XCom."""
        return {(row[0], row[1]): row[2] for row in self._query(_IDS, dag_id)}

    def records(self, dag_id: str) -> dict[Place, list[Record]]:
        """Return the records of the submissions of a DAG's task instances."""
        stored: defaultdict[Place, dict[str, Any]] = defaultdict(dict)
        for task_id, map_index, key, text in self._query(_RECORDS, dag_id):
            stored[task_id, map_index][key] = json.loads(text)
        return {
            place: [Record(key, record.get("id") is None, record.get("doubt")) for key, record in found.items()]
            for place, values in stored.items()
            for found in [records_in(values)]
        }

    def called(self) -> dict[str, list[Called]]:
        """Return the runs that callbacks have started, by the id of the execution; empty for a run without one."""
        found: defaultdict[str, list[Called]] = defaultdict(list)
        for execution_id, *columns in self._query(_CALLED, CALLED_DAG):
            found[execution_id or ""].append(Called(*columns))
        return found

    def waits(self) -> dict[int, int]:
        """Return how many waits each triggerer has, by the id of its job."""
        return {row[0]: row[1] for row in self._ask(_WAITS)}

    def scheduled(self) -> dict[int, int]:
        """Return how many queued and running tasks each scheduler has sent to the workers, by the id of its job."""
        return {row[0]: row[1] for row in self._ask(_SCHEDULED)}

    def heartbeats(self, job_type: str) -> dict[int, float]:
        """Return how many seconds ago each running job had its last heartbeat, by its id."""
        return {row[0]: float(row[1]) for row in self._ask(_HEARTBEATS, job_type=job_type)}

    def sessions(self) -> int:
        """Return how many sessions of others the database has."""
        return int(self._ask(_SESSIONS)[0][0])

    def _query(self, sql: str, dag_id: str) -> list[Any]:
        return self._ask(sql, dag_id=dag_id)

    def _ask(self, sql: str, **values: str) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(sqlalchemy.text(sql), values))
