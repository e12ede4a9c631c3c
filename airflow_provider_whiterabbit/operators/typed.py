"""`WhiteRabbitTypedOperator`: base of the classes that ``components generate`` writes, one for each component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.operators.catalogue_checks import is_open
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_whiterabbit.compat import XComArg
    from airflow_provider_whiterabbit.operators.component_types import ComponentParameters


class WhiteRabbitTypedOperator(WhiteRabbitExecuteComponentOperator):
    """Executes one component of White Rabbit's catalogue, as `WhiteRabbitExecuteComponentOperator` does.

    Only the classes of generated modules can be used. Each knows its component, and has types for `input` and `config`.
    It checks literal values when the DAG is parsed, and what templates and other tasks gave before it submits.

    .. seealso::
        For more information on how to use this operator, take a look at the guide:
        :ref:`typed-components`

    :param input: inputs by name, as for `WhiteRabbitExecuteComponentOperator`; templated.
    :param config: config by name; templated.
    :raises WhiteRabbitInputError: if a value does not fit the component's definition, or a field is missing or unknown.
        The message names each wrong field.
    """

    _component: ClassVar[Mapping[str, Any]]
    """The component's ``module``, and the schemas of its ``input``, ``config`` and ``output``."""

    def __init__(
        self,
        *,
        input: Mapping[str, Any] | str | XComArg | None = None,  # noqa: A002 (White Rabbit's word)
        config: Mapping[str, Any] | str | XComArg | None = None,
        **kwargs: Unpack[ComponentParameters],
    ) -> None:
        super().__init__(module=self._component["module"], input=input, config=config, **kwargs)

    def _checked_object(self, value: Any, name: str) -> Any:
        checked = super()._checked_object(value, name)
        if not isinstance(value, str):  # the name of a file, which is read later
            self._check_types(value, name)
        return checked

    def _object_argument(self, name: str) -> Any:
        value = super()._object_argument(name)
        with self._naming_native_rendering(name):
            self._check_types(value, name)
        return value

    def _check_types(self, value: Any, name: str) -> None:
        from airflow_provider_whiterabbit.client import catalogue

        schema = self._component[name]
        problems = catalogue.find_problems({} if value is None else value, schema, name, is_open, closed=True)
        if problems:
            raise WhiteRabbitInputError(
                f"{'; '.join(problems)} (as {type(self).__name__} was generated; if White Rabbit's catalogue has "
                "changed, generate the module again)"
            )
