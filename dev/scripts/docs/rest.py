"""An extension of griffe, which parses the docstrings for the site: adds reStructuredText that griffe does not know."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

_BEFORE_A_BLOCK = re.compile(r"::(?=\n\n +\S)")
_SEE_ALSO = re.compile(r"^\.\. seealso::\n(?P<text>(?: +.+\n?)+)", re.MULTILINE)
_REFERENCE = re.compile(r":ref:`([\w-]+)`")


class OurDocstrings(Extension):  # type: ignore[misc]  # griffe is installed only in the environment of `make docs`
    """Handles ``::`` before code, ``.. seealso::`` and ``:ref:``."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Write a docstring's reStructuredText as Markdown, which marks a block of code by its indentation alone.

        The text in ``:ref:`` is the anchor of a heading on any page of the site.
        """
        if obj.docstring is not None:
            text = _BEFORE_A_BLOCK.sub(":", obj.docstring.value)
            text = _SEE_ALSO.sub(r'!!! info "See also"\n\n\g<text>', text)
            obj.docstring.value = _REFERENCE.sub(lambda found: f"[{_title(found[1])}][{found[1]}]", text)


def _title(anchor: str) -> str:
    return anchor.replace("-", " ").capitalize()
