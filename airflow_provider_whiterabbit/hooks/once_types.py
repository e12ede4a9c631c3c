"""The types that the modules of `Once` share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow_provider_whiterabbit.client.wait.target import Target
from airflow_provider_whiterabbit.observing.tasks import TaskMetrics

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
    from airflow_provider_whiterabbit.client.transport.sync import Client
    from airflow_provider_whiterabbit.client.wait.timing import Timing
    from airflow_provider_whiterabbit.client.wire.messages import Request
    from airflow_provider_whiterabbit.operators.doubt import Search
    from airflow_provider_whiterabbit.operators.fence import Fence

T = TypeVar("T")


class Caller(Protocol):
    """What `Once` needs of the hook."""

    whiterabbit_conn_id: str

    @property
    def timing(self) -> Timing:
        """Time limits and pauses."""

    def get_conn(self) -> Client:
        """Return the blocking client."""

    def run_async(self, work: Callable[[AsyncClient], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine with an asynchronous client."""

    def _component_requests(
        self, module: str, inputs: Mapping[str, Any] | None, config: Mapping[str, Any] | None, /, **options: Any
    ) -> tuple[Request, Request]:
        """Return the request that executes a component with the names of secrets, and with the secrets."""


@dataclass(slots=True)
class Taken:
    """What stands under a key in this try: an execution or a workflow run.

    :param request: the digest of what was asked.
    :param record: its record, as it was read last; None if it was not read.
    :param is_counted: whether its end was reported as a metric.
    """

    target: Target[Any]
    subject: str
    module: str | None
    request: str
    target_id: str
    record: Any = None
    is_counted: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether its end is known."""
        return self.record is not None and bool(self.record.is_terminal)


@dataclass(slots=True)
class Asked:
    """What a task asks for under a key.

    :param taken: what stands under the key; its id is empty until it was found or submitted.
    :param is_new: whether an earlier run has submitted nothing under the key, or something else.
    """

    key: str
    taken: Taken
    fence: Fence
    search: Search
    is_new: bool = True


def metrics_of(caller: Caller, target: Target[Any]) -> TaskMetrics:
    """Return what reports the metrics of a task that submits executions or workflow runs."""
    return TaskMetrics(caller.whiterabbit_conn_id, target.kind)
