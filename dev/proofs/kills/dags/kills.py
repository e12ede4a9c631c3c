"""DAGs whose task stops, in its first try, where the run's configuration says, and waits there for its death."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.fence import Fence

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_whiterabbit.client.wire.messages import Request

FOLDER = Path(os.environ["KILLS_FOLDER"])
"""Where a task tells its process id (`<module>.pid`) and where it stopped (`<module>.<point>`)."""


class StoppingFence(Fence):
    """A fence that stops before and after each of its writes.

    :param stop: is told the point.
    """

    def __init__(self, fence: Fence, stop: Callable[[str], None]) -> None:
        vars(self).update(vars(fence))
        self._stop = stop

    def intend(self) -> None:
        """Write the intent."""
        self._stop("intent")
        super().intend()
        self._stop("post")

    def adopt(self, identity: str, at: str | None = None) -> None:
        """Write the id."""
        self._stop("id")
        super().adopt(identity, at)
        self._stop("defer")


class MortalOperator(WhiteRabbitExecuteComponentOperator):
    """Executes a component, and stops on the way.

    :param stops: the point; templated.
    """

    template_fields = (*WhiteRabbitExecuteComponentOperator.template_fields, "stops")

    def __init__(self, *, stops: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stops = stops

    def execute(self, context: Context) -> Any:
        """Tell the process id first."""
        self._file("pid").write_text(str(os.getpid()))
        return super().execute(context)

    def execute_complete(self, context: Context, event: Any = None, identity: str | None = None) -> Any:
        """Tell the process id first."""
        self._file("pid").write_text(str(os.getpid()))
        return super().execute_complete(context, event, identity)

    def _submit(self, request: Request, fence: Fence, context: Context) -> Any:
        if context["ti"].try_number == 1:
            fence = StoppingFence(fence, self._stop)
        return super()._submit(request, fence, context)

    def _stop(self, point: str) -> None:
        if point == self.stops:
            self._file(point).touch()
            while not self._file("go").exists():
                time.sleep(0.05)

    def _file(self, suffix: str) -> Path:
        return FOLDER / f"{self.module}.{suffix}"


def kills(dag_id: str, retries: int = 2, **how: Any) -> DAG:
    """Return a DAG with one task."""
    with DAG(dag_id, schedule=None, catchup=False, max_active_runs=100, max_active_tasks=100) as dag:
        MortalOperator(
            task_id="pay",
            module="{{ dag_run.conf['module'] }}",
            stops="{{ dag_run.conf['stops'] }}",
            retries=retries,
            retry_delay=timedelta(seconds=1),
            **how,
        )
    return dag


deferred = kills("kills_deferred", deferrable=True)
worker = kills("kills_worker", deferrable=False)
once = kills("kills_once", deferrable=False, retries=0)
resubmit = kills("kills_resubmit", deferrable=True, on_failed_execution="resubmit", on_uncertain_submission="resubmit")
