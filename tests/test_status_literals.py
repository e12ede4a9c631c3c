"""Only the client and the emulator know the names of the API's statuses; other modules ask a record or an event."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_whiterabbit

PACKAGE = Path(airflow_provider_whiterabbit.__file__).parent
MODULES = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in ("client", "emulator")]
STATUS = re.compile(r"\b(COMPLETED|FAILED|CANCELED|EXECUTING|CREATED|RUNNING)\b")


def status_literals(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each string constant that names a status. Docstrings do not count."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    for node in strings:
        if id(node) not in docstrings and STATUS.search(str(node.value)):
            yield node.lineno, str(node.value)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_status_literals(path: Path) -> None:
    """No string of a module outside the client and the emulator names a status of the API."""
    assert not list(status_literals(path.read_text()))


def test_status_literals_are_found() -> None:
    """The check finds a status in a string, in a longer string and in an f-string, but not in a docstring."""
    source = """
def f(record):
    'Return whether it is COMPLETED.'
    if record.status == "COMPLETED":
        return "It is FAILED"
    return f"{record.id} RUNNING"
"""
    assert [line for line, _ in status_literals(source)] == [4, 5, 6]
