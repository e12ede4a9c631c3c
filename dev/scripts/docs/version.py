"""A hook of mkdocs: names the version that the site describes at the foot of each page, and widens the front page."""

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
    """Give the front page the width of the table of contents, so that one screen shows its DAG and the DAG's output."""
    if page.is_homepage:
        page.meta["hide"] = ["toc"]
    return markdown
