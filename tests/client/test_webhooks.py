"""Verifying callbacks, with signatures made by others: OpenSSL and Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
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
}
BODY = json.dumps(RECORD, ensure_ascii=False, indent=1).encode()

Hmac = Callable[[bytes], str]


def openssl(message: bytes) -> str:
    key = f"hexkey:{SECRET.encode().hex()}"
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", key, "-r"]
    return subprocess.run(command, input=message, capture_output=True, check=True).stdout.decode().split()[0]


def node(message: bytes) -> str:
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
    return request.param


def timed(mac: Hmac, body: bytes = BODY, timestamp: str = TIMESTAMP) -> dict[str, str]:
    return {
        "X-Signature-Version": "v1",
        "X-Signature-Timestamp": timestamp,
        "X-Signature": "sha256=" + mac(timestamp.encode() + b"." + body),
    }


def raw(mac: Hmac, body: bytes = BODY) -> dict[str, str]:
    return {"X-WR-Signature": "hmac-sha256-v1=" + mac(body)}


def verify(headers: dict[str, str], body: bytes = BODY, secret: str = SECRET, **options: Any) -> Any:
    return webhooks.verify(body, headers, secret, **{"now": NOW, **options})


def test_both_forms_are_known(signed_by: Hmac) -> None:
    """What OpenSSL and Node sign is taken, and the record is returned; names of headers in any case."""
    for headers in (timed(signed_by), raw(signed_by)):
        for names in (headers, {name.lower(): value for name, value in headers.items()}):
            assert verify(names).to_dict() == RECORD


def test_forms_are_not_mixed_up(signed_by: Hmac) -> None:
    """A signature of one form is none of the other, and the newer form decides where both are there."""
    as_timed = timed(signed_by) | {"X-Signature": raw(signed_by)["X-WR-Signature"].replace("hmac-sha256-v1", "sha256")}
    as_raw = {"X-WR-Signature": timed(signed_by)["X-Signature"].replace("sha256=", "hmac-sha256-v1=")}
    for headers in (as_timed, as_raw, as_timed | raw(signed_by)):
        with pytest.raises(exc.WhiteRabbitSignatureError, match="not that of this body"):
            verify(headers)


def test_older_form_can_be_declined(signed_by: Hmac) -> None:
    """It holds no time; whoever minds takes only the newer one."""
    with pytest.raises(exc.WhiteRabbitSignatureError, match="no x-signature header"):
        verify(raw(signed_by), raw_signatures=False)
    assert verify(timed(signed_by), raw_signatures=False).id == RECORD["id"]


@pytest.mark.parametrize("seconds", [-301, -300.1, 300.1, 301, 86400, -86400, 10**12])
def test_stale_or_early(signed_by: Hmac, seconds: float) -> None:
    """A right signature of another time is worth nothing."""
    with pytest.raises(exc.WhiteRabbitSignatureError, match="300 seconds"):
        verify(timed(signed_by), now=NOW + seconds)


@pytest.mark.parametrize("seconds", [-300, -1, 0, 300])
def test_in_time(signed_by: Hmac, seconds: float) -> None:
    """Both ends of the tolerance belong to it."""
    assert verify(timed(signed_by), now=NOW + seconds).id == RECORD["id"]


def test_this_machines_clock_is_the_default(signed_by: Hmac) -> None:
    """Without a time, now is now."""
    headers = timed(signed_by, timestamp=datetime.now(UTC).isoformat())
    assert webhooks.verify(BODY, headers, SECRET).id == RECORD["id"]
    with pytest.raises(exc.WhiteRabbitSignatureError, match="clock"):
        webhooks.verify(BODY, timed(signed_by), SECRET)


TIMES = [
    "",
    "now",
    "1776679200",
    "2026-04-20T10:00:00",  # of which zone?
    "2026-04-20T10:00:00.000Z ",
    " 2026-04-20T10:00:00.000Z",
    "\uff12\uff10\uff12\uff16-04-20T10:00:00Z",
    "2026-04-20",
    "9" * 10_000,
]


@pytest.mark.parametrize("timestamp", TIMES, ids=lambda text: ascii(text)[:30])
def test_times_that_are_none(signed_by: Hmac, timestamp: str) -> None:
    """Even where it is signed."""
    with pytest.raises(exc.WhiteRabbitSignatureError, match="ISO 8601"):
        verify(timed(signed_by, timestamp=timestamp))


@pytest.mark.parametrize("timestamp", ["2026-04-20T10:00:00Z", "2026-04-20T12:00:00.123456+02:00"])
def test_other_ways_to_write_the_time(signed_by: Hmac, timestamp: str) -> None:
    """Any zone and any precision; what is signed is the text as it was sent."""
    assert verify(timed(signed_by, timestamp=timestamp)).id == RECORD["id"]


def hex_of(signed_by: Hmac) -> str:
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
def test_signatures_that_are_none(signed_by: Hmac, change: Callable[[str], str]) -> None:
    """Nothing but the documented form is taken."""
    with pytest.raises(exc.WhiteRabbitSignatureError):
        verify(timed(signed_by) | {"X-Signature": change(hex_of(signed_by))})


def test_unknown_version(signed_by: Hmac) -> None:
    """What a later version signs is not known; the version may be left out, as it is not signed."""
    headers = timed(signed_by)
    with pytest.raises(exc.WhiteRabbitSignatureError, match="version"):
        verify(headers | {"X-Signature-Version": "v2"})
    del headers["X-Signature-Version"]
    assert verify(headers).id == RECORD["id"]


def test_no_signature() -> None:
    """The message says what the reason may be."""
    with pytest.raises(exc.WhiteRabbitSignatureError, match="submitted with a secret"):
        verify({"content-type": "application/json", "X-Signature-Timestamp": TIMESTAMP})


def test_wrong_secret(signed_by: Hmac) -> None:
    """Another secret's signature is refused, and no error shows a secret or a signature."""
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
    """A body that is changed in a single bit is refused, wherever it is."""
    body = bytearray(BODY)
    body[place] ^= 1 << bit
    with pytest.raises(exc.WhiteRabbitSignatureError):
        verify(HEADERS, bytes(body))


def record(**changes: Any) -> bytes:
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
    """What is signed and is not the record of an execution that has ended is told apart from what is not signed."""
    with pytest.raises(exc.WhiteRabbitProtocolError):
        webhooks.finished_record(body)


def test_failed_executions_are_records_too(signed_by: Hmac) -> None:
    """They have ended as well."""
    body = record(status="FAILED", output=None, error={"code": "E1"})
    assert verify(timed(signed_by, body), body).error == {"code": "E1"}


@given(st.binary(max_size=300), st.dictionaries(st.sampled_from(sorted(webhooks.SIGNATURE_HEADERS)), st.text()))
@examples(500)
def test_anything_at_all(body: bytes, headers: dict[str, str]) -> None:
    """Whatever arrives, there is an answer, and it is no."""
    with pytest.raises(exc.WhiteRabbitSignatureError):
        verify(headers, body)
