"""Integers of an answer: what Airflow can hand on, and none of the digits lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.client.webhooks import finished_record
from airflow_provider_whiterabbit.client.wire.answers import data_of
from airflow_provider_whiterabbit.client.wire.canonical import to_json
from airflow_provider_whiterabbit.client.wire.json_in import integer
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from airflow_provider_whiterabbit.client.wire.sse import EventDecoder
from tests.client.properties import examples

LEAST, MOST = -(2**63), 2**64 - 1
"""MessagePack's integers."""


@given(value=st.integers(LEAST, MOST))
@examples(300)
@example(value=LEAST)
@example(value=MOST)
def test_64_bits(value: int) -> None:
    """They stay what they are."""
    assert integer(str(value)) == value
    assert isinstance(integer(str(value)), int)


@given(value=st.floats(allow_nan=False, allow_infinity=False))
@examples(2000)
@example(value=1e20)
@example(value=-(2.0**69))
@example(value=2.0**64)
def test_what_javascript_writes(value: float) -> None:
    """Its numbers come back equal, and as something that Airflow can hand on."""
    found = json.loads(to_json(value), parse_int=integer)
    assert float(found) == value
    assert isinstance(found, float) or LEAST <= found <= MOST


@pytest.mark.parametrize(
    "digits", ["18446744073709551617", "-9223372036854775809", "123456789012345678901", f"1{'0' * 400}", "9" * 5000]
)
def test_digits_that_javascript_would_not_keep(digits: str) -> None:
    """They become text."""
    assert integer(digits) == digits


ANSWER = b'{"id": "x", "status": "COMPLETED", "output": {"wei": 100000000000000000000, "id": 123456789012345678901}}'
OUTPUT = {"wei": 1e20, "id": "123456789012345678901"}


@pytest.mark.parametrize(
    "read",
    [
        lambda: data_of(Request("GET", "/"), Response(200, {}, ANSWER, 0.0))["output"],
        lambda: EventDecoder().feed(b"data: " + ANSWER + b"\n\n")[0]["output"],
        lambda: finished_record(ANSWER).output,
    ],
    ids=["answer", "event", "callback"],
)
def test_everywhere(read: Callable[[], Any]) -> None:
    """Records, events and callbacks are read alike."""
    assert read() == OUTPUT
    assert isinstance(read()["wei"], float)
