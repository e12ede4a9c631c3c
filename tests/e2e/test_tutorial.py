"""The tutorial, step by step, in an empty folder and a new environment: each command works, each output is printed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dev.harness import sessions
from dev.harness.airflow_api import AirflowApi
from dev.harness.polling import until
from dev.harness.ports import free_port
from dev.scripts.installable.environment import EXEMPT, IMPORT_ALL, Environment
from dev.scripts.installable.releases import RELEASES
from tests.docs.pages import BLOCKS, ROOT
from tests.e2e.processes import living_in

pytestmark = [pytest.mark.e2e, pytest.mark.long]

PAGE = [block for block in BLOCKS if block.page == "docs/tutorial.md"]
FIRST, SECOND, THIRD = TERMINALS = ("First terminal", "Second terminal", "Third terminal")
STEP = 900
"""Seconds that a step may take, such as the installation on a slow machine."""


class Terminal:
    """A shell that keeps its variables from step to step, and stops at the first command that fails.

    :param name: title of the blocks that are typed into it.
    :param folder: folder in which it begins; its output goes beside it.
    :param environ: its environment.
    """

    def __init__(self, name: str, folder: Path, environ: dict[str, str]) -> None:
        self._output = folder.parent / f"{name}.txt"
        self._steps = 0
        # A background job of a shell ignores SIGINT, and so would its child processes.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with self._output.open("w") as output:
                self.shell = subprocess.Popen(
                    ["bash", "-e"],
                    cwd=folder,
                    env=environ,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,
                )
        finally:
            signal.signal(signal.SIGINT, before)

    @property
    def printed(self) -> str:
        """What the commands have printed so far."""
        return self._output.read_text(errors="replace")

    def type(self, text: str) -> None:
        """Type commands, and do not wait until they have ended."""
        assert self.shell.stdin
        self.shell.stdin.write(f"{{ {text.rstrip()}\n}} </dev/null\n")
        self.shell.stdin.flush()

    def run(self, text: str) -> None:
        """Type commands, and wait until they have ended."""
        self._steps += 1
        self.type(f"{text.rstrip()}\necho 'step {self._steps} has ended'")
        self.wait_for(f"step {self._steps} has ended")

    def wait_for(self, shown: str) -> str:
        """Wait until a text of the page is printed, in which ``…`` stands for any text; return what was printed."""
        pattern = re.escape(shown.strip()).replace("…", ".+").replace(re.escape("6fb2fdf5-"), "[0-9a-f]{8}-")

        def found() -> re.Match[str] | None:
            assert self.shell.poll() is None, self.printed[-10_000:]
            return re.search(pattern, self.printed)

        try:
            return until(found, shown, STEP)[0]
        except TimeoutError as error:
            raise AssertionError(self.printed[-10_000:]) from error

    def interrupt_and_close(self) -> None:
        """Press Ctrl-C, and close the terminal, which ends what Ctrl-C does not: Airflow may wait for idle workers."""
        assert self.shell.stdin
        self.shell.stdin.close()
        os.killpg(self.shell.pid, signal.SIGINT)
        sessions.end([self.shell.pid], grace=15)


@contextmanager
def terminals(folder: Path, environ: dict[str, str]) -> Iterator[dict[str, Terminal]]:
    """Open the terminals, and end everything that runs in them."""
    opened = {name: Terminal(name, folder, environ) for name in TERMINALS}
    try:
        yield opened
    finally:
        sessions.end([terminal.shell.pid for terminal in opened.values()])
        for terminal in opened.values():
            assert terminal.shell.stdin
            terminal.shell.stdin.close()
            terminal.shell.wait()


def constraints_in(folder: Path) -> Path:
    """Return a file with the versions of the release day of the tutorial's Airflow, like Airflow's constraints file."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("needs uv on PATH")
    versions = Environment(Path(uv), RELEASES[-1], folder).resolve()
    path = folder / "constraints.txt"
    path.write_text("".join(f"{name}=={version}\n" for name, version in versions.items() if name not in EXEMPT))
    return path


