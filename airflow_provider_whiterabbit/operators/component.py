"""`WhiteRabbitExecuteComponentOperator`: executes a component once, and returns the execution's output."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.compat import conf
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInvalidRequestError, WhiteRabbitNotFoundError
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.base import WhiteRabbitSubmitOperator
from airflow_provider_whiterabbit.operators.catalogue_checks import similar_names
from airflow_provider_whiterabbit.operators.component_base import WhiteRabbitComponentOperator
from airflow_provider_whiterabbit.templated import seconds
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_whiterabbit.client.records.execution import Execution
    from airflow_provider_whiterabbit.client.wire.messages import Request
    from airflow_provider_whiterabbit.compat import Context, XComArg
    from airflow_provider_whiterabbit.operators.doubt import OnDoubt, OnFailedExecution
    from airflow_provider_whiterabbit.operators.earlier import OnClear
    from airflow_provider_whiterabbit.operators.fence import Fence
    from airflow_provider_whiterabbit.parameters import OperatorParameters, Rendered, Seconds


def _inline_wait(value: Any) -> float:
    return seconds(value, "inline_wait", checks.MAX_INLINE_WAIT)


class WhiteRabbitExecuteComponentOperator(WhiteRabbitComponentOperator):
    """Executes a White Rabbit component, and returns the execution's output as XCom: the JSON that the API sent.

    The component is submitted at most once for each run of the task and each clear by a user, also if workers die. The
    execution's id is stored as XCom ``execution_id`` as soon as it is known. The secret and the headers of a callback
    come from the connection, because Airflow stores a task's arguments in clear text. Values of `input` and `config`
    can name secrets, such as the address of an RPC service with a key in it: see
    `airflow_provider_whiterabbit.secrets`.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`execute-a-component`

    :param module: module name, as ``RANDOM_UUID``; templated.
    :param input: inputs by name, JSON values; templated, nested values too. Integers beyond ±(2^53 - 1) must be `str`.
        Instead, the name of a ``.json`` or ``.json.j2`` file that Airflow renders, relative to the DAG's file.
    :param config: config by name, as for `input`.
    :param attempts: server-side attempts on failure, 1 to 3; templated. The default is White Rabbit's.
    :param callback_url: HTTPS URL that gets the finished record; templated.
    :param callback: True has the record delivered to this Airflow's own receiver, on whose asset events DAGs can be
        scheduled (see `airflow_provider_whiterabbit.assets`). A name, templated, adds an event of `assets.named(name)`.
    :param inline_wait: seconds or `timedelta`, 0 to 15, that the submitting call waits for the result. An execution
        that ends in time takes one API call and never defers. But its id is unknown until then, so a task that is
        killed meanwhile leaves an uncertain submission. Templated.
    :param allowed_secrets: the names of secrets, as `secrets.secret` returns them, that values of `input` and `config`
        may hold which the DAG does not write itself, such as another task's output. It can't be mapped.
    :param validate: check input and config against White Rabbit's component catalogue before submitting: refuse wrong
        types, missing config and misspelt inputs, warn of unknown and of missing inputs; templated.
    :param whiterabbit_conn_id: id of a connection of type ``whiterabbit``; templated.
    :param wait_for_completion: wait for the end and return the result; templated. If False, return the id at once.
    :param deferrable: wait in the triggerer. The default is ``[operators] default_deferrable``.
    :param end_from_trigger: end in the triggerer, without a worker (Airflow 3.3.1+). The default is ``[whiterabbit]
        end_from_trigger``. A task that would lose something by it is ended by a worker.
    :param timeout: seconds or `timedelta` from the task's start after which `WhiteRabbitTimeoutError` is raised;
        templated. The execution or run is not cancelled, and a retry waits for it again. `execution_timeout` bounds the
        wait too, also while deferred.
    :param poll_interval: seconds or `timedelta` between two reads of the record while streaming is refused; less than
        1 second counts as 1 second; templated.
    :param on_failed_execution: what happens after FAILED: ``fail`` ends the task without retries; ``resubmit`` lets a
        retry submit anew (Airflow 3.3+). Templated.
    :param on_doubt: what happens if an earlier submission of the task may not have arrived, was another request, or is
        unknown to White Rabbit: ``fail`` ends the task without retries and says how to settle the doubt; ``ask`` asks a
        person in Airflow's UI (Airflow 3.3+, else as ``fail``); ``resubmit`` submits anew, so everything may happen
        twice. The default is ``[whiterabbit] on_doubt``, or ``fail``. Templated.
    :param on_clear: what happens if the task is cleared after the execution or run has ended: ``resubmit`` submits
        anew; ``reattach`` takes the earlier one again, as a retry does. Templated.
    :param assigned_users: the users who may answer the question of ``on_doubt="ask"``, each ``{"id": …, "name": …}``.
        The default is everyone who may answer required actions of the DAG.
    """

    template_fields: Sequence[str] = (
        "module",
        "input",
        "config",
        "attempts",
        "callback_url",
        "callback",
        "inline_wait",
        "validate",
        *WhiteRabbitSubmitOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"input": "json", "config": "json"}
    waits_for = EXECUTION
    trigger_class = WhiteRabbitExecutionTrigger
    _submitted_values = ("input", *WhiteRabbitComponentOperator._submitted_values)

    def __init__(
        self,
        *,
        module: str | XComArg,
        input: Mapping[str, Any] | str | XComArg | None = None,  # noqa: A002 (White Rabbit's word)
        config: Mapping[str, Any] | str | XComArg | None = None,
        attempts: int | Rendered | None = None,
        callback_url: str | XComArg | None = None,
        callback: bool | str | XComArg = False,
        inline_wait: Seconds = 0,
        allowed_secrets: Collection[str] = (),
        validate: bool | Rendered = False,
        whiterabbit_conn_id: str | XComArg = WhiteRabbitHook.default_conn_name,
        wait_for_completion: bool | Rendered = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        end_from_trigger: bool | None = None,
        timeout: Seconds | None = None,
        poll_interval: Seconds = POLL_INTERVAL,
        on_failed_execution: OnFailedExecution | Rendered = "fail",
        on_doubt: OnDoubt | Rendered | None = None,
        on_clear: OnClear | Rendered = "resubmit",
        assigned_users: list[dict[str, str]] | None = None,
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        super().__init__(
            module=module,
            config=config,
            attempts=attempts,
            callback_url=callback_url,
            callback=callback,
            allowed_secrets=allowed_secrets,
            validate=validate,
            whiterabbit_conn_id=whiterabbit_conn_id,
            wait_for_completion=wait_for_completion,
            deferrable=deferrable,
            end_from_trigger=end_from_trigger,
            timeout=timeout,
            poll_interval=poll_interval,
            on_failed_execution=on_failed_execution,
            on_doubt=on_doubt,
            on_clear=on_clear,
            assigned_users=assigned_users,
            **kwargs,
        )
        self.input: Any = self._unless_template(input, lambda value: self._checked_object(value, "input"))
        self.inline_wait: Any = self._unless_template(inline_wait, _inline_wait)

    def _request(self) -> Request:
        _ = self._validates
        for name in self._secret_arguments:
            self._complete_object(name)
        with self._naming_native_rendering("module", "input", "config", "callback"):
            return self._request_of(self.input, self.config)

    def _request_of(self, input_value: Any, config_value: Any, **options: Any) -> Request:
        inline_wait = self._checked_argument("inline_wait", _inline_wait)
        return super()._request_of(input_value, config_value, inline_wait=inline_wait, **options)

    def _with_secrets(self, request: Request) -> Request:
        if not self._names_secrets():
            return request
        filled = self.whiterabbit_hook.secret_values.filled
        return self._request_of(filled(self.input), filled(self.config))

    def _check_before_submission(self) -> None:
        if self._validates:
            self._check_with_catalogue({"input": self.input})

    def _record_in(self, answer: Any) -> Execution:
        from airflow_provider_whiterabbit.client.records.execution import Execution

        return Execution.from_submission(answer)

    def _submit(self, request: Request, fence: Fence, context: Context) -> tuple[str, Any]:
        try:
            return super()._submit(request, fence, context)
        except (WhiteRabbitInvalidRequestError, WhiteRabbitNotFoundError) as error:
            error.hint = similar_names(self.whiterabbit_hook, self.module)
            raise
