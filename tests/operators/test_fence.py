"""The fence of an Airflow without a task state store (before 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_whiterabbit.compat import AirflowFailException
from airflow_provider_whiterabbit.emulator import effects
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.components import WhiteRabbitExecuteComponentsOperator
from airflow_provider_whiterabbit.operators.fence import keyed_fence_of
from airflow_provider_whiterabbit.operators.fence.keyed import KeyedRecords
from airflow_provider_whiterabbit.operators.fence.runs import is_own
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from dev.harness.standins import RETRIES, FakeAirflow, FakeTaskInstance
from tests.operators.remotes import Remote
from tests.versions import HAS_SDK


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


RUNS_AGAIN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "poke": ({"reschedule": True}, {}),
    "Airflow 2": ({}, {"next_method": "resume"}),
    "Airflow 3": ({}, {"_ti_context_from_server": SimpleNamespace(next_method="resume")}),
}
if HAS_SDK:
    RUNS_AGAIN["rescheduled"] = ({}, {"_ti_context_from_server": SimpleNamespace(task_reschedule_count=1)})
"""Attributes of the task and of its task instance, if the code of the task may run again within one try."""


@pytest.mark.parametrize("case", RUNS_AGAIN)
def test_runs_again_in_one_try(remote: Remote, case: str) -> None:
    """In a task that may run again within one try, an operator submits only if it may do so twice."""
    airflow, (task, ti) = FakeAirflow(has_store=False), RUNS_AGAIN[case]

    def run(**options: Any) -> None:
        airflow.ti = FakeTaskInstance()
        vars(airflow.ti).update(ti)
        operator = remote.operator(**options)
        operator.execute(airflow.context(operator) | {"task": SimpleNamespace(retries=RETRIES, **task)})

    for _ in range(2):
        with pytest.raises(AirflowFailException, match=r"an earlier run of this try may.* or was deferred submits"):
            run()
    assert not remote.submissions
    run(on_doubt="resubmit")
    assert remote.submissions == 1


def test_reschedule_before_the_first_run(remote: Remote) -> None:
    """An operator that Airflow has rescheduled because a worker could not load its DAG has not run yet, and submits."""
    airflow, operator = FakeAirflow(has_store=False), remote.operator()
    vars(airflow.ti)["_ti_context_from_server"] = SimpleNamespace(task_reschedule_count=1)
    operator.execute(airflow.context(operator))
    assert remote.submissions == 1


class Typed(WhiteRabbitExecuteComponentOperator):
    """A class as the generator of typed components writes it."""


class Rescheduling(WhiteRabbitExecuteComponentOperator):
    """A class whose code may reschedule the task after the submission."""

    def execute(self, context: Any) -> Any:
        """Execute the component, and perhaps something else."""
        return super().execute(context)


class Checking(WhiteRabbitTriggerWorkflowOperator):
    """The same in another method."""

    def post_execute(self, context: Any, result: Any = None) -> None:
        """Look at the result."""


OWN = {
    True: [
        WhiteRabbitTriggerWorkflowOperator(task_id="pay", workflow_id="flow"),
        WhiteRabbitExecuteComponentsOperator(task_id="pay", module="PAY", inputs=[]),
        Typed(task_id="pay", module="PAY"),
    ],
    False: [
        WhiteRabbitExecuteComponentOperator(task_id="pay", module="PAY", post_execute=print),
        Rescheduling(task_id="pay", module="PAY"),
        Checking(task_id="pay", workflow_id="flow"),
        SimpleNamespace(waits_for=1),
    ],
}


@pytest.mark.parametrize("own", [True, False])
def test_own_code(own: bool) -> None:
    """A task with code of a user, which may have rescheduled it after its submission, is not the provider's own."""
    for task in OWN[own]:
        assert is_own(task) is own, task


@pytest.mark.parametrize("case", [None, *RUNS_AGAIN])
def test_key_of_a_task_that_runs_again(case: str | None) -> None:
    """Under a key, such a task submits as little."""
    task, ti = RUNS_AGAIN[case] if case else ({}, {})
    context: Any = {"ti": SimpleNamespace(try_number=1, **ti), "task": SimpleNamespace(**task)}
    fence = keyed_fence_of(context, "component PAY", KeyedRecords(None), "alice")
    earlier = fence.earlier()
    assert (earlier is None) is (case is None)
    assert earlier is None or earlier.made == "that an earlier run of this try may have made"
    assert ("mode='poke'" in fence.remedy) is (case is not None)
