"""Which requests the emulator authenticates, and what it answers to the others."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import requests

from airflow_provider_whiterabbit.emulator import ApiError, Emulator
from airflow_provider_whiterabbit.emulator.server.auth import Authenticator, canonical, new_secret
from airflow_provider_whiterabbit.emulator.world.settings import Settings
from tests.emulator.api_client import CATALOGUE, COMPONENTS, EXECUTIONS, RUNS, UNKNOWN_EXECUTION, WORKFLOWS
from tests.versions import needs_node

BODY = '{"module":"ECHO","input":{"2":1,"10":[0.1,1e-7],"b":"é"},"config":{}}'

NODE_SIGNER = """
const {createPrivateKey, sign} = require("crypto");
const [secret, message, body] = process.argv.slice(1);
const key = createPrivateKey({key: Buffer.from(secret, "base64"), format: "der", type: "pkcs8"});
const text = body === undefined ? message : message + JSON.stringify(JSON.parse(body));
process.stdout.write(sign(null, Buffer.from(text), key).toString("base64"));
"""


def code_of_refusal(response: requests.Response) -> str:
    """Return the error code of a 401 answer."""
    assert response.status_code == 401
    answer = response.json()
    assert answer["statusCode"] == 401
    assert answer["error"] == "Unauthorized"
    assert answer["message"]
    return str(answer["code"])


@pytest.mark.parametrize("path", ["/v1/%73dk/components", "/v1/sdk%2Fcomponents", "/%76%31/sdk/components"])
def test_an_encoded_path_needs_a_signature(wr, path):
    """A path with percent-encoded letters does not avoid the authentication."""
    host, _, port = wr.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.request("POST", path, BODY.encode(), {"Content-Type": "application/json"})
    assert connection.getresponse().status in (401, 404)
    connection.close()
    assert not wr.executions


def test_a_signed_request_is_accepted(client):
    """A POST with a body and a GET without one are accepted if they are signed."""
    assert client.post(COMPONENTS, BODY).status_code == 200
    assert client.get(UNKNOWN_EXECUTION).status_code == 404


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("X-Api-Key", "MISSING_API_KEY"),
        ("X-Sdk-Timestamp", "MISSING_TIMESTAMP"),
        ("X-Sdk-Signature", "MISSING_SIGNATURE"),
    ],
)
@pytest.mark.parametrize("path", [UNKNOWN_EXECUTION, UNKNOWN_EXECUTION + "/stream", "/v1/sdk/nowhere"])
def test_every_header_is_required(client, header, code, path):
    """Every path needs all three headers, and the error code names the missing one."""
    headers = client.headers("GET", path)
    del headers[header]
    assert code_of_refusal(client.get(path, headers=headers)) == code


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("X-Api-Key", "ws_other", "INVALID_API_KEY"),
        ("X-Sdk-Timestamp", "soon", "INVALID_TIMESTAMP"),
        ("X-Sdk-Timestamp", "1.5", "INVALID_TIMESTAMP"),
        ("X-Sdk-Timestamp", "0", "TIMESTAMP_OUT_OF_RANGE"),
        ("X-Sdk-Signature", "%%%", "INVALID_SIGNATURE"),
        ("X-Sdk-Signature", "AAAA", "INVALID_SIGNATURE"),
        ("X-Sdk-Signature", base64.b64encode(bytes(64)).decode(), "INVALID_SIGNATURE"),
    ],
)
def test_an_invalid_header_is_refused(client, header, value, code):
    """The error code names the invalid header."""
    headers = {**client.headers("GET", UNKNOWN_EXECUTION), header: value}
    assert code_of_refusal(client.get(UNKNOWN_EXECUTION, headers=headers)) == code


def test_the_signature_covers_method_path_timestamp_and_body(client):
    """A signature for another method, path, body or timestamp is refused."""
    for headers in (
        client.headers("PUT", COMPONENTS, BODY),
        client.headers("POST", COMPONENTS + "/", BODY),
        client.headers("POST", COMPONENTS, BODY.replace("ECHO", "ECHO2")),
        client.headers("POST", COMPONENTS),
        {**client.headers("POST", COMPONENTS, BODY), "X-Sdk-Timestamp": str(int(time.time()) + 5)},
    ):
        assert code_of_refusal(client.post(COMPONENTS, BODY, headers=headers)) == "INVALID_SIGNATURE"


def test_the_message_of_a_refusal_shows_no_secret(client):
    """The message shows the text to sign up to the body, and the length of the body instead of the body."""
    body = '{"module":"ECHO","input":{},"config":{},"callbackSecret":"very-secret","attempts":1.0}'
    message = client.post(COMPONENTS, body).json()["message"]
    assert f"POST|{COMPONENTS}|" in message
    assert f"{len(body) - 2} characters" in message
    assert "very-secret" not in message


def test_the_query_is_not_signed(client):
    """The signed path does not include the query."""
    headers = client.headers("GET", UNKNOWN_EXECUTION)
    assert client.get(UNKNOWN_EXECUTION + "?a=b", headers=headers).status_code == 404


@pytest.mark.parametrize(
    "sent", ['{"b":1,"10":2,"2":3}', '{"b":1.0}', '{"b":1e16}', '{"b":-0.0}', '{"b": 1}', '{"b":"\\u00e9"}']
)
def test_a_body_that_javascript_writes_differently_is_refused(client, sent):
    """A client that signs its own JSON text is refused if JavaScript writes another text for the same body."""
    body = f'{{"module":"ECHO","input":{sent},"config":{{}}}}'
    assert code_of_refusal(client.post(COMPONENTS, body)) == "INVALID_SIGNATURE"


@needs_node
def test_canonical_is_what_node_writes():
    """`canonical` returns the text that Node's ``JSON.stringify(JSON.parse(body))`` returns."""
    cases = [
        '{"b":1.0,"10":1e16,"2":-0.0,"é":"\\u00e9 \\ud800","c":1e-7,"d":123456789012345678901}',
        "[]",
        '"x"',
        "1E400",
    ]
    script = "process.argv.slice(1).forEach(x => console.log(JSON.stringify(JSON.parse(x))))"
    node = subprocess.run(["node", "-e", script, *cases], capture_output=True, text=True, check=True).stdout
    assert [canonical(case.encode()) for case in cases] == node.splitlines()


