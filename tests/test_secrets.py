"""Names of secrets: the texts that `secret` returns, and what is no name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.secrets import SecretName, as_names, check_names, names_in, replaced, secret

EVM = secret(connection="evm", field="extra.rpc_url")
KEY = secret(variable="rpc_key")


def test_texts() -> None:
    """The texts are those that JSON files and databases hold."""
    assert KEY == "${secret:variable:rpc_key}"
    assert EVM == "${secret:connection:evm:extra.rpc_url}"
    assert secret(connection="evm") == "${secret:connection:evm:password}"


@pytest.mark.parametrize(
    "name",
    [
        SecretName("a key: with/all#that(Airflow)!allows"),
        SecretName("schlüssel"),
        SecretName(connection="a:b.c/d:e", field="host"),
        SecretName(connection="extra.password", field="extra.password"),
        SecretName(connection="evm", field="extra.a.b c"),
    ],
    ids=str,
)
def test_names_survive(name: SecretName) -> None:
    """A name is found in a longer text, and JSON leaves it as it is."""
    text = f"Bearer {name}, $"
    assert names_in(text) == [name]
    assert json.dumps(text, ensure_ascii=False) == f'"{text}"'
    assert replaced(text, {name: "value"}) == "Bearer value, $"
    assert replaced(text, {}) == text


def test_values_are_not_read_again() -> None:
    """A value that looks like a name, or like a group of a regular expression, is put in as it is."""
    assert replaced(f"{KEY}{EVM}", dict(zip(names_in(KEY + EVM), [EVM, r"\1"], strict=True))) == rf"{EVM}\1"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"variable": "a", "connection": "b"},
        {"variable": ""},
        {"variable": "a}b"},
        {"variable": 'a"b'},
        {"variable": "a\nb"},
        {"variable": "{{ params.key }}"},
        {"variable": "x" * 251},
        {"connection": "evm", "field": "passwort"},
        {"connection": "evm", "field": "extra"},
        {"connection": "evm", "field": "extra.a:b"},
    ],
    ids=str,
)
def test_refused_arguments(arguments: Any) -> None:
    """What can't be a name is refused when the DAG is parsed."""
    with pytest.raises(WhiteRabbitInputError):
        secret(**arguments)


@pytest.mark.parametrize(
    "text",
    [
        "${secret:",
        "${secret:}",
        "${secret:evm.password}",
        "${secret:variable:{{ params.key }}}",
        "${secret:connection:evm}",
        "${secret:connection:evm:passwort}",
        "${secret:variable:${secret:variable:a}}",
        f"{KEY} and ${{secret:variable",
    ],
)
def test_marks_without_a_name(text: str) -> None:
    """A mark that begins no name is refused, with its place."""
    with pytest.raises(WhiteRabbitInputError, match=r"^input\.a\[0\]\['x y'\]: "):
        check_names({"a": [{"x y": text}]}, "input")


@pytest.mark.parametrize("text", ["", "$", "${}", "$secret:", "${SECRET:variable:a}", "$ {secret:variable:a}", KEY])
def test_other_texts(text: str) -> None:
    """Other texts are values."""
    check_names({"a": text, "n": 1, "none": None}, "input")


def test_names_of_members() -> None:
    """The name of a member can't hold a secret."""
    with pytest.raises(WhiteRabbitInputError, match=r"^input\.a: the name of a member"):
        check_names({"a": {KEY: 1}}, "input")


@pytest.mark.parametrize("allowed", [KEY, [f"x{KEY}"], [KEY, 1], None, 5, ["rpc_key"]], ids=str)
def test_lists_of_names(allowed: Any) -> None:
    """`allowed_secrets` takes a list of names alone."""
    with pytest.raises(WhiteRabbitInputError, match="allowed_secrets must be a list"):
        as_names(allowed)
    assert as_names((KEY, EVM)) == {*names_in(KEY), *names_in(EVM)}
