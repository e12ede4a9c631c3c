"""End-to-end test of a fan-out: one triggerer waits for a hundred executions of one mapped task."""

from __future__ import annotations

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until
from tests.versions import HAS_STORE

pytestmark = pytest.mark.e2e

COUNT = 100 if HAS_STORE else 25
"""Number of mapped tasks; fewer on older versions of Airflow, where two hundred processes take minutes."""


def test_a_hundred_mapped_executions_get_their_own_outputs(airflow: AirflowHome, wr: Emulator) -> None:
    """All mapped tasks wait at the same time, and each returns the output of its own input."""
    wr.script("SQUARE", output=lambda inputs, _config: {"square": inputs["number"] ** 2}, manual=True)
    run = airflow.run("e2e_hundred", {"count": COUNT})

    def ids() -> list[str]:
        return [record["id"] for record in wr.executions if record["module"] == "SQUARE"]

    def all_waiting() -> bool:
        return len(ids()) == COUNT and all(wr.streams(identity) == 1 for identity in ids())

    until(all_waiting, "all streams", 240)
    until(lambda: not airflow.is_busy_with(*run.tasks().values()), "the workers to be free", 60)
    for identity in reversed(ids()):
        wr.complete(identity)
    assert run.wait(240) == "success", airflow.explain(run)
    assert run.xcom("squares") == [number**2 for number in range(COUNT)]
    for number in (0, 1, 17, COUNT - 1):
        assert run.xcom("square", map_index=number) == {"square": number**2}
        assert run.xcom("square", "execution_id", map_index=number) in ids()
    submissions = [
        entry.json["input"]["number"] for entry in wr.requests(kind="submit") if entry.json["module"] == "SQUARE"
    ]
    assert sorted(submissions) == list(range(COUNT))
