"""Verifying callbacks, with signatures of independent implementations: OpenSSL and Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import webhooks
from tests.client.properties import examples

SECRET = "whsec_ß🔑"
NOW = datetime(2026, 4, 20, 10, 0, 0, tzinfo=UTC).timestamp()
TIMESTAMP = "2026-04-20T10:00:00.000Z"
RECORD = {
    "id": "5b0f5f0e-8f3c-4c54-9f7e-0f5b1c7b9f11",
    "module": "PAY",
    "status": "COMPLETED",
    "completed": True,
    "output": {"hash": "0x1", "note": "é\u2028"},
    "error": None,
    "totalUsage": 1.5,
    "updatedAt": "2026-04-20T09:59:59Z",
}
BODY = json.dumps(RECORD, ensure_ascii=False, indent=1).encode()

Hmac = Callable[[bytes], str]


@cache
def openssl(message: bytes) -> str:
    """Return the HMAC-SHA256 of a message in hexadecimal, computed by OpenSSL."""
    key = f"hexkey:{SECRET.encode().hex()}"
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", key, "-r"]
    return subprocess.run(command, input=message, capture_output=True, check=True).stdout.decode().split()[0]


@cache
def node(message: bytes) -> str:
    """Return the HMAC-SHA256 of a message in hexadecimal, computed by Node."""
    code = (
        "const h = require('crypto').createHmac('sha256', process.argv[1]);"
        "process.stdin.on('data', (d) => h.update(d)).on('end', () => console.log(h.digest('hex')));"
    )
    command = ["node", "-e", code, SECRET]
    return subprocess.run(command, input=message, capture_output=True, check=True).stdout.decode().strip()


@pytest.fixture(
    params=[
        pytest.param(tool, marks=pytest.mark.skipif(not shutil.which(tool.__name__), reason=f"no {tool.__name__}"))
        for tool in (openssl, node)
    ],
    ids=lambda tool: tool.__name__,
)
def signed_by(request: pytest.FixtureRequest) -> Hmac:
    """Return an HMAC function; tests run with each one that is installed."""
    return request.param


def timed(mac: Hmac, body: bytes = BODY, timestamp: str = TIMESTAMP) -> dict[str, str]:
    """Return headers with a signature of the newer form, which includes a time."""
    return {
        "X-Signature-Version": "v1",
        "X-Signature-Timestamp": timestamp,
        "X-Signature": "sha256=" + mac(timestamp.encode() + b"." + body),
    }


def raw(mac: Hmac, body: bytes = BODY) -> dict[str, str]:
    """Return headers with a signature of an older form, over the raw body."""
    return {"X-WR-Signature": "hmac-sha256-v1=" + mac(body)}


def bare(mac: Hmac, body: bytes = BODY) -> dict[str, str]:
    """Return headers with a signature of the other older form, in the newer form's header."""
    return {"X-Signature": "sha256=" + mac(body)}


RAW = [pytest.param(raw, id="raw"), pytest.param(bare, id="bare")]
"""The forms of signature without a time."""


def verify(headers: dict[str, str], body: bytes = BODY, secret: Any = SECRET, **options: Any) -> Any:
    """Verify a callback at the time of `TIMESTAMP`, or at another time `now`."""
    return webhooks.verify(body, headers, secret, **{"now": NOW, **options})


def test_all_forms_are_known(signed_by: Hmac) -> None:
    """`verify` accepts all forms of signature, with header names in any case, and returns the record."""
    for headers in (timed(signed_by), raw(signed_by), bare(signed_by)):
        for names in (headers, {name.lower(): value for name, value in headers.items()}):
            assert verify(names, raw_signatures=True).to_dict() == RECORD


def test_forms_are_not_mixed_up(signed_by: Hmac) -> None:
    """A signature of one form is not valid in another, and the form with a time has priority over the others."""
    as_timed = timed(signed_by) | bare(signed_by)
    as_raw = {"X-WR-Signature": timed(signed_by)["X-Signature"].replace("sha256=", "hmac-sha256-v1=")}
    as_bare = {"X-Signature": timed(signed_by)["X-Signature"]}
    for headers in (as_timed, as_raw, as_bare, as_timed | raw(signed_by), as_bare | raw(signed_by)):
        with pytest.raises(exc.WhiteRabbitSignatureError, match="does not match this body"):
            verify(headers, raw_signatures=True)


