"""The DAGs of `docs/keys-and-secrets.md` run, and Airflow's database holds no secret of their inputs and outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.secrets import secret
from tests.docs.pages import blocks, tables
from tests.docs.test_python import DRIVER
from tests.versions import needs_dag_test

PAGE = "docs/keys-and-secrets.md"
BLOCKS = {block.title: block for block in blocks("python") if block.page == PAGE}
URL = "https://node.example.org/v2/Kj7dYw2mZq91XvbT"
TOKEN = "tok-5Hs8Rr3Lp0Wq"
KEY = {"keyId": "key-Zb81mQxT4", "rootPublicKey": "0x02c6"}


def test_all_blocks_are_here() -> None:
    """The page has exactly the blocks of code that this module tests."""
    assert set(BLOCKS) == {
        "dags/balances.py",
        "dags/balance_in_code.py",
        "dags/make_key.py",
        "private_xcoms.py",
        "dags/sign.py",
        "dags/read_again.py",
    }


def test_names() -> None:
    """The table shows the texts that `secret` returns."""
    (rows,) = [table[1:] for table in tables(PAGE) if "`.json`" in table[0][1]]
    for name, text, _ in rows:
        assert eval(name.strip("`"), {"secret": secret}) == text.strip("`")  # noqa: S307


def echo(input: Any, config: Any) -> Any:  # noqa: A002 (White Rabbit's word)
    """Repeat the inputs in the output."""
    return {"echo": [input, config]}


@pytest.mark.long
@pytest.mark.airflow
@needs_dag_test
def test_dags(whiterabbit_emulator: Emulator, tmp_path: Path, own_database: dict[str, str]) -> None:
    """Each DAG succeeds; secrets reach White Rabbit, and none of the secrets and keys reaches Airflow's database."""
    wr = whiterabbit_emulator
    for module in ("GET_EVM_ACCOUNT_BALANCE", "API_CALL"):
        wr.script(module, output=echo)
    wr.script("GENERATE_KEY_SHARE", output=KEY)
    wr.script("SIGN_WITH_KEY_SHARE", output={"signature": "0x1"})
    for block in BLOCKS.values():
        block.write(tmp_path)
    kept = wr.create_execution("GENERATE_KEY_SHARE")
    environ = os.environ | wr.environ | own_database
    environ |= {
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "AIRFLOW__CORE__XCOM_BACKEND": "private_xcoms.PrivateXCom",
        "XCOM_KEY": Fernet.generate_key().decode(),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)]),
        "AIRFLOW_CONN_EVM": json.dumps({"conn_type": "http", "extra": {"secret_rpc_url": URL}}),
        "AIRFLOW_VAR_API_TOKEN": TOKEN,
    }
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "dags"), json.dumps({"execution_id": kept})]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    states = dict(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("RUN "))
    names = ("balances", "balance_in_code", "make_key", "sign", "read_again")
    assert states == dict.fromkeys(names, "success"), output
    sent = [entry.json["input"] for entry in wr.requests(kind="submit")]
    assert [given.get("jsonRpcUrl") for given in sent].count(URL) == 3
    assert {"headers": {"Authorization": f"Bearer {TOKEN}"}} in sent
    assert KEY["keyId"] in [given.get("keyId") for given in sent]
    assert (tmp_path / "key_id").read_text() == KEY["keyId"]
    database = (tmp_path / "airflow.db").read_bytes()
    assert b"${secret:" in database  # the search would find something
    for value in (URL[-12:], TOKEN, KEY["keyId"]):
        assert value.encode() not in database, value
        assert value not in output, value
