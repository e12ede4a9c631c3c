"""Names of classes in a generated module.

A name must never come to mean another component when the catalogue changes: a task would execute the other one. So the
modules of which one name would be made all get longer names, with a digest of the module.
"""

from __future__ import annotations

import hashlib
import keyword
import re
from collections import Counter
from collections.abc import Iterable, Mapping

_MAX_STEM = 40
_MAX_NESTED = 60
_TAKEN = "WhiteRabbitTyped"
"""With which the name of a class would be that of its base class."""


def stems(modules: Iterable[str]) -> Mapping[str, str]:
    """Return the beginning of the names of each module's classes."""
    wanted = {module: camel_case(module, "Component") for module in sorted(modules)}
    counts = Counter([*wanted.values(), _TAKEN])
    found = {module: stem for module, stem in wanted.items() if counts[stem] == 1 and len(stem) <= _MAX_STEM}
    for module, stem in wanted.items():
        if module not in found:
            # No other stem has an underscore.
            found[module] = f"{stem[: _MAX_STEM - 9]}_{hashlib.sha256(module.encode()).hexdigest()[:8]}"
    return found


def nested(parent: str, field: str, taken: set[str]) -> str:
    """Return a name for the type of a field of another type, and take it.

    The underscore, and the capital after it, keep it apart from the names of components.
    """
    name = f"{parent}_{camel_case(field, 'Field')}"[:_MAX_NESTED]
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def camel_case(name: str, otherwise: str) -> str:
    """Return a name in CamelCase, of ASCII letters and digits.

    :param otherwise: begins the name if it would be empty or begin with a digit.
    """
    words = re.findall(r"[A-Za-z0-9]+", name)
    joined = "".join(word.capitalize() if word.isupper() else word[0].upper() + word[1:] for word in words)
    return joined if joined[:1].isalpha() else f"{otherwise}{joined}"


def is_plain(field: str, annotations: str) -> bool:
    """Return whether a class with these annotations can declare a field, and the annotations keep their meaning."""
    if not field.isascii() or not field.isidentifier() or keyword.iskeyword(field) or field.startswith("__"):
        return False
    return len(field) <= _MAX_NESTED and field not in re.findall(r"\w+", annotations)
