"""Marks texts as Jinja templates and names of secrets for type checkers, where a parameter takes no other text."""

from __future__ import annotations

from typing import NewType

Template = NewType("Template", str)
"""A text that Airflow renders: ``timeout=Template("{{ params.timeout }}")``.

At run time it is the text itself. Parameters such as `timeout` take a number or a template. A type checker can't tell
the template ``"{{ params.timeout }}"`` from the mistake ``"1h"``, so it refuses both; with `Template`, it accepts the
template. Code that is not type-checked can leave `Template` out.
"""

SecretText = NewType("SecretText", str)
"""The name of a secret, as `airflow_provider_whiterabbit.secrets.secret` returns it.

At run time it is a text. The types of generated modules accept it where they take no other text.
"""
