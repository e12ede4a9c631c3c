"""Print the changelog's section of a release: ``python -m dev.scripts.build.notes 0.1.0``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).resolve().parents[3] / "CHANGELOG.md"


def notes_of(version: str, changelog: str) -> str:
    """Return the text of a version's section in the changelog.

    :raises SystemExit: if the changelog has no dated section for this version.
    """
    section = re.search(
        rf"^## \[{re.escape(version)}\] - [^\n]*\n(.*?)(?=^## |\Z)", changelog, re.DOTALL | re.MULTILINE
    )
    if section is None:
        raise SystemExit(f"The changelog has no section [{version}] with a date")
    return section[1].strip()


if __name__ == "__main__":
    print(notes_of(sys.argv[1].removeprefix("v"), CHANGELOG.read_text()))
