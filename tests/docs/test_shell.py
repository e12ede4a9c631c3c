"""Every shell command on the pages exists and has the options that the page shows."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from importlib import import_module
from importlib.metadata import version
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
import requests
from airflow.models.connection import Connection

from airflow_provider_whiterabbit.components import command as components
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.emulator.__main__ import argument_parser
from airflow_provider_whiterabbit.get_provider_info import CONN_FIELDS
from tests.docs.pages import BLOCKS, ROOT, Block, blocks

SECRET = "MC4CAQAwBQYDK2VwBCIEIJ1hs+3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9="
"""Text with the characters of base64 that a URI escapes."""

KNOWN = {"python", "sh", "json", "ini", "text", "dockerfile", "yaml"}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
PLAIN = {".", "cat", "cd", "git", "helm", "kubectl", "mkdir", "rm", "true"}
"""Commands that need no check, because nothing in them depends on this project."""


def commands_of(text: str) -> list[list[str]]:
    """Split the text of a shell block into commands, each a list of words."""
    text = re.sub(r"\s+# .*", "", text.replace("\\\n", " "))
    lexer = shlex.shlex(text, posix=True, punctuation_chars="\n;&|")
    lexer.whitespace = " \t"
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("\n;&|"):
            commands.append([])
        else:
            commands[-1].append(word)
    return [words for words in commands if words]


COMMANDS = [
    pytest.param(block, words, id=f"{block}-{' '.join(words)[:60]}")
    for block in blocks("sh")
    for words in commands_of(block.text)
]


def test_every_block_says_its_language() -> None:
    """Each block has a language that these tests know."""
    assert [str(block) for block in BLOCKS if block.language not in KNOWN] == []


@pytest.mark.parametrize(("block", "words"), COMMANDS)
def test_command(block: Block, words: list[str], whiterabbit_emulator: Emulator) -> None:
    """Each command in a shell block exists and has the options that the page shows."""
    name, *rest = words
    if assignment := re.fullmatch(r"([A-Z_]+)=(.*)", name):
        check_assignment(*assignment.groups())
    elif name == "curl":
        check_curl(rest, whiterabbit_emulator)
    elif name in CHECKS:
        CHECKS[name](block, rest)
    else:
        assert name in PLAIN, f"nothing checks {name}"


def check_assignment(name: str, value: str) -> None:
    """Check a variable of the shell: those that lead to Airflow's constraints file."""
    if name == "AIRFLOW_VERSION":
        assert value == version("apache-airflow")
    elif name == "CONSTRAINT_URL":
        folder = "https://raw.githubusercontent.com/apache/airflow/constraints-${AIRFLOW_VERSION}"
        assert value == f"{folder}/constraints-${{PYTHON_VERSION}}.txt"
    else:
        assert name == "PYTHON_VERSION"


def check_make(_block: Block, words: list[str]) -> None:
    """Check that the Makefile has the targets."""
    assert set(words) <= TARGETS


def check_pip(_block: Block, words: list[str]) -> None:
    """Check the names, extras and versions of the packages that pip installs."""
    assert words[0] == "install"
    for word in words[1:]:
        if word == "${CONSTRAINT_URL}":  # `check_assignment` checks its value
            continue
        package, extras, rest = re.fullmatch(r"([\w.-]+)(?:\[([\w,]+)\])?(.*)", word).groups()  # type: ignore[union-attr]
        if package == "airflow-provider-whiterabbit":
            assert set((extras or "").split(",")) <= {"", *EXTRAS}
        elif package == "apache-airflow":
            assert rest in (f"=={version('apache-airflow')}", "==${AIRFLOW_VERSION}")
        else:
            assert word in ("pytest", "--upgrade", "--constraint")


def check_python(block: Block, words: list[str]) -> None:
    """Check that the page has the script, or that the module exists and accepts the options."""
    if words[0] != "-m":
        assert words[0] in {other.title for other in BLOCKS if other.page == block.page}
    elif words[1] == "airflow_provider_whiterabbit.emulator":
        argument_parser().parse_args(words[2:])
    elif words[1] == "airflow_provider_whiterabbit.components":
        components.argument_parser().parse_args(words[2:])
    else:
        import_module(words[1])
        if words[1] == "pydoc":
            import_module(words[2])


def check_export(_block: Block, words: list[str]) -> None:
    """Check the variables of the environment that a command exports."""
    for word in words:
        name, _, value = word.partition("=")
        if name.startswith("AIRFLOW_CONN_"):
            check_connection(value)
        else:
            assert name in ("AIRFLOW_HOME", "AIRFLOW__CORE__LOAD_EXAMPLES", "AIRFLOW__CORE__TEST_CONNECTION")


def check_connection(value: str) -> None:
    """Check that Airflow finds the secret and the key in a connection as a page writes it, as JSON or as a URI.

    In a URI, the secret is escaped as the page says. The provider must know all extra fields.
    """
    if value.startswith("{"):
        connection = Connection.from_json(value.replace("<API secret>", SECRET), conn_id="whiterabbit_default")
    else:
        escaped = SECRET.replace("/", "%2F").replace("+", "%2B").replace("=", "%3D")
        connection = Connection(uri=value.replace("<API secret>", escaped), conn_id="whiterabbit_default")
        assert not connection.host
    assert connection.conn_type == "whiterabbit"
    assert connection.password == SECRET
    assert connection.extra_dejson["api_key"] == "<API key>"
    assert set(connection.extra_dejson) <= set(CONN_FIELDS)


def check_airflow(_block: Block, words: list[str]) -> None:
    """Check that Airflow's command line accepts the options, and that the provider knows the extra fields."""
    from airflow.cli.cli_parser import get_parser

    options = get_parser().parse_args(words)
    if getattr(options, "conn_extra", None):
        assert options.conn_type == "whiterabbit"
        assert set(json.loads(options.conn_extra)) <= set(CONN_FIELDS)


def check_secrets_tool(_block: Block, words: list[str]) -> None:
    """Check that the provider knows the extra fields that a command of a secrets backend stores."""
    for word in words:
        if word.startswith("extra="):
            assert set(json.loads(word.removeprefix("extra="))) <= set(CONN_FIELDS)


CHECKS = {
    "airflow": check_airflow,
    "aws": check_secrets_tool,
    "export": check_export,
    "gcloud": check_secrets_tool,
    "make": check_make,
    "pip": check_pip,
    "python": check_python,
    "python3": check_python,
    "vault": check_secrets_tool,
}


def check_curl(words: list[str], wr: Emulator) -> None:
    """Send the emulator's requests to the emulator, and check that Airflow's REST API has a route for all others."""
    options = dict(pairwise(words))
    url = next(word for word in words if "/" in word and not word.startswith(("Content-Type", "{")))
    path = urlsplit(url if "://" in url or url.startswith("$") else f"http://{url}").path
    if "/_emulator/" in path:
        answer = requests.post(wr.url + path, json=json.loads(options["-d"]), timeout=60)
        assert answer.status_code == 200, answer.text
    else:
        assert options["-X"] in routes_for(path.removeprefix("$AIRFLOW_URL"))
        assert "-d" not in options or json.loads(options["-d"]).keys() == {"value"}


def routes_for(path: str) -> set[str]:
    """Return the HTTP methods that Airflow's REST API has for a path."""
    from airflow.api_fastapi.core_api.routes.public import public_router

    methods = set()
    for route in public_router.routes:
        pattern = re.sub(r"\{\w+(:path)?\}", "[^/]+", getattr(route, "path", ""))
        if re.fullmatch(pattern, path):
            methods |= getattr(route, "methods", set())
    return methods
