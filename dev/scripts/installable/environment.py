"""A virtual environment with the packages as of the release day of an Airflow."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from dev.scripts.installable.releases import PYTHON, Release

ROOT = Path(__file__).resolve().parents[3]

EXEMPT = ("quickjs-ng",)
"""Packages that may be newer than the release: only the extra `emulator` needs them, and no constraints pin them."""

IMPORT_ALL = """
import importlib, pkgutil
import airflow_provider_whiterabbit as package
names = [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
for name in names:
    try:
        if not name.endswith(".__main__"):
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Airflow 2 has no API server for the receiver, the emulator's fixtures are for those who have pytest, and h2
        # (with hpack) comes with an extra.
        if error.name not in ("fastapi", "pytest", "h2", "hpack", "airflow.providers.openlineage"):
            raise
print(len(names), "modules imported")
"""


def run(*command: str | Path, text: str = "", environ: dict[str, str] | None = None) -> str:
    """Run a command in the repository and return what it prints.

    :param text: its standard input.
    :param environ: additional environment variables.
    :raises SystemExit: if the command fails; the message holds all that the command has printed.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    done = subprocess.run(
        command, cwd=ROOT, env=kept | (environ or {}), input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class Environment:
    """A virtual environment for one release of Airflow.

    :param uv: path of uv.
    :param release: the release of Airflow.
    :param folder: an empty folder for the environment, which the caller removes.
    """

    def __init__(self, uv: Path, release: Release, folder: Path) -> None:
        self._uv = uv
        self._release = release
        self._folder = folder
        self._pins = folder / "pins.txt"
        self._python = folder / "venv" / "bin" / "python"

    def resolve(self) -> dict[str, str]:
        """Return the version of each package, as of the day of the release."""
        packages = run(
            *(self._uv, "pip", "compile", "pyproject.toml", "--extra", "emulator", "--extra", "http2"),
            *("--constraint", "-", "--python-version", PYTHON, "--exclude-newer", self._release.end_of_day),
            *(f"--exclude-newer-package={name}=2100-01-01" for name in EXEMPT),
            *("--no-header", "--no-annotate", "--quiet"),
            text=f"apache-airflow=={self._release.airflow}",
        )
        self._pins.write_text(packages)
        return dict(re.findall(r"^([\w.-]+)==(\S+)", packages, re.MULTILINE))

    def install(self, *, tools: bool) -> None:
        """Install the resolved packages and this one, then the tools of the tests, which change no resolved package.

        :param tools: whether to install the tools of the tests.
        """
        environ = {"VIRTUAL_ENV": str(self._folder / "venv")}
        install: list[str | Path] = [self._uv, "pip", "install", "--quiet"]
        if tools:  # else one process imports the packages, which uses a tenth of the byte code
            install.append("--compile-bytecode")
        run(self._uv, "venv", "--quiet", "--python", PYTHON, self._folder / "venv")
        run(*install, "--requirements", self._pins, environ=environ)
        run(*install, "--no-deps", "--editable", ".", environ=environ)
        if tools:
            run(*install, "--constraint", self._pins, "--group", "dev", environ=environ)
        run(self._uv, "pip", "check", "--quiet", environ=environ)

    def import_all(self) -> str:
        """Import every module of the package, and return how many there are."""
        home = {"AIRFLOW_HOME": str(self._folder / "airflow")}
        return run(self._python, "-W", "ignore", "-c", IMPORT_ALL, environ=home).strip().splitlines()[-1]

    def test(self) -> str:
        """Run the tests of the release, and return the summary of pytest."""
        command = (self._python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "worksteal")
        chosen = ("-m", "not e2e and not alone and not ui", *self._release.tests)
        return run(*command, *chosen).strip().splitlines()[-1].strip("= ")
