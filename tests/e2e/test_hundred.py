"""Fan-out: many executions of one mapped task, all waited for by one triggerer."""

from __future__ import annotations

import pytest

from dev.harness.airflow_api import until
from tests.versions import HAS_STORE

pytestmark = pytest.mark.e2e

COUNT = 100 if HAS_STORE else 25
"""On the older versions of Airflow fewer, which show as much: there two hundred processes take minutes."""


def test_a_hundred_mapped_executions_get_their_own_outputs(airflow, wr):
    """All wait at the same time; each output arrives on the index of its input."""
    wr.script("SQUARE", output=lambda inputs, _config: {"square": inputs["number"] ** 2}, manual=True)
    run = airflow.run("e2e_hundred", {"count": COUNT})

    def ids():
        return [record["id"] for record in wr.executions if record["module"] == "SQUARE"]

    def all_waiting():
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
