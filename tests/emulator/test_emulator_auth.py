"""Who is let in, and what those who are not are told."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import time
from email.utils import parsedate_to_datetime

import pytest
import requests

from airflow_provider_whiterabbit.emulator import ApiError, Emulator
from airflow_provider_whiterabbit.emulator.server.auth import Authenticator, canonical, new_secret
from airflow_provider_whiterabbit.emulator.world.settings import Settings

SUBMIT = "/v1/sdk/components"
UNKNOWN = "/v1/sdk/components/executions/none"
BODY = '{"module":"ECHO","input":{"2":1,"10":[0.1,1e-7],"b":"é"},"config":{}}'

NODE_SIGNER = """
const {createPrivateKey, sign} = require("crypto");
const [secret, message, body] = process.argv.slice(1);
const key = createPrivateKey({key: Buffer.from(secret, "base64"), format: "der", type: "pkcs8"});
const text = body === undefined ? message : message + JSON.stringify(JSON.parse(body));
process.stdout.write(sign(null, Buffer.from(text), key).toString("base64"));
"""


def code(response) -> str:
    assert response.status_code == 401
    answer = response.json()
    assert answer["statusCode"] == 401
    assert answer["error"] == "Unauthorized"
    assert answer["message"]
    return answer["code"]


@pytest.mark.parametrize("path", ["/v1/%73dk/components", "/v1/sdk%2Fcomponents", "/%76%31/sdk/components"])
def test_an_encoded_path_is_no_way_around(client, wr, path):
    """What is routed is what is asked for a signature."""
    host, _, port = wr.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.request("POST", path, BODY.encode(), {"Content-Type": "application/json"})
    assert connection.getresponse().status in (401, 404)
    connection.close()
    assert not wr.executions


def test_a_signed_request_is_let_in(client):
    assert client.post(SUBMIT, BODY).status_code == 200
    assert client.get(UNKNOWN).status_code == 404


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("X-Api-Key", "MISSING_API_KEY"),
        ("X-Sdk-Timestamp", "MISSING_TIMESTAMP"),
        ("X-Sdk-Signature", "MISSING_SIGNATURE"),
    ],
)
@pytest.mark.parametrize("path", [UNKNOWN, UNKNOWN + "/stream", "/v1/sdk/nowhere"])
def test_every_header_is_needed_everywhere(client, header, reason, path):
    headers = client.headers("GET", path)
    del headers[header]
    assert code(client.get(path, headers=headers)) == reason


@pytest.mark.parametrize(
    ("header", "value", "reason"),
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
def test_wrong_headers_are_named(client, header, value, reason):
    headers = {**client.headers("GET", UNKNOWN), header: value}
    assert code(client.get(UNKNOWN, headers=headers)) == reason


def test_the_signature_covers_method_path_timestamp_and_body(client):
    for headers in (
        client.headers("PUT", SUBMIT, BODY),
        client.headers("POST", SUBMIT + "/", BODY),
        client.headers("POST", SUBMIT, BODY.replace("ECHO", "ECHO2")),
        client.headers("POST", SUBMIT),
        {**client.headers("POST", SUBMIT, BODY), "X-Sdk-Timestamp": str(int(time.time()) + 5)},
    ):
        assert code(client.post(SUBMIT, BODY, headers=headers)) == "INVALID_SIGNATURE"


def test_a_refusal_helps_and_tells_no_secret(client):
    body = '{"module":"ECHO","input":{},"config":{},"callbackSecret":"very-secret","attempts":1.0}'
    message = client.post(SUBMIT, body).json()["message"]
    assert f"POST|{SUBMIT}|" in message
    assert f"{len(body) - 2} characters" in message
    assert "very-secret" not in message


def test_the_query_is_not_signed(client):
    assert client.get(UNKNOWN + "?a=b", headers=client.headers("GET", UNKNOWN)).status_code == 404


@pytest.mark.parametrize(
    "sent", ['{"b":1,"10":2,"2":3}', '{"b":1.0}', '{"b":1e16}', '{"b":-0.0}', '{"b": 1}', '{"b":"\\u00e9"}']
)
def test_bytes_that_javascript_would_not_write_are_refused(client, sent):
    body = f'{{"module":"ECHO","input":{sent},"config":{{}}}}'
    assert code(client.post(SUBMIT, body)) == "INVALID_SIGNATURE"


def test_javascript_decides_what_is_signed():
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
def test_what_is_not_json_to_javascript_is_malformed(body):
    with pytest.raises(ApiError) as caught:
        canonical(body)
    assert caught.value.status == 400


def test_a_signature_by_node_is_accepted(wr, client):
    headers = client.headers("POST", SUBMIT)
    message = f"POST|{SUBMIT}|{headers['X-Sdk-Timestamp']}|"
    arguments = ["node", "-e", NODE_SIGNER, wr.api_secret, message, BODY]
    headers["X-Sdk-Signature"] = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    assert client.post(SUBMIT, BODY, headers=headers).status_code == 200


def test_a_signature_by_openssl_is_accepted(wr, client, tmp_path):
    headers = client.headers("GET", UNKNOWN)
    (tmp_path / "key.der").write_bytes(base64.b64decode(wr.api_secret))
    (tmp_path / "message").write_text(f"GET|{UNKNOWN}|{headers['X-Sdk-Timestamp']}|{{}}")
    command = "openssl pkeyutl -sign -rawin -keyform DER -inkey key.der -in message"
    signature = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=True).stdout
    headers["X-Sdk-Signature"] = base64.b64encode(signature).decode()
    assert client.get(UNKNOWN, headers=headers).status_code == 404


class FixedClock:
    def time(self) -> float:
        return 1_000_000.9


@pytest.mark.parametrize(
    ("timestamp", "accepted"), [(999_969, False), (999_970, True), (1_000_030, True), (1_000_031, False)]
)
def test_thirty_seconds_are_allowed_both_ways(timestamp, accepted):
    authenticator = Authenticator("ws_key", new_secret(), FixedClock(), Settings())
    headers = {"x-api-key": "ws_key", "x-sdk-timestamp": str(timestamp)}
    with pytest.raises(ApiError) as caught:
        authenticator.check("GET", UNKNOWN, headers, None)
    assert (caught.value.code == "MISSING_SIGNATURE") == accepted


def test_the_clock_can_be_set_apart_and_the_date_header_tells(wr, client):
    wr.clock_offset = 3600
    response = client.get(UNKNOWN)
    assert code(response) == "TIMESTAMP_OUT_OF_RANGE"
    shown = parsedate_to_datetime(response.headers["Date"]).timestamp() - time.time()
    assert 3590 < shown < 3610
    corrected = client.headers("GET", UNKNOWN, timestamp=int(time.time() + shown))
    assert client.get(UNKNOWN, headers=corrected).status_code == 404


def test_every_answer_has_exactly_one_date(client):
    answer = client.get(UNKNOWN)
    assert "," not in answer.headers["Date"].partition(",")[2]


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
def test_what_a_request_without_a_body_signs_is_an_option(wr, client, mode, signed, status):
    wr.settings.empty_body_signature = mode
    assert client.get(UNKNOWN, headers=client.headers("GET", UNKNOWN, signed)).status_code == status


def test_a_body_is_signed_whatever_an_empty_one_signs(wr, client):
    wr.settings.empty_body_signature = "omitted"
    assert client.post("/v1/sdk/workflows/demo", "{}").status_code == 200


def test_unsigned_requests_can_be_allowed(wr, client):
    wr.settings.require_signature = False
    key = {"X-Api-Key": wr.api_key}
    assert client.get(UNKNOWN, headers=key).status_code == 404
    assert code(client.get(UNKNOWN, headers={"X-Api-Key": "other"})) == "INVALID_API_KEY"
    wrong = {**client.headers("GET", UNKNOWN), "X-Sdk-Signature": base64.b64encode(bytes(64)).decode()}
    assert code(client.get(UNKNOWN, headers=wrong)) == "INVALID_SIGNATURE"


def test_the_echo_is_what_javascript_understood(wr, client):
    wr.settings.require_signature = False
    body = (
        '{"module":"ECHO","input":{"one":1.0,"wei":123456789012345678901,"half":"\\ud800"},"config":{},"waitForMs":999}'
    )
    record = client.post(SUBMIT, body, headers={"X-Api-Key": wr.api_key}).json()
    echoed = record["output"]["input"]
    assert json.dumps(echoed["one"]) == "1"
    assert echoed["wei"] == 123456789012345680000
    assert echoed["half"] == "\ud800"


def test_the_catalogue_needs_no_key(wr):
    assert requests.get(f"{wr.url}/v1/system/components", timeout=10).status_code == 200


def test_key_and_secret_are_random_or_given():
    first, second = Emulator(), Emulator()
    assert first.api_key != second.api_key
    assert first.api_secret != second.api_secret
    assert first.api_key.startswith("ws_")
    given = Emulator(api_key="ws_mine", api_secret=first.api_secret)
    assert (given.api_key, given.api_secret) == ("ws_mine", first.api_secret)
    assert first.api_secret not in repr(first)
    with pytest.raises(ValueError, match="deserialize"):
        Emulator(api_secret="bm90IGEga2V5")
