"""Finds the components that a generated module has, and those that DAG files use; nothing is imported or executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_whiterabbit.components.module import HEAD
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError

Known = Mapping[str, Any]
"""What a generated class knows of its component: the name of the module, and the schemas of its parts."""


def generated(path: Path) -> dict[str, Known]:
    """Return what the classes of a generated module know, by their names without ``Operator``.

    :raises WhiteRabbitInputError: if the file is not a generated module.
    """
    text = read(path)
    if not text.startswith(HEAD):
        raise WhiteRabbitInputError(f"{path} was not generated from a component catalogue")
    classes = [node for node in _parsed(text, path).body if isinstance(node, ast.ClassDef)]
    assigned = [(cls.name, node.value) for cls in classes for node in cls.body if isinstance(node, ast.Assign)]
    try:
        return {name.removesuffix("Operator"): ast.literal_eval(value) for name, value in assigned}
    except ValueError:
        raise WhiteRabbitInputError(f"{path} was changed since it was generated; generate it again") from None


def used_in(path: Path, known: Mapping[str, Known]) -> set[str]:
    """Return the names of the generated classes that a DAG file uses, by the class or by the name of the module."""
    found = set(_words(_parsed(read(path), path)))
    suffixes = ("Operator", "Input", "Config", "Output")
    return {
        stem
        for stem, component in known.items()
        if component["module"] in found or any(f"{stem}{suffix}" in found for suffix in suffixes)
    }


def _words(tree: ast.AST) -> Iterator[str]:
    """Yield all names and texts in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def read(path: Path) -> str:
    """Return the text of a file.

    :raises WhiteRabbitInputError: if it can't be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise WhiteRabbitInputError(f"{path} can't be read: {error}") from None


def _parsed(text: str, path: Path) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise WhiteRabbitInputError(f"{path} is no Python module: {error}") from None
