"""Signing: OpenSSL and Node verify the signatures, a wrong clock is corrected, and no part of a secret is shown."""

from __future__ import annotations

import base64
import json
import logging
import shutil
import subprocess
import traceback
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from airflow_provider_whiterabbit.client.wire.messages import Request
from airflow_provider_whiterabbit.client.wire.signing import Signer, load_private_key, signed_message
from airflow_provider_whiterabbit.exceptions import WhiteRabbitAuthenticationError, WhiteRabbitConfigError

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "signing.json").read_text("utf-8"))
SECRET = VECTORS["secret"]
PEM = VECTORS["pem"]
GET = Request("GET", "/v1/sdk/components/executions/1", idempotent=True)

_NODE_VERIFY = """
const [message, signature, key] = process.argv.slice(1).map((name) => require('fs').readFileSync(name));
process.exit(require('crypto').verify(null, message, key, signature) ? 0 : 3);
"""


def request_of(vector: dict[str, Any]) -> Request:
    """Return the request of a test vector."""
    body = vector["body"]
    return Request(vector["method"], vector["path"], None if body is None else body.encode())


def verified_by_openssl(message: Path, signature: Path, key: Path) -> bool:
    """Return whether OpenSSL finds the signature in one file valid for the message in another."""
    command: list[str | Path] = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        key,
        "-rawin",
        "-in",
        message,
        "-sigfile",
        signature,
    ]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def verified_by_node(message: Path, signature: Path, key: Path) -> bool:
    """Return whether Node finds the signature in one file valid for the message in another."""
    command: list[str | Path] = ["node", "-e", _NODE_VERIFY, message, signature, key]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


VERIFIERS = {"openssl": verified_by_openssl, "node": verified_by_node}


@pytest.mark.parametrize("tool", VERIFIERS)
@pytest.mark.parametrize("vector", VECTORS["requests"], ids=lambda vector: vector["name"])
def test_other_tools_verify_signatures(tool: str, vector: dict[str, Any], tmp_path: Path) -> None:
    """OpenSSL and Node find the signature valid for the documented message, and for no other message."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed on this machine")
    signer = Signer("ws_key", SECRET, vector["empty_body"], clock=lambda: float(vector["timestamp"]))
    names = ("message", "other_message", "signature", "key.pem")
    message, other_message, signature, key = (tmp_path / name for name in names)
    message.write_bytes(vector["message"].encode())
    other_message.write_bytes(vector["message"].encode() + b" ")
    signature.write_bytes(base64.b64decode(signer.headers(request_of(vector))["X-Sdk-Signature"], validate=True))
    key.write_text(VECTORS["public_key"])

    assert VERIFIERS[tool](message, signature, key)
    assert not VERIFIERS[tool](other_message, signature, key)


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=lambda vector: vector["name"])
def test_known_messages_and_signatures(vector: dict[str, Any]) -> None:
    """Each request of the test vectors gives its message, and the signature that another tool made of it."""
    request = request_of(vector)
    assert signed_message(request, vector["timestamp"], vector["empty_body"]) == vector["message"].encode()

    signer = Signer("ws_key", SECRET, vector["empty_body"], clock=lambda: float(vector["timestamp"]))
    assert signer.headers(request) == {
        "X-Api-Key": "ws_key",
        "X-Sdk-Timestamp": vector["timestamp"],
        "X-Sdk-Signature": vector["signature"],
    }


@pytest.mark.parametrize(
    ("body", "empty_body", "expected"),
    [
        (None, "object", b"GET|/p|7|{}"),
        (None, "omitted", b"GET|/p|7"),
        (b"{}", "object", b"GET|/p|7|{}"),
        (b"{}", "omitted", b"GET|/p|7|{}"),
        (b'{"a":"b|c"}', "omitted", b'GET|/p|7|{"a":"b|c"}'),
    ],
)
def test_message_of_an_empty_body(body: bytes | None, empty_body: Any, expected: bytes) -> None:
    """`empty_body` changes the message of a request without a body, and of no other request."""
    assert signed_message(Request("GET", "/p", body), "7", empty_body) == expected


def test_an_empty_body_is_an_empty_object_by_default() -> None:
    """By default, a request without a body is signed with ``{}`` as its body."""
    assert signed_message(Request("GET", "/p"), "7") == b"GET|/p|7|{}"
    assert Signer("k", SECRET, clock=lambda: 7.9).headers(GET) == Signer("k", SECRET, "object", lambda: 7.0).headers(
        GET
    )


@pytest.mark.parametrize(
    "secret",
    [
        SECRET,
        f"  {SECRET}\n",
        f"{SECRET[:20]}\n{SECRET[20:40]}\r\n{SECRET[40:]}",
        f"{SECRET[:20]} {SECRET[20:]}",
        PEM,
        f"\n{PEM}\n",
        PEM.replace("\n", "\r\n"),
        PEM.replace("\n", "\\n"),
        PEM.strip().replace("\n", "\\n"),
    ],
    ids=["DER", "around", "wrapped", "blank inside", "PEM", "PEM around", "PEM CRLF", "PEM escaped", "PEM one line"],
)
def test_forms_of_the_secret(secret: str) -> None:
    """The secret is accepted as DER in base64 and as PEM, also with white space and escaped line ends."""
    public = load_private_key(secret).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert public.decode() == VECTORS["public_key"]


def pkcs8(key: Any, encoding: Encoding = Encoding.DER, encryption: KeySerializationEncryption | None = None) -> str:
    """Return a private key in PKCS#8 form, as base64 of DER or as PEM."""
    data = key.private_bytes(encoding, PrivateFormat.PKCS8, encryption or NoEncryption())
    return data.decode() if encoding is Encoding.PEM else base64.b64encode(data).decode()


ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
LOCKED = BestAvailableEncryption(b"pass phrase")

