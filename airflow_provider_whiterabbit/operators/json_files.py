"""Takes the objects of a submission, `input` and `config`, from JSON files beside the DAG."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeGuard

from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.own_fields import is_deferred
from airflow_provider_whiterabbit.templated import TemplatedMixin, json_object

if TYPE_CHECKING:
    from jinja2 import Environment

_EXTENSIONS = (".json", ".json.j2")

_MARK = " "
"""Stands before the rendered text of each file. With ``render_template_as_native_obj``, Airflow would take the text for
Python, where JSON's escapes mean something else; Python refuses an expression that begins with a space."""

_BOM = "\ufeff"
"""Some editors write it at the beginning of a file; a JSON parser may ignore it (RFC 8259, section 8.1)."""

_FIXES = (
    "Give an object with templates in its values, another task's output that is an object, or the name of a .json "
    "file, or set render_template_as_native_obj=True in the DAG, so that a template can render to an object"
)


class _File(NamedTuple):
    """A file whose text has replaced its name in an argument."""

    name: str
    text: str
    is_rendered: bool = False
    """Whether the argument holds the rendered text: Airflow 2 may render a task twice."""


class JsonFilesMixin(TemplatedMixin):
    """Mixin for operators with arguments that are objects, or the names of JSON files that Airflow renders.

    Airflow itself takes each text in a template field for the name of a file if it ends with one of `template_ext`, the
    texts within an object too. Here only a whole argument is the name of a file.
    """

    template_ext: Sequence[str] = _EXTENSIONS

    _json_arguments: ClassVar[tuple[str, ...]] = ("input", "config")

    _json_files: Mapping[str, _File] = {}
    """The files, by the arguments that hold their texts."""

    _were_rendered: frozenset[str] = frozenset()
    """The template fields that Airflow has rendered at least once."""

    def resolve_template_files(self) -> None:
        """Read the files; Airflow calls this when it has parsed the DAG.

        :raises WhiteRabbitInputError: if a file can't be read, or is wrong as it is.
        """
        self._read_files(self._json_arguments)
        with self._files_of_subclasses():
            super().resolve_template_files()

    def _render_own_fields(self, fields: list[str], context: Any, *args: Any, **kwargs: Any) -> None:
        """Render the template fields; read the files of a mapped task, and of a DAG that Airflow has not loaded."""
        ours = self._fields_of_this_provider()
        # What was rendered, or comes from another task to be mapped over, is data, which may not name a file. Airflow
        # passes the set of the identities (`id`) of the latter.
        data = next((argument for argument in (*args, *kwargs.values()) if isinstance(argument, set)), set())
        names = [name for name in self._json_arguments if name in fields and name not in self._were_rendered]
        self._read_files([name for name in names if id(getattr(self, name, None)) not in data])
        self._were_rendered |= set(fields)
        with self._no_files():
            given = [name for name in self._json_files if name in fields]
            files = [name for name in given if isinstance(getattr(self, name), str)]  # unless replaced since then
            for name in files:
                self._render_file(name, context)
            values = [name for name in fields if name in ours and name not in files]
            super()._render_own_fields(values, context, *args, **kwargs)
        others = [name for name in fields if name not in ours]
        with self._files_of_subclasses():
            super()._render_own_fields(others, context, *args, **kwargs)

    def _render_file(self, name: str, context: Any) -> None:
        """Render the text of a file to a text.

        With ``render_template_as_native_obj``, Jinja would make Python values of each macro and block in the file too.
        """
        if self._json_files[name].is_rendered:
            return
        dag: Any = self.get_dag()  # without one, no file could be read
        environment = dag.get_template_env(force_sandboxed=True)
        # An expression, because a tag such as ``{%- if x %}`` removes the white space before it.
        mark = f"{environment.variable_start_string} {_MARK!r} {environment.variable_end_string}"
        setattr(self, name, self.render_template(f"{mark}{getattr(self, name)}", context, environment))
        self._json_files = {**self._json_files, name: self._json_files[name]._replace(is_rendered=True)}

    def _object_argument(self, name: str) -> Any:
        """Return a rendered argument that must be an object or None; parse the text of a file.

        :raises WhiteRabbitInputError: if it is another text, or not JSON.
        """
        value = getattr(self, name)
        if isinstance(value, str) and name in self._json_files:
            file = self._json_files[name]
            parsed = _parsed(value, name, file.name)
            with contextlib.suppress(ValueError, RecursionError):  # a file whose templates stand for more than texts
                self._note_missing_values(name, json.loads(file.text), parsed)
            self._refuse_missing_values(name, parsed)
            return parsed
        value = self._rendered_argument(name)
        if isinstance(value, str):
            kind = "a JSON text" if value.lstrip().startswith("{") else "a text"
            raise WhiteRabbitInputError(f"{name} must be an object (a dict), got {kind}. {_FIXES}")
        return value

    def _checked_object(self, value: Any, name: str) -> Any:
        """Check an argument of `__init__` that is an object or the name of a file."""
        if not isinstance(value, str):
            return json_object(value, name)
        if not value.endswith(_EXTENSIONS):
            raise WhiteRabbitInputError(f"{name} must be an object (a dict), got a text. {_FIXES}")
        return value

    def _read_files(self, names: Iterable[str]) -> None:
        for name in names:
            file = getattr(self, name, None)
            if name not in self._json_files and _is_file(file):
                environment = self.get_template_env()
                text = _text_of(environment, name, file)
                if not _is_template(text, environment):
                    _parsed(text, name, file)
                setattr(self, name, text)
                self._json_files = {**self._json_files, name: _File(file, text)}

    def _fields_of_this_provider(self) -> set[str]:
        """Return the template fields of this provider's classes: those of subclasses work as Airflow's do."""
        package = __package__.partition(".")[0]
        classes = (cls for cls in type(self).__mro__ if cls.__module__.partition(".")[0] == package)
        return {name for cls in classes for name in vars(cls).get("template_fields", ())}

    @contextlib.contextmanager
    def _no_files(self) -> Iterator[None]:
        """Let Airflow take no text for the name of a file."""
        with self._replaced(template_ext=()):
            yield

    @contextlib.contextmanager
    def _files_of_subclasses(self) -> Iterator[None]:
        """Let Airflow read files for the template fields of a subclass alone, if it names extensions of its own."""
        ours = self._fields_of_this_provider()
        fields = [name for name in self.template_fields if name not in ours]
        extensions = () if self.template_ext is _EXTENSIONS else self.template_ext
        with self._replaced(template_ext=extensions, template_fields=fields):
            yield

    @contextlib.contextmanager
    def _replaced(self, **attributes: Any) -> Iterator[None]:
        before = {name: vars(self)[name] for name in attributes if name in vars(self)}
        vars(self).update(attributes)
        try:
            yield
        finally:
            for name in attributes:
                del vars(self)[name]
            vars(self).update(before)


