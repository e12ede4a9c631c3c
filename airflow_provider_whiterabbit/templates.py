"""Marks a text as a Jinja template for type checkers, where a parameter takes no other text."""

from __future__ import annotations

from typing import NewType

Template = NewType("Template", str)
"""A text that Airflow renders: ``timeout=Template("{{ params.timeout }}")``.

At run time it is the text itself. Parameters such as `timeout` take a number or a template. A type checker can't tell
the template ``"{{ params.timeout }}"`` from the mistake ``"1h"``, so it refuses both; with `Template`, it accepts the
template. Code that is not type-checked can leave `Template` out.
"""
