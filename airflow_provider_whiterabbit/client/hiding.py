"""Hides the secrets of inputs in what White Rabbit answers, so that no error, log or XCom shows a secret.

A component that can't reach an address says so, with the address in its error; another one may repeat its inputs in its
output. The values are hidden in the answer's JSON before anything parses, logs or stores it.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus, unquote_to_bytes, urlsplit

from airflow_provider_whiterabbit.client import known_secrets

HIDDEN = "***"
"""What stands in place of a secret, as in Airflow's logs."""

MIN_LENGTH = 5
"""How many characters a value has at least that is hidden, as for Airflow's masker: a shorter one can be any word."""

_MIN_PART = 16
"""How many characters a part of an address, such as a key in its path, has at least to be hidden on its own."""

_MIN_SHARED = 8
"""How many characters in a row an error may not share with a secret: services show addresses without their scheme, or
cut."""

_MAX_SHARED = 200_000
"""How many characters of an error are compared in that way at most, which takes Python some milliseconds each 10,000.
The others are left out."""

_ERRORS = frozenset({"error", "errors", "message", "lastError", "cancelReason"})
"""Members of White Rabbit's answers that hold errors, outside of outputs."""

_KEPT = frozenset({"id", "status", "module", "runId", "jobId", "createdAt", "updatedAt", "timestamp"})
"""Members outside of outputs and errors that the client needs as they are, should a secret be such a word."""

_PLAIN = re.compile(r"[\w.:+~-]{1,100}")
"""A word, an id or a time. What else such a member holds can only be shown, as an unknown status is."""

_NONE: frozenset[str] = frozenset()  # one for all clients, of which each wait has one
_STARS = re.compile(r"\*{4,}")
_WORDS = re.compile(r"[A-Za-z_ ]{1,60}")


class Hiding:
    """The secrets that are hidden. With secrets it can't be pickled, and its `repr` shows none.

    In errors, those are hidden too that Airflow knows (`known_secrets`).
    """

    __slots__ = ("_pattern", "_shared", "_values")

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = _NONE
        self._pattern: re.Pattern[str] | None = None
        self._shared = _NONE
        self.add(values)

    def __reduce__(self) -> Any:
        if self._values:
            raise TypeError("an object that holds secrets can't be pickled")
        return type(self), ()

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, values: Iterable[str]) -> None:
        """Hide these values too."""
        new = {value for value in values if len(value) >= MIN_LENGTH} - self._values
        if new:
            self._values |= new
            forms = {form for value in self._values for form in _forms(value)}
            self._pattern = re.compile("|".join(_pattern(form) for form in sorted(forms, key=len, reverse=True)))
            self._shared = frozenset(
                piece for value in self._values for text in _written(_without_scheme(value)) for piece in _pieces(text)
            )

    def text(self, text: str) -> str:
        """Return a text in which three stars take the place of each secret."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)

    def error(self, text: str) -> str:
        """Return the text of an error, in which three stars also take the place of parts of secrets."""
        text = self.text(known_secrets.hide(text))
        if not self._shared:
            return text
        if len(text) > _MAX_SHARED:
            text = f"{text[:_MAX_SHARED]}{HIDDEN}"
        lower = _lower(text)
        parts: list[str] = []
        hidden_until = 0
        for start in range(len(text) - _MIN_SHARED + 1):
            if lower[start : start + _MIN_SHARED] in self._shared:
                if not parts or start > hidden_until:
                    parts += [text[hidden_until:start], HIDDEN]
                hidden_until = start + _MIN_SHARED
        return _STARS.sub(HIDDEN, "".join((*parts, text[hidden_until:])))

    def cause(self, error: BaseException) -> str:
        """Return the text of a library's error, which may quote what the server sent."""
        return self.error(str(error))

    def whole(self, body: bytes) -> bytes:
        """Return the body of an answer, which need not be text, without whole secrets."""
        if self._pattern is None:
            return body
        return self.text(body.decode(errors="surrogateescape")).encode(errors="surrogateescape")

    def body(self, body: bytes) -> bytes:
        """Return the body of a refusal without secrets and parts of secrets."""
        if not self and known_secrets.hide is str:
            return body
        try:
            return json.dumps(self.data(json.loads(body), is_error=True)).encode()
        except (ValueError, RecursionError):
            return self.error(body.decode(errors="replace")).encode(errors="replace")

    def data(self, data: Any, *, is_error: bool = False) -> Any:
        """Hide the secrets in JSON data, which is changed; return the data.

        :param is_error: whether all of it is an error.
        """
        if not self and not is_error:
            return data
        box = [data]
        todo: list[tuple[Any, bool, bool]] = [(box, is_error, False)]  # no recursion: answers can be nested deeply
        while todo:
            holder, error, output = todo.pop()
            for key, item in list(holder.items()) if isinstance(holder, dict) else enumerate(holder):
                inside = error or output
                as_error = error or (not output and key in _ERRORS)
                as_output = output or (not error and key == "output")
                if isinstance(item, str):
                    if inside or key not in _KEPT:
                        holder[key] = self.error(item) if as_error else self.text(item)
                    elif not _PLAIN.fullmatch(item):
                        holder[key] = self.error(item)
                elif isinstance(item, dict | list):
                    todo.append((item, as_error, as_output))
                elif self._is_secret_number(item, as_error=as_error, as_output=as_output):
                    holder[key] = HIDDEN
            if isinstance(holder, dict) and (error or output):
                _hide_keys(holder, self.error if error else self.text)
        return box[0]

    def _is_secret_number(self, number: Any, *, as_error: bool, as_output: bool) -> bool:
        text = str(number)
        if (as_error or as_output) and text in self._values:
            return True
        return as_error and type(number) in (int, float) and known_secrets.hide(text) != text