@pytest.mark.parametrize("form", RAW)
def test_forms_without_a_time_are_off(signed_by: Hmac, form: Callable[[Hmac], dict[str, str]]) -> None:
    """By default, `verify` accepts only the form with a time."""
    with pytest.raises(exc.WhiteRabbitSignatureError, match="holds no time"):
        verify(form(signed_by))
    assert verify(timed(signed_by)).id == RECORD["id"]


@pytest.mark.parametrize("form", RAW)
def test_a_signature_with_a_time_decides(signed_by: Hmac, form: Callable[[Hmac], dict[str, str]]) -> None:
    """If a request has signatures of both kinds, it is stale when the signature with a time is stale."""
    both = form(signed_by) | timed(signed_by)
    for raw_signatures in (True, False):
        assert verify(both, raw_signatures=raw_signatures).id == RECORD["id"]
        with pytest.raises(exc.WhiteRabbitSignatureError, match="300 seconds"):
            verify(both, raw_signatures=raw_signatures, now=NOW + 301)


@pytest.mark.parametrize("form", RAW)
@pytest.mark.parametrize("signed_time", ["", "x", "2026-04-20"])
def test_a_time_that_is_malformed_decides_too(
    signed_by: Hmac, form: Callable[[Hmac], dict[str, str]], signed_time: str
) -> None:
    """A malformed time next to ``x-signature`` does not make the signature one without a time."""
    both = timed(signed_by) | form(signed_by) | {"X-Signature-Timestamp": signed_time}
    with pytest.raises(exc.WhiteRabbitSignatureError, match="ISO 8601"):
        verify(both, raw_signatures=True)


def test_a_time_in_the_body_is_no_record(signed_by: Hmac) -> None:
    """The text that the newer form signs is no record, if it is sent as the body of a form without a time."""
    body = TIMESTAMP.encode() + b"." + BODY
    headers = {"X-Signature": timed(signed_by)["X-Signature"]}
    with pytest.raises(exc.WhiteRabbitProtocolError, match="not JSON"):
        verify(headers, body, raw_signatures=True)


@pytest.mark.parametrize("form", RAW)
@pytest.mark.parametrize(
    ("updated_at", "is_accepted"),
    [
        ("2026-04-20T10:00:00Z", True),
        ("2026-04-20T10:05:00Z", True),
        ("2026-04-20T12:00:00+02:00", True),
        ("2026-04-20T09:00:00Z", True),
        ("2026-04-20T08:59:59Z", False),
        ("2026-04-20T10:05:01Z", False),
        ("2016-04-20T10:00:00Z", False),
        ("9999-12-31T23:59:59-14:00", False),
        ("0001-01-01T00:00:00+14:00", False),
        ("2026-04-20", False),
        ("now", False),
        (1776679200, False),
        (None, False),
    ],
)
def test_age_of_a_record(
    signed_by: Hmac, form: Callable[[Hmac, bytes], dict[str, str]], updated_at: Any, is_accepted: bool
) -> None:
    """If the signature holds no time, the record's ``updatedAt`` must be at most `raw_max_age` seconds old."""
    body = record(updatedAt=updated_at)
    options = {"raw_signatures": True, "raw_max_age": 3600}
    assert verify(timed(signed_by, body), body, **options).id == RECORD["id"]
    if is_accepted:
        assert verify(form(signed_by, body), body, **options).id == RECORD["id"]
    else:
        with pytest.raises(exc.WhiteRabbitSignatureError, match="updatedAt"):
            verify(form(signed_by, body), body, **options)


