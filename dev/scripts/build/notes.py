"""The notes of a release, from the changelog: ``python -m dev.scripts.build.notes 0.1.0``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).resolve().parents[3] / "CHANGELOG.md"


def notes_of(version: str, changelog: str) -> str:
    """Return what a changelog says about a version.

    :raises SystemExit: if it says nothing.
    """
    found = re.search(rf"^## \[{re.escape(version)}\] - [^\n]*\n(.*?)(?=^## |\Z)", changelog, re.DOTALL | re.MULTILINE)
    if found is None:
        raise SystemExit(f"The changelog has no section [{version}] with a date")
    return found[1].strip()


if __name__ == "__main__":
    print(notes_of(sys.argv[1].removeprefix("v"), CHANGELOG.read_text()))
