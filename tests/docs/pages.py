"""What the README and the pages of the documentation show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
"""`docs/emulator.md` has a test of its own besides, in `tests/emulator`."""

_TITLE = re.compile(r'title="([^"]+)"')
_NAME = re.compile(r"# ([\w/]+\.py)\n")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code.

    :param line: where it stands, counted from 1.
    :param language: empty where the page does not say.
    :param title: the name of its file; empty where it has none.
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
        return "@dag(" in self.text or "with DAG(" in self.text

    @property
    def is_test(self) -> bool:
        return "pytest" in self.text

    def write(self, folder: Path) -> Path:
        """Write it to its file."""
        path = folder / (self.title or f"{Path(self.page).stem}_{self.line}.py".replace("-", "_"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text)
        return path


def _blocks() -> Iterator[Block]:
    for page in PAGES:
        for token in MarkdownIt("commonmark").parse(page.read_text()):
            if token.type in ("fence", "code_block"):
                assert token.map is not None
                title = _TITLE.search(token.info) or _NAME.match(token.content)
                yield Block(
                    page=str(page.relative_to(ROOT)),
                    line=token.map[0] + 1,
                    # What is indented and not fenced is for a shell.
                    language=(token.info.split() or ["sh" if token.type == "code_block" else ""])[0],
                    title=title[1] if title else "",
                    text=token.content,
                )


BLOCKS = list(_blocks())


def blocks(*languages: str) -> list[Block]:
    """Return the blocks in these languages."""
    return [block for block in BLOCKS if block.language in languages]


def tables(page: str) -> Iterator[list[list[str]]]:
    """Return a page's tables as rows of cells, without their delimiter rows; the first row is the heading."""
    for table in re.findall(r"(?:^\|.*\n)+", (ROOT / page).read_text(), flags=re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in table.splitlines()]
        yield [row for number, row in enumerate(rows) if number != 1]
