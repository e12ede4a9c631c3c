"""Names of secrets in the inputs of components: `secret` says where a value is kept, and only the request holds it.

A name is a text such as ``${secret:connection:evm:password}`` or ``${secret:variable:api_token}``, so that it stays
what it is in JSON, Jinja, mapped tasks and serialized DAGs. Rendered fields, digests and questions show the name. The
worker that submits reads the value through Airflow's secrets backends.

Only the text of a DAG can name a secret. A name in data, such as an XCom or a DAG run's `conf`, is refused: otherwise
whoever writes the data could have any secret of this Airflow sent to White Rabbit. See `allowed_secrets` of the
operator and the hook.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.templates import SecretText

MARK = "${secret:"
"""How each name begins."""

FIELDS = ("password", "login", "host", "schema", "port")
"""The fields of an Airflow connection that a name can have, beside ``extra.<member>``."""

_PART = r"[^{}\"\\\x00-\x1f\x7f]"  # needs no escape in JSON, whichever text it is a part of
_NAME = re.compile(
    rf"\$\{{secret:(?:variable:(?P<variable>{_PART}{{1,250}})"
    rf"|connection:(?P<connection>{_PART}{{1,250}}):(?P<field>{'|'.join(FIELDS)}|extra\.[^:{{}}\"\\\x00-\x1f\x7f]{{1,250}}))\}}"
)

_SHAPE = "${secret:variable:<key>} or ${secret:connection:<id>:<field>}, as airflow_provider_whiterabbit.secrets.secret"


@dataclass(frozen=True, slots=True)
class SecretName:
    """Where a secret is kept: in an Airflow variable, or in a field of an Airflow connection.

    :param variable: the key of the variable; None for a connection.
    :param connection: the id of the connection; None for a variable.
    :param field: one of `FIELDS`, or ``extra.<member>``; empty for a variable.
    """

    variable: str | None = None
    connection: str | None = None
    field: str = ""

    def __str__(self) -> str:
        where = f"variable:{self.variable}" if self.connection is None else f"connection:{self.connection}:{self.field}"
        return f"{MARK}{where}}}"

    @property
    def described(self) -> str:
        """The name for messages, as ``the field 'password' of the connection 'evm'``."""
        if self.connection is None:
            return f"the variable {self.variable!r:.260}"
        return f"the field {self.field!r:.270} of the connection {self.connection!r:.260}"


@overload
def secret(*, variable: str) -> SecretText: ...


@overload
def secret(*, connection: str, field: str = "password") -> SecretText: ...


def secret(*, variable: str | None = None, connection: str | None = None, field: str = "password") -> SecretText:
    """Return a text that names a secret, for a value in `input` or `config`, or for a part of a longer text.

    ``secret(connection="evm", field="extra.secret_rpc_url")`` names a member of a connection's extra;
    ``f"Bearer {secret(variable='api_token')}"`` is a text with a secret in it. Nothing is read when the DAG is parsed.

    :param variable: the key of an Airflow variable.
    :param connection: the id of an Airflow connection, given instead of `variable`.
    :param field: ``password``, ``login``, ``host``, ``schema``, ``port``, or ``extra.<member>``.
    :raises WhiteRabbitInputError: if neither or both are given, the field is another one, or a name can't be part of a
        text: a name has at most 250 characters and no braces, double quotes, backslashes or control characters.
    """
    if (variable is None) == (connection is None):
        raise WhiteRabbitInputError("secret needs a variable or a connection, and not both")
    name = SecretName(variable) if connection is None else SecretName(None, connection, field)
    text = str(name)
    if not _NAME.fullmatch(text) or names_in(text) != [name]:
        raise WhiteRabbitInputError(f"{text!r:.300} can't name a secret. A name has the form {_SHAPE} writes it")
    return SecretText(text)


def names_in(text: str) -> list[SecretName]:
    """Return the names of secrets that a text holds, in their order."""
    return [_name(match) for match in _NAME.finditer(text)] if MARK in text else []


def replaced(text: str, replace: Mapping[SecretName, str]) -> str:
    """Return a text in which values, or other texts, stand in place of names of secrets."""
    return _NAME.sub(lambda match: replace.get(_name(match), match[0]), text) if MARK in text else text


def texts_in(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield the texts in a JSON value, with their places, such as ``input.headers.Authorization``.

    :raises WhiteRabbitInputError: if the name of a member holds the name of a secret, which is never read there.
    """
    levels = [iter([(place, value)])]  # no recursion: the caller has not checked the nesting
    while levels:
        for where, item in levels[-1]:
            if isinstance(item, str):
                yield where, item
                continue
            levels.append(_members(item, where))
            break
        else:
            levels.pop()


def check_names(value: Any, place: str) -> None:
    """Check that each mark of a secret in a value of a DAG begins a name that can be read.

    :raises WhiteRabbitInputError: if not, as for a name with a template in it. The message has the place.
    """
    for where, text in texts_in(value, place):
        check_text(text, where)


def check_text(text: str, place: str) -> None:
    """Check one text, as `check_names` does."""
    if MARK in text and MARK in _NAME.sub(" ", text):
        raise WhiteRabbitInputError(
            f"{place}: '{MARK}' begins the name of a secret, but what follows is none. A name has the form {_SHAPE} "
            "writes it, and holds no template"
        )


def as_names(allowed: Any, argument: str = "allowed_secrets") -> frozenset[SecretName]:
    """Return the names of secrets in a list of what `secret` has returned.

    :param argument: the argument's name, for the error.
    :raises WhiteRabbitInputError: if it is something else.
    """
    is_list = isinstance(allowed, Collection) and not isinstance(allowed, str)
    if is_list and all(isinstance(text, str) and _NAME.fullmatch(text) for text in allowed):
        return frozenset(name for text in allowed for name in names_in(text))
    raise WhiteRabbitInputError(f"{argument} must be a list of names as secret(…) returns them, got {allowed!r:.200}")


def _name(match: re.Match[str]) -> SecretName:
    return SecretName(match["variable"], match["connection"], match["field"] or "")


def _members(item: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(item, Mapping):
        for name, member in item.items():
            if isinstance(name, str) and MARK in name:
                raise WhiteRabbitInputError(f"{place}: the name of a member can't hold the name of a secret")
            yield f"{place}.{name}" if str(name).isidentifier() else f"{place}[{name!r:.100}]", member
    elif isinstance(item, Sequence) and not isinstance(item, bytes | bytearray | memoryview):
        for index, member in enumerate(item):
            yield f"{place}[{index}]", member
