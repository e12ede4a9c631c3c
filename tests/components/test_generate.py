"""`components generate` writes a module that loads, whatever the catalogue holds, is formatted, and always the same."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.components.command import main
from airflow_provider_whiterabbit.components.module import module_of
from airflow_provider_whiterabbit.components.names import stems
from airflow_provider_whiterabbit.components.schemas import components_of, digest
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from tests.client.properties import examples
from tests.client.test_catalogue import JSON, SCHEMAS
from tests.components.modules import BUILT_IN_CATALOGUE, definition, generate, load, write_catalogue

STRING = {"type": "string"}
HOSTILE_NAMES = [
    *(
        'a"b',
        "a'b",
        '"""',
        "\\",
        "\\N{",
        "a\nb",
        "a\r\u2028b",
        "\x00",
        "{x}",
        "None",
        "class",
        "match",
        "type",
        "__x",
        "_",
    ),
    *(
        "0",
        "",
        " ",
        "ü",
        "ﬁ",
        "\u202e",
        "😀",
        "a b",
        "a-b",
        "aB",
        "a_b",
        "self",
        "input",
        "str",
        "Text",
        "Any",
        "Rendered",
    ),
    *("items", "keys", "get", "Literal", "NotRequired", "PayInput", "PayInput_To", "x" * 300, "# fmt: on", "\ud800"),
]


def text_of(*definitions: Any) -> str:
    """Return the module that is generated from a catalogue."""
    components = components_of(definitions)[0]
    return module_of(components, stems(component.module for component in components), digest(definitions))


def lines_of(text: str, start: str) -> list[str]:
    """Return the fields in the class of a generated module."""
    return [line.strip() for line in text.partition(f"{start}\n")[2].partition("\n\n\n")[0].splitlines()[2:]]


