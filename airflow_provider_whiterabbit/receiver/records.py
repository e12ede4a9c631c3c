"""Reads only what the receiver needs of an execution's record, because it shares a process with Airflow's API.

Whoever writes a component chooses its outputs. Python's JSON parser runs no other thread while it parses, and 10 MB of
``[[],[],…]`` become millions of lists, over which the garbage collector goes again and again: such an output stopped
every request of an API server for ten seconds, and took 600 MB. The receiver therefore skips a large output, a few
thousand values at a time, so that other threads run meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError
from airflow_provider_whiterabbit.receiver.bodies import SMALL_BODY

_LONGEST_ESCAPE = len(r"\u0041")
"""How many bytes of a body a byte of the output may take, in JSON that writes every character as an escape."""

_OUTPUTS = (b'"output"', b'"error"')

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_PLAIN = rb'[^"\[\]{}]++'  # numbers, constants, commas, colons and spaces
_FLAT = rb"\[[^\"\[\]{}]*+\]|\{[^\"\[\]{}]*+\}"  # arrays and objects without strings and further ones
# Strings and marks on the level of the record's members. No part of the patterns can match in two ways, and none gives
# back what it has matched, so a search takes time in proportion to the body.
_TOKEN = re.compile(rb'%b|["\[\]{}]' % _STRING, re.DOTALL)
_SKIPPED = re.compile(rb"(?:%b|%b|%b){0,4096}+([\[{]++|[\]}]++)?" % (_STRING, _PLAIN, _FLAT), re.DOTALL)


class _Member(NamedTuple):
    """An array or an object directly in a record: its name as in the JSON, and where it begins and ends."""

    name: bytes
    start: int
    end: int


def without_large_outputs(body: bytes | bytearray, output_bytes: int) -> bytes | bytearray:
    """Return the JSON of a record in which ``null`` stands for an output or an error that is large and nested.

    :param output_bytes: size of the largest output that the caller needs, in bytes, in the JSON that Python writes.
    :raises WhiteRabbitProtocolError: if the body is no JSON. JSON that is not valid within a large output may pass.
    """
    limit = max(SMALL_BODY, _LONGEST_ESCAPE * output_bytes)
    if len(body) <= limit:
        return body
    parts, position = bytearray(), 0
    for member in _nested_members(body):
        if member.name in _OUTPUTS and member.end - member.start > limit:
            parts += body[position : member.start] + b"null"
            position = member.end
    return parts + body[position:] if position else body


def without_unneeded(execution: Execution, output_bytes: int) -> Execution:
    """Return an execution without what no event holds, since hundreds of executions may wait for their turn."""
    if output_bytes:
        return replace(execution, raw={})
    return replace(execution, raw={}, output=None, error=None)


def _nested_members(body: bytes | bytearray) -> Iterator[_Member]:
    """Yield the arrays and objects directly in a record, without reading what is in them."""
    name, position, is_open = b"", 0, False
    while token := _TOKEN.search(body, position):
        text, position = token[0], token.end()
        if len(text) > 1:
            name = text
        elif text == b'"':
            raise _no_json()
        elif text in b"[{" and not is_open:
            is_open = True  # the record itself
        elif text in b"[{":
            position = _end_of_value(body, position)
            yield _Member(bytes(name), token.start(), position)


def _end_of_value(body: bytes | bytearray, position: int) -> int:
    """Return the position behind an array or an object, from a position in it."""
    depth = 1
    while depth > 0:
        skipped = _SKIPPED.match(body, position)
        if skipped is None or skipped.end() == position:  # the body ends, or a string that does not end begins
            raise _no_json()
        position = skipped.end()
        if marks := skipped[1]:
            depth += len(marks) if marks[0] in b"[{" else -len(marks)
    return position + depth  # the marks behind the end of the value belong to the record


def _no_json() -> WhiteRabbitProtocolError:
    return WhiteRabbitProtocolError("callback: the body is not JSON in UTF-8")
