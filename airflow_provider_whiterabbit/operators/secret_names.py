"""Tells the names of secrets that a DAG has written from those that came with data, and reads their values.

Jinja renders a name like any other text, so a rendered value does not show whether the DAG named a secret, or an XCom,
a DAG run's `conf` or a mapped value did. While the DAG's own texts are rendered, a random token stands for each of
their names. A name that is found in the result was put there by data.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_whiterabbit.own_fields import OwnFieldsMixin
from airflow_provider_whiterabbit.secrets import MARK, SecretName, as_names, names_in, replaced, texts_in

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

_TOKEN = f"secret{secrets.token_hex(16)}n"
"""Only letters and digits, so that most of Jinja's filters, JSON and URLs leave a token as it is."""

_CHANGED = re.compile(rf"{_TOKEN}\w*", re.IGNORECASE)
"""A token that a filter has changed, such as ``upper``."""


class SecretNamesMixin(OwnFieldsMixin):
    """Mixin for operators whose inputs and config may name secrets."""

    whiterabbit_hook: WhiteRabbitHook
    allowed_secrets: Any

    _secret_arguments: ClassVar[tuple[str, ...]] = ("input", "config")
    """The arguments whose values may name secrets."""

    _own_names: frozenset[SecretName] = frozenset()
    """The names that the DAG's own texts hold."""

    _names_in_data: frozenset[SecretName] = frozenset()
    """The names that came with data."""

    _fields_rendered: frozenset[str] = frozenset()

    _rendering: str | None = None
    """What is rendered now: ``own`` a text of the DAG for the first time, ``again`` one that Airflow has rendered
    before, ``data`` a mapped value; None for an argument that names no secrets."""

    def _render_own_fields(self, fields: list[str], context: Any, *args: Any, **kwargs: Any) -> None:
        """Render the template fields, those that may name secrets on their own."""
        for name in fields:
            if name not in self._secret_arguments:
                super()._render_own_fields([name], context, *args, **kwargs)
                continue
            mode = "again" if name in self._fields_rendered else "own"
            given = getattr(self, name, None)
            with self._rendering_as("data" if self._is_mapped_data(name) else mode):
                super()._render_own_fields([name], context, *args, **kwargs)
            if callable(given):  # Airflow calls it, and renders nothing
                self._names_in_data |= _names(getattr(self, name))
            self._fields_rendered |= {name}

    def render_template(self, content: Any, context: Any, jinja_env: Any = None, seen_oids: Any = None) -> Any:
        """Render a template field, or a part of one, as Airflow does; remember whose names of secrets it holds."""
        if self._rendering is None:
            return super().render_template(content, context, jinja_env, seen_oids)
        is_data = seen_oids is not None and id(content) in seen_oids
        if isinstance(content, str) and not is_data:
            return self._render_text(content, context, jinja_env, seen_oids)
        if isinstance(content, dict | list | tuple | set) and not is_data:
            return super().render_template(content, context, jinja_env, seen_oids)  # which comes back for each member
        with self._rendering_as(None):
            rendered = super().render_template(content, context, jinja_env, seen_oids)
        self._names_in_data |= _names(rendered)
        return rendered

    def _render_text(self, content: str, context: Any, jinja_env: Any, seen_oids: Any) -> Any:
        if self._rendering == "own":
            self._own_names |= frozenset(names_in(content))
        names = sorted(self._own_names, key=str) if self._rendering != "data" else []
        tokens = {name: f"{_TOKEN}{number}x" for number, name in enumerate(names)}
        rendered = super().render_template(replaced(content, tokens), context, jinja_env, seen_oids)
        self._names_in_data |= _names(rendered)
        return _restored(rendered, {token: str(name) for name, token in tokens.items()})

    @contextlib.contextmanager
    def _rendering_as(self, mode: str | None) -> Iterator[None]:
        before, self._rendering = self._rendering, mode
        try:
            yield
        finally:
            self._rendering = before

    def _is_mapped_data(self, name: str) -> bool:
        """Return whether an argument of a mapped task comes from another task, by `expand_kwargs`.

        Airflow renders such values as if the DAG had written them.
        """
        mapped = _mapped_operator(self)
        if mapped is None or name in mapped.partial_kwargs:
            return False
        value = mapped._get_specified_expand_input().value
        if isinstance(value, Mapping):
            return False  # `expand`, where Airflow tells
        return not (isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value))

    def _approved_secrets(self) -> frozenset[SecretName]:
        """Return the names of the secrets that this task may read."""
        mapped = _mapped_operator(self)
        if mapped is not None and "allowed_secrets" not in mapped.partial_kwargs:
            allowed = frozenset[SecretName]()  # data could allow itself any
        else:
            allowed = as_names(self.allowed_secrets)
        return (self._own_names - self._names_in_data) | allowed

    def _read_named_secrets(self) -> None:
        """Read the secrets that the arguments name, and hide them in everything that White Rabbit answers.

        :raises WhiteRabbitError: if one can't be read, or must not be.
        """
        if self._names_secrets():
            arguments = {name: getattr(self, name) for name in self._secret_arguments}
            self.whiterabbit_hook.read_secrets(arguments, self._approved_secrets())

    def _secret_names(self) -> frozenset[SecretName]:
        names = frozenset[SecretName]().union(*(_names(getattr(self, name)) for name in self._secret_arguments))
        return names & self._approved_secrets() if names else names

    def _names_secrets(self) -> bool:
        return any(_has_mark(getattr(self, name)) for name in self._secret_arguments)

    def _note_data(self, value: Any) -> None:
        """Note the names in a value that did not come from the text of the DAG."""
        self._names_in_data |= _names(value)

    def _note_parsed(self, text: Any, value: Any) -> None:
        """Note the names in the parsed text of a JSON file that the text did not show: data had escaped them."""
        if isinstance(text, str):
            found = Counter(name for _, leaf in texts_in(value, "") for name in names_in(leaf))
            self._names_in_data |= frozenset(found - Counter(names_in(text)))


def _mapped_operator(task: Any) -> Any:
    """Return the mapped operator of which a task is an instance; None if it is not mapped."""
    if not getattr(task, "_BaseOperator__from_mapped", False):
        return None
    dag = task.get_dag()
    operator = None if dag is None else dag.task_dict.get(task.task_id)
    return operator if hasattr(operator, "partial_kwargs") else None


def _names(value: Any) -> frozenset[SecretName]:
    """Return the names of secrets anywhere in rendered data."""
    if isinstance(value, str):
        return frozenset(names_in(value))
    if isinstance(value, Mapping):
        return frozenset[SecretName]().union(*(_names(member) for member in value.values()))
    if isinstance(value, Sequence | set) and not isinstance(value, bytes | bytearray | memoryview):
        return frozenset[SecretName]().union(*(_names(item) for item in value))
    return frozenset()


def _has_mark(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_mark(name) or _has_mark(member) for name, member in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        return any(_has_mark(item) for item in value)
    return isinstance(value, str) and MARK in value


def _restored(value: Any, names: Mapping[str, str]) -> Any:
    """Return what was rendered, with names in place of their tokens."""
    if isinstance(value, str):
        for token, name in names.items():
            value = value.replace(token, name)
        return _CHANGED.sub(f"{MARK}changed by a filter", value)  # which is refused, since it is no name
    if isinstance(value, dict):
        return {_restored(key, names): _restored(member, names) for key, member in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(_restored(item, names) for item in value)
    return value
