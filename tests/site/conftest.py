"""Only `make docs` and `make ui-test` have built a site, so only they run the tests that need it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.site import SITE

collect_ignore_glob = [] if SITE else ["test_browser.py", "test_pages.py"]


@pytest.fixture
def site() -> Path:
    """Return the folder of the site."""
    assert SITE is not None
    return SITE
