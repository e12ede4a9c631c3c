"""Blocks of code and tables in the README and in the pages of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
"""All pages that the tests read. `tests/emulator` tests `docs/emulator.md` as well."""

_TITLE = re.compile(r'title="([^"]+)"')
_NAME = re.compile(r"# ([\w/]+\.py)\n")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code on a page.

    :param page: the page's path from the repository's root.
    :param line: number of the block's first line, counted from 1.
    :param language: language of the block; empty if the page names none.
    :param title: name of the block's file; empty if the page names none.
    :param text: the code.
    """

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_dag(self) -> bool:
        """Whether the block defines a DAG."""
        return "@dag(" in self.text or "with DAG(" in self.text

    @property
    def is_test(self) -> bool:
        """Whether the block is a pytest module."""
        return "pytest" in self.text

    def write(self, folder: Path) -> Path:
        """Write the block to its file in a folder, and return the file's path."""
        path = folder / (self.title or f"{Path(self.page).stem}_{self.line}.py".replace("-", "_"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text)
        return path


def _blocks() -> Iterator[Block]:
    """Yield each block of code on each page."""
    for page in PAGES:
        for token in MarkdownIt("commonmark").parse(page.read_text()):
            if token.type in ("fence", "code_block"):
                assert token.map is not None
                title = _TITLE.search(token.info) or _NAME.match(token.content)
                yield Block(
                    page=str(page.relative_to(ROOT)),
                    line=token.map[0] + 1,
                    # An indented block without a fence is for a shell.
                    language=(token.info.split() or ["sh" if token.type == "code_block" else ""])[0],
                    title=title[1] if title else "",
                    text=token.content,
                )


BLOCKS = list(_blocks())


def blocks(*languages: str) -> list[Block]:
    """Return the blocks that are in one of these languages."""
    return [block for block in BLOCKS if block.language in languages]


def tables(page: str) -> Iterator[list[list[str]]]:
    """Yield a page's tables as rows of cells, without their delimiter rows; the first row is the heading."""
    for table in re.findall(r"(?:^\|.*\n)+", (ROOT / page).read_text(), flags=re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in table.splitlines()]
        yield [row for number, row in enumerate(rows) if number != 1]
