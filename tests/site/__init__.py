"""Tests of the documentation's site as it is built: `make docs` and `make ui-test` set SITE to its folder."""

from __future__ import annotations

import os
from pathlib import Path

SITE = Path(os.environ["SITE"]).resolve() if os.environ.get("SITE") else None
"""The folder that mkdocs has written; None if it is not to be tested."""
