"""Notices that a template within an argument named what is missing: Jinja renders None to the text ``None``.

A payment to an account "None" must not be sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.own_fields import OwnFieldsMixin, is_deferred

_MAX_SHOWN = 200


class _Missing(NamedTuple):
    """The places in a rendered argument whose templates named what is missing, and these templates."""

    rendered: Any
    places: Mapping[str, str]


class MissingValuesMixin(OwnFieldsMixin):
    """Mixin for Airflow tasks that refuse the text ``None`` of which a template is the reason."""

    _missing_values: Mapping[str, _Missing] = {}

    def _render_own_fields(self, fields: list[str], context: Any, *args: Any, **kwargs: Any) -> None:
        """Render the template fields, and remember what was missing."""
        given = {name: getattr(self, name, None) for name in fields}
        super()._render_own_fields(fields, context, *args, **kwargs)
        for name, value in given.items():
            self._note_missing_values(name, value, getattr(self, name, None))

    def _note_missing_values(self, name: str, given: Any, rendered: Any) -> None:
        """Remember the places in an argument whose templates rendered to the text ``None``."""
        before = self._missing_values.get(name)
        if before is not None and before.rendered is given:  # Airflow 2 may render a task twice
            places = before.places
        else:
            places = dict(_places(given, rendered, name))
        if places:
            self._missing_values = {**self._missing_values, name: _Missing(rendered, places)}

    def _refuse_missing_values(self, name: str, value: Any) -> None:
        """Check an argument, unless something else has taken its place since it was rendered.

        :raises WhiteRabbitInputError: if something in it was missing; the message names the place and the template.
        """
        missing = self._missing_values.get(name)
        if missing is not None and missing.rendered is value:
            place, template = next(iter(missing.places.items()))
            raise WhiteRabbitInputError(no_value(place, template, "None"))


def no_value(place: str, template: Any, value: Any) -> str:
    """Return the message that a template rendered to no value."""
    return (
        f"{place} has no value: {shown(template)} rendered to {value!r:.50}. If the value can be missing, name "
        "another one in the template, as in {{ params.x or 3 }}"
    )


def shown(template: Any) -> str:
    """Return a template for messages."""
    return f"{str(template)!r:.{_MAX_SHOWN}}"


def _places(template: Any, value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield the place and the template of each text of a rendered value that only says that something was missing."""
    if isinstance(template, str):
        if isinstance(value, str) and value == "None" and is_deferred(template):
            yield place, template
    elif isinstance(template, Mapping) and isinstance(value, Mapping):
        for name, member in template.items():
            yield from _places(member, value.get(name), f"{place}.{name}")
    elif isinstance(template, list | tuple) and isinstance(value, list | tuple):
        for index, (member, rendered) in enumerate(zip(template, value, strict=False)):
            yield from _places(member, rendered, f"{place}[{index}]")
