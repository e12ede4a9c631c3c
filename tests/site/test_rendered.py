"""The comparison of pages finds what was shown otherwise."""

from __future__ import annotations

import pytest

from tests.site.rendered import Rendered, as_markdown_says, difference


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ("<p>An answer is 408 or\n429. A retry waits.</p>", ""),
        ("<p>An <em>answer</em> is 408 or 4<b>2</b>9. A retry waits.</p>", ""),
        ("<p>An answer is 408 or</p><ol><li>A retry waits.</li></ol>", "'429.Aretrywaits.' (paragraph) is shown as"),
        ("<p>An answer is 408 or</p><ol><li>429. A retry waits.</li></ol>", "(ol li)"),
        ("<p>An answer is 408 or 429. A retry</p>", "'waits.' (paragraph) is shown as the end"),
        ("<p>An answer is 408 or 429. A retry waits. More.</p>", "the end is shown as 'More.' (paragraph)"),
    ],
)
def test_difference(html: str, found: str) -> None:
    """The first difference is told with its place; inline markup and line breaks make none."""
    told = difference(as_markdown_says("An answer is 408 or\n429. A retry waits.").words, Rendered(html).words)
    assert found in told
    assert bool(found) is bool(told)


def test_page() -> None:
    """The words are those of the article; links, anchors and what is loaded are those of the whole page."""
    page = Rendered(
        '<link rel="next" href="b.html"><link rel="stylesheet" href="a.css">'
        '<nav id="menu"><a href="c.html">Menu</a></nav><article><h1 id="top">Title'
        '<a class="headerlink" href="#top">¶</a></h1><img src="https://x.example/i.png">'
        '<p>Text</p><ol start="4"><li>Item</li></ol></article><footer>Foot</footer>'
    )
    assert [str(word) for word in page.words] == ["Title (h1)", "Text (paragraph)", "Item (ol li)"]
    assert page.ids == {"menu", "top"}
    assert page.links == ["c.html", "#top"]
    assert page.loads == ["a.css", "https://x.example/i.png"]
    assert page.starts == ["4"]
