"""Texts from outside, and messages of exceptions: what is not fit for logs, events and databases is replaced."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit import exceptions
from airflow_provider_whiterabbit.client.text import MAX_LENGTH, clean
from tests.client.properties import examples

ANY_TEXT = st.text(st.characters(), max_size=80) | st.text(
    st.sampled_from("a\0\x1b\r\n\t\x7f\x85\ud83d\udc07😀\u202e\u2066\u2028\u200d")
)

UNFIT = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of control characters, surrogates, and separators of lines and paragraphs."""

BIDI = [chr(code) for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))]
"""The characters that Unicode calls `Bidi_Control`."""

ERRORS = [
    error
    for error in vars(exceptions).values()
    if isinstance(error, type)
    and issubclass(error, exceptions.WhiteRabbitError)
    and not issubclass(error, exceptions.WhiteRabbitResponseError)
]


def is_fit(text: str) -> bool:
    """Whether a text has no lone surrogates and no controls of terminals, directions and lines but tab and line end."""
    return not [char for char in text if (unicodedata.category(char) in UNFIT and char not in "\t\n") or char in BIDI]


@examples(500)
@given(ANY_TEXT)
def test_every_text_becomes_fit(text: str) -> None:
    """Any text becomes one of the same length that is fit, and stays as it is if it is fit."""
    cleaned = clean(text)
    cleaned.encode()
    assert is_fit(cleaned)
    assert len(cleaned) == len(text)
    assert (cleaned == text) is is_fit(text)
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("", ""),
        ("größer, 😀\t中\n", "größer, 😀\t中\n"),
        ("half an emoji: \ud83d.", "half an emoji: \ufffd."),
        ("\udc07\ud83d", "\ufffd\ufffd"),
        ("\0 \x1b[31m \x7f \x9b31m \x85", "\ufffd \ufffd[31m \ufffd \ufffd31m \ufffd"),
        ("one\r\ntwo", "one \ntwo"),
        ("to \u202e0x1\u202c, \u2066a\u2069\u200f", "to \ufffd0x1\ufffd, \ufffda\ufffd\ufffd"),
        ("one\u2028two\u2029three", "one\ufffdtwo\ufffdthree"),
        ("a family: 👨\u200d👩\u200d👧", "a family: 👨\u200d👩\u200d👧"),
    ],
)
def test_examples(text: str, cleaned: str) -> None:
    """Characters that are not fit become U+FFFD, and carriage returns become spaces."""
    assert clean(text) == cleaned


@examples(200)
@given(st.text(max_size=100), st.integers(0, 100))
def test_length(text: str, limit: int) -> None:
    """No result is longer than the limit, and no text that is within the limit is cut."""
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert len(text) > limit or len(cleaned) == len(text)


def test_a_long_text_says_how_long_it_was() -> None:
    """A text that is cut ends with its own length, and the note counts as well."""
    cleaned = clean("x" * 60_000_000)
    assert cleaned.endswith("x… (60000000 characters)")
    assert len(cleaned) == MAX_LENGTH


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_messages_of_exceptions(error: type[Exception]) -> None:
    """The message of each exception is fit and bounded, whatever it was made from."""
    assert str(error("half \ud83d, nothing \0")) == "half \ufffd, nothing \ufffd"
    assert len(str(error("x" * 10_000))) == MAX_LENGTH


def test_message_of_a_response() -> None:
    """The message about a refusal is fit and bounded, and keeps its hint, whatever the server's errors are."""
    errors = (("\ud83d", "\0" * 5_000),) * 10
    message = str(exceptions.WhiteRabbitResponseError(400, "GET", "/v1/x", errors, hint="Do something"))
    assert is_fit(message)
    assert len(message) <= MAX_LENGTH
    assert message.startswith("White Rabbit answered 400 to GET /v1/x. \ufffd: \ufffd")
    assert message.endswith(" characters). Do something")
