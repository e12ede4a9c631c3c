"""A browser without a network shows every page of the site and searches it, from a server, and from the file system."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.docs.pages import ROOT
from tests.site import SITE
from tests.ui import AIRFLOW

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

assert SITE is not None
pytestmark = [
    pytest.mark.ui,
    pytest.mark.skipif(not AIRFLOW.startswith("3.3."), reason="the site is the same beside each Airflow"),
]

DESK = {"width": 1280, "height": 900}
LAPTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
READABLE = 9.5
"""Size in pixels of the smallest text in a picture, on a phone."""


class Silent(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """Serve the site on this machine, and return its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=SITE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(params=["file", "http"])
def address(request: pytest.FixtureRequest, served: str) -> str:
    """Return the address of the site, without a slash at its end."""
    return served if request.param == "http" else f"file://{SITE}"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a page in a browser of its own."""
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    yield context.new_page()
    context.close()


class Elsewhere:
    """What a page loads from another place than the site, what it fails to load, and the errors of its scripts."""

    def __init__(self, page: Page, address: str) -> None:
        self.found: list[str] = []
        self._address = address
        page.on("request", self._note)
        page.on("requestfailed", lambda request: self.found.append(f"failed: {request.url}"))
        page.on("pageerror", lambda error: self.found.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.found.append(message.text))

    def _note(self, request: Request) -> None:
        if not request.url.startswith((self._address, "data:", "about:", "blob:")):
            self.found.append(request.url)


def test_every_page(page: Page, address: str) -> None:
    """Each page loads everything from the site, without an error, and shows a title and the search."""
    elsewhere = Elsewhere(page, address)
    for path in sorted(SITE.rglob("*.html")):
        page.goto(f"{address}/{path.relative_to(SITE)}")
        page.locator("article h1").first.wait_for()
        assert page.locator(".md-search__input").is_visible()
        assert elsewhere.found == [], path


def test_front_page(page: Page) -> None:
    """One screen of a laptop shows what the provider does, how to install it, a DAG, and the DAG's output."""
    page.set_viewport_size(LAPTOP)  # type: ignore[arg-type]
    page.goto(f"file://{SITE}/index.html")
    output = page.get_by_text("The output is the XCom of the task").bounding_box()
    assert output
    assert output["y"] + output["height"] <= LAPTOP["height"]
    code = page.locator("article pre code")
    assert code.first.inner_text().startswith("pip install")
    for block in code.all():
        assert block.evaluate("block => block.scrollWidth <= block.clientWidth"), block.inner_text()


def test_search(page: Page, address: str) -> None:
    """The search finds the page that explains a message, from the top and from below."""
    elsewhere = Elsewhere(page, address)
    for start in ("index", "reference/operators"):
        page.goto(f"{address}/{start}.html")
        page.locator(".md-search__input").click()
        page.locator(".md-search__input").press_sequentially("does not hold an unencrypted private key")
        found = page.locator('.md-search-result__link[href*="troubleshooting.html"]').first
        found.wait_for()
    found.click()
    page.wait_for_url("**/troubleshooting.html**")
    assert elsewhere.found == []


