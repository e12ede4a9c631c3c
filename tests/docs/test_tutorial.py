"""The commands of the tutorial work, from the emulator to the output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from tests.docs.pages import BLOCKS, Block

PAGE = [block for block in BLOCKS if block.page == "docs/tutorial.md"]
ADDRESS = "http://127.0.0.1:8081"
NOT_HERE = ("pip install", "airflow_provider_whiterabbit.emulator", "airflow standalone")
"""Commands that the test leaves out: they install packages, run already, or would not end."""


def run(block: Block, wr: Emulator, folder: Path) -> str:
    """Run a block in a shell that has the emulator's connection, and return the output of the shell."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environ |= wr.environ
    # An earlier block exports these variables in the same terminal.
    environ |= {"AIRFLOW_HOME": str(folder / "airflow-home"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    script = block.text.replace(ADDRESS, wr.url)
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-10_000:]
    return done.stdout


@pytest.mark.long
@pytest.mark.airflow
def test_tutorial(whiterabbit_emulator: Emulator, tmp_path: Path) -> None:
    """The commands work in the order of the page, and print the output that the page shows."""
    output, compared = "", 0
    for block in PAGE:
        if block.language == "sh" and not any(word in block.text for word in NOT_HERE):
            output = run(block, whiterabbit_emulator, tmp_path)
        elif block.language == "python":
            block.write(tmp_path)
        elif block.language == "text" and ADDRESS not in block.text:
            shown = re.escape(block.text.strip()).replace("6fb2fdf5\\-…", "[0-9a-f-]{36}")
            assert re.search(shown, output), output[-10_000:]
            compared += 1
    assert compared == 3
    assert len(whiterabbit_emulator.requests(kind="submit")) == 3
    assert [execution["status"] for execution in whiterabbit_emulator.executions] == [
        "COMPLETED",
        "COMPLETED",
        "FAILED",
    ]


def test_the_emulator_prints_what_the_page_shows() -> None:
    """The emulator's process prints the two lines that the page shows."""
    (shown,) = [block.text for block in PAGE if block.language == "text" and ADDRESS in block.text]
    command = [sys.executable, "-m", "airflow_provider_whiterabbit.emulator"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = [process.stdout.readline(), process.stdout.readline()]
        process.terminate()
    for line, expected in zip(printed, shown.splitlines(), strict=True):
        assert line.startswith(expected.partition("8081")[0].partition('whiterabbit"')[0])
