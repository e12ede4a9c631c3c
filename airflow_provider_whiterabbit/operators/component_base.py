"""Base class of the operators that execute components: the arguments that one execution and many have in common."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.operators.base import WhiteRabbitSubmitOperator
from airflow_provider_whiterabbit.operators.catalogue_checks import is_open
from airflow_provider_whiterabbit.operators.json_files import JsonFilesMixin
from airflow_provider_whiterabbit.operators.secret_names import SecretNamesMixin
from airflow_provider_whiterabbit.secrets import MARK, as_names, check_names
from airflow_provider_whiterabbit.templated import attempts as attempts_of
from airflow_provider_whiterabbit.templated import callback as callback_of
from airflow_provider_whiterabbit.templated import flag

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.wire.messages import Request
    from airflow_provider_whiterabbit.compat import XComArg
    from airflow_provider_whiterabbit.parameters import Rendered


def _attempts(value: Any) -> int | None:
    return None if value is None else attempts_of(value)


def _callback_url(value: Any) -> str | None:
    return None if value is None else checks.callback_url(value)


def _validate(value: Any) -> bool:
    return flag(value, "validate")


# SecretNamesMixin comes first, because it has to see how the texts of files are rendered.
class WhiteRabbitComponentOperator(SecretNamesMixin, JsonFilesMixin, WhiteRabbitSubmitOperator):
    """Executes a component, once or many times.

    :param module: module name, as ``RANDOM_UUID``; templated.
    :param config: config by name, JSON values; templated.
    :param attempts: server-side attempts on failure, 1 to 3; templated.
    :param callback_url: HTTPS URL that gets the finished record; templated.
    :param callback: whether, or under which name, this Airflow's own receiver gets the record; templated.
    :param allowed_secrets: the names of secrets that values may hold which the DAG does not write itself.
    :param validate: whether to check the values against White Rabbit's component catalogue; templated.
    :param kwargs: those of `WhiteRabbitSubmitOperator`.
    """

    template_fields: Sequence[str] = (
        "module",
        "config",
        "attempts",
        "callback_url",
        "callback",
        "validate",
        *WhiteRabbitSubmitOperator.template_fields,
    )

    _submitted_values: ClassVar[tuple[str, ...]] = ("config", "attempts", "callback_url", "callback")
    """The arguments of a submission that a person must see to settle a doubt."""

    def __init__(
        self,
        *,
        module: str | XComArg,
        config: Mapping[str, Any] | str | XComArg | None = None,
        attempts: int | Rendered | None = None,
        callback_url: str | XComArg | None = None,
        callback: bool | str | XComArg = False,
        allowed_secrets: Collection[str] = (),
        validate: bool | Rendered = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in {"module": module, "callback": callback, "callback_url": callback_url}.items():
            self._unless_template(value, partial(self._refuse_secret, name))
        self.callback: Any = self._unless_template(callback, callback_of)
        if self.callback is not False and callback_url is not None:
            raise WhiteRabbitInputError("give callback or callback_url, not both")
        self.module: Any = self._unless_template(module, checks.module)
        self.config: Any = self._unless_template(config, lambda value: self._checked_object(value, "config"))
        self.attempts: Any = self._unless_template(attempts, _attempts)
        self.callback_url: Any = self._unless_template(callback_url, _callback_url)
        self.allowed_secrets = allowed_secrets
        self._unless_mapped(allowed_secrets, as_names)
        self.validate: Any = self._unless_template(validate, _validate)

    @property
    def submission_name(self) -> str:
        """The name of the component in messages, such as ``component PAY``."""
        return f"component {self.module}"

    def _lineage_subject(self) -> str | None:
        return self.module if isinstance(self.module, str) else None  # a template may render to anything

    @property
    def _validates(self) -> bool:
        return self._checked_argument("validate", _validate)

    def _complete_object(self, name: str) -> None:
        """Put the value of a rendered argument that may be the text of a file into the argument."""
        text, value = getattr(self, name), self._object_argument(name)
        setattr(self, name, value)  # a person who is asked about a doubt sees it
        self._note_parsed(text, value)

    def _request_of(self, input_value: Any, config_value: Any, **options: Any) -> Request:
        """Return the HTTP request that executes the component with an input.

        :param options: further arguments of `WhiteRabbitHook.component_request`.
        """
        self.attempts = self._checked_argument("attempts", _attempts)
        module = self._rendered_argument("module")
        callback = self._checked_argument("callback", callback_of)
        callback_url = self._checked_argument("callback_url", _callback_url)
        for name, value in {"module": module, "callback": callback, "callback_url": callback_url}.items():
            self._refuse_secret(name, value)
        return self.whiterabbit_hook.component_request(
            module,
            input=input_value,
            config=config_value,
            attempts=self.attempts,
            callback_url=callback_url,
            callback=callback,
            **options,
        )

    def _refuse_secret(self, name: str, value: Any) -> None:
        if isinstance(value, str) and MARK in value:
            places = " and ".join(self._secret_arguments)
            raise WhiteRabbitInputError(f"{name} can't name a secret; only values in {places} can")

    def _checked_object(self, value: Any, name: str) -> Any:
        checked = super()._checked_object(value, name)
        check_names(checked, name)
        return checked

    def _check_with_catalogue(self, inputs: Mapping[str, Any]) -> None:
        """Check inputs, by what messages call them, and the config against White Rabbit's component catalogue."""
        from airflow_provider_whiterabbit.client import catalogue

        definition = catalogue.find(self.whiterabbit_hook.get_components(), self.module)
        told = set()
        for name, value in inputs.items():
            with self._naming_native_rendering(name.partition("[")[0], "config"):
                warnings = catalogue.validate(definition, value or {}, self.config or {}, is_open, name)
            for warning in warnings:
                if warning not in told:  # the same one for many inputs
                    self.log.warning("Component %s: %s", self.module, warning)
                    told.add(warning)

    def _submission_values(self) -> dict[str, Any]:
        return {name: value for name in self._submitted_values if (value := getattr(self, name)) not in (None, False)}
