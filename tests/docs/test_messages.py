"""Every message that a page quotes is a message of the package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import airflow_provider_whiterabbit
from airflow_provider_whiterabbit import exceptions
from tests.docs.pages import ROOT, blocks, tables

PACKAGE = Path(airflow_provider_whiterabbit.__file__).parent
PAGE = "docs/troubleshooting.md"
GAP = "…"
"""Stands for the variable parts of a message, on the pages and in the texts of the code."""

PYTHONS_OWN = {"No module named 'airflow_provider_whiterabbit'"}
"""Messages on the page that come from Python, not from the package."""


def texts_of(node: ast.AST) -> Iterator[str]:
    """Yield the texts in a module, except docstrings, with a gap for each part that is inserted at run time."""
    docstrings = {id(child.value) for child in ast.walk(node) if isinstance(child, ast.Expr)}
    for child in ast.walk(node):
        if id(child) in docstrings:
            continue
        if isinstance(child, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else GAP for part in child.values)  # type: ignore[misc]
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield re.sub(r"%(\.\d)?[sdrgf]", GAP, child.value)


@cache
def texts() -> set[str]:
    """Return the texts in all modules of the package."""
    trees = (ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py"))
    return {text for tree in trees for text in texts_of(tree) if len(text) > 8}


def said(piece: str) -> bool:
    """Whether a text of the code contains a piece of a message; the piece has no gap."""
    return any(piece in text for text in texts())


def is_message(message: str) -> bool:
    """Whether the code can produce a message, from one text with its gaps filled or from several texts together."""
    if any(message in text for text in texts()):
        return True
    if any(filled(text, message) for text in texts()):
        return True
    pieces = [piece.strip(" .:,;") for piece in message.split(GAP)]
    long = [piece for piece in pieces if len(piece) > 8]
    return bool(long) and all(said(piece) for piece in long)


def filled(text: str, message: str) -> bool:
    """Whether a text of the code, with its gaps filled, is the beginning of a message and at least half of it."""
    parts = text.split(GAP)
    if sum(map(len, parts)) < len(message) / 2:
        return False
    return re.match(".+?".join(map(re.escape, parts)), message) is not None


def quoted() -> list[str]:
    """Return the messages that the page on troubleshooting quotes."""
    first = [row[0] for table in tables(PAGE) for row in table[1:]]
    return [code for cell in first for code in re.findall(r"`([^`]+)`", cell) if " " in code]


@pytest.mark.parametrize("message", quoted())
def test_message(message: str) -> None:
    """The code can produce each message that the page on troubleshooting quotes."""
    assert message in PYTHONS_OWN or is_message(message)


def test_messages_that_do_not_exist() -> None:
    """The comparison rejects messages that the code can't produce."""
    assert not is_message("The connection has no API token: set the extra field 'api_token'.")
    assert not is_message("White Rabbit replied 401 to …")
    assert not is_message("… : …")


def test_text_blocks() -> None:
    """The code can produce each message that docs/at-most-once.md shows."""
    shown = [block for block in blocks("text") if block.page == "docs/at-most-once.md"]
    assert shown
    for block in shown:
        assert is_message(block.text.strip().replace("component BROADCAST_BITCOIN_TRANSACTION", GAP)), str(block)


def test_every_error_is_mentioned() -> None:
    """The page on troubleshooting names each class of error, except classes that have no message of their own."""
    text = (ROOT / PAGE).read_text()
    names = {name for name in vars(exceptions) if name.startswith("WhiteRabbit")}
    internal = {"WhiteRabbitError", "WhiteRabbitStreamError", "WhiteRabbitSignatureError", "WhiteRabbitTimeoutError"}
    assert {name for name in names if name not in text} <= internal
