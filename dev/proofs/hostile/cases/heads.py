"""Misbehaviours in the head of an answer: the status line, interim answers, and header fields."""

from __future__ import annotations

from dev.proofs.hostile.cases.plays import (
    DRIBBLE,
    FIELDS,
    OK,
    REST,
    UNTIL_CLOSE,
    broken,
    endless,
    lenient,
    say,
    valid,
)

_HINTS = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"

CASES = (
    # The status line.
    valid("no reason phrase", "RFC 9112, 4", say("HTTP/1.1 200 \r\n" + REST)),
    lenient("no space after the status code", "RFC 9112, 4", say("HTTP/1.1 200\r\n" + REST)),
    valid("a reason phrase in obs-text", "RFC 9112, 4", say("HTTP/1.1 200 d\xe9j\xe0 vu\r\n" + REST)),
    broken("a status code of two digits", "RFC 9112, 4", say("HTTP/1.1 20 OK\r\n" + REST)),
    broken("a status code with letters", "RFC 9112, 4", say("HTTP/1.1 2OO OK\r\n" + REST)),
    broken("status 000", "RFC 9110, 15", say("HTTP/1.1 000 OK\r\n" + REST)),
    broken("status 600", "RFC 9110, 15", say("HTTP/1.1 600 OK\r\n" + REST)),
    broken("status 999", "RFC 9110, 15", say("HTTP/1.1 999 OK\r\n" + REST)),
    lenient("HTTP/9.9", "RFC 9110, 2.5", say("HTTP/9.9 200 OK\r\n" + REST, "close")),
    broken("the name of another protocol", "RFC 9112, 2.3", say("ICY/1.1 200 OK\r\n" + REST, "close")),
    broken("a body without a head, as in HTTP/0.9", "RFC 9112, 2.1", say("{body}", "close")),
    broken("the greeting of an SSH server", "RFC 9112, 2.1", say("SSH-2.0-OpenSSH_9.6\r\n", "hold")),
    broken("an HTTP/2 settings frame", "RFC 9113, 3.4", say("\0\0\0\x04\0\0\0\0\0", "hold")),
    broken("a TLS alert on plain HTTP", "RFC 8446, 6", say("\x15\x03\x01\0\x02\x02\x46", "close")),
    broken("a status line without end", "RFC 9112, 3", endless("HTTP/1.1 200 ", "O" * 65536)),
    lenient("an empty line before the status line", "RFC 9112, 2.2", say("\r\n" + OK + REST)),
    lenient("lines that end with LF alone", "RFC 9112, 2.2", say((OK + FIELDS).replace("\r", "") + "\n{body}")),
    # Interim answers.
    valid("100 Continue, unasked", "RFC 9110, 15.2.1", say("HTTP/1.1 100 Continue\r\n\r\n" + OK + REST)),
    valid("102 Processing", "RFC 2518, 10.1", say("HTTP/1.1 102 Processing\r\n\r\n" + OK + REST)),
    valid("103 Early Hints", "RFC 8297, 2", say(_HINTS + OK + REST)),
    valid("three 103 Early Hints", "RFC 9110, 15.2", say(3 * _HINTS + OK + REST)),
    valid("an unknown interim answer, 199", "RFC 9110, 15.2", say("HTTP/1.1 199 Soon\r\n\r\n" + OK + REST)),
    lenient(
        "an interim answer with a length",
        "RFC 9112, 6.3",
        say("HTTP/1.1 103 Hints\r\nContent-Length: 5\r\n\r\n" + OK + REST),
    ),
    broken(
        "101 Switching Protocols, unasked", "RFC 9110, 15.2.2", say("HTTP/1.1 101 Up\r\nUpgrade: x\r\n\r\n", "hold")
    ),
    broken("an interim answer, then nothing", "RFC 9110, 15.2", say(_HINTS, "hold")),
    broken("an interim answer, then the end", "RFC 9110, 15.2", say(_HINTS, "close")),
    broken("100 Continue without end", "RFC 9110, 15.2", endless("", "HTTP/1.1 100 Continue\r\n\r\n" * 1000)),
    broken("100 Continue every 0.1 s", "RFC 9110, 15.2.1", endless("", "HTTP/1.1 100 Continue\r\n\r\n", DRIBBLE)),
    broken("103 Early Hints every 0.1 s", "RFC 8297, 2", endless("", _HINTS, DRIBBLE)),
    # Header fields.
    broken("a head without end", "RFC 9110, 5.4", endless(OK, "X-Filler: yes\r\n" * 4000)),
    broken("a header field without end", "RFC 9110, 5.4", endless(OK + "X-Filler: ", "y" * 65536)),
    lenient("5,000 header fields", "RFC 9110, 5.4", say(OK + "X-Filler: yes\r\n" * 5000 + REST)),
    lenient("a header field of 1 MB", "RFC 9110, 5.4", say(OK + "X-Filler: " + "y" * 1_000_000 + "\r\n" + REST)),
    broken("a head that dribbles byte by byte", "RFC 9112, 2.1", endless(OK + "X-Filler: ", "y", DRIBBLE)),
    broken("a head that dribbles field by field", "RFC 9112, 5", endless(OK, "X-Filler: yes\r\n", DRIBBLE)),
    broken("silence after the status line", "RFC 9112, 2.1", say(OK, "hold")),
    broken("the end within the head", "RFC 9112, 8", say(OK + "Content-Ty", "close")),
    valid("a head in pieces of three bytes", "RFC 9112, 2.1", say(OK + REST, split=3)),
    lenient("a line without a colon", "RFC 9112, 5", say(OK + "Nonsense\r\n" + REST)),
    lenient("a space before the colon", "RFC 9112, 5.1", say(OK + "X-A : b\r\n" + REST)),
    lenient("a field without a name", "RFC 9112, 5", say(OK + ": b\r\n" + REST)),
    valid("no space after the colon", "RFC 9112, 5", say(OK + FIELDS.replace(": ", ":") + "\r\n{body}")),
    valid(
        "field names in upper case",
        "RFC 9110, 5.1",
        say(OK + FIELDS.upper().replace("{TYPE}", "{type}").replace("{LENGTH}", "{length}") + "\r\n{body}"),
    ),
    valid("an empty field value", "RFC 9110, 5.5", say(OK + "X-Empty:\r\n" + REST)),
    lenient("a folded header line", "RFC 9112, 5.2", say(OK + "X-A: b\r\n  c\r\n" + REST)),
    lenient("a folded line before any field", "RFC 9112, 2.2", say(OK + "  X-A: b\r\n" + REST)),
    lenient("NUL in a field value", "RFC 9110, 5.5", say(OK + "X-A: b\0c\r\n" + REST)),
    lenient("CR in a field value", "RFC 9110, 5.5", say(OK + "X-A: b\rc\r\n" + REST)),
    lenient("bytes that are not ASCII in a field name", "RFC 9110, 5.1", say(OK + "X-\xc3\xa9: b\r\n" + REST)),
    valid("bytes that are not UTF-8 in a field value", "RFC 9110, 5.5", say(OK + "X-A: \xff\xfe\r\n" + REST)),
    broken(
        "a content type that is not UTF-8",
        "RFC 9110, 8.3",
        say("HTTP/1.1 404 No\r\nContent-Type: text/\xff\x80html\r\nContent-Length: 2\r\n\r\nno"),
        submission="refused",
    ),
    broken(
        "a content type of JSON that is not UTF-8",
        "RFC 9110, 8.3",
        say(OK + "Content-Type: text/\xff\x80html\r\nContent-Length: 2\r\n\r\nno"),
    ),
    valid("90 cookies", "RFC 6265, 5.3", say(OK + "Set-Cookie: a=b; Path=/\r\n" * 90 + REST, "close")),
    valid("a location with 200", "RFC 9110, 10.2.2", say(OK + "Location: {elsewhere}\r\n" + REST)),
    valid("a refresh", "WHATWG HTML, 4.2.5.3", say(OK + "Refresh: 0; url={elsewhere}\r\n" + REST)),
    valid("an alternative service", "RFC 7838, 3", say(OK + 'Alt-Svc: h3=":9"; persist=1\r\n' + REST)),
    valid("no content length", "RFC 9112, 6.3", say(UNTIL_CLOSE + "{body}", "close")),
    lenient("no content type", "RFC 9110, 8.3", say(OK + "Content-Length: {length}\r\n\r\n{body}")),
)
