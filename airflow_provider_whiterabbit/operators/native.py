"""Notices that Airflow turned a text of a DAG into another value, because of ``render_template_as_native_obj``.

With that option of a DAG, Jinja evaluates each rendered text as a Python literal, those without a template too:
``"100"`` becomes 100 and the address ``"0x5c"`` becomes 92. A payment must be what was asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import BaseOperator as _Task
else:
    _Task = object

_RECORD = "_rendered_natively"
_REMEDY = (
    "because the DAG has render_template_as_native_obj=True, which turns texts such as '100' and '0x5c' into numbers. "
    "Write quotes into the text (\"'100'\"), or leave out render_template_as_native_obj"
)


class NativeRenderingMixin(_Task):
    """Mixin for operators that refuse a text which is no text any more."""

    def render_template(self, content: Any, context: Any, jinja_env: Any = None, seen_oids: Any = None) -> Any:
        """Render a template field, or a part of one, as Airflow does; remember each text that became something else."""
        rendered = super().render_template(content, context, jinja_env, seen_oids)
        if isinstance(content, str) and not isinstance(rendered, str):
            vars(self).setdefault(_RECORD, {})[content] = rendered
        return rendered

    @contextlib.contextmanager
    def _naming_native_rendering(self, *names: str) -> Iterator[None]:
        """Validate arguments within it; an error about a value that was a template names Airflow's option.

        No message shows the text, which can be secret.

        :param names: the arguments.
        :raises WhiteRabbitInputError: if a text without a template became another value.
        """
        changed = {place: text for name in names for place, text in self._changed(getattr(self, name), name)}
        for place, text in changed.items():
            if not any(mark in text for mark in ("{{", "{%", "{#")):
                raise WhiteRabbitInputError(
                    f"{place}: the DAG holds a text here, but Airflow made another value of it, {_REMEDY}"
                )
        try:
            yield
        except WhiteRabbitInputError as error:
            message = str(error)
            wrong = next((place for place in changed if f"{place}: " in message or f"{place} must" in message), None)
            if wrong is None:
                raise
            raise WhiteRabbitInputError(
                f"{message.rstrip('.')}. The template of {wrong} may render to a text of which Airflow made another "
                f"value, {_REMEDY}"
            ) from None

    def _changed(self, value: Any, place: str) -> Iterator[tuple[str, str]]:
        """Yield the place and the text of each part of an argument that was a text in the DAG and is none now."""
        record: dict[str, Any] = vars(self).get(_RECORD, {})
        is_whole = isinstance(value, Mapping) and "." not in place  # a template for an object is what the option is for
        if not is_whole:
            for text, rendered in record.items():
                if type(rendered) is type(value) and rendered == value:
                    yield place, text
                    return
        if isinstance(value, Mapping):
            for name, member in value.items():
                yield from self._changed(member, f"{place}.{name}")
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                yield from self._changed(item, f"{place}[{index}]")
