"""`WhiteRabbitAsyncHook`: what `WhiteRabbitHook` does, for code that awaits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.wait.target import EXECUTION, WORKFLOW_RUN
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError
from airflow_provider_whiterabbit.hooks.many import wait_for_executions
from airflow_provider_whiterabbit.hooks.secret_values import SecretReadingMixin

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.records.execution import Execution, ExecutionEvent
    from airflow_provider_whiterabbit.client.records.workflow_run import WorkflowRun, WorkflowRunEvent
    from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
    from airflow_provider_whiterabbit.client.wait.followed import Followed, R
    from airflow_provider_whiterabbit.client.wire.messages import Request


class _Hook(Protocol):
    """The part of `WhiteRabbitHook` that this module needs."""

    def get_connection(self, conn_id: str, /) -> Any: ...

    def component_request(self, module: str, **arguments: Any) -> Request: ...

    async def get_async_client(self) -> AsyncClient: ...


class WhiteRabbitAsyncHook(SecretReadingMixin):
    """Calls White Rabbit from code that awaits, such as ``async def`` tasks (Airflow 3.2+) and notebooks.

    `WhiteRabbitHook.aio` returns it, for an ``async with``. The methods have the names, parameters, results and errors
    of `WhiteRabbitHook`, which alone has `once`. A submission is sent at most once as well: if its task is cancelled
    before the answer came, it may have reached White Rabbit, and the log says so. As many submissions at once as the
    connection's `requests_at_once` wait for their answers, the others for their turn.

    :param hook: a `WhiteRabbitHook`.
    """

    def __init__(self, hook: _Hook) -> None:
        self._hook = hook
        self._stack = contextlib.AsyncExitStack()
        self._client: AsyncClient | None = None
        self._entered = 0
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        if not self._entered:
            self._opening = asyncio.Lock()  # a lock belongs to one event loop
        self._entered += 1  # several tasks may use the hook, each in an `async with` of its own
        try:
            async with self._opening:
                if self._client is None:
                    self._client = await self._stack.enter_async_context(await self._hook.get_async_client())
        except BaseException:
            self._entered -= 1
            raise
        # Otherwise, a request with a callback would read the connection again, with a call that blocks.
        vars(self._hook).setdefault("_settings", self._client.settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._entered -= 1
        if not self._entered:
            self._client = None
            stack, self._stack = self._stack, contextlib.AsyncExitStack()
            await stack.aclose()

    def get_connection(self, connection_id: str) -> Any:
        """Read an Airflow connection, with a call that blocks."""
        return self._hook.get_connection(connection_id)

    def get_conn(self) -> AsyncClient:
        """Return the asynchronous client, within the ``async with``."""
        if self._client is None:
            raise WhiteRabbitError("Use the hook in an async with: async with WhiteRabbitHook(…).aio() as hook")
        return self._client

    # --- components

    async def execute_component(
        self,
        module: str,
        input: Mapping[str, Any] | None = None,  # noqa: A002 (White Rabbit's word)
        config: Mapping[str, Any] | None = None,
        *,
        attempts: int | None = None,
        inline_wait: float | timedelta | None = None,
        callback_url: str | None = None,
        callback_secret: str | None = None,
        callback_headers: Mapping[str, str] | None = None,
        callback: bool | str = False,
        allowed_secrets: Collection[str] = (),
    ) -> Execution:
        """Execute a component, with at most one submission, and return the record of the new execution."""
        from airflow_provider_whiterabbit.client.records.execution import Execution

        client = self.get_conn()
        request_for = partial(
            self._hook.component_request,
            module,
            attempts=attempts,
            inline_wait=inline_wait,
            callback_url=callback_url,
            callback_secret=callback_secret,
            callback_headers=callback_headers,
            callback=callback,
        )
        request = await self._filled(request_for, {"input": input, "config": config}, allowed_secrets)
        return Execution.from_submission(await client.submit(request))

    async def get_execution(self, execution_id: str) -> Execution:
        """Read the record of an execution from White Rabbit."""
        return await self.get_conn().read(EXECUTION.followed(execution_id))

    def stream_execution(self, execution_id: str) -> AsyncGenerator[ExecutionEvent, None]:
        """Return an asynchronous iterator of the events of an execution's stream."""
        return cast("AsyncGenerator[ExecutionEvent, None]", self.get_conn().events(EXECUTION.followed(execution_id)))

    async def wait_for_execution(
        self,
        execution_id: str,
        *,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 (as that of `WhiteRabbitHook`)
        poll_interval: float | timedelta = POLL_INTERVAL,
    ) -> Execution:
        """Follow an execution's event stream until the execution has ended, successfully or not; return the record."""
        return await self._wait(EXECUTION.followed(execution_id), timeout, poll_interval)

    async def wait_for_executions(
        self,
        execution_ids: Iterable[str],
        *,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 (as that of `WhiteRabbitHook`)
        poll_interval: float | timedelta = POLL_INTERVAL,
        outputs: bool = True,
    ) -> list[dict[str, Any]]:
        """Follow many executions at once until all have ended, successfully or not; return a result for each id."""
        return await wait_for_executions(self.get_conn(), execution_ids, timeout, poll_interval, outputs)

    async def redeliver_callback(self, execution_id: str) -> None:
        """Ask White Rabbit to deliver the callback of an execution again."""
        from airflow_provider_whiterabbit.client import api

        await self.get_conn().call(api.redeliver_callback(execution_id))

    async def get_components(self) -> list[dict[str, Any]]:
        """Read White Rabbit's component catalogue: a list with one definition per component, as the API sends it."""
        from airflow_provider_whiterabbit.client import api, catalogue

        return catalogue.definitions(await self.get_conn().call(api.get_components()))

    # --- workflows

    async def trigger_workflow(self, workflow_id: str) -> str:
        """Start a workflow, with at most one submission, and return the id of the workflow run."""
        from airflow_provider_whiterabbit.client import api

        answer = await self.get_conn().submit(api.trigger_workflow(workflow_id), WORKFLOW_RUN)
        return str(answer[WORKFLOW_RUN.answer_id])

    async def get_workflow_run(self, workflow_run_id: str) -> WorkflowRun:
        """Read the record of a workflow run, with its stages and their outputs."""
        return await self.get_conn().read(WORKFLOW_RUN.followed(workflow_run_id))

    def stream_workflow_run(self, workflow_run_id: str) -> AsyncGenerator[WorkflowRunEvent, None]:
        """Return an asynchronous iterator of the events of a workflow run's stream."""
        events = self.get_conn().events(WORKFLOW_RUN.followed(workflow_run_id))
        return cast("AsyncGenerator[WorkflowRunEvent, None]", events)

    async def wait_for_workflow_run(
        self,
        workflow_run_id: str,
        *,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 (as that of `WhiteRabbitHook`)
        poll_interval: float | timedelta = POLL_INTERVAL,
    ) -> WorkflowRun:
        """Follow a workflow run's event stream until the run has ended, successfully or not; return the record."""
        return await self._wait(WORKFLOW_RUN.followed(workflow_run_id), timeout, poll_interval)

    async def update_component(
        self,
        workflow_id: str,
        component_id: str,
        *,
        config: Mapping[str, Any] | None = None,
        name: str | None = None,
        position: Sequence[float] | None = None,
        allowed_secrets: Collection[str] = (),
    ) -> Any:
        """Change the config, name or position of a component in a workflow, and return the JSON of the answer."""
        from airflow_provider_whiterabbit.client import api

        client = self.get_conn()
        request_for = partial(api.update_component, workflow_id, component_id, name=name, position=position)
        return await client.call(await self._filled(request_for, {"config": config}, allowed_secrets))

    async def _filled(
        self, request_for: Callable[..., Request], values: Mapping[str, Any], allowed: Collection[str]
    ) -> Request:
        """Return a request whose secrets were read in a thread, because Airflow reads them with calls that block."""
        from asgiref.sync import sync_to_async

        _, request = await sync_to_async(self._requests)(request_for, values, allowed)
        return request

    async def _wait(
        self,
        followed: Followed[R],
        timeout: float | timedelta | None,  # noqa: ASYNC109
        poll_interval: float | timedelta,
    ) -> R:
        import time

        from airflow_provider_whiterabbit.client import checks

        deadline = None if timeout is None else time.time() + checks.seconds(timeout, "timeout")
        seconds = checks.seconds(poll_interval, "poll_interval")
        record = await self.get_conn().wait(followed, deadline=deadline, poll_interval=seconds, whole_record=True)
        return cast("R", record)
