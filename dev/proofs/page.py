"""The page of the documentation into which the proofs write their tables."""

from __future__ import annotations

import fcntl
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def replace_tables(begin: str, end: str, tables: str) -> None:
    """Replace what is between two comments of the page; two proofs that run side by side write one after the other.

    :param begin: the comment before the tables.
    :param end: the comment behind them.
    :param tables: their Markdown.
    """
    with PAGE.open("r+") as page:
        fcntl.flock(page, fcntl.LOCK_EX)
        text = re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n\n{tables}\n\n{end}", page.read(), flags=re.DOTALL)
        page.seek(0)
        page.write(text)
        page.truncate()
