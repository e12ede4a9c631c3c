"""`WhiteRabbitExecuteComponentsOperator`: executes a component for each of many inputs, in one task."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.compat import conf
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.base import WhiteRabbitSubmitOperator
from airflow_provider_whiterabbit.operators.inputs import AT_ONCE, INLINE_WAIT, literal_inputs, readable_again
from airflow_provider_whiterabbit.operators.inputs import at_once as at_once_of
from airflow_provider_whiterabbit.operators.inputs import inline_wait as inline_wait_of
from airflow_provider_whiterabbit.operators.many_components import WhiteRabbitManyComponentsOperator
from airflow_provider_whiterabbit.templated import flag
from airflow_provider_whiterabbit.waiting_for_many import OnFailedExecutions

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_whiterabbit.compat import XComArg
    from airflow_provider_whiterabbit.operators.earlier import OnClear
    from airflow_provider_whiterabbit.parameters import OperatorParameters, Rendered, Seconds

OnManyDoubts: TypeAlias = Literal["fail", "resubmit"]


class WhiteRabbitExecuteComponentsOperator(WhiteRabbitManyComponentsOperator):
    """Executes a White Rabbit component once for each of many inputs, and returns a list of the results as XCom.

    Each result is ``{"id": …, "status": "COMPLETED", "output": …, "usage": …}`` or ``{"id": …, "status": "FAILED",
    "error": …, "usage": …}``, in the order of the inputs. Each input is submitted at most once, also if workers die: a
    retry, or the task after a clear, takes what was submitted, and submits the rest. While the task is deferred, one
    trigger follows all executions. A worker starts and ends the task.

    The first input that can't be submitted ends the submitting; no input behind it is submitted, except those that are
    under way. The ids are stored as XCom ``execution_ids`` as soon as all inputs are submitted.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`execute-a-component-many-times`

    :param module: module name, as ``RANDOM_UUID``; templated.
    :param inputs: a list of up to 10,000 inputs, each by name with JSON values, of which each may be a template; the
        output of an upstream task; or a template that renders to a JSON array. Without inputs, the result is an empty
        list.
    :param config: config by name, for all inputs; templated. Instead, the name of a ``.json`` or ``.json.j2`` file that
        Airflow renders, relative to the DAG's file.
    :param attempts: server-side attempts on failure, 1 to 3; templated. The default is White Rabbit's.
    :param callback_url: HTTPS URL that gets each finished record; templated.
    :param callback: True has each record delivered to this Airflow's own receiver, on whose asset events DAGs can be
        scheduled (see `airflow_provider_whiterabbit.assets`). A name, templated, adds an event of `assets.named(name)`.
    :param at_once: how many inputs are submitted at the same time, 1 to 100; templated. With 1, White Rabbit receives
        them strictly in order.
    :param inline_wait: seconds or `timedelta`, 0 to 15, for which the worker looks for the ends before the task defers:
        the results of short executions are there sooner, and no other worker starts. Templated.
    :param outputs: whether the results have the outputs; templated. Without them, read large outputs by their ids.
    :param allowed_secrets: the names of secrets, as `secrets.secret` returns them, that values of `inputs` and `config`
        may hold which the DAG does not write itself, such as another task's output. It can't be mapped.
    :param validate: check inputs and config against White Rabbit's component catalogue before submitting: refuse wrong
        types, missing config and misspelt inputs, warn of unknown and of missing inputs; templated.
    :param whiterabbit_conn_id: id of a connection of type ``whiterabbit``; templated.
    :param wait_for_completion: wait for the ends and return the results; templated. If False, return the list of ids.
    :param deferrable: wait in the triggerer. The default is ``[operators] default_deferrable``.
    :param timeout: seconds or `timedelta` from the task's start after which `WhiteRabbitTimeoutError` is raised;
        templated. The executions are not cancelled, and a retry waits for them again. `execution_timeout` bounds the
        wait too, also while deferred.
    :param poll_interval: seconds or `timedelta` between two reads of a record while streaming is refused; less than
        1 second counts as 1 second; templated.
    :param on_failed_execution: what happens if some executions have failed, after all have ended: ``fail`` fails the
        task without retries; ``return`` returns the results, with their errors. Templated.
    :param on_doubt: what happens if an earlier submission of an input may not have arrived, was another request, or is
        unknown to White Rabbit: ``fail`` ends the task without retries and says how to settle the doubts; ``resubmit``
        submits anew, so everything may happen twice. The default is ``[whiterabbit] on_doubt``, or ``fail``. ``ask``,
        of that option or of the DAG's ``default_args``, counts as ``fail`` with a warning. Templated.
    :param on_clear: what happens if the task is cleared after executions have ended: ``reattach`` takes them again, as
        a retry does, and submits only what never was; ``resubmit`` submits their inputs anew. Templated.
    """

    template_fields: Sequence[str] = (
        "module",
        "inputs",
        "config",
        "attempts",
        "callback_url",
        "callback",
        "at_once",
        "inline_wait",
        "outputs",
        "validate",
        *WhiteRabbitSubmitOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"inputs": "json", "config": "json"}
    _failed_choices = OnFailedExecutions

    def __init__(
        self,
        *,
        module: str | XComArg,
        inputs: Iterable[Mapping[str, Any] | Rendered] | str | XComArg,
        config: Mapping[str, Any] | str | XComArg | None = None,
        attempts: int | Rendered | None = None,
        callback_url: str | XComArg | None = None,
        callback: bool | str | XComArg = False,
        at_once: int | Rendered = AT_ONCE,
        inline_wait: Seconds = INLINE_WAIT,
        outputs: bool | Rendered = True,
        allowed_secrets: Collection[str] = (),
        validate: bool | Rendered = False,
        whiterabbit_conn_id: str | XComArg = WhiteRabbitHook.default_conn_name,
        wait_for_completion: bool | Rendered = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        timeout: Seconds | None = None,
        poll_interval: Seconds = POLL_INTERVAL,
        on_failed_execution: OnFailedExecutions | Rendered = "fail",
        on_doubt: OnManyDoubts | Rendered | None = None,
        on_clear: OnClear | Rendered = "reattach",
        **kwargs: Unpack[OperatorParameters],
    ) -> None:
        if "end_from_trigger" in kwargs:
            raise WhiteRabbitInputError(
                "end_from_trigger can't be set here: a worker always ends an operator of many inputs"
            )
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
            end_from_trigger=False,
            timeout=timeout,
            poll_interval=poll_interval,
            on_failed_execution=on_failed_execution,
            on_doubt=on_doubt,
            on_clear=on_clear,
            **kwargs,
        )
        inputs = readable_again(inputs, is_mapped=self._is_from_mapped)
        self.inputs: Any = self._unless_template(inputs, literal_inputs)
        self.at_once: Any = self._unless_template(at_once, at_once_of)
        self.inline_wait: Any = self._unless_template(inline_wait, inline_wait_of)
        self.outputs: Any = self._unless_template(outputs, lambda value: flag(value, "outputs"))