def test_tutorial(tmp_path: Path) -> None:
    """The blocks of the page work in their order, on other ports; what they print is what the page shows."""
    folder, home = tmp_path / "empty", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    constraints = constraints_in(tmp_path)
    emulator_port, airflow_port = str(free_port()), str(free_port())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    environ = {"PIP_CACHE_DIR": str(Path.home() / ".cache" / "pip")} | kept
    environ |= {"HOME": str(home), "AIRFLOW__API__PORT": airflow_port}
    environ["AIRFLOW__API__BASE_URL"] = f"http://localhost:{airflow_port}"
    environ["PYTHONUNBUFFERED"] = "1"  # as if the output went to a real terminal
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"

    with terminals(folder, environ) as opened:
        last = opened[FIRST]
        for block in PAGE:
            text = block.text.replace("8081", emulator_port)
            if block.language == "python":
                block.write(folder)
            elif block.language == "text" and "The UUID is a slow one" in block.text:
                use_the_web_ui(folder, airflow_port, shown=text)
            elif block.language == "text":
                last.wait_for(text)
                if "export" in text:
                    opened[FIRST].run(re.findall("^export .*$", last.printed, re.MULTILINE)[0])
            elif text.startswith("rm"):
                clean_up(opened, text, folder)
            else:
                last = opened[block.title]
                if "pip install" in text:
                    install(last, text, constraints)
                elif "emulator --port" in text or "standalone" in text:
                    last.type(text)
                else:
                    last.run(text)
    assert not (home / "airflow").exists()


def install(terminal: Terminal, text: str, constraints: Path) -> None:
    """Install Airflow and this checkout, with a stand-in of Airflow's constraints file, and import every module."""
    text, replaced = re.subn("CONSTRAINT_URL=.*", f"CONSTRAINT_URL={constraints}", text)
    assert replaced == 1
    terminal.run(text.replace("airflow-provider-whiterabbit[", f"{ROOT}["))
    terminal.run("pip check\npip freeze")
    pins = set(constraints.read_text().splitlines())
    assert f"apache-airflow=={RELEASES[-1].airflow}" in terminal.printed.splitlines()
    compat = re.findall("^apache-airflow-providers-common-compat==.*$", terminal.printed, re.MULTILINE)
    assert compat
    assert set(compat) <= pins
    terminal.run(f"AIRFLOW_HOME='{constraints.parent / 'imports'}' python -W ignore - <<'END'\n{IMPORT_ALL}END")
    assert "modules imported" in terminal.printed


def use_the_web_ui(folder: Path, port: str, shown: str) -> None:
    """Do what the page describes in words, with the password that is in the file."""
    home = folder / "airflow-home"
    (password,) = re.findall(r'"admin": "(.+?)"', (home / "simple_auth_manager_passwords.json.generated").read_text())
    api = AirflowApi(f"http://localhost:{port}", 3, home / "logs")
    until(api.health, "the API server to answer", STEP)  # it may be slower than what Airflow waits for
    api.log_in("admin", password)
    run = api.trigger("first", timeout=240)
    assert [dag["dag_id"] for dag in api.call("GET", "/dags")["dags"]] == ["first"]
    assert run.wait_for("execute", ["deferred"], 240).state == "deferred"
    assert run.wait(300) == "success"
    assert shown.strip() in " ".join(run.messages("use"))
    assert run.xcom("execute") == {"uuid": "a slow one"}
    assert run.xcom("execute", "execution_id")
    assert run.xcom("execute", "usage") is not None


def clean_up(opened: dict[str, Terminal], text: str, folder: Path) -> None:
    """End what runs, and remove what the tutorial has made: no process and no file is left."""
    for name in (FIRST, SECOND):
        opened[name].interrupt_and_close()
    opened[THIRD].run(text)
    assert list(folder.iterdir()) == []
    assert [process.pid for process in living_in(folder) if process.pid != opened[THIRD].shell.pid] == []


def test_every_block_has_a_terminal() -> None:
    """Each block of commands says in which terminal it is typed."""
    assert {block.title for block in PAGE if block.language == "sh"} == set(TERMINALS)
