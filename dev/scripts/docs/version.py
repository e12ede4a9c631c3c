"""A hook of mkdocs: the version that the site describes at the foot of each page, and what single pages need."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

INIT = Path(__file__).parents[3] / "airflow_provider_whiterabbit" / "__init__.py"


def on_config(config: Any) -> Any:
    """Add the package's version to the copyright, which the theme shows at the foot of each page."""
    # The environment of `make docs` does not have the package.
    (version,) = re.findall(r'^__version__ = "(.+)"$', INIT.read_text(), flags=re.MULTILINE)
    config.copyright = f"Version {version} · {config.copyright}"
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Change the options of single pages.

    The front page gets the width of the table of contents, so that one screen shows its DAG and the DAG's output. The
    search finds a message on the page that explains it before pages that have the same words.
    """
    if page.is_homepage:
        page.meta["hide"] = ["toc"]
    if page.file.src_uri == "troubleshooting.md":
        page.meta["search"] = {"boost": 100}
    return markdown


def on_post_build(config: Any) -> None:
    """Remove the theme's page for unknown addresses: its links are right at the root of a server alone."""
    (Path(config.site_dir) / "404.html").unlink(missing_ok=True)