REFUSED = {
    "a sentence": ("correct horse battery staple!", "is not base64"),
    "cut base64": (SECRET[:-3], "is not base64"),
    "URL-safe base64": ("--__" + SECRET, "is not base64"),
    "hex with a prefix": ("0x" + base64.b64decode(SECRET).hex() + "!", "is not base64"),
    "not ASCII": ("größer" + SECRET, "does not hold|is not base64"),
    "no DER": (base64.b64encode(b"not a key at all, not even nearly").decode(), "does not hold"),
    "the seed alone": (base64.b64encode(bytes(range(32))).decode(), "does not hold"),
    "cut DER": (base64.b64encode(base64.b64decode(SECRET)[:-2]).decode(), "does not hold"),
    "more than DER": (base64.b64encode(base64.b64decode(SECRET) + b"more").decode(), "does not hold"),
    "PEM in base64": (base64.b64encode(PEM.encode()).decode(), "does not hold"),
    "broken PEM": (PEM[:60] + PEM[64:], "does not hold"),
    "PEM without end": (PEM[:80], "does not hold"),
    "public key": (VECTORS["public_key"], "does not hold"),
    "RSA": (pkcs8(RSA), "not Ed25519"),
    "RSA PEM": (pkcs8(RSA, Encoding.PEM), "not Ed25519"),
    "EC": (pkcs8(EC), "not Ed25519"),
    "EC PEM": (pkcs8(EC, Encoding.PEM), "not Ed25519"),
    "X25519": (pkcs8(x25519.X25519PrivateKey.generate()), "not Ed25519"),
    "encrypted PEM": (pkcs8(ED25519, Encoding.PEM, LOCKED), "unencrypted"),
    "encrypted DER": (pkcs8(ED25519, Encoding.DER, LOCKED), "unencrypted"),
    "empty": ("", "does not hold"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_secrets(name: str) -> None:
    """A secret that is not an Ed25519 private key is refused, and the message shows no part of it."""
    secret, reason = REFUSED[name]
    with pytest.raises(WhiteRabbitConfigError, match=reason) as refused:
        Signer("ws_key", secret)
    message = "".join(traceback.format_exception_only(refused.value)) + repr(refused.value)
    assert "PKCS#8" in message
    assert refused.value.__context__ is None or refused.value.__suppress_context__
    assert not [secret[at : at + 8] for at in range(len(secret) - 7) if secret[at : at + 8] in message]


def test_a_signer_does_not_show_its_secrets() -> None:
    """The `repr` of a signer contains neither the API key nor the secret."""
    assert not {"ws_key", SECRET} & set(repr(Signer("ws_key", SECRET)).split())


def test_each_request_is_signed_with_the_current_time() -> None:
    """Each call makes a new signature with the time of the clock at that moment, in whole seconds."""
    times = iter((100.0, 131.999))
    signer = Signer("ws_key", SECRET, clock=lambda: next(times))
    first, second = signer.headers(GET), signer.headers(GET)
    assert (first["X-Sdk-Timestamp"], second["X-Sdk-Timestamp"]) == ("100", "131")
    assert first["X-Sdk-Signature"] != second["X-Sdk-Signature"]


def refusal(offset: float | None) -> WhiteRabbitAuthenticationError:
    """Return a 401 of a server whose clock is ahead by so many seconds; None for an answer without a `Date`."""
    return WhiteRabbitAuthenticationError(401, "GET", "/p", clock_offset=offset)


@pytest.mark.parametrize(
    ("offset", "adopted"),
    [
        (None, False),
        (0.0, False),
        (24.0, False),
        (24.999, False),
        (25.0, True),
        (300.0, True),
        (300.001, False),
        (301.0, False),
        (-24.0, False),
        (-25.0, True),
        (-300.0, True),
        (-301.0, False),
        (3600.0, False),
    ],
)
def test_when_the_clock_is_corrected(offset: float | None, adopted: bool) -> None:
    """A signer adopts the server's clock if it is 25 to 300 seconds away, before or after, and ignores it otherwise."""
    signer = Signer("ws_key", SECRET, clock=lambda: 1000.0)
    assert signer.correct_clock(refusal(offset)) is adopted
    assert signer.offset == (offset if adopted else 0.0)
    assert signer.headers(GET)["X-Sdk-Timestamp"] == str(int(1000.0 + signer.offset))


@pytest.mark.parametrize(("second_offset", "adopted"), [(100.0, False), (124.0, False), (76.0, False), (125.0, True)])
def test_second_correction(second_offset: float, adopted: bool) -> None:
    """After a correction, a 401 with nearly the same offset has another cause and is not worth a second attempt."""
    signer = Signer("ws_key", SECRET)
    assert signer.correct_clock(refusal(100.0))
    assert signer.correct_clock(refusal(second_offset)) is adopted
    assert signer.offset == (second_offset if adopted else 100.0)


@pytest.mark.parametrize("offset", [0.0, 10.0, -3.0])
def test_correction_ends_when_the_clock_is_right(offset: float) -> None:
    """A signer drops its correction when a 401 shows that this machine's clock is right again."""
    signer = Signer("ws_key", SECRET)
    assert signer.correct_clock(refusal(100.0))
    assert signer.correct_clock(refusal(offset))
    assert signer.offset == 0


def test_a_key_with_attributes() -> None:
    """A PKCS#8 key that is followed by attributes (RFC 5958, section 2), longer than 127 bytes in all, is accepted."""
    text = b"\x0c\x64" + b"x" * 100
    attribute = b"\x06\x0a\x2a\x86\x48\x86\xf7\x0d\x01\x09\x09\x14" + b"\x31" + bytes([len(text)]) + text
    attributes = b"\xa0" + bytes([len(attribute) + 2]) + b"\x30" + bytes([len(attribute)]) + attribute
    inside = base64.b64decode(SECRET)[2:] + attributes
    secret = base64.b64encode(b"\x30\x81" + bytes([len(inside)]) + inside).decode()
    message = b"GET"
    assert load_private_key(secret).sign(message) == load_private_key(SECRET).sign(message)


@pytest.mark.parametrize(("offset", "words"), [(90.0, "90 seconds behind"), (-90.0, "90 seconds ahead of")])
def test_a_correction_logs_a_warning(offset: float, words: str, caplog: pytest.LogCaptureFixture) -> None:
    """The warning about a wrong clock says how far the clock is off, in which direction, and what to do (NTP)."""
    caplog.set_level(logging.WARNING)
    Signer("ws_key", SECRET).correct_clock(refusal(offset))
    [record] = caplog.records
    assert words in record.getMessage()
    assert "NTP" in record.getMessage()


@pytest.mark.parametrize("before", [0.0, 100.0])
def test_a_correction_that_does_not_help_is_taken_back(before: float) -> None:
    """Taking a correction back restores the clock as it was before, whether corrected or not."""
    signer = Signer("ws_key", SECRET)
    signer.correct_clock(refusal(before))
    assert signer.correct_clock(refusal(200.0))
    signer.undo_correction()
    assert signer.offset == before