def _is_file(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and value.endswith(_EXTENSIONS) and not is_deferred(value)


def _text_of(environment: Environment, name: str, file: str) -> str:
    if environment.loader is None:
        raise WhiteRabbitInputError(f"{name}: the file {file} can't be found, because the task has no DAG")
    try:
        return environment.loader.get_source(environment, file)[0].removeprefix(_BOM)
    except (OSError, UnicodeError) as error:
        raise WhiteRabbitInputError(
            f"{name}: the file {file} can't be read ({type(error).__name__}). The name is relative to the folder "
            "of the DAG's file, or to the DAG's template_searchpath"
        ) from None


def _is_template(text: str, environment: Environment) -> bool:
    begins = (environment.variable_start_string, environment.block_start_string, environment.comment_start_string)
    return any(begin in text for begin in begins)


def _parsed(text: str, name: str, file: str) -> Any:
    """Return the object that the rendered text of a file holds.

    No message shows the text, which can be secret.

    :raises WhiteRabbitInputError: if it is no object, or can't be sent as JSON, with the place of a mistake.
    """
    place = f"{name}: the file {file}"
    try:
        value = json.loads(text.removeprefix(_MARK), object_pairs_hook=members, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise WhiteRabbitInputError(
            f"{place}, when rendered, is not JSON: {error.msg}, line {error.lineno}, column {error.colno}. A template "
            "writes its value as JSON with the filter tojson"
        ) from None
    except (ValueError, RecursionError) as error:
        raise WhiteRabbitInputError(f"{place}, when rendered, is not valid: {error}") from None
    if not isinstance(value, dict):
        raise WhiteRabbitInputError(f"{place}, when rendered, must hold an object, got {type(value).__name__}")
    return json_object(value, name)  # now: Airflow can't take what is nested too deep as a task's attribute


def members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of a JSON object: a payment with two amounts is refused."""
    found = dict(members)
    if len(found) < len(members):
        names = [name for name, _ in members]
        raise ValueError(
            f"the name {next(name for name in names if names.count(name) > 1)!r} appears twice in an object"
        )
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
