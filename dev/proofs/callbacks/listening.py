"""The DAGs that callbacks start, as files that break, and which executions start which DAG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NAME = "chaos"
"""The name that a third of the executions are submitted with."""

RECOVERY = "recovery"
SUBMITTED = "submitted"
"""The recovery's DAG, and its asset, whose events hold the ids of the submitted executions."""

_LISTENING = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from airflow_provider_whiterabbit import assets

with DAG("{dag_id}", schedule={schedule}, is_paused_upon_creation=False, max_active_runs=1000):
    EmptyOperator(task_id="nothing")
"""

_RECOVERING = """
from datetime import timedelta

from airflow.sdk import DAG, Asset

from airflow_provider_whiterabbit.operators.callbacks import WhiteRabbitReplayCallbacksOperator

with DAG("{dag_id}", schedule=None, is_paused_upon_creation=False, max_active_runs=1):
    WhiteRabbitReplayCallbacksOperator(
        task_id="replay", submitted=Asset("{submitted}"), retries=2, retry_delay=timedelta(seconds=5)
    )
"""

_BROKEN = "import a_module_that_the_deploy_forgot\n"


@dataclass(frozen=True)
class Listening:
    """A DAG that executions start when they end.

    :param asset: what its asset belongs to: the module of executions, or the name that they were submitted with.
    :param each: whether each execution starts a run of its own. Otherwise executions may share a run.
    :param fails: whether the DAG is paused, broken and deleted. It must be the only DAG on its asset, because Airflow
        gives the one event that an asset has of an execution only to the DAGs that are live.
    """

    dag_id: str
    asset: str
    each: bool
    fails: bool

    @property
    def schedule(self) -> str:
        """The DAG's schedule, as code."""
        kind = "named" if self.asset == NAME else "module"
        asset = f"assets.{kind}('{self.asset}', 'both')"
        return f"assets.each({asset})" if self.each else asset


LISTENING = (
    Listening("chaos_each", "CHAOS_EACH", each=True, fails=True),
    Listening("chaos_named", NAME, each=True, fails=True),
    Listening("chaos_together", "CHAOS_TOGETHER", each=False, fails=True),
    Listening("chaos_pair_each", "CHAOS_PAIR", each=True, fails=False),
    Listening("chaos_pair_together", "CHAOS_PAIR", each=False, fails=False),
)
MODULES = ("CHAOS_EACH", "CHAOS_TOGETHER", "CHAOS_PAIR")


def dags_of(module: str, name: str | None) -> list[str]:
    """Return the ids of the DAGs that an execution of a module, submitted with a name or without one, starts."""
    return [listening.dag_id for listening in LISTENING if listening.asset in (module, name)]


class DagFiles:
    """The DAG files in a folder, one for each DAG."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write_all(self) -> None:
        """Write the files of all DAGs."""
        for listening in LISTENING:
            self.write(listening.dag_id)
        self._path(RECOVERY).write_text(_RECOVERING.format(dag_id=RECOVERY, submitted=SUBMITTED))

    def write(self, dag_id: str) -> None:
        """Write the file of a DAG as it should be."""
        (listening,) = (listening for listening in LISTENING if listening.dag_id == dag_id)
        self._path(dag_id).write_text(_LISTENING.format(dag_id=dag_id, schedule=listening.schedule))

    def damage(self, dag_id: str) -> None:
        """Write an import error into the file of a DAG."""
        self._path(dag_id).write_text(_BROKEN)

    def delete(self, dag_id: str) -> None:
        """Delete the file of a DAG."""
        self._path(dag_id).unlink()

    def _path(self, dag_id: str) -> Path:
        return self.folder / f"{dag_id}.py"
