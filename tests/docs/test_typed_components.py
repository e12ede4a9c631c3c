"""The example of `docs/components.md` runs with the module that its command generates; the output is the command's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_whiterabbit.components.command import main
from airflow_provider_whiterabbit.emulator import Emulator
from tests.components.modules import BUILT_IN_CATALOGUE, generate, write_catalogue
from tests.docs.pages import blocks
from tests.docs.test_python import DRIVER
from tests.versions import needs_dag_test

PAGE = "docs/components.md"
BLOCKS = [block for block in blocks("python") if block.page == PAGE]


@pytest.mark.long
@pytest.mark.airflow
@needs_dag_test
def test_dag(whiterabbit_emulator: Emulator, tmp_path: Path, own_database: dict[str, str]) -> None:
    """The DAG succeeds, mapped tasks too, and White Rabbit gets the values that the fields stand for."""
    folder = tmp_path / "dags"
    (block,) = BLOCKS
    block.write(tmp_path)
    main(["generate", "--url", whiterabbit_emulator.url, "--output", str(folder / "whiterabbit_components.py")])
    environ = os.environ | whiterabbit_emulator.environ | own_database
    environ |= {
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW_CONN_EVM": json.dumps(
            {"conn_type": "http", "extra": {"secret_rpc_url": "https://rpc.example.org/v2/key"}}
        ),
        "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)]),
    }
    command = [sys.executable, "-c", DRIVER, str(folder), "{}"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert "RUN typed success" in done.stdout, done.stdout[-20_000:] + done.stderr[-5000:]
    sent = [
        (entry.json["module"], entry.json["input"], entry.json["config"])
        for entry in whiterabbit_emulator.requests(kind="submit")
    ]
    accounts = [given["account"] for module, given, _ in sent if module == "GET_EVM_ACCOUNT_BALANCE"]
    assert len(accounts) == 3
    assert all(account.startswith("0x") for account in accounts)
    keys = [(given, config) for module, given, config in sent if module == "GENERATE_KEY_SHARE"]
    assert keys == [({"curve": "ed25519", "threshold": 2}, {"servers": ["OFFICIAL_1", "OFFICIAL_2"]})]


def test_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The page shows what the command prints."""
    monkeypatch.chdir(tmp_path)
    BLOCKS[0].write(tmp_path)
    generated = generate(tmp_path / "dags", *BUILT_IN_CATALOGUE, name="whiterabbit_components")
    newer = {definition["module"]: json.loads(json.dumps(definition)) for definition in BUILT_IN_CATALOGUE}

    def add(module: str, name: str, **others: Any) -> None:
        newer[module]["inputs"]["parameters"].append({"name": name, "schema": {"type": "string"}, **others})

    add("GET_EVM_ACCOUNT_BALANCE", "chain")
    add("GENERATE_KEY_SHARE", "label", optional=True)
    capsys.readouterr()
    source = write_catalogue(tmp_path, *newer.values())
    with pytest.raises(SystemExit):
        main(["check", "--file", str(source), "--generated", str(generated), "dags"])
    (shown,) = [block.text for block in blocks("text") if block.page == PAGE]
    assert capsys.readouterr().out == shown
