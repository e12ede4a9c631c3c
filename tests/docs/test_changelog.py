"""The changelog has the format of Keep a Changelog, and the notes of a release come from it."""

from __future__ import annotations

import re

import pytest

from dev.scripts.build.notes import notes_of
from tests.docs.pages import ROOT

TEXT = (ROOT / "CHANGELOG.md").read_text()
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_form() -> None:
    """The changelog begins with Unreleased and lists dated versions, newest first, with known kinds of changes only."""
    versions = re.findall(r"^## (.+)$", TEXT, flags=re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    numbers = []
    for version in versions[1:]:
        heading = re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d", version)
        assert heading, version
        numbers.append(tuple(map(int, heading.groups())))
    assert numbers == sorted(numbers, reverse=True)
    assert set(re.findall(r"^### (.+)$", TEXT, flags=re.MULTILINE)) <= KINDS


def test_notes() -> None:
    """The notes of a release are the section of its version, without the heading."""
    newer = "## [0.2.0] - 2027-01-31\n\n### Added\n\n- B.\n"
    text = f"# Changelog\n\n## [Unreleased]\n\n{newer}\n## [0.1.0] - 2026-12-01\n\n- A.\n"
    assert notes_of("0.2.0", text) == "### Added\n\n- B."
    assert notes_of("0.1.0", text) == "- A."


@pytest.mark.parametrize("version", ["0.3.0", "0.2"])
def test_no_notes(version: str) -> None:
    """A version without a section in the changelog can't be released."""
    with pytest.raises(SystemExit, match=re.escape(version)):
        notes_of(version, "## [Unreleased]\n\n## [0.2.0] - 2027-01-31\n\n- B.\n")
