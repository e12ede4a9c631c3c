"""The operator of the kills' DAGs: it stops in its first try at the point that the DAG run's configuration names."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.compat import DAG, get_current_context
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.components import WhiteRabbitExecuteComponentsOperator

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import Context

FOLDER = Path(os.environ["KILLS_FOLDER"])
"""A task writes its process id to `<module>.pid` here, creates `<module>.<point>` when it stops, and continues when
`<module>.go` exists."""

PAY: dict[str, Any] = {
    "task_id": "pay",
    "module": "{{ dag_run.conf['module'] }}",
    "stops": "{{ dag_run.conf['stops'] }}",
    "retry_delay": timedelta(seconds=1),
}
"""The arguments that all tasks have in common."""


class StoppingStateStore:
    """Wraps the task state store and stops before and after the writes of the intent and of the id.

    :param stop_at: is called with the name of each point that the task reaches.
    :param key: the key of the submission among those of a page of records; None for a task that submits once.
    """

    def __init__(self, store: Any, stop_at: Callable[[str], None], key: str | None = None) -> None:
        self._store = store
        self._stop_at = stop_at
        self._key = key

    def set(self, key: str, value: Any, **options: Any) -> None:
        """Store a value."""
        record = value if self._key is None else value.get(self._key)
        if record is None:  # other keys, and the number of pages
            self._store.set(key, value, **options)
            return
        before, after = ("intent", "post") if record["id"] is None else ("id", "defer")
        self._stop_at(before)
        self._store.set(key, value, **options)
        self._stop_at(after)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class StoppingMixin:
    """Mixin for operators that stop at one point of a submission."""

    module: Any
    stops: Any

    _stopped_key: str | None = None
    """The key of the submission that stops; None for a task that submits once."""

    def execute(self, context: Context) -> Any:
        """Write the process id, and submit the component."""
        self._file("pid").write_text(str(os.getpid()))
        if context["ti"].try_number == 1:
            changed: Any = context
            store = changed["task_state_store"]
            changed["task_state_store"] = StoppingStateStore(store, self._stop_at, self._stopped_key)
        return super().execute(context)  # type: ignore[misc]

    def execute_answered(self, context: Context, event: Any = None) -> Any:
        """Write the process id, and continue after a person's answer."""
        self._file("pid").write_text(str(os.getpid()))
        return super().execute_answered(context, event)  # type: ignore[misc]

    def execute_complete(self, context: Context, event: Any = None, identity: Any = None) -> Any:
        """Write the process id, and resume."""
        self._file("pid").write_text(str(os.getpid()))
        return super().execute_complete(context, event, identity)  # type: ignore[misc]

    def _stop_at(self, point: str) -> None:
        stop_at(self.module, self.stops, point)

    def _file(self, suffix: str) -> Path:
        return FOLDER / f"{self.module}.{suffix}"


class StoppingOperator(StoppingMixin, WhiteRabbitExecuteComponentOperator):
    """Executes a component and stops at one point of the submission.

    :param stops: name of the point; templated.
    """

    template_fields = (*WhiteRabbitExecuteComponentOperator.template_fields, "stops")

    def __init__(self, *, stops: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stops = stops


class StoppingManyOperator(StoppingMixin, WhiteRabbitExecuteComponentsOperator):
    """Executes a component twice and stops at one point of the second submission.

    :param stops: name of the point; templated.
    """

    template_fields = (*WhiteRabbitExecuteComponentsOperator.template_fields, "stops")
    _stopped_key = "inputs[1]"

    def __init__(self, *, stops: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stops = stops


def stop_at(module: str, stops: str, point: str) -> None:
    """Stop until the test lets the task go on, if this is the point at which the task stops."""
    if point == stops:
        (FOLDER / f"{module}.{point}").touch()
        while not (FOLDER / f"{module}.go").exists():
            time.sleep(0.05)


def pay_each(*payees: str, module: str, stops: str) -> Any:
    """Pay each payee under a key of its own, and stop at one point of the last submission; return the last receipt."""
    (FOLDER / f"{module}.pid").write_text(str(os.getpid()))
    context: Any = get_current_context()
    if context["ti"].try_number == 1:
        stopping = partial(stop_at, module, stops)
        context["task_state_store"] = StoppingStateStore(context["task_state_store"], stopping, payees[-1])
    with WhiteRabbitHook() as hook:
        once = hook.once()
        for payee in payees:
            once.execute_component(payee, module, {"payee": payee})
        receipts = once.results()
        context["ti"].xcom_push(key="execution_id", value=once.wait(payees[-1]).id)
    return receipts[payees[-1]]


def kills_dag(dag_id: str, *, payee: str = "alice", retries: int = 2, **options: Any) -> DAG:
    """Return a DAG with one task, which pays the payee and has these options."""
    with DAG(dag_id, schedule=None, catchup=False, max_active_runs=100, max_active_tasks=100) as dag:
        StoppingOperator(**PAY, input={"payee": payee}, retries=retries, **options)
    return dag