class Withholding(Hiding):
    """Hides what quotes answers: for a process that knows that inputs hold secrets, but must not read them."""

    __slots__ = ()

    def body(self, body: bytes) -> bytes:
        """Return the body of a refusal in which only the codes, which are words, are shown."""
        try:
            return json.dumps(_withheld(json.loads(body))).encode()
        except (ValueError, RecursionError):
            return b""

    def cause(self, error: BaseException) -> str:
        """Return the text of an error of the operating system or of TLS, which quotes no answer; no other text."""
        return str(error) if isinstance(error, OSError) else ""


def _hide_keys(holder: dict[str, Any], hide: Callable[[str], str]) -> None:
    if any(hide(key) != key for key in holder):
        members = [(hide(key), item) for key, item in holder.items()]
        holder.clear()
        holder.update(members)


def _withheld(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _withheld(item, name) for name, item in value.items() if _WORDS.fullmatch(name)}
    if isinstance(value, list):
        return [_withheld(item, key) for item in value]
    if not isinstance(value, str) or (key in ("code", "error") and _WORDS.fullmatch(value)):
        return value
    return "(not shown, because the inputs hold secrets)"


def _pattern(form: str) -> str:
    """Return a form of a secret as a regular expression; the case of a URL's escapes does not matter."""
    return re.sub("%[0-9A-F]{2}", lambda match: f"(?i:{match[0]})", re.escape(form))


def _forms(value: str) -> Iterator[str]:
    """Yield the texts in which a secret, or a long part of an address, can be written."""
    for part in {value, *_parts(value)}:
        yield from _written(part)
        raw = part.encode(errors="replace")
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # Bytes before the secret, modulo 3, and the characters of base64 that hold some of these bytes.
            for before, mixed in ((0, 0), (1, 2), (2, 3)):
                # The last characters depend on what follows the secret.
                whole = (before + len(raw)) // 3 * 4
                form = encode(b"\0" * before + raw)[mixed:whole].decode()
                if len(form) >= _MIN_SHARED:
                    yield form


def _written(text: str) -> Iterator[str]:
    """Yield a text as it is, and as JSON, URLs and HTML write it."""
    yield text
    raw = text.encode(errors="replace")
    for is_ascii in (True, False):
        escaped = json.dumps(text, ensure_ascii=is_ascii)[1:-1]
        yield escaped
        yield escaped.replace("/", "\\/")
        yield json.dumps(escaped, ensure_ascii=is_ascii)[1:-1]  # JSON in a text in JSON
    # Which characters are escaped differs between a part of a URL, an address, a form and JavaScript.
    yield from (quote(raw, safe=safe) for safe in ("", "/", "/:@?=&", "!'()*"))
    yield quote_plus(raw)
    if (unquoted := unquote_to_bytes(text).decode(errors="replace")) and len(unquoted) >= MIN_LENGTH:
        yield unquoted
    yield html.escape(text)


def _parts(value: str) -> Iterator[str]:
    """Yield the long parts of an address that a secret is: users, passwords, and pieces of its path and query."""
    try:
        url = urlsplit(value)
    except ValueError:
        return
    if url.scheme and url.netloc:
        pieces = re.split(r"[/?#&=@:]", _without_scheme(value))
        yield from (piece for piece in pieces if len(piece) >= _MIN_PART and piece.lower() != url.hostname)


def _without_scheme(value: str) -> str:
    return value.partition("://")[2] or value


def _lower(text: str) -> str:
    """Return a text in lower case, with as many characters as before: only İ has two in lower case."""
    return text.replace("İ", "I").lower()


def _pieces(text: str) -> Iterator[str]:
    lower = _lower(text)
    return (lower[i : i + _MIN_SHARED] for i in range(len(lower) - _MIN_SHARED + 1))
