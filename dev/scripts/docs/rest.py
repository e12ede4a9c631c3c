"""An extension of griffe, which parses the docstrings for the site: adds reStructuredText that griffe does not know."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Parameter, ParameterKind

_BEFORE_A_BLOCK = re.compile(r"::(?=\n\n +\S)")
_PARAMETER = re.compile(r"^:param (\w+):", re.MULTILINE)


class OurDocstrings(Extension):  # type: ignore[misc]  # griffe is installed only in the environment of `make docs`
    """Handles ``::`` before a block of code, and parameters that a class documents but accepts as ``**kwargs``."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Replace ``::`` by ``:``, because Markdown marks a block of code by its indentation alone."""
        if obj.docstring is not None:
            obj.docstring.value = _BEFORE_A_BLOCK.sub(":", obj.docstring.value)

    def on_class(self, *, cls: Any, **_: Any) -> None:
        """Add the documented parameters that the constructor accepts as ``**kwargs`` to its signature."""
        constructor = cls.members.get("__init__")
        if cls.docstring is None or constructor is None or "kwargs" not in constructor.parameters:
            return
        for name in _PARAMETER.findall(cls.docstring.value):
            if name not in constructor.parameters:
                constructor.parameters.add(Parameter(name, kind=ParameterKind.keyword_only, default="…"))
