"""Airflow and the provider accept the JSON and the configuration on the pages; tables of options are complete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from airflow.configuration import conf

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.get_provider_info import CONFIG, CONN_FIELDS
from tests.docs.pages import ROOT, Block, blocks, tables
from tests.docs.test_shell import check_connection

TEST_CONNECTION = """
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

print("WORKS", *WhiteRabbitHook().test_connection())
"""


@pytest.mark.parametrize("block", [block for block in blocks("json") if not block.title], ids=str)
def test_json(block: Block) -> None:
    """Each JSON block is valid JSON, and the provider knows every field of the connections in it."""
    data = json.loads(block.text)
    for connection in [data] if "conn_type" in data else data.values():
        check_connection(json.dumps(connection))


ELSEWHERE = {("openlineage", "transport")}
"""Options of providers that are not installed here. `test_openlineage` sets this one."""


@pytest.mark.parametrize("block", blocks("ini"), ids=str)
def test_ini(block: Block) -> None:
    """Airflow or the provider has each option that an INI block sets."""
    parser = ConfigParser()
    parser.read_string(block.text)
    for section in parser.sections():
        for option, value in parser[section].items():
            known = option in CONFIG["options"] if section == "whiterabbit" else conf.has_option(section, option)
            assert known or (section, option) in ELSEWHERE, f"[{section}] {option}"
            if option in ("backend_kwargs", "transport"):
                json.loads(value)


def test_options() -> None:
    """The page on configuration lists each option of the provider with its default."""
    described = {row[0].strip("`"): row[1].strip("`") for row in next(tables("docs/configuration.md"))[1:]}
    defaults = {name: option["default"] or "empty" for name, option in CONFIG["options"].items()}
    assert described == defaults


def test_options_of_airflow() -> None:
    """Airflow has each of its options that the page on configuration lists."""
    _, table = tables("docs/configuration.md")
    for row in table[1:]:
        section, option = row[0].strip("`[").split("] ")
        assert conf.has_option(section, option), row[0]


def test_connection_fields() -> None:
    """The page on the connection describes each field of the connection."""
    described = "".join(row[0] for row in next(tables("docs/connection.md")))
    assert [name for name in CONN_FIELDS if f"`{name}`" not in described] == []


def test_secrets_from_a_file(whiterabbit_emulator: Emulator, tmp_path: Path) -> None:
    """The hook connects with the secrets backend for local files that docs/secrets.md shows."""
    page = "docs/secrets.md"
    (configuration,) = [block for block in blocks("ini") if block.page == page and "local_filesystem" in block.text]
    (connections_file,) = [block for block in blocks("json") if block.page == page and block.title]
    connections = json.loads(connections_file.text)
    connections["whiterabbit_default"] |= whiterabbit_emulator.connection
    path = tmp_path / connections_file.title
    path.write_text(json.dumps(connections))
    parser = ConfigParser()
    parser.read_string(configuration.text.replace("/run/secrets/connections.json", str(path)))
    environ = {f"AIRFLOW__SECRETS__{name.upper()}": value for name, value in parser["secrets"].items()}
    command = [sys.executable, "-c", TEST_CONNECTION]
    done = subprocess.run(command, env=os.environ | environ, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "WORKS True" in done.stdout, done.stderr
