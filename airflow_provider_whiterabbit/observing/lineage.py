"""Tells OpenLineage about the execution or workflow run of a task, in Airflow deployments that have OpenLineage.

After a task has ended, OpenLineage's listener calls the methods of `LineageMixin`, by default in a fork of the task's
process, and the task waits for it. So the methods use only what the task has seen itself. A request to White Rabbit
could delay the task. The fork shares the socket to Airflow's supervisor with the task's process, so that a read of the
connection which the listener interrupts could fail the task.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import urlsplit

from airflow_provider_whiterabbit.client.text import clean, one_line
from airflow_provider_whiterabbit.masking import failure_of, masked

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

log = logging.getLogger(__name__)

MAX_TEXT = 300
"""How many characters of an id, a name or a status OpenLineage gets at most."""


@dataclass(frozen=True, slots=True)
class SeenRun:
    """What a task has seen of its execution or workflow run last.

    It holds no output: outputs may be secret, and OpenLineage can be configured to report all attributes of a task.

    :param identity: the id.
    :param status: the status; None before the task has read the record.
    :param credits_spent: the number of credits; None if unknown, and before the end.
    :param module: the name of the component; None if unknown, and for a workflow run.
    :param failure: says why it did not complete; None if it did, or has not ended.
    """

    identity: str
    status: str | None = None
    credits_spent: float | None = None
    module: str | None = None
    failure: str | None = None

    @classmethod
    def from_record(cls, record: Any) -> Self:
        """Return what a task has seen in the record of an execution or workflow run."""
        return cls(
            identity=record.id,
            status=str(record.status),
            credits_spent=record.total_usage if record.is_terminal else None,  # they are not spent before
            module=getattr(record, "module", None),
            failure=failure_of(record) if record.is_terminal and not record.succeeded else None,
        )


class LineageMixin:
    """Mixin for Airflow tasks that tell OpenLineage about their execution or workflow run."""

    waits_for: ClassVar[Any]
    whiterabbit_conn_id: str

    _lineage_seen: SeenRun | None = None

    def get_openlineage_facets_on_start(self) -> OperatorLineage | None:
        """Return what is known of the execution or workflow run when a worker starts or resumes the task.

        OpenLineage's listener calls this method and the two methods below. They send no request, and if something is
        wrong, they log a warning and return None.
        """
        return self._lineage_report()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage | None:
        """Return what is known of the execution or workflow run when the task has succeeded or was skipped."""
        return self._lineage_report()

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage | None:
        """Return what is known of the execution or workflow run when the task has failed."""
        return self._lineage_report()

    def _lineage_report(self) -> OperatorLineage | None:
        try:
            from airflow_provider_whiterabbit.observing.facets import operator_lineage

            return operator_lineage(**self._lineage_facts())
        except Exception as error:  # OpenLineage, or a subclass with attributes of the same names
            log.warning("OpenLineage gets nothing about White Rabbit: %s", one_line(repr(error), MAX_TEXT))
            return None

    def _lineage_facts(self) -> dict[str, Any]:
        seen = self._lineage_seen
        # This must not create the hook: OpenLineage asks before `pre_execute`, which can still change the connection.
        base_url: str | None = getattr(vars(self).get("whiterabbit_hook"), "_known_base_url", None)
        return {
            "id_name": self.waits_for.id_name,
            "connection_id": _short(str(self.whiterabbit_conn_id)),  # perhaps another task's output, not rendered yet
            "identity": _short(self._lineage_id()),
            "host": None if base_url is None else urlsplit(base_url).netloc.rpartition("@")[2],
            "subject": _short(self._lineage_subject()),
            "status": _short(seen.status) if seen else None,
            "credits_spent": seen.credits_spent if seen else None,
            "failure": clean(seen.failure) if seen and seen.failure else None,
        }

    def _lineage_id(self) -> str | None:
        """Return the id of the execution or workflow run; None if the task's process has not seen it."""
        return None if self._lineage_seen is None else self._lineage_seen.identity

    def _lineage_subject(self) -> str | None:
        """Return the name of the component, or the id of the workflow; None if the task's process has not seen it."""
        return None if self._lineage_seen is None else self._lineage_seen.module

    def _lineage_saw_id(self, target_id: str | None) -> None:
        """Remember the id of the task's execution or workflow run; None forgets what was seen."""
        if target_id is None or self._lineage_seen is None or self._lineage_seen.identity != target_id:
            self._lineage_seen = None if target_id is None else SeenRun(target_id)

    def _lineage_saw_record(self, record: Any) -> None:
        """Remember what OpenLineage may know of the record of the task's execution or workflow run."""
        self._lineage_seen = SeenRun.from_record(record)


def _short(text: str | None) -> str | None:
    return None if text is None else one_line(masked(text), MAX_TEXT)
