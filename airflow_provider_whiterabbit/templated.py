"""Arguments of tasks that may be templates: checked when the DAG is parsed, or when Airflow has rendered them.

Texts that can only be meant as a number or as true or false are accepted as such, because Jinja renders to text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.missing_values import MissingValuesMixin, no_value, shown
from airflow_provider_whiterabbit.own_fields import is_deferred

T = TypeVar("T")

_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,30})?")  # a third has 16 decimals, and 0.1 + 0.2 has 17
_FLAGS = {"True": True, "False": False, "true": True, "false": False}


def seconds(value: Any, name: str, most: float = math.inf) -> float:
    """Return a number, the text of a number, or a `timedelta` as seconds.

    :raises WhiteRabbitInputError: if it is something else, negative, or more than `most`.
    """
    number = as_number(value)
    if isinstance(number, str):
        raise WhiteRabbitInputError(
            f"{name} must be a number of seconds, such as 90 or 1.5, or a timedelta; got the text {number!r:.50}. A "
            "template must render to the number: let a timedelta render with .total_seconds()"
        )
    return checks.seconds(number, name, most)


def attempts(value: Any) -> int:
    """Return a number of server-side attempts, 1 to 3, from the number or its text."""
    return checks.attempts(as_number(value))


def flag(value: Any, name: str) -> bool:
    """Return whether a value is true: a `bool`, 0 or 1, or the text ``True``, ``true``, ``False`` or ``false``.

    :raises WhiteRabbitInputError: if it is something else. An empty list or None, of an upstream task, is no answer.
    """
    if isinstance(value, str):
        return _FLAGS[checks.choice(value, name, _FLAGS)]
    if not isinstance(value, int) or value not in (0, 1):
        raise WhiteRabbitInputError(f"{name} must be True or False, got {value!r:.50}")
    return bool(value)


def callback(value: Any) -> bool | str:
    """Return whether a callback is wanted, or the callback's name: any other text than those of `flag`.

    :raises WhiteRabbitInputError: if it is neither.
    """
    if not isinstance(value, bool) and not checks.is_callback_name(value):
        raise WhiteRabbitInputError(f"callback must be True, False or a name, got {value!r:.100}")
    return _FLAGS.get(value, value) if isinstance(value, str) else value


def connection_id(value: Any) -> str:
    """Return the id of an Airflow connection.

    :raises WhiteRabbitInputError: if it can't be one.
    """
    if not checks.is_connection_id(value):
        raise WhiteRabbitInputError(f"whiterabbit_conn_id must be the id of an Airflow connection, got {value!r:.100}")
    return str(value)


def fixed_flag(value: Any, name: str) -> None:
    """Check that an argument that Airflow does not render is true or false, or None for the default.

    :raises WhiteRabbitInputError: if it is something else: the text of a template would count as true.
    """
    if value is not None and not isinstance(value, bool):
        raise WhiteRabbitInputError(f"{name} must be True or False, and can't be a template; got {value!r:.50}")


def ids_of(value: Any, name: str, template: Any = None) -> list[str]:
    """Return ids from a list of them, from what can be read like one, or from the text of a JSON array.

    :param name: the argument's name, for the error.
    :param template: what was rendered to the value, for an error about one id of a list.
    :raises WhiteRabbitInputError: if it is something else, or something in it is not an id.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise WhiteRabbitInputError(f"{name} must be a list of ids, or a template that renders to a JSON array of ids")
    return checks.identifiers(value, name, template if isinstance(template, list | tuple) else ())


def literal_ids(value: Any, name: str) -> Any:
    """Check ids that are known when the DAG is parsed, and return them; unchanged if some are templates."""
    if isinstance(value, Iterator):  # it can be read once
        value = list(value)
    if not _holds_templates(value):
        ids_of(value, name)
    return value


def json_object(value: Any, name: str) -> Any:
    """Check what an object (a dict) holds beside templates; return it unchanged.

    :raises WhiteRabbitInputError: if it is no object, or can't be sent as JSON. The message names the place.
    """
    check_json(checks.json_object(value, name), name)
    return value


