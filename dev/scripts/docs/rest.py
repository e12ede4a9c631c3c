"""An extension of griffe, which reads the docstrings for the site: what it does not know of how they are written."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Parameter, ParameterKind

_BEFORE_A_BLOCK = re.compile(r"::(?=\n\n +\S)")
_PARAMETER = re.compile(r"^:param (\w+):", re.MULTILINE)


class OurDocstrings(Extension):  # type: ignore[misc]  # griffe is in an environment of its own
    """Reads ``::`` before a block of code, and parameters that a class documents but leaves to its base."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Let a literal block of reStructuredText be one of Markdown, which is indented alike."""
        if obj.docstring is not None:
            obj.docstring.value = _BEFORE_A_BLOCK.sub(":", obj.docstring.value)

    def on_class(self, *, cls: Any, **_: Any) -> None:
        """Give the constructor what its ``**kwargs`` stand for, where the docstring says so."""
        constructor = cls.members.get("__init__")
        if cls.docstring is None or constructor is None or "kwargs" not in constructor.parameters:
            return
        for name in _PARAMETER.findall(cls.docstring.value):
            if name not in constructor.parameters:
                constructor.parameters.add(Parameter(name, kind=ParameterKind.keyword_only, default="…"))
