"""The operator of many inputs in a process of its own that SIGKILL ends while White Rabbit answers."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.compat import AirflowFailException
from airflow_provider_whiterabbit.emulator import Emulator, effects
from dev.harness.standins import FakeAirflow, FakeStateStore
from tests.operators.test_components import paid, pay, payees_in, records, wr
from tests.versions import needs_store

__all__ = ["wr"]  # a fixture

PAYEES = [f"payee-{number}" for number in range(30)]


class StoreInFile(FakeStateStore):
    """A task state store in a file, which survives the process."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        self._lock = threading.Lock()  # several threads delete answers at the same time
        if file.exists():
            self.values = json.loads(file.read_text())

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        """Store a JSON value in one step."""
        super().set(key, value, retention=retention)
        self._save()

    def delete(self, key: str) -> None:
        """Delete a stored value."""
        super().delete(key)
        self._save()

    def _save(self) -> None:
        new = self._file.with_suffix(".new")
        with self._lock:
            new.write_text(json.dumps(self.values))
            new.replace(self._file)


def airflow_with(file: Path) -> FakeAirflow:
    """Return an Airflow whose task state store is a file."""
    airflow = FakeAirflow(timing=Timing(first_pause=0))
    airflow._store = StoreInFile(file)
    return airflow


def first_try(file: Path, environ: dict[str, str]) -> None:
    """Execute the first try of the task, in a process of its own."""
    os.environ.update(environ)
    airflow_with(file).run(pay(*PAYEES, at_once=4))


@needs_store
def test_killed(wr: Emulator, tmp_path: Path) -> None:
    """A retry names exactly the inputs that were under way; when these are settled, it submits what never was."""
    file = tmp_path / "store.json"
    wr.fault(effects.Hold(), kind="submit", skip=10, times=99)
    process = multiprocessing.get_context("spawn").Process(target=first_try, args=(file, wr.environ))
    process.start()
    wr.wait_for_request(kind="submit", count=14, timeout=120)
    process.kill()
    process.join()
    wr.clear_faults()

    airflow = airflow_with(file)
    under_way = [key for key, record in records(airflow).items() if record["id"] is None]
    assert len(under_way) == 4
    with pytest.raises(AirflowFailException) as caught:
        airflow.run(pay(*PAYEES), 2)
    named = sorted(under_way, key=lambda key: int(key[7:-1]))
    assert str(caught.value).startswith(
        f"There is a doubt about {', '.join(named)}, so no more was submitted; 10 of 30"
    )
    assert len(paid(wr)) == 14

    executions = {execution["output"]["paid"]: execution["id"] for execution in wr.executions}
    for page in airflow.store.values.values():
        for key in page.keys() & set(under_way):  # as a person settles them, who looks into White Rabbit
            page[key] |= {"id": executions[PAYEES[int(key[7:-1])]]}
    assert payees_in(airflow.run(pay(*PAYEES), 3)) == PAYEES
    assert sorted(execution["output"]["paid"] for execution in wr.executions) == sorted(PAYEES)
