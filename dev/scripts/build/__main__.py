"""Check the built distributions in a folder: ``python -m dev.scripts.build dist``, which ``make check-dist`` runs.

This script needs only Python and uv.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SMOKE = Path(__file__).with_name("smoke.py")


class CleanEnvironment:
    """A new, empty virtual environment with its own Airflow home.

    :param folder: folder to create the environment in.
    :param uv: path of uv, which creates the environment.
    :param constraints: constraints file with the versions to install.
    """

    def __init__(self, folder: Path, uv: Path, constraints: Path) -> None:
        self._venv = folder / "venv"
        self._uv = uv.absolute()
        self._constraints = constraints.absolute()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
        self._environ = {**kept, "AIRFLOW_HOME": str(folder / "airflow"), "VIRTUAL_ENV": str(self._venv)}
        self._run(self._uv, "venv", "-q", "--python", sys.executable, self._venv)

    def install(self, *requirements: str) -> list[str]:
        """Install requirements; return the packages that this has added, as ``name==version``."""
        before = set(self._packages())
        self._run(self._uv, "pip", "install", "-q", "--constraint", self._constraints, *requirements)
        self._run(self._uv, "pip", "check", "-q")
        return [package.partition(" @ ")[0] for package in self._packages() if package not in before]

    def smoke(self, part: str) -> None:
        """Run one part of the script `smoke` in the environment, outside of the source tree."""
        self._run(self._venv / "bin" / "python", "-I", SMOKE, part)

    def _packages(self) -> list[str]:
        return self._run(self._uv, "pip", "freeze", "-q", capture=True).splitlines()

    def _run(self, *command: str | Path, capture: bool = False) -> str:
        output = subprocess.PIPE if capture else None
        cwd = self._venv.parent
        completed = subprocess.run(command, cwd=cwd, env=self._environ, stdout=output, text=True, check=True)
        return completed.stdout or ""


def missing_in(sdist: Path) -> list[str]:
    """Return the files that the repository tracks and the source distribution lacks."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    return sorted(tracked - packed)


def only(folder: Path, pattern: str) -> Path:
    """Return the one file in the folder that matches the pattern.

    :raises SystemExit: if there is no such file, or more than one.
    """
    distributions = list(folder.glob(pattern))
    if len(distributions) != 1:
        raise SystemExit(f"Expected one {pattern} in {folder}, found {len(distributions)}")
    return distributions[0].absolute()


def main() -> int:
    """Check the distributions in a folder; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m dev.scripts.build", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with one wheel and one source distribution")
    parser.add_argument("--uv", type=Path, required=True, help="path of uv")
    parser.add_argument("--constraints", type=Path, required=True, help="constraints file with the versions to install")
    options = parser.parse_args()
    wheel, sdist = only(options.folder, "*.whl"), only(options.folder, "*.tar.gz")
    if (ROOT / ".git").exists() and (missing := missing_in(sdist)):
        print(f"{sdist.name} lacks: {', '.join(missing)}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="wheel-") as folder:
        clean = CleanEnvironment(Path(folder), options.uv, options.constraints)
        print(f"apache-airflow alone: {len(clean.install('apache-airflow'))} packages", flush=True)
        print(f"The wheel adds: {', '.join(clean.install(str(wheel)))}", flush=True)
        clean.smoke("wheel")
        added = clean.install(f"airflow-provider-whiterabbit[emulator] @ {wheel.as_uri()}")
        print(f"The extra 'emulator' adds: {', '.join(added) or 'nothing'}", flush=True)
        clean.smoke("emulator")
    print(f"All checks passed: {wheel.name}, {sdist.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
