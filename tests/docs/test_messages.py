"""Every message that a page quotes is a message of the package, and each error and warning of the package has a row."""

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

FRAMES = {
    "…, both as PEM (…).",
    (
        "The connection's password …. It must be the API secret that White Rabbit showed when the key was made: an "
        "Ed25519 private key, PKCS#8 DER in base64 (or PEM)."
    ),
    (
        "… Airflow's UI can edit it: it is … of this task instance's task state store. If White Rabbit has the "
        'submission, store {"id": "<its id>"}; if not, delete it, and the next try submits.'
    ),
    "… (rendered from …)",
}
"""Texts around another message, which has the row."""

LOGGED = {"warning", "warn", "error", "exception", "critical"}
"""The functions of a logger that write what users are to see."""

PYTHONS_OWN = {"No module named 'airflow_provider_whiterabbit'"}
"""Messages on the page that come from Python, not from the package."""


def text_of(node: ast.AST) -> str | None:
    """Return the text of a literal, with a gap for each part that is inserted at run time; None for anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else GAP for part in node.values)  # type: ignore[misc]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%(\.\d)?[sdrgf]", GAP, node.value)
    return None


def texts_of(node: ast.AST) -> Iterator[str]:
    """Yield the texts in a module, except docstrings, with a gap for each part that is inserted at run time."""
    docstrings = {id(child.value) for child in ast.walk(node) if isinstance(child, ast.Expr)}
    for child in ast.walk(node):
        if id(child) in docstrings:
            continue
        if (text := text_of(child)) is not None:
            yield text


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


def is_shown(function: ast.expr) -> bool:
    """Whether a function makes an error of the provider, or writes an error or a warning to a log."""
    if isinstance(function, ast.Attribute) and function.attr == "ArgumentTypeError":
        return True
    if isinstance(function, ast.Attribute):
        return function.attr in LOGGED and ast.unparse(function.value).endswith(("log", "logger", "warnings"))
    return isinstance(function, ast.Name) and re.fullmatch(r"(WhiteRabbit|AirflowApi)\w*Error", function.id) is not None


def shown_by(tree: ast.AST) -> Iterator[str]:
    """Yield the texts that a module shows to users as errors and warnings.

    A message in a variable counts as well. A text without words only joins messages, which come from elsewhere.
    """
    assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    variables = {ast.unparse(node.targets[0]): text for node in assigned if (text := text_of(node.value)) is not None}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and is_shown(node.func):
            text = text_of(node.args[0]) or variables.get(ast.unparse(node.args[0]))
            if text is not None and re.search(r"[a-z]{2}", text):
                yield text


def shown() -> list[str]:
    """Return the texts that the package shows to users as errors and warnings."""
    return sorted({text for path in PACKAGE.rglob("*.py") for text in shown_by(ast.parse(path.read_text()))} - FRAMES)


def words_of(message: str) -> list[str]:
    """Return the parts between the gaps of a message that are long enough to search for."""
    return [part for piece in message.split(GAP) if len(part := piece.strip(" .:,;")) > 5]


def has_row(text: str, rows: list[str]) -> bool:
    """Whether a row has all parts of a text, or only parts of the text: a row may leave out the end of a long one."""
    parts = words_of(text)
    for row in rows:
        if parts and all(part in row for part in parts):
            return True
        if len("".join(words := words_of(row))) > 8 and all(word in text for word in words):
            return True
    return False


@pytest.mark.parametrize("text", shown())
def test_every_message_has_a_row(text: str) -> None:
    """A user who searches the page on troubleshooting for an error or a warning finds it."""
    assert has_row(text, quoted())


def test_messages_without_a_row() -> None:
    """The search finds messages of all kinds, and misses those that the page does not have."""
    module = ast.parse(
        """
def f(self, x):
    message = "Nobody has written about %s"
    log.error(message, x)
    self.log.warning("It rains in %s", x)
    self.log.info("All is well")
    other.warning("It snows")
    raise WhiteRabbitInputError(f"{x} must be green")
"""
    )
    assert set(shown_by(module)) == {f"Nobody has written about {GAP}", f"It rains in {GAP}", f"{GAP} must be green"}
    rows = ["It rains in …", "… must be … on Mondays"]
    assert has_row("It rains in …", rows)
    assert not has_row("… must be green", rows)
    assert not has_row("Nobody has written about …", rows)


def test_every_error_is_mentioned() -> None:
    """The page on troubleshooting names each class of error, except classes that have no message of their own."""
    text = (ROOT / PAGE).read_text()
    names = {name for name in vars(exceptions) if name.startswith("WhiteRabbit")}
    internal = {"WhiteRabbitError", "WhiteRabbitStreamError", "WhiteRabbitSignatureError", "WhiteRabbitTimeoutError"}
    assert {name for name in names if name not in text} <= internal
