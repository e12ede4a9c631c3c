"""What Airflow renders of a task, and the place where mixins of tasks extend how it renders the task's own fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import BaseOperator as _Task
else:
    _Task = object


_MARKS = ("{{", "{%", "{#")


def is_deferred(value: Any) -> bool:
    """Return whether a value is known only when Airflow renders it: a template, another task's output, a function."""
    if isinstance(value, str):
        return any(mark in value for mark in _MARKS)
    return hasattr(value, "iter_references") or callable(value)


class OwnFieldsMixin(_Task):
    """Base class of the mixins that extend `_render_own_fields`."""

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Render template fields; Airflow calls this for a mapped task too, unlike `render_template_fields`."""
        if parent is self:
            self._render_own_fields(list(template_fields), context, *args, **kwargs)
        else:  # an object with fields of its own, within an argument
            super()._do_render_template_fields(parent, template_fields, context, *args, **kwargs)

    def _render_own_fields(self, fields: list[str], context: Any, *args: Any, **kwargs: Any) -> None:
        """Render template fields of the task itself, as Airflow does.

        :param args: further arguments of Airflow, as `kwargs`, which depend on its version.
        """
        super()._do_render_template_fields(self, fields, context, *args, **kwargs)