def formatted(text: str, width: int) -> str:
    """Return what ruff makes of a module."""
    command = [sys.executable, "-m", "ruff", "format", "--isolated", f"--line-length={width}", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def test_fields() -> None:
    """Each type of the catalogue has a type for what a DAG gives, and one for what White Rabbit returns."""
    kinds = ("string", "number", "bigint", "boolean", "object", "array", "unheard-of")
    schemas: dict[str, Any] = {f"a_{kind}".replace("-", "_"): {"type": kind} for kind in kinds}
    schemas |= {
        "side": {"type": "string", "enum": ["BUY", "SELL"]},
        "only": {"enum": [1]},
        "rates": {"type": "number", "enum": [0.5]},
        "to": {"type": "object", "properties": {"id": STRING, "memo": STRING}, "required": ["id"]},
        "texts": {"type": "array", "items": STRING},
        "mixed": {"type": "array", "items": {"anyOf": [STRING, {"type": "number"}, STRING]}},
        "all": {"type": "array", "items": {"type": "array", "items": {"type": "object", "properties": {"x": {}}}}},
        "bare": None,
    }
    text = text_of(definition(inputs=schemas, outputs=schemas, optional=("a_number",)))
    assert lines_of(text, "class PayInput(TypedDict):") == [
        "a_string: Text",
        "a_number: NotRequired[Number]",
        "a_bigint: BigInt",
        "a_boolean: Flag",
        "a_object: Object",
        "a_array: Items[Any]",
        "a_unheard_of: Any",
        "side: PayInput_Side | Named",
        "only: PayInput_Only | Named",
        "rates: Number",
        "to: PayInput_To | Rendered",
        "texts: Items[Text]",
        "mixed: Items[Text | Number]",
        "all: Items[Items[PayInput_AllItemItem | Rendered]]",
        "bare: Any",
    ]
    assert lines_of(text, "class PayOutput(TypedDict):") == [
        "a_string: str",
        "a_number: float",
        "a_bigint: int | str",
        "a_boolean: bool",
        "a_object: dict[str, Any]",
        "a_array: list[Any]",
        "a_unheard_of: Any",
        "side: PayOutput_Side",
        "only: PayOutput_Only",
        "rates: float",
        "to: PayOutput_To",
        "texts: list[str]",
        "mixed: list[str | float]",
        "all: list[list[PayOutput_AllItemItem]]",
        "bare: Any",
    ]
    assert '"""Pay: executes PAY."""' in text
    assert 'PayInput_Side: TypeAlias = Literal[\n    "BUY",\n    "SELL",\n]\n' in text
    assert "PayInput_Only: TypeAlias = Literal[1]\n" in text
    assert lines_of(text, "class PayInput_To(TypedDict):") == ["id: Text", "memo: NotRequired[Text]"]


def test_what_is_required() -> None:
    """Input and config must be given if they have a required field."""
    text = text_of(definition(inputs={"memo": STRING}, optional=("memo",), config={"chain": STRING}))
    assert "        input: PayInput | Whole | None = None,\n        config: PayConfig | Whole,\n" in text


def test_unknown_forms() -> None:
    """Where a definition does not list the fields, any field may be given or returned."""
    text = text_of({"module": "PAY"})
    for name in ("PayInput", "PayConfig", "PayOutput"):
        assert f"{name}: TypeAlias = Mapping[str, Any]" in text
    assert "PayOutput: TypeAlias = Mapping[str, Any]" in text_of(definition())
    nameless = {"": STRING, "a": STRING}
    text = text_of(definition(inputs={"to": {"type": "object", "properties": nameless}}, config=nameless))
    for name in ("PayInput_To", "PayConfig"):
        assert f"{name}: TypeAlias = Mapping[str, Any]" in text


def test_only_what_can_be_executed() -> None:
    """A component that is a part of workflows has no class, and neither has one whose name no request can have."""
    components, left_out = components_of(
        [definition(), definition("BRANCH", executionModes=["WORKFLOW"]), definition("A\nB"), definition("x" * 201)]
    )
    assert [component.module for component in components] == ["PAY"]
    assert left_out == ["A\nB", "x" * 201]


def test_names() -> None:
    """The names of classes come from those of modules; no two modules share one, and an existing one stays or goes."""
    found = stems(["GET_EVM_BALANCE", "getBalance", "3D_PRINT", "---", "NONE", "PAY_INPUT", "PAY"])
    assert list(found.values()) == [
        "Component",
        "Component3dPrint",
        "GetEvmBalance",
        "None",
        "Pay",
        "PayInput",
        "GetBalance",
    ]
    shared = stems(["SHA256", "SHA_256", "WHITE_RABBIT_TYPED", "A" * 41])
    assert "Sha256" not in shared.values()
    assert "WhiteRabbitTyped" not in shared.values()
    assert len(set(shared.values())) == 4
    assert all(stem.isidentifier() and len(stem) <= 40 for stem in shared.values())
    assert stems(["SHA256"]) == {"SHA256": "Sha256"}


def test_digest() -> None:
    """The head has the digest of the catalogue, whatever the order of definitions and members."""
    nested = {"type": "object", "properties": {"a": STRING, "b": STRING}}
    first = [*BUILT_IN_CATALOGUE, definition(inputs={"x": nested}, config={"a": STRING, "b": nested})]
    other = json.loads(json.dumps(first[::-1]), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert text_of(*other) == text_of(*first)
    assert f"sha256:{digest(BUILT_IN_CATALOGUE)}\n" in text_of(*BUILT_IN_CATALOGUE)
    assert digest(BUILT_IN_CATALOGUE[1:]) != digest(BUILT_IN_CATALOGUE)


def test_deterministic(tmp_path: Path) -> None:
    """Processes with other hash seeds, and another version of the emulator's answer, write the same bytes."""
    hostile = [definition(inputs=dict.fromkeys(HOSTILE_NAMES[:-1], STRING)), *BUILT_IN_CATALOGUE]
    digests = set()
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        source = write_catalogue(tmp_path / seed, *hostile)
        arguments = ["generate", "--file", str(source), "--output", str(tmp_path / seed / "typed.py")]
        command = [sys.executable, "-m", "airflow_provider_whiterabbit.components", *arguments]
        subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True)
        digests.add(hashlib.sha256((tmp_path / seed / "typed.py").read_bytes()).hexdigest())
    assert len(digests) == 1


def hostile_catalogue() -> list[Any]:
    """Return a catalogue whose names are all that could break a module."""
    schemas: dict[str, Any] = {name: {**STRING, "enum": [name, "x"]} for name in HOSTILE_NAMES}
    nested = {"type": "object", "properties": schemas, "required": HOSTILE_NAMES[::2]}
    deep: Any = STRING
    for _ in range(150):
        deep = {"type": "array", "items": {"type": "object", "properties": {"a": deep}}}
    fields = {**schemas, "to": nested, "list": {"type": "array", "items": {"anyOf": [nested, STRING]}}, "deep": deep}
    hostile = [definition(name, name=name * 50) for name in HOSTILE_NAMES]
    hostile.append(definition('"""', fields, fields, fields, ("a b",)))  # instead of the one with the same name
    plain = dict.fromkeys(("memo", "str", "Text"), STRING)
    return [
        *hostile,
        definition("PAY", plain, plain, plain),
        definition("PAY_INPUT"),
        definition("pay-input"),
        {"module": "A"},
    ]


def test_hostile_catalogue(tmp_path: Path) -> None:
    """A module of hostile names loads, keeps each name, is formatted for all usual widths, and no code in it runs."""
    path = generate(tmp_path, *hostile_catalogue())
    text = path.read_text()
    assert formatted(text, 88) == text
    assert formatted(text, 120) == text
    classes = [value for name, value in vars(load(path)).items() if name.endswith("Operator")]
    known = {cls._component["module"]: cls._component for cls in classes if hasattr(cls, "_component")}
    assert {'a"b', "a'b", "\\N{", "None", "class", "{x}", "# fmt: on"} <= known.keys()
    sendable = {name for name in HOSTILE_NAMES if name.isascii() or "\ud800" not in name}
    assert sendable <= known['"""']["input"]["properties"].keys()
    assert "\ud800" not in known['"""']["input"]["properties"]
    allowed = ast.Expr | ast.ImportFrom | ast.If | ast.ClassDef | ast.Assign | ast.AnnAssign
    assert all(isinstance(node, allowed) for node in ast.parse(text).body)


@given(name=st.text() | st.sampled_from(HOSTILE_NAMES), inputs=st.dictionaries(st.text(), SCHEMAS), configs=SCHEMAS)
@examples(40)
def test_any_definition(name: str, inputs: Any, configs: Any) -> None:
    """A module of any definition can be compiled."""
    any_definition = {**definition(f"PAY{name}", inputs, name=name), "configs": configs}
    compile(text_of(any_definition), "typed.py", "exec")


@given(catalogue=st.lists(st.fixed_dictionaries({"module": st.text()}, optional={"inputs": JSON, "configs": JSON})))
@examples(30)
def test_any_catalogue(catalogue: Any) -> None:
    """A module of any catalogue can be compiled, and its classes have different names."""
    tree = ast.parse(text_of(*catalogue))
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    assert len(names) == len(set(names))


def test_empty_catalogue() -> None:
    """A catalogue without components gives a module without classes."""
    compile(text_of(), "typed.py", "exec")
    assert formatted(text_of(), 88) == text_of()


# --- the command


def test_sources(whiterabbit_emulator: Emulator, emulator_connection: None, tmp_path: Path) -> None:
    """A connection, the URL of an emulator, and a file with its answer give the same module."""
    whiterabbit_emulator.component("PAY", inputs={"amount": "bigint"})
    file = tmp_path / "saved.json"
    texts = set()
    file.write_text(json.dumps(WhiteRabbitHook().get_components()))
    for number, source in enumerate(
        (["--conn-id", "whiterabbit_default"], ["--url", f"{whiterabbit_emulator.url}/"], ["--file", str(file)])
    ):
        output = tmp_path / f"typed_{number}.py"
        main(["generate", *source, "--output", str(output)])
        texts.add(output.read_text())
    assert len(texts) == 1
    assert "class PayOperator(" in texts.pop()


def test_url_gets_no_credentials(
    whiterabbit_emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is named by its URL gets nothing of the user's ``.netrc``, which may name every host."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login ada password lovelace\n")
    monkeypatch.setenv("NETRC", str(netrc))
    main(["generate", "--url", whiterabbit_emulator.url, "--output", str(tmp_path / "typed.py")])
    (request,) = whiterabbit_emulator.requests(kind="catalogue")
    assert "authorization" not in {name.lower() for name in request.headers}


def test_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--only``, the module has the named components; the names of their classes do not depend on it."""
    path = tmp_path / "typed.py"
    source = str(write_catalogue(tmp_path, definition("SHA256"), definition("SHA_256"), definition("PAY")))
    command = ["generate", "--file", source, "--output", str(path)]
    main([*command, "--only", "SHA256"])
    (name,) = [name for name in vars(load(path)) if name.startswith("Sha256") and name.endswith("Operator")]
    assert name != "Sha256Operator"
    with pytest.raises(SystemExit):
        main([*command, "--only", "PAYY"])
    assert "did you mean PAY" in capsys.readouterr().err


def test_unchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same catalogue leaves the file as it is; another file than a generated one is never overwritten."""
    path = generate(tmp_path, definition())
    before = path.stat()
    generate(tmp_path, definition())
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert capsys.readouterr().out.splitlines() == [
        f"{path} has 1 components, written",
        f"{path} has 1 components, unchanged",
    ]
    path.write_text("# my DAG")
    with pytest.raises(SystemExit) as exited:
        generate(tmp_path, definition())
    assert exited.value.code == 1
    assert "no earlier command has generated it" in capsys.readouterr().err
    assert path.read_text() == "# my DAG"


@pytest.mark.parametrize("content", ["", "{}", "[1]", "[" * 100_000, '[{"module": 7}]', "<html>"], ids=ascii)
def test_no_catalogue(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    """A file with something else is refused, and nothing is written."""
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(SystemExit) as exited:
        main(["generate", "--file", str(tmp_path / "x.json"), "--output", str(tmp_path / "typed.py")])
    assert exited.value.code == 1
    assert "catalogue" in capsys.readouterr().err
    assert not (tmp_path / "typed.py").exists()


def test_places_that_can_not_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file, folder or server that can't be used is named."""
    source = write_catalogue(tmp_path)
    for arguments, message in (
        (["--file", str(tmp_path / "none"), "--output", str(tmp_path / "x.py")], "none can't be read"),
        (["--file", str(source), "--output", str(tmp_path / "no" / "x.py")], "no does not exist\n"),
        (["--url", "http://127.0.0.1:1", "--output", str(tmp_path / "x.py")], "can't be read: ConnectionRefused"),
        (["--url", "ftp://x", "--output", str(tmp_path / "x.py")], "scheme"),
    ):
        with pytest.raises(SystemExit):
            main(["generate", *arguments])
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("fault", [effects.Answer(500), effects.Answer(302), effects.Reset("answer")], ids=repr)
def test_server_that_fails(
    whiterabbit_emulator: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: effects.Effect
) -> None:
    """An error of the server is shown, and nothing is written."""
    whiterabbit_emulator.fault(fault, kind="catalogue", times=None)
    with pytest.raises(SystemExit):
        main(["generate", "--url", whiterabbit_emulator.url, "--output", str(tmp_path / "typed.py")])
    assert "/v1/system/components can't be read" in capsys.readouterr().err
    assert not (tmp_path / "typed.py").exists()


def test_never_half_a_module(tmp_path: Path) -> None:
    """Whoever reads the module while it is written again reads the old one or the new one."""
    path = generate(tmp_path, definition())
    reading = path.open()  # as Airflow, which parses the file at this moment
    before = path.read_text()
    path.chmod(0o640)
    generate(tmp_path, definition(), definition("SEND"))
    assert reading.read() == before
    assert "SendOperator" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640
    reading.close()


_WITHOUT_SPACE = """
import resource, signal, sys
from airflow_provider_whiterabbit.components.command import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
main(sys.argv[1:])
"""


def test_full_disk(tmp_path: Path) -> None:
    """A module that can't be written whole stays as it was, and nothing else is left."""
    path = generate(tmp_path, definition())
    before = path.read_text()
    source = write_catalogue(tmp_path, *BUILT_IN_CATALOGUE)
    files = sorted(tmp_path.iterdir())
    command = [sys.executable, "-c", _WITHOUT_SPACE, "generate", "--file", str(source), "--output", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"{path} can't be written: " in ended.stderr
    assert path.read_text() == before
    assert sorted(tmp_path.iterdir()) == files


def test_other_outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A symbolic link stays one, an empty file is filled, a pipe is written to, and a folder is refused."""
    expected = generate(tmp_path, definition(), name="expected").read_text()
    source = str(tmp_path / "catalogue.json")
    (tmp_path / "linked.py").symlink_to("real.py")
    (tmp_path / "empty.py").touch()
    os.mkfifo(tmp_path / "pipe.py")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit((tmp_path / "pipe.py").read_text)
        for name in ("linked", "empty", "pipe"):
            main(["generate", "--file", source, "--output", str(tmp_path / f"{name}.py")])
        assert read.result(timeout=60) == expected
    assert (tmp_path / "linked.py").is_symlink()
    assert (tmp_path / "real.py").read_text() == (tmp_path / "empty.py").read_text() == expected
    with pytest.raises(SystemExit):
        main(["generate", "--file", source, "--output", str(tmp_path)])
    assert "is a folder" in capsys.readouterr().err
