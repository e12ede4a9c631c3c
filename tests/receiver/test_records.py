"""Outputs that are large and nested: the receiver skips them, because the JSON parser would stop Airflow's API."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError
from tests.receiver.conftest import StartReceiver
from tests.receiver.deliveries import record_of
from tests.versions import needs_receiver

pytest.importorskip("fastapi", reason="needs the receiver of callbacks (Airflow 3.1)")

from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.receiver.events import CallbackResult
from airflow_provider_whiterabbit.receiver.records import without_large_outputs

pytestmark = needs_receiver

SIZE = 200_000
HOSTILE = {
    "lists": b"[" + b"[]," * (SIZE // 3) + b"[]]",
    "objects": b"[" + b"{}," * (SIZE // 3) + b"{}]",
    "deep": b"[" * (SIZE // 2) + b"]" * (SIZE // 2),
    "deep objects": b'{"a":' * (SIZE // 6) + b"0" + b"}" * (SIZE // 6),
    "hills": b"[" + (b"[" * 900 + b"]" * 900 + b",") * (SIZE // 1801) + b"0]",
    "strings": b"[" + b'"a",' * (SIZE // 4) + b"1]",
    "marks in strings": b"[" + b'"]}[{",' * (SIZE // 7) + b"0]",
    "escapes": b'["' + b'\\"]\\\\' * (SIZE // 5) + b'"]',
    "keys": b"{" + b",".join(b'"%x":{"a":[1]}' % number for number in range(SIZE // 20)) + b"}",
    "spaces": b"[" + b" \t\r\n" * (SIZE // 4) + b"]",
}
"""Values as the author of a component can make them: with a small text, but with many parts."""


def body_of(value: bytes, **members: Any) -> bytes:
    """Return the JSON of a record with a value as its output, and another member behind it."""
    record = record_of(**{"output": "@", "callback": {"url": "https://x/]?name=a"}} | members)
    return json.dumps(record).encode().replace(b'"@"', value)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_large_output_is_skipped(value: bytes) -> None:
    """The JSON parser sees ``null`` instead of a large output, and every other member as it is."""
    body = body_of(value)
    small = without_large_outputs(bytearray(body), 0)
    assert json.loads(small) == json.loads(body.replace(value, b"null"))


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_large_error_is_skipped(value: bytes) -> None:
    """The error of an execution that failed is an output too."""
    body = body_of(b"null", status="FAILED", error="@").replace(b'"@"', value)
    assert json.loads(without_large_outputs(body, 0)) == json.loads(body.replace(value, b"null"))


def test_what_is_wanted_is_kept() -> None:
    """No other member is skipped, nor is an output that may go into an event, however its characters are escaped."""
    value = b"[" + b",".join([rb'"\u0041"'] * 20_000) + b"]"
    body = body_of(value)
    assert json.loads(without_large_outputs(body, len(value)))["output"] == ["A"] * 20_000
    assert json.loads(without_large_outputs(body, 5 * 20_000))["output"] == ["A"] * 20_000
    assert json.loads(without_large_outputs(body, 0))["output"] is None
    for members in ({"callback": {"output": [[]] * SIZE}}, {"other": [[]] * SIZE}, {"output": "[" * SIZE}):
        record = record_of(**members)
        assert json.loads(without_large_outputs(json.dumps(record).encode(), 0)) == record


@pytest.mark.parametrize("end", [b"", b"]", b'"', b'"]', b'",[', b'\\"]}'])
def test_bodies_that_end_too_early(end: bytes) -> None:
    """A body that is cut off is no JSON: the receiver, or the parser, says so."""
    body = b'{"output":["' + b"a" * SIZE + end
    with pytest.raises((WhiteRabbitProtocolError, ValueError)):
        json.loads(without_large_outputs(body, 0))


def test_random_values() -> None:
    """For any JSON, the text of the other members stays as it is."""
    generator = random.Random(20261127)  # noqa: S311

    def value(depth: int) -> Any:
        kind = generator.randrange(4 if depth else 2)
        if kind == 0:
            return "".join(generator.choices('[]{}",:\\ aé\U0001f600', k=generator.randrange(6)))
        if kind == 1:
            return generator.choice([0, -1.5e9, True, None, 2**70])
        items = [value(depth - 1) for _ in range(generator.randrange(5))]
        return items if kind == 2 else {f"{generator.choice('[{]}')}{item}": item for item in items}

    for _ in range(300):
        output = [value(4), "x" * SIZE, value(4)]
        record = record_of(output=output, before=value(3), **{"]": value(3), "error": value(3)})
        body = json.dumps(record, ensure_ascii=generator.random() < 0.5, indent=generator.choice([None, 1])).encode()
        assert json.loads(without_large_outputs(body, 0)) == record | {"output": None}


@pytest.mark.parametrize("value", [b"[]", *HOSTILE.values()], ids=["small", *HOSTILE.keys()])
def test_nothing_of_an_output_waits(start_receiver: StartReceiver, value: bytes) -> None:
    """A callback that waits for its turn holds neither its output nor its whole record, if no event needs them."""
    kept: list[Execution] = []

    def emit(_connection_id: str, execution: Execution, _output_bytes: int) -> CallbackResult:
        kept.append(execution)
        return CallbackResult.EMITTED

    receiver = start_receiver({"emit": emit})
    body = body_of(value)
    assert receiver.post(body).json() == {"result": "emitted"}
    (execution,) = kept
    assert (execution.output, execution.error, execution.raw) == (None, None, {})
    assert execution.callback is not None
    assert execution.callback.url == "https://x/]?name=a"
