"""Finds the components that a generated module has, and those that DAG files use; nothing is imported or executed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_whiterabbit.components.module import HEAD
from airflow_provider_whiterabbit.components.schemas import PARTS, normal_part
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError

_OPERATOR = "Operator"
_SUFFIXES = (_OPERATOR, "Input", "Config", "Output")
_CLASS = re.compile(rf"\b[A-Za-z]\w*?(?:{'|'.join(_SUFFIXES)})(?=\b|_[A-Z])", re.ASCII)

Known = Mapping[str, Any]
"""What a generated class knows of its component: the name of the module, and the schemas of its parts."""


def generated(path: Path) -> dict[str, Known]:
    """Return what the classes of a generated module know, by their names without ``Operator``.

    :raises WhiteRabbitInputError: if the file is not a generated module, or was changed.
    """
    tree = _parsed(path)
    if not (ast.get_docstring(tree, clean=False) or "").startswith(HEAD.removeprefix('"""')):
        raise WhiteRabbitInputError(f"{path} was not generated from a component catalogue")
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name.endswith(_OPERATOR)]
    try:
        return {cls.name.removesuffix(_OPERATOR): _known(cls) for cls in classes}
    except (ValueError, TypeError, RecursionError):  # of `ast.literal_eval`
        raise WhiteRabbitInputError(f"{path} was changed since it was generated; generate it again") from None


def _known(cls: ast.ClassDef) -> Known:
    """Return what a generated class knows.

    :raises ValueError: if the class is not as it was generated: a component must not go unchecked.
    """
    for node in cls.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_component":
            known = ast.literal_eval(node.value)
            if isinstance(known, dict) and isinstance(known.get("module"), str) and known.keys() >= {*PARTS}:
                return {"module": known["module"], **{part: normal_part(known[part], part) for part in PARTS}}
    raise ValueError(cls.name)


def used_in(path: Path, known: Mapping[str, Known]) -> set[str]:
    """Return the names of the generated classes that a DAG file uses, by the class or by the name of the module."""
    texts = set(_texts(_parsed(path)))
    # A text may be an annotation, and the type of a field has a longer name, such as PayInput_To.
    classes = {name for text in texts for name in _CLASS.findall(text)}
    return {
        stem
        for stem, component in known.items()
        if component["module"] in texts or not classes.isdisjoint(f"{stem}{suffix}" for suffix in _SUFFIXES)
    }


def _texts(tree: ast.AST) -> Iterator[str]:
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


def _parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file, in the encoding that the file declares, as Python reads it.

    :raises WhiteRabbitInputError: if it can't be read, or is no Python module.
    """
    try:
        return ast.parse(path.read_bytes())
    except OSError as error:
        raise WhiteRabbitInputError(f"{path} can't be read: {error}") from None
    except (SyntaxError, ValueError, RecursionError) as error:
        raise WhiteRabbitInputError(f"{path} is no Python module: {error}") from None
