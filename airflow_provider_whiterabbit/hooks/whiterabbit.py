"""`WhiteRabbitHook`: calls White Rabbit with the credentials of an Airflow connection."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

import airflow_provider_whiterabbit.forked  # noqa: F401 (it notices forks from now on, for `once`)
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.wait.target import EXECUTION, WORKFLOW_RUN
from airflow_provider_whiterabbit.get_provider_info import CONN_FIELDS, CONNECTION_TYPE, UI_FIELD_BEHAVIOUR
from airflow_provider_whiterabbit.hooks.many import WaitingForManyHook
from airflow_provider_whiterabbit.hooks.unknown_fields import remark_on_unknown

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.records.execution import Execution, ExecutionEvent
    from airflow_provider_whiterabbit.client.records.workflow_run import WorkflowRun, WorkflowRunEvent
    from airflow_provider_whiterabbit.client.transport.sync import Client
    from airflow_provider_whiterabbit.client.wait.followed import Followed, R
    from airflow_provider_whiterabbit.client.wire.messages import Request
    from airflow_provider_whiterabbit.hooks.aio import WhiteRabbitAsyncHook
    from airflow_provider_whiterabbit.hooks.once import Once


class WhiteRabbitHook(WaitingForManyHook):
    """Calls White Rabbit with the credentials of an Airflow connection.

    Every method can raise `WhiteRabbitConfigError` if the connection can't be used and `WhiteRabbitInputError` if an
    argument is wrong, both before anything is sent; `WhiteRabbitResponseError` if White Rabbit refuses;
    `WhiteRabbitTransportError` if White Rabbit can't be reached; and `WhiteRabbitProtocolError` if the answer is not as
    documented.

    A hook can be used in a ``with``, which closes its connections at the end.

    :param whiterabbit_conn_id: id of a connection of type ``whiterabbit``.
    """

    conn_name_attr = "whiterabbit_conn_id"
    default_conn_name = "whiterabbit_default"
    conn_type = CONNECTION_TYPE
    hook_name = "White Rabbit"

    def __init__(self, whiterabbit_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.whiterabbit_conn_id = whiterabbit_conn_id

    def once(
        self,
        *,
        on_doubt: Literal["fail", "resubmit"] | None = None,
        on_failed_execution: Literal["fail", "resubmit"] = "fail",
    ) -> Once:
        """Return an object that submits at most once from within the running task, each submission under a key.

        A task that is retried, or cleared, gets what an earlier try submitted under the key (Airflow 3.3+; before, a
        task that is tried again submits nothing and fails).

        :param on_doubt: what happens if a submission of an earlier try may not have arrived, was another request, or is
            unknown to White Rabbit: ``fail`` ends the task without retries and says how to settle the doubt;
            ``resubmit`` submits anew, so everything may happen twice. The default is ``[whiterabbit] on_doubt``, or
            ``fail``; ``ask`` counts as ``fail`` here.
        :param on_failed_execution: what happens to an earlier execution that FAILED: ``fail`` takes it; ``resubmit``
            submits anew.
        :raises WhiteRabbitInputError: if no task is running in this process.
        """
        from airflow_provider_whiterabbit.hooks.once import once_of

        return once_of(self, on_doubt, on_failed_execution)

    # --- components

    def execute_component(
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
        """Execute a component, with at most one submission, and return the record of the new execution.

        :param module: module name, as ``RANDOM_UUID``.
        :param input: inputs by name, JSON values. Integers beyond ±(2^53 - 1) must be passed as `str`.
        :param config: config by name, JSON values.
        :param attempts: server-side attempts on failure, 1 to 3.
        :param inline_wait: seconds or `timedelta`, 0 to 15, that the server may wait for the result.
        :param callback_url: HTTPS URL that gets the finished record.
        :param callback_secret: HMAC-SHA256 key for that delivery; by default the connection's.
        :param callback_headers: extra headers for that delivery; by default the connection's (none: ``{}``).
        :param callback: True has the record delivered to this Airflow's own receiver (see ``docs/callbacks.md``); a
            name adds an event of `assets.named(name)`.
        :param allowed_secrets: the names of secrets, made with `secrets.secret`, that `input` and `config` may hold.
        :raises WhiteRabbitSecretError: if a secret that they name can't be read; nothing was sent.
        :raises WhiteRabbitUncertainSubmissionError: if it is not known whether the submission arrived. Look for it in
            White Rabbit before you submit again.
        """
        from airflow_provider_whiterabbit.client.records.execution import Execution

        _, request = self._component_requests(
            module,
            input,
            config,
            attempts=attempts,
            inline_wait=inline_wait,
            callback_url=callback_url,
            callback_secret=callback_secret,
            callback_headers=callback_headers,
            callback=callback,
            allowed_secrets=allowed_secrets,
        )
        return Execution.from_submission(self.get_conn().submit(request))

    def _component_requests(
        self, module: str, inputs: Mapping[str, Any] | None, config: Mapping[str, Any] | None, /, **options: Any
    ) -> tuple[Request, Request]:
        """Return the request of `execute_component` with the names of secrets in it, and with the secrets instead."""
        allowed_secrets = options.pop("allowed_secrets", ())
        request_for = partial(self.component_request, module, **options)
        return self._requests(request_for, {"input": inputs, "config": config}, allowed_secrets)

    def component_request(self, module: str, *, callback: bool | str = False, **arguments: Any) -> Request:
        """Validate the arguments of `execute_component`, and return the HTTP request without sending the request.

        Names of secrets stay in it as they are.
        """
        from airflow_provider_whiterabbit.client import api

        if callback is not False:
            from airflow_provider_whiterabbit.receiver.address import with_receiver_url

            arguments = with_receiver_url(arguments, callback, self.whiterabbit_conn_id, self._settings)
        if arguments.get("callback_url") is not None:
            if arguments.get("callback_secret") is None:
                arguments["callback_secret"] = next(iter(self._settings.callback_secrets()), None)
            if arguments.get("callback_headers") is None:
                arguments["callback_headers"] = self._settings.callback_headers
        return api.execute_component(module, **arguments)

    def get_execution(self, execution_id: str) -> Execution:
        """Read the record of an execution from White Rabbit.

        :raises WhiteRabbitNotFoundError: if White Rabbit does not know the id.
        :raises WhiteRabbitError: if the record can't be read, also not after some attempts.
        """
        return self.get_conn().read(EXECUTION.followed(execution_id))

    def stream_execution(self, execution_id: str) -> Iterator[ExecutionEvent]:
        """Yield the events of an execution's stream until the execution has ended or the server closes the stream.

        :raises WhiteRabbitStreamError: if the stream goes silent or sends something that is not an event.
        """
        return cast("Iterator[ExecutionEvent]", self.get_conn().events(EXECUTION.followed(execution_id)))

    def wait_for_execution(
        self,
        execution_id: str,
        *,
        timeout: float | timedelta | None = None,
        poll_interval: float | timedelta = POLL_INTERVAL,
    ) -> Execution:
        """Follow an execution's event stream until the execution has ended, successfully or not; return the record.

        :param timeout: seconds or `timedelta`; `None` waits without end.
        :param poll_interval: seconds or `timedelta` between two reads of the record while streaming is refused; less
            than 1 second counts as 1 second.
        :raises WhiteRabbitTimeoutError: when the time is up.
        """
        return self._wait(EXECUTION.followed(execution_id), timeout, poll_interval)

    def redeliver_callback(self, execution_id: str) -> None:
        """Ask White Rabbit to deliver the callback of an execution again.

        :raises WhiteRabbitError: if White Rabbit refuses, or can't be reached.
        """
        from airflow_provider_whiterabbit.client import api

        self.get_conn().call(api.redeliver_callback(execution_id))

    def get_components(self) -> list[dict[str, Any]]:
        """Read White Rabbit's component catalogue: a list with one definition per component, as the API sends it."""
        from airflow_provider_whiterabbit.client import api, catalogue

        return catalogue.definitions(self.get_conn().call(api.get_components()))

    # --- workflows

    def trigger_workflow(self, workflow_id: str) -> str:
        """Start a workflow, with at most one submission, and return the id of the workflow run.

        :raises WhiteRabbitPermissionError: if the key is restricted to other workflows.
        :raises WhiteRabbitUncertainSubmissionError: if it is not known whether the submission arrived. Look for it in
            White Rabbit before you submit again.
        """
        from airflow_provider_whiterabbit.client import api

        answer = self.get_conn().submit(api.trigger_workflow(workflow_id), WORKFLOW_RUN)
        return str(answer[WORKFLOW_RUN.answer_id])

    def get_workflow_run(self, workflow_run_id: str) -> WorkflowRun:
        """Read the record of a workflow run, with its stages and their outputs.

        :raises WhiteRabbitError: as `get_execution`.
        """
        return self.get_conn().read(WORKFLOW_RUN.followed(workflow_run_id))

    def stream_workflow_run(self, workflow_run_id: str) -> Iterator[WorkflowRunEvent]:
        """Yield the events of a workflow run's stream until the run has ended or the server closes the stream.

        :raises WhiteRabbitStreamError: as `stream_execution`.
        """
        return cast("Iterator[WorkflowRunEvent]", self.get_conn().events(WORKFLOW_RUN.followed(workflow_run_id)))

    def wait_for_workflow_run(
        self,
        workflow_run_id: str,
        *,
        timeout: float | timedelta | None = None,
        poll_interval: float | timedelta = POLL_INTERVAL,
    ) -> WorkflowRun:
        """Follow a workflow run's event stream until the run has ended, successfully or not; return the record.

        :param timeout: as for `wait_for_execution`.
        :param poll_interval: as for `wait_for_execution`.
        :raises WhiteRabbitTimeoutError: when the time is up.
        """
        return self._wait(WORKFLOW_RUN.followed(workflow_run_id), timeout, poll_interval)

    def update_component(
        self,
        workflow_id: str,
        component_id: str,
        *,
        config: Mapping[str, Any] | None = None,
        name: str | None = None,
        position: Sequence[float] | None = None,
        allowed_secrets: Collection[str] = (),
    ) -> Any:
        """Change the config, name or position of a component in a workflow, and return the JSON of the HTTP response.

        White Rabbit merges the config into what is there, so the request is sent again if its answer is lost. It then
        overwrites what someone else has changed in between.

        :param position: x and y.
        :param allowed_secrets: the names of secrets, made with `secrets.secret`, that `config` may hold.
        """
        from airflow_provider_whiterabbit.client import api

        request_for = partial(api.update_component, workflow_id, component_id, name=name, position=position)
        _, request = self._requests(request_for, {"config": config}, allowed_secrets)
        return self.get_conn().call(request)

    # --- the connection

    def aio(self) -> WhiteRabbitAsyncHook:
        """Return a hook whose methods are awaited, for an ``async with`` in an ``async def`` task or a notebook."""
        from airflow_provider_whiterabbit.hooks.aio import WhiteRabbitAsyncHook

        return WhiteRabbitAsyncHook(self)

    def test_connection(self) -> tuple[bool, str]:
        """Test the API key, signature and clock by reading an execution that does not exist; nothing is submitted.

        :return: whether the connection works, and a message that says why. It also names extra fields that the provider
            does not know.
        """
        from airflow_provider_whiterabbit.hooks.probe import probe

        def connect() -> Client:
            self._settings.callback_secrets()  # otherwise only a submission with a callback validates them
            return self.get_conn()

        works, message = probe(connect)
        return works, f"{message}{remark_on_unknown(self.get_connection(self.whiterabbit_conn_id).extra_dejson)}"

    def _wait(self, followed: Followed[R], timeout: float | timedelta | None, poll_interval: float | timedelta) -> R:
        from airflow_provider_whiterabbit.client import checks

        return self.get_conn().wait(
            followed,
            timeout=None if timeout is None else checks.seconds(timeout, "timeout"),
            poll_interval=checks.seconds(poll_interval, "poll_interval"),
        )

    # --- the connection form. Airflow looks for these two methods in the class itself, not in its bases.

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the behaviour of the connection form for Airflow before 3.2; newer versions use provider metadata."""
        return {name.replace("-", "_"): value for name, value in UI_FIELD_BEHAVIOUR.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the connection form's extra fields for Airflow before 3.2; newer versions use provider metadata."""
        from airflow_provider_whiterabbit.hooks.legacy_form import form_widgets

        return form_widgets(CONN_FIELDS)
