"""`components check` tells what a newer catalogue changes for the components that DAG files use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_whiterabbit.components.changes import changes, fits
from airflow_provider_whiterabbit.components.command import main
from airflow_provider_whiterabbit.components.schemas import components_of
from tests.components.modules import definition, generate, write_catalogue

STRING, NUMBER = {"type": "string"}, {"type": "number"}
SIDES, MORE_SIDES = {**STRING, "enum": ["BUY", "SELL"]}, {**STRING, "enum": ["BUY", "SELL", "HOLD"]}
TO = {"type": "object", "properties": {"id": STRING}, "required": ["id"]}


def compared(old: Any, new: Any) -> list[tuple[str, bool]]:
    """Return the differences of two definitions."""
    ((one, other), _) = components_of([{**old, "module": "A"}, {**new, "module": "B"}])
    return [(change.text, change.breaks) for change in changes(one.schemas, other.schemas)]


@pytest.mark.parametrize(
    ("old", "new", "as_input", "as_output"),
    [
        (STRING, STRING, None, None),
        (STRING, NUMBER, ("number, was string", True), ("number, was string", True)),
        (STRING, SIDES, ("string (BUY, SELL), was string", True), ("string (BUY, SELL), was string", False)),
        (SIDES, MORE_SIDES, ("string (BUY, SELL, HOLD), was string (BUY, SELL)", False), True),
        (SIDES, STRING, ("string, was string (BUY, SELL)", False), True),
        (STRING, {}, ("anything, was string", False), True),
        ({}, TO, ("object with the fields id, was anything", True), False),
        (TO, {"type": "object"}, ("object, was object with the fields id", False), True),
        (
            {"type": "array", "items": STRING},
            {"type": "array", "items": {"anyOf": [STRING, NUMBER]}},
            ("array of string or number, was array of string", False),
            True,
        ),
        ({"type": "array"}, {"type": "array", "items": STRING}, ("array of string, was array", True), False),
    ],
    ids=ascii,
)
def test_types(old: Any, new: Any, as_input: Any, as_output: Any) -> None:
    """A type of an input may become wider and that of an output narrower; anything else breaks."""
    if as_input is not None and isinstance(as_output, bool):
        as_output = (as_input[0], as_output)
    for part, expected in (("inputs", as_input), ("outputs", as_output)):
        found = compared(definition(**{part: {"x": old}}), definition(**{part: {"x": new}}))
        place = f"{part.removesuffix('s')}.x"
        assert found == ([] if expected is None else [(f"{place}: {expected[0]}", expected[1])]), part


def test_fields() -> None:
    """A field that is gone breaks, and so does a new one that is required; other new ones do not."""
    old = definition(inputs={"a": STRING, "b": STRING, "c": STRING}, optional=("b",), config={"x": STRING})
    new = definition(inputs={"b": STRING, "c": STRING, "d": TO, "e": STRING}, optional=("c", "e"))
    assert compared(old, new) == [
        ("input.a: removed", True),
        ("input.b: required now", True),
        ("input.c: optional now", False),
        ("input.d: new, required, object with the fields id", True),
        ("input.e: new, optional, string", False),
        ("config.x: removed", True),
    ]
    outputs = {"inputs": None, "outputs": {"response": [{"name": "a", "schema": STRING}]}}
    more = [{"name": "a", "schema": STRING, "optional": True}, {"name": "b", "schema": STRING}]
    assert compared({**definition(), **outputs}, {**definition(), **outputs, "outputs": {"response": more}}) == [
        ("output.a: optional now", True),
        ("output.b: new, required, string", False),
    ]


def test_nested_fields() -> None:
    """The place of a difference is the nested one."""
    inner = {**TO, "properties": {"id": NUMBER}}
    array = {"type": "array", "items": TO}
    old, new = (
        definition(inputs={"to": TO, "all": array}),
        definition(inputs={"to": inner, "all": {**array, "items": inner}}),
    )
    assert compared(old, new) == [
        ("input.all[].id: number, was string", True),
        ("input.to.id: number, was string", True),
    ]


def test_fits() -> None:
    """One of several types fits if each of its types does."""
    either = {"anyOf": [STRING, NUMBER]}
    assert fits(STRING, either)
    assert fits(either, {"anyOf": [NUMBER, {"type": "boolean"}, STRING]})
    assert not fits(either, STRING)
    assert not fits({**TO, "required": []}, TO)
    assert fits(TO, {**TO, "required": []})


# --- the command


def check(folder: Path, generated: Path, *definitions: Any, dags: tuple[str, ...] = ("dags",)) -> int:
    """Check DAG files against another catalogue, and return the command's exit status."""
    source = write_catalogue(folder, *definitions)
    paths = [str(folder / name) for name in dags]
    try:
        main(["check", "--file", str(source), "--generated", str(generated), *paths])
    except SystemExit as exited:
        return int(exited.code or 0)
    return 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with DAG files."""
    (tmp_path / "dags" / "deep").mkdir(parents=True)
    (tmp_path / "dags" / "pay.py").write_text("from typed_pay import PayOperator\n")
    (tmp_path / "dags" / "deep" / "swap.py").write_text("import typed_pay as t\nx: t.SwapInput = {}\n")
    (tmp_path / "dags" / "text.py").write_text('WhiteRabbitExecuteComponentOperator(task_id="x", module="SEND")\n')
    return tmp_path


def test_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Changes of components that the files use are told, with the files if they break; status 1 if one does."""
    modules = ("PAY", "SEND", "SWAP", "UNUSED")
    generated = generate(folder / "dags", *(definition(module, inputs={"a": STRING}) for module in modules))
    capsys.readouterr()
    assert check(folder, generated, *(definition(module, inputs={"a": STRING}) for module in modules)) == 0
    assert capsys.readouterr().out == "3 components used: 0 changes break, 0 do not\n"
    newer = [
        definition("PAY", inputs={"a": STRING, "b": STRING}, optional=("b",)),
        definition("SWAP", inputs={"a": NUMBER}),
        definition("SEND", inputs={"a": STRING}, executionModes=["WORKFLOW"]),
        definition("UNUSED"),
    ]
    assert check(folder, generated, *newer) == 1
    assert capsys.readouterr().out.splitlines() == [
        "changes PAY input.b: new, optional, string",
        f"breaks  SEND can't be executed on its own any more ({folder / 'dags' / 'text.py'})",
        f"breaks  SWAP input.a: number, was string ({folder / 'dags' / 'deep' / 'swap.py'})",
        "3 components used: 2 changes break, 1 do not",
    ]
    assert check(folder, generated, *newer, dags=("dags/pay.py",)) == 0