@pytest.mark.parametrize(
    "body", [b"{", b"{'a':1}", b'{"a":NaN}', b"\xff", b"{}\0", b"\xef\xbb\xbf{}", b"[" * 5000 + b"]" * 5000]
)
def test_canonical_refuses_malformed_json(body):
    """A body that JavaScript cannot parse raises a 400 error."""
    with pytest.raises(ApiError) as refusal:
        canonical(body)
    assert refusal.value.status == 400


@needs_node
def test_a_signature_by_node_is_accepted(wr, client):
    """Node's Ed25519 signature with the emulator's secret is valid."""
    headers = client.headers("POST", COMPONENTS)
    message = f"POST|{COMPONENTS}|{headers['X-Sdk-Timestamp']}|"
    arguments = ["node", "-e", NODE_SIGNER, wr.api_secret, message, BODY]
    headers["X-Sdk-Signature"] = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    assert client.post(COMPONENTS, BODY, headers=headers).status_code == 200


def test_a_signature_by_openssl_is_accepted(wr, client, tmp_path: Path):
    """OpenSSL's Ed25519 signature with the emulator's secret is valid."""
    headers = client.headers("GET", UNKNOWN_EXECUTION)
    (tmp_path / "key.der").write_bytes(base64.b64decode(wr.api_secret))
    (tmp_path / "message").write_text(f"GET|{UNKNOWN_EXECUTION}|{headers['X-Sdk-Timestamp']}|{{}}")
    command = "openssl pkeyutl -sign -rawin -keyform DER -inkey key.der -in message"
    signature = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=True).stdout
    headers["X-Sdk-Signature"] = base64.b64encode(signature).decode()
    assert client.get(UNKNOWN_EXECUTION, headers=headers).status_code == 404


class FixedClock:
    """A clock that always shows the same time."""

    def time(self) -> float:
        return 1_000_000.9


@pytest.mark.parametrize(
    ("timestamp", "accepted"), [(999_969, False), (999_970, True), (1_000_030, True), (1_000_031, False)]
)
def test_a_timestamp_may_differ_by_thirty_seconds(timestamp, accepted):
    """A timestamp of up to 30 seconds before or after the emulator's time is accepted."""
    authenticator = Authenticator("ws_key", new_secret(), FixedClock(), Settings())
    headers = {"x-api-key": "ws_key", "x-sdk-timestamp": str(timestamp)}
    with pytest.raises(ApiError) as refusal:
        authenticator.check("GET", UNKNOWN_EXECUTION, headers, None)
    assert (refusal.value.code == "MISSING_SIGNATURE") == accepted


