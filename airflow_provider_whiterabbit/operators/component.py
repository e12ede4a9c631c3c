"""`WhiteRabbitExecuteComponentOperator`: executes a component once, and returns the execution's output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitInputError,
    WhiteRabbitInvalidRequestError,
    WhiteRabbitNotFoundError,
)
from airflow_provider_whiterabbit.operators.base import WhiteRabbitSubmitOperator
from airflow_provider_whiterabbit.operators.native import NativeRenderingMixin
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.records.execution import Execution
    from airflow_provider_whiterabbit.client.wire.messages import Request
    from airflow_provider_whiterabbit.compat import Context
    from airflow_provider_whiterabbit.operators.fence import Fence


class WhiteRabbitExecuteComponentOperator(NativeRenderingMixin, WhiteRabbitSubmitOperator):
    """Executes a White Rabbit component, and returns the execution's output as XCom: the JSON that the API sent.

    The component is submitted at most once for each run of the task and each clear by a user, also if workers die. The
    execution's id is stored as XCom ``execution_id`` as soon as it is known. The secret and the headers of a callback
    come from the connection, because Airflow stores a task's arguments in clear text.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`submit-and-wait`

    :param module: module name, as ``RANDOM_UUID``; templated.
    :param input: inputs by name, JSON values; templated, nested values too. Integers beyond ±(2^53 - 1) must be `str`.
    :param config: config by name, JSON values; templated, nested values too.
    :param attempts: server-side attempts on failure, 1 to 3.
    :param callback_url: HTTPS URL that gets the finished record; templated.
    :param callback: True has the record delivered to this Airflow's own receiver, on whose asset events DAGs can be
        scheduled (see `airflow_provider_whiterabbit.assets`). A name, templated, adds an event of `assets.named(name)`.
    :param inline_wait: seconds or `timedelta`, 0 to 15, that the submitting call waits for the result. An execution
        that ends in time takes one API call and never defers. But its id is unknown until then, so a task that is
        killed meanwhile leaves an uncertain submission.
    :param validate: check input and config against White Rabbit's component catalogue before submitting.

    The other parameters are those of `WhiteRabbitSubmitOperator`.
    """

    template_fields: Sequence[str] = ("module", "input", "config", "callback_url", "callback", "whiterabbit_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"input": "json", "config": "json"}
    waits_for = EXECUTION
    trigger_class = WhiteRabbitExecutionTrigger

    def __init__(
        self,
        *,
        module: str,
        input: Mapping[str, Any] | None = None,  # noqa: A002 (White Rabbit's word)
        config: Mapping[str, Any] | None = None,
        attempts: int | None = None,
        callback_url: str | None = None,
        callback: bool | str = False,
        inline_wait: float | timedelta = 0,
        validate: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if callback and callback_url is not None:
            raise WhiteRabbitInputError("give callback or callback_url, not both")
        self.module = module
        self.input = input
        self.config = config
        self.attempts = None if attempts is None else checks.attempts(attempts)
        self.callback_url = callback_url
        self.callback = callback
        self.inline_wait = checks.seconds(inline_wait, "inline_wait", checks.MAX_INLINE_WAIT)
        self.validate = validate

    @property
    def submission_name(self) -> str:
        """The name of the component in messages, such as ``component PAY``."""
        return f"component {self.module}"

    def _lineage_subject(self) -> str | None:
        return self.module

    def _request(self) -> Request:
        with self._naming_native_rendering("module", "input", "config"):
            return self.whiterabbit_hook.component_request(
                self.module,
                input=self.input,
                config=self.config,
                attempts=self.attempts,
                inline_wait=self.inline_wait,
                callback_url=self.callback_url,
                callback=self.callback,
            )

    def _check_before_submission(self) -> None:
        if self.validate:
            from airflow_provider_whiterabbit.client import catalogue

            definition = catalogue.find(self.whiterabbit_hook.get_components(), self.module)
            with self._naming_native_rendering("input", "config"):
                catalogue.validate(definition, self.input or {}, self.config or {})

    def _submission_values(self) -> dict[str, Any]:
        names = ("input", "config", "attempts", "callback_url", "callback")
        return {name: value for name in names if (value := getattr(self, name)) not in (None, False)}

    def _record_in(self, answer: Any) -> Execution:
        from airflow_provider_whiterabbit.client.records.execution import Execution

        return Execution.from_submission(answer)

    def _submit(self, request: Request, fence: Fence, context: Context) -> tuple[str, Any]:
        try:
            return super()._submit(request, fence, context)
        except (WhiteRabbitInvalidRequestError, WhiteRabbitNotFoundError) as error:
            error.hint = self._suggestion()
            raise

    def _suggestion(self) -> str:
        """Return a hint with similar component names if the task's component does not exist; else an empty string."""
        from airflow_provider_whiterabbit.client import api, catalogue

        try:
            definitions = catalogue.definitions(self.whiterabbit_hook.get_conn().send(api.get_components(), within=10))
            catalogue.find(definitions, self.module)
        except WhiteRabbitError as error:  # the server's own error matters more
            return str(error) if "did you mean" in str(error) else ""
        return ""
