"""Status codes: of strangers, which say nothing about an execution, and of the API, which decide."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dev.proofs.hostile.case import Case, Play, Verdict
from dev.proofs.hostile.cases.plays import CHUNKED, DRIBBLE, HTML, OK, broken, endless, heavy, lenient, repeated, say

_PAGES: dict[str, str] = {
    "300 Multiple Choices": "RFC 9110, 15.4.1",
    "301 Moved Permanently": "RFC 9110, 15.4.2",
    "302 Found": "RFC 9110, 15.4.3",
    "303 See Other": "RFC 9110, 15.4.4",
    "304 Not Modified": "RFC 9110, 15.4.5",
    "305 Use Proxy": "RFC 9110, 15.4.6",
    "307 Temporary Redirect": "RFC 9110, 15.4.8",
    "308 Permanent Redirect": "RFC 9110, 15.4.9",
    "400 Bad Request": "RFC 9110, 15.5.1",
    "401 Unauthorized": "RFC 9110, 15.5.2",
    "402 Payment Required": "RFC 9110, 15.5.3",
    "403 Forbidden": "RFC 9110, 15.5.4",
    "404 Not Found": "RFC 9110, 15.5.5",
    "405 Method Not Allowed": "RFC 9110, 15.5.6",
    "406 Not Acceptable": "RFC 9110, 15.5.7",
    "407 Proxy Authentication Required": "RFC 9110, 15.5.8",
    "408 Request Timeout": "RFC 9110, 15.5.9",
    "409 Conflict": "RFC 9110, 15.5.10",
    "410 Gone": "RFC 9110, 15.5.11",
    "413 Content Too Large": "RFC 9110, 15.5.14",
    "418 I'm a Teapot": "RFC 9110, 15.5.19",
    "421 Misdirected Request": "RFC 9110, 15.5.20",
    "422 Unprocessable Content": "RFC 9110, 15.5.21",
    "425 Too Early": "RFC 8470, 5.2",
    "426 Upgrade Required": "RFC 9110, 15.5.22",
    "429 Too Many Requests": "RFC 6585, 4",
    "431 Request Header Fields Too Large": "RFC 6585, 5",
    "451 Unavailable For Legal Reasons": "RFC 7725, 3",
    "499 Client Closed Request": "RFC 9110, 15",
    "500 Internal Server Error": "RFC 9110, 15.6.1",
    "502 Bad Gateway": "RFC 9110, 15.6.3",
    "503 Service Unavailable": "RFC 9110, 15.6.4",
    "504 Gateway Timeout": "RFC 9110, 15.6.5",
    "511 Network Authentication Required": "RFC 6585, 6",
    "520 Web Server Returned an Unknown Error": "RFC 9110, 15",
}
"""The pages that a proxy, an ingress or a firewall sends."""

_FIELDS = {
    "401": 'WWW-Authenticate: Negotiate\r\nWWW-Authenticate: Basic realm="\xe9\r\n',
    "407": 'Proxy-Authenticate: Basic realm="corp"\r\n',
    "426": "Upgrade: HTTP/2.0\r\nConnection: Upgrade\r\n",
    "304": 'ETag: "x"\r\n',
}

_UNCERTAIN = ("3", "5", "408")
"""How the status codes begin after which it is not known whether a submission has arrived."""


def _page(status: str) -> Play:
    fields = _FIELDS.get(status[:3], "Location: {elsewhere}\r\n" if status[0] == "3" else "")
    text = "" if status[:3] == "304" else HTML
    head = f"HTTP/1.1 {status}\r\n{fields}Content-Type: text/html\r\nContent-Length: {len(text)}\r\n\r\n"
    return say(head + text)


def _pages() -> Iterator[Case]:
    for status, clause in _PAGES.items():
        submission: Verdict = "uncertain" if status.startswith(_UNCERTAIN) else "refused"
        more: dict[str, Any] = {"submissions": 1}
        if status.startswith("429"):
            submission, more = "submitted", {"submissions": 2}
        yield broken(f"a page with {status}", clause, _page(status), submission=submission, times=1, **more)


def error(data: Any, status: str, *fields: str) -> Play:
    """Return the play of an error in JSON.

    :param data: the body; bytes for a body that `json.dumps` can't write.
    """
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    head = "".join(f"{field}\r\n" for field in ("Content-Type: application/json", *fields))
    return say(f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(text)}\r\n\r\n" + text.decode("latin-1"))


def refusal(name: str, clause: str, play: Play, **more: Any) -> Case:
    """Return the case of a refusal by the API, which ends a wait; a refused stream leads to polls."""
    arguments: dict[str, Any] = {"record": "error", "stream": "ended", "submission": "refused", "times": None}
    return Case(name, clause, play, **(arguments | {"timeout": 10.0} | more))


def _api(code: str, message: str = "no") -> dict[str, Any]:
    return {"errors": [{"code": code, "message": message}]}


def _retry_after(name: str, value: str, clause: str = "RFC 9110, 10.2.3", **more: Any) -> Case:
    play = error(_api("BUSY"), "503 Busy", f"Retry-After: {value}")
    return broken(f"a Retry-After {name}", clause, play, timeout=10.0, **more)


_SECOND_FORM = {"message": "no such execution", "error": "Not Found", "statusCode": 404}
_DATE = "Date: Fri, 31 Dec 9999 23:59:59 GMT"

CASES = (
    *_pages(),
    # Success that is none.
    broken(
        "201 Created with a page", "RFC 9110, 15.3.2", say("HTTP/1.1 201 Created\r\nContent-Length: 6\r\n\r\n<html>")
    ),
    lenient(
        "203 by a proxy",
        "RFC 9110, 15.3.4",
        say(OK.replace("200 OK", "203 OK") + "Content-Type: {type}\r\nContent-Length: {length}\r\n\r\n{body}"),
    ),
    broken("204 No Content", "RFC 9110, 15.3.5", say("HTTP/1.1 204 No Content\r\n\r\n")),
    broken("205 Reset Content", "RFC 9110, 15.3.6", say("HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n")),
    broken(
        "206 Partial Content, unasked",
        "RFC 9110, 15.3.7",
        say(
            'HTTP/1.1 206 Part\r\nContent-Type: {type}\r\nContent-Range: bytes 0-4/99\r\nContent-Length: 5\r\n\r\n{"id"'
        ),
    ),
    broken(
        "a page with 200",
        "RFC 9110, 15.3.1",
        say(OK + f"Content-Type: text/html\r\nContent-Length: 51\r\n\r\n{HTML:<51}"),
    ),
    # Errors in JSON that are not the API's.
    broken(
        "404 with a gateway's message",
        "RFC 9110, 15.5.5",
        error({"message": "no Route matched"}, "404 No"),
        submission="refused",
    ),
    broken("403 with an empty object", "RFC 9110, 15.5.4", error({}, "403 No"), submission="refused"),
    broken("401 with a list", "RFC 9110, 15.5.2", error([1], "401 No"), submission="refused"),
    broken(
        "404 with a problem detail",
        "RFC 9457, 3",
        error({"title": "no", "status": 404}, "404 No"),
        submission="refused",
    ),
    broken("404 with errors of strings", "RFC 9110, 15.5.5", error({"errors": ["no"]}, "404 No"), submission="refused"),
    broken("404 with errors of null", "RFC 9110, 15.5.5", error({"errors": None}, "404 No"), submission="refused"),
    # The API's own refusals.
    refusal("400 by the API", "RFC 9110, 15.5.1", error(_api("BAD"), "400 No")),
    refusal("401 by the API", "RFC 9110, 15.5.2", error(_api("KEY"), "401 No")),
    refusal("403 by the API", "RFC 9110, 15.5.4", error(_api("FORBIDDEN"), "403 No")),
    refusal("404 by the API", "RFC 9110, 15.5.5", error(_api("UNKNOWN"), "404 No")),
    refusal("404 by the API, second form", "RFC 9110, 15.5.5", error(_SECOND_FORM, "404 No")),
    refusal("422 by the API", "RFC 9110, 15.5.21", error(_api("INVALID"), "422 No")),
    refusal("401 by the API in the year 9999", "RFC 9110, 6.6.1", error(_api("KEY"), "401 No", _DATE)),
    refusal(
        "401 by the API on an impossible date", "RFC 9110, 5.6.7", error(_api("KEY"), "401 No", "Date: Fry, 99 Abc")
    ),
    broken(
        "404 by the API with 1,000 errors",
        "RFC 8259, 5",
        error({"errors": 1000 * _api("A", "b" * 99)["errors"]}, "404 No"),
        record="ended or error",
        submission="refused",
    ),
    broken("408 by the API", "RFC 9110, 15.5.9", error(_api("SLOW"), "408 No")),
    broken("425 by the API", "RFC 8470, 5.2", error(_api("EARLY"), "425 No"), submission="refused"),
    broken("429 by the API", "RFC 6585, 4", error(_api("BUSY"), "429 No"), submission="submitted", submissions=2),
    broken("500 by the API", "RFC 9110, 15.6.1", error(_api("BUG"), "500 No")),
    # Retry-After.
    _retry_after("of 0", "0"),
    _retry_after("of 1 s", "1"),
    _retry_after("of a year", "31536000"),
    _retry_after("of 400 digits", "9" * 400),
    _retry_after("that is negative", "-5"),
    _retry_after("with a fraction", "0.5"),
    _retry_after("in the past", "Thu, 01 Jan 1970 00:00:00 GMT"),
    _retry_after("in the year 9999", "Fri, 31 Dec 9999 23:59:59 GMT"),
    _retry_after("that is a word", "later"),
    _retry_after("in digits that are not ASCII", "\xb2", "RFC 9110, 5.6.1"),
    # Bodies of errors.
    broken("an error without a body", "RFC 9110, 15.6", say("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")),
    *heavy(
        broken(
            "an error of 60 MB",
            "RFC 9110, 15.6",
            repeated("HTTP/1.1 500 No\r\nContent-Length: 60000000\r\n\r\n", b"x" * 60_000, 1000),
        ),
    ),
    broken("an error without end", "RFC 9112, 6.3", endless("HTTP/1.1 500 No\r\n\r\n", "x" * 65536)),
    broken("an error that dribbles", "RFC 9112, 6.3", endless("HTTP/1.1 500 No\r\n\r\n", "x", DRIBBLE)),
    broken(
        "an error whose chunks break", "RFC 9112, 7.1", say(CHUNKED.replace("200 OK", "500 No") + "zz\r\n", "close")
    ),
    broken("an error that is cut", "RFC 9112, 8", say("HTTP/1.1 502 No\r\nContent-Length: 99\r\n\r\nx", "close")),
)
