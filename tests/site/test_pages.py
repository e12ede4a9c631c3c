"""The site shows what its pages say, its links lead somewhere, and a browser loads nothing from elsewhere."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from airflow_provider_whiterabbit import __version__
from tests.docs.pages import ROOT
from tests.site import SITE
from tests.site.rendered import Rendered, as_markdown_says, difference

DOCS = ROOT / "docs"
GENERATED = ":::"
"""Begins a line of a page whose text comes from docstrings."""

assert SITE is not None
HTML = sorted(SITE.rglob("*.html"))


def source(page: Path) -> str:
    """Return the Markdown of a page, with the files that it includes."""
    return re.sub(r'^--8<-- "(.+)"$', lambda found: (ROOT / found[1]).read_text(), page.read_text(), flags=re.MULTILINE)


WRITTEN = [page for page in sorted(DOCS.rglob("*.md")) if GENERATED not in page.read_text()]


@cache
def rendered(path: Path) -> Rendered:
    """Return the parsed HTML of a page of the site."""
    return Rendered(path.read_text())


def named(path: Path) -> str:
    """Return a short name of a page, for the names of tests."""
    return str(path.relative_to(DOCS if path.is_relative_to(DOCS) else SITE or ROOT))


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_nothing_is_lost(page: Path, site: Path) -> None:
    """The site shows every word of a page, in a list, table or paragraph as on GitHub.

    The site's Markdown differs from GitHub's: a line within a paragraph that begins with a number and a full stop, or
    with a dash, may be an item of a list in one of them only.
    """
    shown = rendered(site / page.relative_to(DOCS).with_suffix(".html"))
    assert difference(as_markdown_says(source(page)).words, shown.words) == ""


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_lists_begin_with_one(page: Path) -> None:
    """No list begins with another number than 1, which would be a paragraph that begins with a number."""
    assert as_markdown_says(source(page)).starts == []


@pytest.mark.parametrize("path", HTML, ids=named)
def test_links(path: Path, site: Path) -> None:
    """Each link within the site leads to a page of it, and to an anchor of that page."""
    page = rendered(path)
    for address in [*page.links, *page.loads]:
        parts = urlsplit(address)
        if parts.scheme:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        target = target / "index.html" if target.is_dir() else target
        assert target.is_relative_to(site), address
        assert target.exists(), address
        assert not parts.fragment or unquote(parts.fragment) in rendered(target).ids | {"__skip"}, address


@pytest.mark.parametrize("path", HTML, ids=named)
def test_nothing_from_elsewhere(path: Path) -> None:
    """A page loads scripts, styles and images from the site alone."""
    assert [address for address in rendered(path).loads if urlsplit(address).netloc or urlsplit(address).scheme] == []


@pytest.mark.parametrize("kind", ["css", "svg"])
def test_nothing_from_elsewhere_in(kind: str, site: Path) -> None:
    """Styles and images load nothing from elsewhere."""
    files = list(site.rglob(f"*.{kind}"))
    assert files
    elsewhere = re.compile(r"""(?:url\(|@import|href=)\s*["']?(?:https?:)?//""")
    assert [path.name for path in files if elsewhere.search(path.read_text())] == []


def test_neighbours() -> None:
    """Each page links to the page before it and to the page after it; the first and the last page have one of them."""
    kinds = [re.findall(r'class="md-footer__link md-footer__link--(\w+)"', path.read_text()) for path in HTML]
    assert sorted(map(len, kinds)) == [1, 1] + [2] * (len(HTML) - 2)


@pytest.mark.parametrize("path", HTML, ids=named)
def test_version(path: Path) -> None:
    """Each page names the version that it describes."""
    assert f"Version {__version__} " in path.read_text()


@pytest.mark.parametrize("path", sorted((SITE / "reference").glob("*.html")), ids=named)
def test_signatures(path: Path) -> None:
    """A signature has its types, and no line of it is too long to be read on a screen."""
    blocks = re.findall(r'<div class="[^"]*doc-signature[^"]*">(.*?)</div>', path.read_text(), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        lines = re.sub(r"<[^>]+>", "", block).replace("&gt;", ">").replace("&#39;", "'").strip().splitlines()
        assert max(map(len, lines)) <= 90, lines


@pytest.mark.parametrize("path", [path for path in HTML if path.parent.name == "reference"], ids=named)
def test_defaults(path: Path) -> None:
    """The reference shows the values of defaults, and not the names of constants that hold them.

    The emulator's `DEFAULT` has no value: it is told from everything that a caller can give.
    """
    text = " ".join(re.sub("<[^>]+>", "", path.read_text()).split())
    assert re.findall(r"(?:default: |: [\w |]+ = )(?!DEFAULT)_?[A-Z][A-Z_]{3,}", text) == []