def test_class_with_another_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A class that has another name in a new module breaks the files that use it."""
    generated = generate(folder / "dags", definition("PAY"))
    assert check(folder, generated, definition("PAY"), definition("pay"), definition("Pay")) == 1
    assert "breaks  PAY the class PayOperator is called Pay_" in capsys.readouterr().out


def test_refusals(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that can't be read as what they should be are named."""
    generated = generate(folder, definition())
    (folder / "broken.py").write_text("def")
    (folder / "latin.py").write_bytes(b"\xe4")
    changed = folder / "changed.py"
    changed.write_text(generated.read_text().replace('"PAY"', "secret()"))
    for module, dag, message in (
        (generated, "broken.py", "is no Python module"),
        (generated, "latin.py", "is no Python module"),
        (generated, "none.py", "can't be read"),
        (folder / "dags" / "text.py", "dags", "was not generated from a component catalogue"),
        (changed, "dags", "was changed since it was generated"),
    ):
        assert check(folder, module, definition(), dags=(dag,)) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbffrom typed_pay import PayOperator\n",
        b"# coding: latin-1\n# caf\xe9\nfrom typed_pay import PayOperator\n",
        b"from typed_pay import PayInput_To\n",
        b"import typed_pay as t\ndef paid() -> 'list[t.PayOutput]': ...\n",
    ],
    ids=["byte order mark", "encoding", "type of a field", "annotation in quotes"],
)
def test_what_counts_as_use(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: bytes) -> None:
    """A file in any encoding counts that names a class or type of a component, wherever it does."""
    generated = generate(tmp_path, definition(inputs={"to": TO}))
    (tmp_path / "dag.py").write_bytes(text)
    assert check(tmp_path, generated, definition(inputs={"to": STRING}), dags=("dag.py",)) == 1
    assert "breaks  PAY input.to: string, was object" in capsys.readouterr().out


def test_longer_names(tmp_path: Path) -> None:
    """A class of another component whose name begins the same does not count."""
    generated = generate(tmp_path, definition(inputs={"a": STRING}), definition("PAY_INPUT"))
    (tmp_path / "dag.py").write_text("from typed_pay import PayInputOperator, PayInputInput, MyPayOperators\n")
    assert check(tmp_path, generated, definition(inputs={"a": NUMBER}), definition("PAY_INPUT"), dags=("dag.py",)) == 0


def test_linked_folders(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Folders are found through symbolic links, as Airflow finds them; one that leads back ends."""
    generated = generate(folder, definition(inputs={"a": STRING}))
    (folder / "linked").mkdir()
    (folder / "linked" / "to").symlink_to(folder / "dags", target_is_directory=True)
    (folder / "dags" / "back").symlink_to(folder / "linked", target_is_directory=True)
    (folder / "dags" / "folder.py").mkdir()
    assert check(folder, generated, definition(inputs={"a": NUMBER}), dags=("linked",)) == 1
    assert f"was string ({folder / 'linked' / 'to' / 'pay.py'})" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    _component = ", "    component = "),
        ("    _component = ", "    _component: dict = "),
        ("    _component = ", "    template_fields = ('a',)\n    component = "),
        ('"input": ', '"inputs": '),
        ('{"module"', '{[]: 1, "module"'),
        ('"PAY"', "7"),
    ],
    ids=ascii,
)
def test_changed_by_hand(folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str) -> None:
    """A class whose component can't be read is an error: it must not go unchecked."""
    generated = generate(folder, definition(inputs={"a": STRING}))
    generated.write_text(generated.read_text().replace(old, new))
    assert check(folder, generated, definition(inputs={"a": STRING})) == 1
    assert "was changed since it was generated" in capsys.readouterr().err


@pytest.mark.parametrize(("old", "new"), [('"required": ', '"r": '), ('"properties": {', '"properties": 5, "p": {')])
def test_schema_changed_by_hand(folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str) -> None:
    """A schema that was changed is compared as it is."""
    generated = generate(folder, definition(inputs={"a": STRING}))
    generated.write_text(generated.read_text().replace(old, new))
    assert check(folder, generated, definition(inputs={"a": STRING})) == 1
    assert "breaks  PAY input" in capsys.readouterr().out