def test_several_secrets(signed_by: Hmac) -> None:
    """The signature must match one of several secrets; no secret, or an empty one among them, is an error."""
    for secrets in ([SECRET], ["other", SECRET], (SECRET, "other", SECRET)):
        assert verify(timed(signed_by), secret=secrets).id == RECORD["id"]
    with pytest.raises(exc.WhiteRabbitSignatureError, match="does not match"):
        verify(timed(signed_by), secret=["other", "another"])
    with pytest.raises(exc.WhiteRabbitSignatureError, match="does not match"):
        verify(timed(signed_by), secret="half \ud83d of a secret")
    for secrets in ([], [""], [SECRET, ""]):
        with pytest.raises(exc.WhiteRabbitInputError, match="empty"):
            verify(timed(signed_by), secret=secrets)


class Repeated(dict[str, str]):
    """Headers of which a server gives some twice, as aiohttp's and Starlette's do."""

    def items(self) -> Any:
        """Return each header twice."""
        return [*super().items(), *super().items()]


def test_headers_that_come_twice(signed_by: Hmac) -> None:
    """A request with a signature header twice is refused, also if only the case of the names differs."""
    for headers in (
        Repeated(timed(signed_by)),
        timed(signed_by) | {"x-signature": "sha256=x"},
        timed(signed_by) | {"x-Signature-Timestamp": TIMESTAMP},
    ):
        with pytest.raises(exc.WhiteRabbitSignatureError, match="twice"):
            verify(headers)
    assert verify(timed(signed_by) | {"X-Other": "1", "x-other": "2"}).id == RECORD["id"]


@pytest.mark.parametrize("seconds", [-301, -300.1, 300.1, 301, 86400, -86400, 10**12])
def test_stale_or_early(signed_by: Hmac, seconds: float) -> None:
    """A valid signature whose time is outside the tolerance is refused."""
    with pytest.raises(exc.WhiteRabbitSignatureError, match="300 seconds"):
        verify(timed(signed_by), now=NOW + seconds)


@pytest.mark.parametrize("seconds", [-300, -1, 0, 300])
def test_in_time(signed_by: Hmac, seconds: float) -> None:
    """A signature whose time is exactly at the limit of the tolerance is accepted."""
    assert verify(timed(signed_by), now=NOW + seconds).id == RECORD["id"]


def test_this_machines_clock_is_the_default(signed_by: Hmac) -> None:
    """Without `now`, `verify` compares the signature's time with this machine's clock."""
    headers = timed(signed_by, timestamp=datetime.now(UTC).isoformat())
    assert webhooks.verify(BODY, headers, SECRET).id == RECORD["id"]
    with pytest.raises(exc.WhiteRabbitSignatureError, match="clock"):
        webhooks.verify(BODY, timed(signed_by), SECRET)


TIMES = [
    "",
    "now",
    "1776679200",
    "2026-04-20T10:00:00",  # no time zone
    "2026-04-20T10:00:00.000Z ",
    " 2026-04-20T10:00:00.000Z",
    "\uff12\uff10\uff12\uff16-04-20T10:00:00Z",
    "2026-04-20",
    "9" * 10_000,
]


@pytest.mark.parametrize("timestamp", TIMES, ids=lambda text: ascii(text)[:30])
def test_malformed_times(signed_by: Hmac, timestamp: str) -> None:
    """A time that is not ISO 8601 with a time zone is refused, even with a valid signature."""
    with pytest.raises(exc.WhiteRabbitSignatureError, match="ISO 8601"):
        verify(timed(signed_by, timestamp=timestamp))


@pytest.mark.parametrize("timestamp", ["2026-04-20T10:00:00Z", "2026-04-20T12:00:00.123456+02:00"])
def test_other_ways_to_write_the_time(signed_by: Hmac, timestamp: str) -> None:
    """The time may have any time zone and any precision; the signed text is the header as it was sent."""
    assert verify(timed(signed_by, timestamp=timestamp)).id == RECORD["id"]


def hex_of(signed_by: Hmac) -> str:
    """Return the HMAC of a valid signature of the newer form."""
    return timed(signed_by)["X-Signature"].removeprefix("sha256=")


