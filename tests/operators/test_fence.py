"""The fence of an Airflow without a task state store (before 3.3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_whiterabbit.compat import AirflowFailException
from airflow_provider_whiterabbit.emulator import effects
from dev.harness.standins import FakeAirflow
from tests.operators.remotes import Remote


@pytest.mark.parametrize(
    ("retries", "try_number", "max_tries", "is_first"),
    [
        (0, 1, 0, True),
        (2, 1, 2, True),
        (2, 2, 2, False),
        (2, 3, 2, False),
        (0, 2, 0, False),
        (2, 4, 5, True),
        (2, 5, 5, False),
        (2, 6, 5, False),
        (0, 4, 3, True),
        (0, 5, 3, False),
        (3, 2, 4, True),
        (3, 3, 4, False),
        (0, 2, 2, False),  # `retries` was lowered meanwhile
        (1, 2, 3, False),
        (2, 1, 0, True),  # `retries` was raised
    ],
)
def test_tries(remote: Remote, retries: int, try_number: int, max_tries: int, is_first: bool) -> None:
    """The first try of each generation submits; a retry fails, unless ``resubmit`` allows a second submission."""
    airflow = FakeAirflow(has_store=False)
    if is_first:
        airflow.run(remote.operator(retries=retries), try_number, max_tries)
    else:
        with pytest.raises(AirflowFailException, match="clear this task") as caught:
            airflow.run(remote.operator(retries=retries), try_number, max_tries)
        assert "state-store" not in str(caught.value)
        assert not remote.submissions
        task = remote.operator(retries=retries, on_doubt="resubmit")
        airflow.run(task, try_number, max_tries)
    assert remote.submissions == 1
    assert airflow.ti.ids == {remote.id_name: remote.newest}


def test_uncertain_submission(remote: Remote) -> None:
    """An uncertain submission fails the task, and the message does not mention a store."""
    remote.wr.fault(effects.Reset("answer"), kind=remote.submit)
    with pytest.raises(AirflowFailException, match="not known whether") as caught:
        FakeAirflow(has_store=False).run(remote.operator())
    assert "state-store" not in str(caught.value)
    assert remote.submissions == 1


def test_resubmit_after_failed(remote: Remote, read_log: Callable[[], str]) -> None:
    """With ``on_failed_execution="resubmit"``, the log says that the option needs Airflow 3.3."""
    FakeAirflow(has_store=False).run(remote.operator(on_failed_execution="resubmit"))
    assert "needs Airflow 3.3" in read_log()
