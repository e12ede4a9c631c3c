"""The tests with a mark are where `make` and nox look for them, which need not collect all tests to find a few."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FOLDERS = {"e2e": {"e2e"}, "alone": {"client/transport", "triggers"}}
"""The folders, below this one, of the tests with a mark."""


def modules_with(text: str) -> set[Path]:
    """Return the modules of tests that contain a text."""
    return {path for path in TESTS.rglob("test_*.py") if text in path.read_text()}


@pytest.mark.parametrize("mark", FOLDERS)
def test_folders(mark: str) -> None:
    """Tests with the mark are in these folders only, and both the Makefile and the noxfile name the folders."""
    assert {str(path.parent.relative_to(TESTS)) for path in modules_with(f"pytest.mark.{mark}")} == FOLDERS[mark]
    for name in ("Makefile", "noxfile.py"):
        text = (TESTS.parent / name).read_text()
        assert all(f"tests/{folder}" in text for folder in FOLDERS[mark])


def test_all_in_the_folder_have_the_mark() -> None:
    """Each module of the end-to-end tests has their mark."""
    assert set((TESTS / "e2e").glob("test_*.py")) == modules_with(f"pytestmark = [pytest.mark.{'e2e'}")
