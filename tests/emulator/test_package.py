"""The package of the emulator: its command line, its pytest fixture, and the error for a missing extra."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.emulator.__main__ import argument_parser
from tests.emulator.api_client import CATALOGUE, UNKNOWN_EXECUTION

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_as_a_process(number):
    """The process prints its URL and connection, and exits with 0 on SIGINT and SIGTERM."""
    command = [
        sys.executable,
        "-m",
        "airflow_provider_whiterabbit.emulator",
        "--allow-unsigned",
        "--api-key",
        "ws_demo",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        first_line = process.stdout.readline()
        export = process.stdout.readline()
        shell = subprocess.run(
            ["sh", "-c", export + 'printf %s "$AIRFLOW_CONN_WHITERABBIT_DEFAULT"'], capture_output=True, check=True
        )
        connection = json.loads(shell.stdout)
        assert first_line.strip().endswith(connection["host"])
        url = connection["host"] + UNKNOWN_EXECUTION
        assert requests.get(url, headers={"X-Api-Key": "ws_demo"}, timeout=60).status_code == 404
        process.send_signal(number)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_as_a_process_with_https():
    """With ``--certificate trusted``, the printed connection contains the CA bundle; its file is deleted at the end.

    The options that allow unsigned streams and limit bodies have an effect.
    """
    command = [sys.executable, "-m", "airflow_provider_whiterabbit.emulator", "--certificate", "trusted"]
    command += ["--allow-unsigned-streams", "--max-body", "10"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ) as process:
        try:
            process.stdout.readline()
            shell = process.stdout.readline() + 'printf %s "$AIRFLOW_CONN_WHITERABBIT_DEFAULT"'
            printed = subprocess.run(["sh", "-c", shell], capture_output=True, check=True)
            connection = json.loads(printed.stdout)
            ca_bundle = connection["extra"]["ca_bundle"]
            assert requests.get(connection["host"] + CATALOGUE, verify=ca_bundle, timeout=60).ok
            url, only_key = connection["host"] + UNKNOWN_EXECUTION, {"X-Api-Key": connection["extra"]["api_key"]}
            for method, suffix, status in (("GET", "/stream", 404), ("GET", "", 401), ("POST", "", 413)):
                body = "x" * 11 if method == "POST" else None
                answer = requests.request(
                    method, url + suffix, data=body, headers=only_key, verify=ca_bundle, timeout=60
                )
                assert answer.status_code == status
        finally:
            process.terminate()
    assert process.returncode == 0
    assert not Path(ca_bundle).exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            ["--port", "{port}"],
            "White Rabbit emulator: can't listen on 127.0.0.1 port {port}: Address already in use\n",
        ),
        (
            ["--host", "192.0.2.1"],
            "White Rabbit emulator: can't listen on 192.0.2.1: Cannot assign requested address\n",
        ),
        (["--api-secret", "c2VjcmV0"], "White Rabbit emulator: "),
    ],
)
def test_what_keeps_it_from_starting(wr: Emulator, options: list[str], problem: str) -> None:
    """A busy port, or a secret that is none, is one line and exit status 1, not a traceback."""
    port = wr.url.rpartition(":")[2]
    command = [sys.executable, "-m", "airflow_provider_whiterabbit.emulator"]
    result = subprocess.run(
        [*command, *(option.format(port=port) for option in options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(problem.format(port=port))
    assert result.stderr.count("\n") == 1


def test_the_options_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """``--component`` and ``--control-host`` may be repeated; a port must be one."""
    options = argument_parser().parse_args(["--component", "A", "--component", "B", "--control-host", "wr"])
    assert (options.component, options.control_host, options.port) == (["A", "B"], ["wr"], 0)
    for port in ("65536", "-1", "x", "1.5", "\N{SUPERSCRIPT TWO}"):
        with pytest.raises(SystemExit):
            argument_parser().parse_args([f"--port={port}"])
        assert "a port is a number from 0 to 65535" in capsys.readouterr().err


def test_the_pytest_fixture(tmp_path):
    """The tests of a session share one server, which is reset before each test and started again if need be."""
    (tmp_path / "test_mine.py").write_text(
        'pytest_plugins = ["airflow_provider_whiterabbit.emulator.pytest"]\n'
        "seen = []\n"
        "def test_first(whiterabbit_emulator):\n"
        "    whiterabbit_emulator.create_execution('X')\n"
        "    seen.append(whiterabbit_emulator.url)\n"
        "def test_second(whiterabbit_emulator):\n"
        "    assert whiterabbit_emulator.executions == []\n"
        "    assert seen == [whiterabbit_emulator.url]\n"
        "    whiterabbit_emulator.stop_server()\n"
        "def test_third(whiterabbit_emulator):\n"
        "    assert whiterabbit_emulator.is_running\n"
        "    assert seen == [whiterabbit_emulator.url]\n"
        "    whiterabbit_emulator.pause()\n"
        "def test_fourth(whiterabbit_emulator):\n"
        "    whiterabbit_emulator.create_execution('X')\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "4 passed" in result.stdout


@pytest.mark.parametrize("module", ["quickjs", "starlette", "uvicorn"])
def test_a_missing_extra(module):
    """Without a package of the extra, the import error names the extra."""
    script = f"import sys; sys.modules[{module!r}] = None; import airflow_provider_whiterabbit.emulator"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "pip install 'airflow-provider-whiterabbit[emulator]'" in result.stderr
