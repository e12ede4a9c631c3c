"""The examples use White Rabbit's components as they are documented: their modules, inputs and config fields."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_whiterabbit.client import catalogue
from airflow_provider_whiterabbit.emulator.world.components import BUILT_IN
from tests.docs.pages import BLOCKS, PAGES, ROOT, blocks

DEFINITIONS = {definition["module"]: definition for definition in BUILT_IN}
MODULE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")

SUBMIT = {"WhiteRabbitExecuteComponentOperator", "execute_component", "submit"}
"""Functions that submit a module, which is their first argument or a keyword."""

TAKE_A_MODULE = {
    *SUBMIT,
    "WhiteRabbitExecuteComponentsOperator",
    "partial",
    "create_execution",
    "script",
    "whiterabbit",
    "whiterabbit_task",
}
"""Functions that take a module, perhaps without its whole input."""

FOREIGN = {"before.py"}
"""Titles of blocks with calls of other packages."""

Submission = tuple[str, ast.expr | None, ast.expr | None, bool]
"""A module, the expressions of its input and config, and whether these are all that is submitted."""


def sources() -> dict[str, str]:
    """Return the code of all examples by their place."""
    examples = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "example_dags").glob("*.py")}
    return examples | {str(block): block.text for block in blocks("python") if block.title not in FOREIGN}


def constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Return what is assigned to each name in a piece of code, also by ``a, b = 1, 2``."""
    found: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name | ast.Tuple):
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            values = node.value.elts if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple) else []
            found |= {
                name.id: value
                for name, value in zip(names, values or [node.value], strict=False)
                if isinstance(name, ast.Name)
            }
    return found


def submissions(code: str) -> Iterator[Submission]:
    """Yield the submissions of a piece of code, and the modules whose executions it scripts."""
    tree = ast.parse(code)
    known = constants(tree)

    def resolved(node: ast.expr | None) -> ast.expr | None:
        return known.get(node.id, node) if isinstance(node, ast.Name) else node

    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        if name not in TAKE_A_MODULE:
            continue
        names = ["module", "input", "config"]
        if ast.unparse(node.func).startswith("once."):
            names.insert(0, "key")
        given = dict(zip(names, map(resolved, node.args), strict=False))
        given |= {keyword.arg: resolved(keyword.value) for keyword in node.keywords if keyword.arg}
        if isinstance(module := given.get("module"), ast.Constant):
            yield module.value, given.get("input"), given.get("config"), name in SUBMIT


def literal_keys(node: ast.expr | None) -> tuple[set[Any], bool]:
    """Return the literal keys of an expression, and whether it has no others."""
    if node is None:
        return set(), True
    if not isinstance(node, ast.Dict):
        return set(), False
    literal = {key.value for key in node.keys if isinstance(key, ast.Constant)}
    return literal, len(literal) == len(node.keys)


SUBMISSIONS = [
    pytest.param(*found, id=f"{place} {found[0]}") for place, code in sources().items() for found in submissions(code)
]


@pytest.mark.parametrize(("module", "inputs", "config", "is_complete"), SUBMISSIONS)
def test_submission(module: str, inputs: ast.expr | None, config: ast.expr | None, is_complete: bool) -> None:
    """An example names an existing module, inputs and config fields that the module has, and all required ones."""
    definition = DEFINITIONS[module]
    parameters = {field["name"]: not field.get("optional") for field in definition["inputs"]["parameters"]}
    fields = {name: name in definition["configs"]["required"] for name in definition["configs"]["properties"]}
    for expression, known in ((inputs, parameters), (config, fields)):
        given, has_no_others = literal_keys(expression)
        assert given <= known.keys()
        if is_complete and has_no_others:
            assert {name for name, is_required in known.items() if is_required} <= given


def test_submissions_are_found() -> None:
    """The examples of the README, the documentation and the folder with examples are found."""
    places = {str(param.id).partition(":")[0].partition(" ")[0] for param in SUBMISSIONS}
    assert {"README.md", "docs/index.md", "docs/testing.md", "docs/emulator.md"} <= places
    assert len([place for place in places if place.startswith("example_dags/")]) == 6


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_in_json(page: Any) -> None:
    """JSON on a page, such as the body of a request, names existing modules, or modules that the page declares."""
    text = page.read_text()
    declared = re.findall(r'--component (\w+)|component\("(\w+)"', text)
    known = {*DEFINITIONS, *(name for names in declared for name in names)}
    for found in re.findall(r'"module": ?"([^"]*)"', text):
        assert found in known, found


def test_no_invented_input() -> None:
    """No page and no example names an input that a component of an earlier version of the emulator had."""
    text = "".join(block.text for block in BLOCKS) + "".join(sources().values())
    assert not re.findall(r"chainId|\"confirmations\"|DEMO_", text)


def test_first_example_is_valid() -> None:
    """The README's first example gives its component all inputs, and nothing else, in the eyes of the provider."""
    ((module, inputs, config, _),) = submissions(
        next(block for block in blocks("python") if block.page == "README.md").text
    )
    assert config
    catalogue.validate(DEFINITIONS[module], dict.fromkeys(literal_keys(inputs)[0], "x"), ast.literal_eval(config))