@pytest.mark.parametrize(
    "change",
    [
        lambda mac: "",
        lambda mac: "sha256=",
        lambda mac: mac,
        lambda mac: f"sha256={mac[:-1]}",
        lambda mac: f"sha256={mac}0",
        lambda mac: f"sha256= {mac}",
        lambda mac: f"sha256={mac.upper()}",
        lambda mac: f"SHA256={mac}",
        lambda mac: f"sha1={mac}",
        lambda mac: f"sha256={'0' * 64}",
        lambda mac: f"sha256={mac[:-1]}é",
        lambda mac: f"sha256={mac}, sha256={mac}",
    ],
)
def test_malformed_signatures(signed_by: Hmac, change: Callable[[str], str]) -> None:
    """A signature that is not exactly as documented is refused."""
    with pytest.raises(exc.WhiteRabbitSignatureError):
        verify(timed(signed_by) | {"X-Signature": change(hex_of(signed_by))})


def test_unknown_version(signed_by: Hmac) -> None:
    """Another version of the signature than v1 is refused; without a version, v1 is assumed."""
    headers = timed(signed_by)
    with pytest.raises(exc.WhiteRabbitSignatureError, match="version"):
        verify(headers | {"X-Signature-Version": "v2"})
    del headers["X-Signature-Version"]
    assert verify(headers).id == RECORD["id"]


def test_no_signature() -> None:
    """Without a signature, the error suggests that the execution was submitted without a secret."""
    with pytest.raises(exc.WhiteRabbitSignatureError, match="submitted with a secret"):
        verify({"content-type": "application/json", "X-Signature-Timestamp": TIMESTAMP})


def test_wrong_secret(signed_by: Hmac) -> None:
    """A signature with another secret is refused, and the error shows neither the secret nor the signature."""
    for secret in ("", "x"):
        with pytest.raises((exc.WhiteRabbitSignatureError, exc.WhiteRabbitInputError)) as caught:
            verify(timed(signed_by), secret=secret)
        assert SECRET not in str(caught.value)
        assert hex_of(signed_by) not in str(caught.value)


HEADERS = timed(openssl) if shutil.which("openssl") else {}


@pytest.mark.skipif(not HEADERS, reason="no openssl")
@given(place=st.integers(0, len(BODY) - 1), bit=st.integers(0, 7))
@examples(300)
def test_one_bit_is_enough(place: int, bit: int) -> None:
    """A body in which any single bit has changed is refused."""
    body = bytearray(BODY)
    body[place] ^= 1 << bit
    with pytest.raises(exc.WhiteRabbitSignatureError):
        verify(HEADERS, bytes(body))


def record(**changes: Any) -> bytes:
    """Return a body with a changed record."""
    return json.dumps({**RECORD, **changes}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"COMPLETED"',
        b"{",
        b"\xff\xfe{}",
        BODY + b"x",
        json.dumps(RECORD).encode("utf-16"),
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        record(totalUsage=float("nan")),
        record(id=None),
        record(id=7),
        record(id=""),
        record(id="../x"),
        record(id="a" * 201),
        record(status="DONE"),
        record(status=["COMPLETED"]),
        record(status="EXECUTING"),
        record(status="CREATED"),
        json.dumps({"id": "x", "status": "COMPLETED"}).encode(),
        json.dumps({"id": "x", "status": "FAILED", "output": 1}).encode(),
    ],
    ids=lambda body: ascii(body)[:50],
)
def test_signed_nonsense(body: bytes) -> None:
    """A body that is not the record of an ended execution raises another error than a wrong signature."""
    with pytest.raises(exc.WhiteRabbitProtocolError):
        webhooks.finished_record(body)


def test_failed_executions_are_records_too(signed_by: Hmac) -> None:
    """The record of a FAILED execution is accepted too."""
    body = record(status="FAILED", output=None, error={"code": "E1"})
    assert verify(timed(signed_by, body), body).error == {"code": "E1"}


@given(st.binary(max_size=300), st.dictionaries(st.sampled_from(sorted(webhooks.SIGNATURE_HEADERS)), st.text()))
@examples(500)
def test_anything_at_all(body: bytes, headers: dict[str, str]) -> None:
    """Random bodies and signature headers are always refused with `WhiteRabbitSignatureError`."""
    for raw_signatures in (False, True):
        with pytest.raises(exc.WhiteRabbitSignatureError):
            verify(headers, body, raw_signatures=raw_signatures)
