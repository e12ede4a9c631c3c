"""An extension of griffe, which parses the package for the site: more reStructuredText, and the values of defaults."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from griffe import Extension

_BEFORE_A_BLOCK = re.compile(r"::(?=\n\n +\S)")
_SEE_ALSO = re.compile(r"^\.\. seealso::\n(?P<text>(?: +.+\n?)+)", re.MULTILINE)
_REFERENCE = re.compile(r":ref:`([\w-]+)`")


_PACKAGE = Path(__file__).parents[3] / "airflow_provider_whiterabbit"


class OurDocstrings(Extension):  # type: ignore[misc]  # griffe is installed only in the environment of `make docs`
    """Handles ``::`` before code, ``.. seealso::`` and ``:ref:``, and shows the values of defaults, not their names."""

    def on_function(self, *, func: Any, **_: Any) -> None:
        """Write the value of a default in place of the name of the constant that holds it."""
        for parameter in func.parameters:
            path = getattr(parameter.default, "canonical_path", None)
            parameter.default = _constants().get(path, parameter.default)

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Write a docstring's reStructuredText as Markdown, which marks a block of code by its indentation alone.

        The text in ``:ref:`` is the anchor of a heading on any page of the site.
        """
        if obj.docstring is not None:
            text = _BEFORE_A_BLOCK.sub(":", obj.docstring.value)
            text = _SEE_ALSO.sub(r'!!! info "See also"\n\n\g<text>', text)
            obj.docstring.value = _REFERENCE.sub(lambda found: f"[{_title(found[1])}][{found[1]}]", text)


@cache
def _constants() -> dict[str | None, str]:
    """Return the values, as in the code, of the constants of all modules and classes of the package, by their paths."""
    found: dict[str | None, str] = {}
    for file in _PACKAGE.rglob("*.py"):
        module = ".".join(file.relative_to(_PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        found.update(_literals(ast.parse(file.read_text()), module))
    return found


def _literals(node: ast.Module | ast.ClassDef, path: str) -> Iterator[tuple[str, str]]:
    for child in node.body:
        if isinstance(child, ast.ClassDef):
            yield from _literals(child, f"{path}.{child.name}")
        elif isinstance(child, ast.Assign) and _is_value(child.value):
            yield from ((f"{path}.{ast.unparse(target)}", ast.unparse(child.value)) for target in child.targets)


def _is_value(node: ast.expr) -> bool:
    """Whether an expression is a value, a product of values such as ``1024 * 1024``, or infinity."""
    if isinstance(node, ast.BinOp):
        return _is_value(node.left) and _is_value(node.right)
    return isinstance(node, ast.Constant) or ast.unparse(node) == "float('inf')"


def _title(anchor: str) -> str:
    return anchor.replace("-", " ").capitalize()
