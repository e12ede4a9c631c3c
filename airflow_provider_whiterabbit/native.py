"""Notices that Airflow turned a text of a DAG into another value, because of ``render_template_as_native_obj``.

With that option, Jinja evaluates each rendered text as a Python literal, those without a template too: ``"100"``
becomes 100 and the address ``"0x5c"`` becomes 92. A payment must be what was asked for.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.own_fields import OwnFieldsMixin

_REMEDY = (
    "because of render_template_as_native_obj=True, which turns texts such as '100' and '0x5c' into numbers. "
    "Write quotes into the text (\"'100'\"), or leave out render_template_as_native_obj"
)


_LITERALS = (int, float, complex, bytes, list, tuple, dict, set)


class _Changed(NamedTuple):
    text: str
    rendered: Any

    @property
    def is_template(self) -> bool:
        return any(mark in self.text for mark in ("{{", "{%", "{#"))


_Place: TypeAlias = tuple[str, ...]
"""Where a value is, such as ``("input", ".amounts", "[3]")``: as one text, ``.a.b`` could be one name or two."""


class NativeRenderingMixin(OwnFieldsMixin):
    """Mixin for Airflow tasks that refuse a text which is no text any more."""

    _natively_rendered: Mapping[_Place, _Changed] = {}
    """The texts in template fields that became something else, by their places."""

    def _render_own_fields(self, fields: list[str], context: Any, *args: Any, **kwargs: Any) -> None:
        """Render the template fields, and remember each text that became something else."""
        given = {name: getattr(self, name, None) for name in fields}
        super()._render_own_fields(fields, context, *args, **kwargs)
        for name, value in given.items():
            # Airflow 2 may render a task twice; the texts are those of the first time.
            found = _changes(value, getattr(self, name, None), (name,))
            self._natively_rendered = {**dict(found), **self._natively_rendered}

    @contextlib.contextmanager
    def _naming_native_rendering(self, *names: str) -> Iterator[None]:
        """Validate arguments within it; an error about a value that was a template names Airflow's option.

        No message shows the text, which can be secret.

        :param names: the arguments.
        :raises WhiteRabbitInputError: if a text without a template became another value.
        """
        changed = [found for name in names for found in self._still_changed(getattr(self, name), (name,))]
        for place, change in changed:
            if not change.is_template:
                raise WhiteRabbitInputError(
                    f"{''.join(place)}: the DAG holds a text here, but Airflow made another value of it, {_REMEDY}"
                )
        try:
            yield
        except WhiteRabbitInputError as error:
            texts = ("".join(place) for place, _ in changed)
            wrong = next((text for text in texts if _is_about(text, str(error))), None)
            if wrong is None:
                raise
            raise WhiteRabbitInputError(
                f"{str(error).rstrip('.')}. The template of {wrong} may render to a text of which Airflow made another "
                f"value, {_REMEDY}"
            ) from None

    def _still_changed(self, value: Any, place: _Place) -> Iterator[tuple[_Place, _Changed]]:
        """Yield the places in an argument whose value is still what Airflow made of a text, and what it was."""
        change = self._natively_rendered.get(place)
        # A template for a whole object is what the option is for.
        if change is not None and _is_same(change.rendered, value) and not (len(place) == 1 and _is_object(value)):
            yield place, change
        else:
            for key, member in _members(value):
                yield from self._still_changed(member, (*place, key))


def _changes(given: Any, rendered: Any, place: _Place) -> Iterator[tuple[_Place, _Changed]]:
    """Yield the place and the change of each text that was rendered to something else: Airflow keeps the structure."""
    if isinstance(given, str):
        if not isinstance(rendered, str):
            yield place, _Changed(str(given), rendered)
        return
    members = dict(_members(rendered))
    for key, member in _members(given):
        if key in members:
            yield from _changes(member, members[key], (*place, key))


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object or an array holds, by what follows the place of the whole in the place of a member."""
    if isinstance(value, Mapping):
        yield from ((f".{name}", member) for name, member in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two values are the same; only what Python has literals for is compared, as some classes raise."""
    return one is other or (type(one) is type(other) and isinstance(one, _LITERALS) and bool(one == other))


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_about(place: str, message: str) -> bool:
    """Return whether an error is about a place, and not about one that ends with the same names."""
    return re.search(rf"(?<![\w.\]]){re.escape(place)}(: | must)", message) is not None
