"""Reads HTML: the text of a page with the structure that a reader sees, its links, and what it loads."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from markdown_it import MarkdownIt

_VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_SHOWN = {"h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "td", "th", "pre", "blockquote"}
_LOADS = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "link": ("href",),
}
_NOT_LOADED = {"next", "prev", "canonical", "alternate"}


@dataclass(frozen=True, slots=True)
class Word:
    """A word on a page.

    :param text: the word.
    :param place: the elements around the word that a reader sees, as ``ul li``; empty for a paragraph.
    """

    text: str
    place: str

    def __str__(self) -> str:
        return f"{self.text} ({self.place or 'paragraph'})"


@dataclass
class Rendered(HTMLParser):
    """The parsed HTML of a page.

    :param words: the words of the article, or of the whole HTML if it has no article.
    :param ids: the anchors of the page.
    :param links: the addresses that the page links to.
    :param loads: the addresses that a browser loads with the page.
    :param starts: the first numbers of ordered lists that do not begin with 1.
    """

    html: str
    words: list[Word] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[tuple[str, bool]] = []
        self._whole = "<article" not in self.html
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what the element says of links and anchors."""
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if values.get("rel") not in _NOT_LOADED:
            found = [values[name] for name in _LOADS.get(tag, ()) if values.get(name)]
            self.loads += [
                part.split()[0] for text in found for part in text.split(",") if not text.startswith("data:")
            ]
        if tag == "ol" and values.get("start", "1") != "1":
            self.starts.append(values["start"])
        if tag not in _VOID:
            # The theme adds a sign to each heading, which links to it, and shows the names of files above their text.
            added = values.get("class", "") in ("headerlink", "filename") or tag in ("script", "style", "nav", "form")
            self._open.append((tag, added))

    def handle_endtag(self, tag: str) -> None:
        """Close the element, and those within it that HTML allows to leave open."""
        while any(name == tag for name, _ in self._open) and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Keep the words of the article."""
        names = [name for name, _ in self._open]
        if any(added for _, added in self._open) or not (self._whole or "article" in names):
            return
        place = " ".join(name for name in names if name in _SHOWN)
        self.words += [Word(text, place) for text in data.split()]


def as_markdown_says(text: str) -> Rendered:
    """Return a page as CommonMark defines it and as GitHub shows it, with tables."""
    return Rendered(MarkdownIt("commonmark").enable("table").render(text))


def difference(expected: list[Word], shown: list[Word]) -> str:
    """Return the first difference between two texts, with the words before it; empty if there is none.

    Inline markup may divide words in other places, so the comparison is by character.
    """
    one, other = ([(char, word.place) for word in words for char in word.text] for words in (expected, shown))
    if one == other:
        return ""
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    before = "".join(char for char, _ in one[max(0, at - 60) : at])
    return f"after {before!r}: {_from(one, at)} is shown as {_from(other, at)}"


def _from(chars: list[tuple[str, str]], at: int) -> str:
    rest = chars[at : at + 40]
    return f"{''.join(char for char, _ in rest)!r} ({rest[0][1] or 'paragraph'})" if rest else "the end"