def test_the_clock_offset_moves_the_accepted_timestamps(wr, client):
    """With a clock offset, only timestamps near the time in the ``Date`` header are accepted."""
    wr.clock_offset = 3600
    response = client.get(UNKNOWN_EXECUTION)
    assert code_of_refusal(response) == "TIMESTAMP_OUT_OF_RANGE"
    offset = parsedate_to_datetime(response.headers["Date"]).timestamp() - time.time()
    assert 3590 < offset < 3610
    corrected = client.headers("GET", UNKNOWN_EXECUTION, timestamp=int(time.time() + offset))
    assert client.get(UNKNOWN_EXECUTION, headers=corrected).status_code == 404


@pytest.mark.parametrize(
    ("mode", "signed", "status"),
    [
        ("object", "{}", 404),
        ("object", None, 401),
        ("omitted", None, 404),
        ("omitted", "{}", 401),
        ("either", None, 404),
        ("either", "{}", 404),
        ("either", "[]", 401),
    ],
)
def test_empty_body_signature(wr, client, mode, signed, status):
    """The setting decides what a request without a body must sign."""
    wr.settings.empty_body_signature = mode
    headers = client.headers("GET", UNKNOWN_EXECUTION, signed)
    assert client.get(UNKNOWN_EXECUTION, headers=headers).status_code == status


def test_empty_body_signature_does_not_apply_to_a_body(wr, client):
    """The body ``{}`` is always signed as ``{}``."""
    wr.settings.empty_body_signature = "omitted"
    assert client.post(f"{WORKFLOWS}/demo", "{}").status_code == 200


def test_unsigned_requests_can_be_allowed(wr, client):
    """Without `require_signature`, the API key is enough, but a wrong key or signature is still refused."""
    wr.settings.require_signature = False
    assert client.get(UNKNOWN_EXECUTION, headers={"X-Api-Key": wr.api_key}).status_code == 404
    assert code_of_refusal(client.get(UNKNOWN_EXECUTION, headers={"X-Api-Key": "other"})) == "INVALID_API_KEY"
    wrong_signature = base64.b64encode(bytes(64)).decode()
    headers = {**client.headers("GET", UNKNOWN_EXECUTION), "X-Sdk-Signature": wrong_signature}
    assert code_of_refusal(client.get(UNKNOWN_EXECUTION, headers=headers)) == "INVALID_SIGNATURE"


def test_unsigned_streams_can_be_allowed(wr, client):
    """With `unsigned_streams`, the API key is enough for a stream, and for nothing else."""
    wr.settings.unsigned_streams = True
    only_key = {"X-Api-Key": wr.api_key}
    for executions in (EXECUTIONS, RUNS):
        assert client.get(f"{executions}/none/stream", headers=only_key).status_code == 404
        assert client.get(f"{executions}/none/stream").status_code == 404
        assert code_of_refusal(client.get(f"{executions}/none", headers=only_key)) == "MISSING_TIMESTAMP"
        assert code_of_refusal(client.get(f"{executions}/none/stream", headers={"X-Api-Key": "x"})) == "INVALID_API_KEY"
    half = {name: value for name, value in client.headers("GET", "/").items() if name != "X-Sdk-Signature"}
    assert code_of_refusal(client.get(f"{RUNS}/none/stream", headers=half)) == "MISSING_SIGNATURE"


def test_the_echo_shows_what_javascript_parsed(wr, client):
    """The input of an execution is the body as JavaScript parses it."""
    wr.settings.require_signature = False
    body = (
        '{"module":"ECHO","input":{"one":1.0,"wei":123456789012345678901,"half":"\\ud800"},"config":{},"waitForMs":999}'
    )
    record = client.post(COMPONENTS, body, headers={"X-Api-Key": wr.api_key}).json()
    echoed = record["output"]["input"]
    assert json.dumps(echoed["one"]) == "1"
    assert echoed["wei"] == 123456789012345680000
    assert echoed["half"] == "\ud800"


def test_the_catalogue_needs_no_key(wr):
    """The component catalogue is public."""
    assert requests.get(wr.url + CATALOGUE, timeout=60).status_code == 200


def test_key_and_secret_are_random_or_given():
    """Each emulator has a random key and secret by default, and never shows the secret in its repr."""
    first, second = Emulator(), Emulator()
    assert first.api_key != second.api_key
    assert first.api_secret != second.api_secret
    assert first.api_key.startswith("ws_")
    third = Emulator(api_key="ws_mine", api_secret=first.api_secret)
    assert (third.api_key, third.api_secret) == ("ws_mine", first.api_secret)
    assert first.api_secret not in repr(first)
    with pytest.raises(ValueError, match="is no private key: it must be base64"):
        Emulator(api_secret="bm90IGEga2V5")