def test_pasted_messages(page: Page) -> None:
    """The search finds the page that explains a message that is pasted, with numbers in place of what can differ."""
    page.goto(f"file://{SITE}/index.html")
    box = page.locator(".md-search__input")
    box.click()
    rows = re.findall(r"^\| `([^`]+ [^`]+)` \|", (ROOT / "docs" / "troubleshooting.md").read_text(), flags=re.MULTILINE)
    chosen = [row for row in rows if "'-'" in row or "--" in row][:6] + rows[:: len(rows) // 20]
    found = 0
    for text in chosen:
        box.fill("")
        box.dispatch_event("keyup")
        page.get_by_text("Type to start searching").wait_for()  # nothing is left of the search before
        box.evaluate(PASTE, text.replace("…", "42"))
        assert not re.search("[-~*:]", box.input_value())
        page.locator(".md-search-result__meta", has_text="matching document").wait_for()
        first = page.locator(".md-search-result__item h1").first
        first.wait_for()
        found += first.inner_text() == "Troubleshooting"
    assert found >= 0.8 * len(chosen), f"{found} of {len(chosen)}"


PASTE = """(box, text) => {
    const clipboardData = new DataTransfer()
    clipboardData.setData("text", text)
    box.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }))
}"""


@pytest.mark.parametrize("system", ["light", "dark"])
def test_texts_on_a_phone(page: Page, system: Literal["light", "dark"]) -> None:
    """Each text of each page is large enough for a phone, and differs enough from its background (WCAG 2.2, 1.4.3)."""
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.emulate_media(color_scheme=system)
    for path in sorted(SITE.rglob("*.html")):
        page.goto(f"file://{path}")
        assert page.evaluate(UNREADABLE, [SMALLEST, CONTRAST]) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path


SMALLEST = 11.0
"""Size in pixels of the smallest text of a page."""

CONTRAST = 4.5

UNREADABLE = """([smallest, least]) => {
    const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })
    const known = new Map()
    const channels = colour => {
        if (!known.has(colour)) {
            context.clearRect(0, 0, 1, 1)
            context.fillStyle = colour
            context.fillRect(0, 0, 1, 1)
            known.set(colour, [...context.getImageData(0, 0, 1, 1).data])
        }
        return known.get(colour)
    }
    const over = ([r, g, b, a], below) => [r, g, b].map((value, at) => value * a / 255 + below[at] * (1 - a / 255))
    const background = element => {
        const colour = element ? channels(getComputedStyle(element).backgroundColor) : [255, 255, 255, 255]
        return colour[3] === 255 ? colour.slice(0, 3) : over(colour, background(element.parentElement))
    }
    const luminance = colour => colour.reduce((sum, value, at) => {
        const part = value / 255
        return sum + [0.2126, 0.7152, 0.0722][at] * (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    }, 0.05)
    const found = []
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    for (let node; node = walker.nextNode();) {
        const element = node.parentElement
        const range = document.createRange()
        range.selectNodeContents(node)
        const { width, height } = range.getBoundingClientRect()
        const isShown = element.checkVisibility({ opacityProperty: true, visibilityProperty: true })
        if (!node.textContent.trim() || width < 1 || height < 1 || !isShown || element.closest("svg")) continue
        const style = getComputedStyle(element)
        const behind = background(element)
        const [dark, bright] = [luminance(over(channels(style.color), behind)), luminance(behind)].sort((a, b) => a - b)
        const what = `${element.tagName}.${element.className}: ${node.textContent.slice(0, 40)}`
        if (parseFloat(style.fontSize) < smallest) found.push(`${style.fontSize} ${what}`)
        if (bright / dark < least - 0.01) found.push(`contrast ${(bright / dark).toFixed(2)} ${what}`)
    }
    return found.slice(0, 5)
}"""


def test_neighbours(page: Page, address: str) -> None:
    """The link at the end of a page leads to the next page, and the one beside it back; no menu covers them."""
    page.goto(f"{address}/index.html")
    page.locator(".md-footer__link--next").click()
    page.wait_for_url("**/tutorial.html")
    page.locator(".md-footer__link--prev").click()
    page.wait_for_url("**/index.html")


PICTURES: dict[str, list[Path]] = {}
"""The pictures, below docs/, of each page that has any."""

for picture in sorted((ROOT / "docs").rglob("*.svg")):
    found = picture.relative_to(ROOT / "docs")
    (name,) = [path.name for path in SITE.glob("*.html") if f'src="{found}"' in path.read_text()]
    PICTURES.setdefault(name, []).append(found)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_on_a_phone(page: Page, name: str) -> None:
    """A picture fits into a phone's width, with texts of a size that can be read."""
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto(f"file://{SITE}/{name}")
    for picture in PICTURES[name]:
        box = page.locator(f'img[src="{picture}"]').bounding_box()
        assert box, picture
        assert box["x"] >= 0, picture
        assert box["x"] + box["width"] <= PHONE["width"], picture
        text = (ROOT / "docs" / picture).read_text()
        view = re.search(r'viewBox="0 0 ([\d.]+) ', text)
        sizes = [float(size) for size in re.findall(r'font-size(?:: |=")([\d.]+)', text)]
        assert view, picture
        assert min(sizes) * box["width"] / float(view[1]) >= READABLE, picture


@pytest.mark.parametrize("system", ["light", "dark"])
@pytest.mark.parametrize("name", PICTURES)
def test_pictures_in_dark_mode(page: Page, name: str, system: Literal["light", "dark"]) -> None:
    """A picture is dark if the page is, whether the system says so or the reader has switched to it."""
    page.emulate_media(color_scheme=system)
    page.goto(f"file://{SITE}/{name}")
    other = {"light": "dark", "dark": "light"}[system]
    for mode in (system, other):
        for picture in PICTURES[name]:
            brightness = brightness_of(page, picture)
            assert brightness < 100 if mode == "dark" else brightness > 200, f"{picture} in {mode} mode"
        page.locator("label[for^=__palette]:visible").click()


def brightness_of(page: Page, picture: Path) -> float:
    """Return the median brightness of a picture, from 0 for black to 255 for white: that of its background."""
    image = page.locator(f'img[src="{picture}"]')
    image.scroll_into_view_if_needed()
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image.element_handle())
    encoded = base64.b64encode(image.screenshot(animations="disabled")).decode()
    return page.evaluate(
        """async encoded => {
            const image = new Image()
            image.src = "data:image/png;base64," + encoded
            await image.decode()
            const context = new OffscreenCanvas(image.width, image.height).getContext("2d")
            context.drawImage(image, 0, 0)
            const { data } = context.getImageData(0, 0, image.width, image.height)
            return Uint8Array.from({ length: data.length / 4 }, (_, at) => data[4 * at]).sort().at(data.length / 8)
        }""",
        encoded,
    )