def check_json(value: Any, name: str) -> None:
    """Check that a value can be sent as JSON, beside templates in it.

    :raises WhiteRabbitInputError: if it can't. The message names the place.
    """
    from airflow_provider_whiterabbit.client.wire.canonical import MAX_DEPTH, to_json

    to_json({name: _literal(value, MAX_DEPTH)})


def as_number(value: Any) -> Any:
    """Return the number that a text writes; unchanged what is no such text."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return value


def _holds_templates(value: Any) -> bool:
    return isinstance(value, list | tuple | set) and any(map(is_deferred, value))


def _literal(value: Any, depth: int) -> Any:
    """Return a value without what Airflow renders, and without floats that JSON has: their text costs an import."""
    if isinstance(value, float) and math.isfinite(value):
        return 0
    if isinstance(value, Mapping) and depth:
        return {key: _literal(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple) and depth:
        return [_literal(item, depth - 1) for item in value]
    # Airflow also renders the fields of objects that name them.
    return None if is_deferred(value) or hasattr(value, "template_fields") else value


class TemplatedMixin(MissingValuesMixin):
    """Mixin for Airflow tasks that check their arguments as early as these are known."""

    _unrendered: Mapping[str, Any] = {}
    """The arguments that are templates, or lists of templates, as they were before Airflow rendered them."""

    def _render_own_fields(self, fields: list[str], context: Any, *args: Any, **kwargs: Any) -> None:
        """Render the template fields, and remember the templates."""
        given = {name: getattr(self, name, None) for name in fields}
        # Airflow 2 may render a task twice.
        templates = {name: value for name, value in given.items() if is_deferred(value) or _holds_templates(value)}
        self._unrendered = {**templates, **self._unrendered}
        super()._render_own_fields(fields, context, *args, **kwargs)

    def _unless_template(self, value: T, check: Callable[[T], Any]) -> Any:
        """Return a checked argument of `__init__`; unchanged if it is a template, which is checked when it is rendered.

        :raises WhiteRabbitInputError: if the argument is wrong.
        """
        return value if is_deferred(value) else self._unless_mapped(value, check)

    def _unless_mapped(self, value: T, check: Callable[[T], Any]) -> Any:
        """Return a checked argument of `__init__`, which is no template.

        An argument of a mapped task can come from another task. It is checked when the task is executed: an error now
        would be retried.

        :raises WhiteRabbitInputError: if the argument is wrong.
        """
        try:
            return check(value)
        except WhiteRabbitInputError:
            if not self._is_from_mapped:
                raise
            return value

    @property
    def _is_from_mapped(self) -> bool:
        return bool(getattr(self, "_BaseOperator__from_mapped", False))

    def _rendered_argument(self, name: str) -> Any:
        """Return a rendered argument.

        :raises WhiteRabbitInputError: if it was not rendered, or a template rendered to nothing: a missing XCom or
            parameter must not stand for a default, and in an object or a list, the text ``None`` is no value.
        """
        value = getattr(self, name)
        if name in self._unrendered and (value is None or (isinstance(value, str) and value.strip() in ("", "None"))):
            raise WhiteRabbitInputError(no_value(name, self._unrendered[name], value))
        self._refuse_missing_values(name, value)
        if isinstance(value, str) and is_deferred(value):
            raise WhiteRabbitInputError(
                f"{name} is a template that was not rendered: {value!r:.100}. Only template fields are rendered."
            )
        return value

    def _checked_argument(self, name: str, check: Callable[[Any], T]) -> T:
        """Return a rendered argument that was checked; an error names the template.

        :raises WhiteRabbitInputError: if the argument is wrong.
        """
        value = self._rendered_argument(name)
        try:
            return check(value)
        except WhiteRabbitInputError as error:
            if not is_deferred(self._unrendered.get(name)):
                raise
            raise WhiteRabbitInputError(f"{error} (rendered from {self._template_of(name)})") from None

    def _checked_ids(self, name: str) -> list[str]:
        """Return a rendered argument that is a list of ids; an error names the list's template, or that of the one id.

        :raises WhiteRabbitInputError: if it is no list of ids.
        """
        return self._checked_argument(name, lambda ids: ids_of(ids, name, self._unrendered.get(name)))

    def _template_of(self, name: str) -> str:
        return shown(self._unrendered[name])
