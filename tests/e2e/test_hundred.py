"""End-to-end test of a fan-out: one triggerer waits for up to a hundred executions of one mapped task."""

from __future__ import annotations

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until
from tests.versions import HAS_STORE

pytestmark = [pytest.mark.e2e]

COUNTS = [12, pytest.param(100, marks=pytest.mark.long)] if HAS_STORE else [25]
"""Numbers of mapped tasks; fewer on older versions of Airflow, where two hundred processes take minutes."""


@pytest.mark.parametrize("count", COUNTS)
def test_mapped_executions_get_their_own_outputs(airflow: AirflowHome, wr: Emulator, count: int) -> None:
    """All mapped tasks wait at the same time, and each returns the output of its own input."""
    module = f"SQUARE_{count}"
    wr.component(module)
    wr.script(module, output=lambda inputs, _config: {"square": inputs["number"] ** 2}, manual=True)
    run = airflow.run("e2e_hundred", {"count": count, "module": module})

    def ids() -> list[str]:
        return [record["id"] for record in wr.executions if record["module"] == module]

    def all_waiting() -> bool:
        return len(ids()) == count and all(wr.streams(identity) == 1 for identity in ids())

    until(all_waiting, "all streams", 240)
    until(lambda: not airflow.is_busy_with(*run.tasks().values()), "the workers to be free", 60)
    for identity in reversed(ids()):
        wr.complete(identity)
    assert run.wait(240) == "success", airflow.explain(run)
    assert run.xcom("squares") == [number**2 for number in range(count)]
    for number in (0, 1, count // 2, count - 1):
        assert run.xcom("square", map_index=number) == {"square": number**2}
        assert run.xcom("square", "execution_id", map_index=number) in ids()
    submissions = [
        entry.json["input"]["number"] for entry in wr.requests(kind="submit") if entry.json["module"] == module
    ]
    assert sorted(submissions) == list(range(count))
