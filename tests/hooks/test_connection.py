"""How the fields of an Airflow connection become the settings of a client."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_2_PLUS, AirflowNotFoundException
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.connection import secrets_of
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from tests.hooks.making import MakeHook, der
from tests.versions import needs_missing_connections


@pytest.mark.parametrize("form", ["DER", "PEM", "escaped PEM"])
def test_forms_of_the_secret(make_hook: MakeHook, whiterabbit_emulator: Emulator, form: str) -> None:
    """The secret can have the form that White Rabbit shows, or be PEM, also with escaped line ends."""
    secret = whiterabbit_emulator.api_secret
    if form != "DER":
        key = load_der_private_key(base64.b64decode(secret), None)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    if form == "escaped PEM":
        secret = secret.replace("\n", "\\n")
    make_hook({"password": secret}).execute_component("X")


WRONG_CONNECTIONS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"host": "//api.whiterabbit.app"}, {}, "no scheme"),
    ({"host": "api.whiterabbit.app/v1"}, {}, "path"),
    ({"host": "user:hunter2@api.whiterabbit.app"}, {}, "user name or password"),
    ({"host": "api.whiterabbit.app:port"}, {}, "not a URL"),
    ({"host": "ftp://api.whiterabbit.app"}, {}, "must be https"),
    ({"host": "http://api.whiterabbit.app"}, {}, "allow_http"),
    ({"host": "http://10.0.0.1:8080"}, {}, "allow_http"),
    ({"host": "https://api.whiterabbit.app/v1"}, {}, "path"),
    ({"host": "https://user:hunter2@api.whiterabbit.app"}, {}, "user name or password"),
    ({"host": "https://api.whiterabbit.app:443", "port": 444}, {}, "port"),
    ({"host": "https://["}, {}, "not a URL"),
    ({}, {"api_key": ""}, "api_key"),
    ({}, {"api_key": "ws_1\r\nX-Evil: 1"}, "api_key"),
    ({}, {"api_key": 7}, "api_key"),
    ({"password": None}, {}, "password"),
    ({"password": "not base64!"}, {}, "not base64"),
    ({"password": base64.b64encode(b"not a key").decode()}, {}, "PKCS#8"),
    ({"password": der(ec.generate_private_key(ec.SECP256R1()))}, {}, "not Ed25519"),
    ({"password": der(rsa.generate_private_key(65537, 2048))}, {}, "not Ed25519"),
    ({"password": der(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"x"))}, {}, "unencrypted"),
    ({"password": "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----"}, {}, "PKCS#8"),
    ({}, {"request_timeout": "soon"}, "request_timeout"),
    ({}, {"request_timeout": 0}, "request_timeout"),
    ({}, {"request_timeout": "nan"}, "request_timeout"),
    ({}, {"request_timeout": 10**400}, "request_timeout"),
    ({}, {"request_timeout": True}, "'request_timeout' must be a number of seconds"),
    ({}, {"requests_at_once": "many"}, "'requests_at_once' must be a whole number from 1 to 1000, got 'many'"),
    ({}, {"requests_per_second": [250]}, "'requests_per_second' must be a whole number"),
    ({}, {"request_attempts": False}, "'request_attempts' must be a whole number"),
    ({}, {"request_attempts": 10**400}, "'request_attempts' must be a whole number"),
    ({}, {"stream_silence": "5"}, "'stream_silence' must be a number of seconds from 20 to 3600"),
    ({}, {"client_cert": "/does/not/exist"}, "client_cert"),
    ({}, {"client_cert": 7}, "client_cert"),
    ({}, {"ca_bundle": "/does/not/exist"}, "ca_bundle"),
    ({}, {"ca_bundle": f"/{'x' * 5_000}"}, "ca_bundle"),
    ({}, {"allow_http": "maybe"}, "allow_http"),
    ({}, {"http2": "maybe"}, "'http2' must be true or false"),
    ({}, {"empty_body_signature": "null"}, "empty_body_signature"),
    ({}, {"callback_headers": "X-Team: payments"}, "callback_headers"),
    ({}, {"callback_headers": {"X-Team": 7}}, "callback_headers"),
    ({}, {"callback_headers": ["X-Team"]}, "callback_headers"),
    ({}, {"callback_headers": "[" * 5_000}, "callback_headers"),
]


@pytest.mark.parametrize(
    ("changes", "extra", "message_part"), WRONG_CONNECTIONS, ids=[case[2] for case in WRONG_CONNECTIONS]
)
def test_wrong_connection(
    make_hook: MakeHook,
    whiterabbit_emulator: Emulator,
    changes: dict[str, Any],
    extra: dict[str, Any],
    message_part: str,
) -> None:
    """A wrong field raises an error that names it, without a secret, before anything is sent; so does *Test*."""
    hook = make_hook(changes, **extra)
    with pytest.raises(exc.WhiteRabbitConfigError) as caught:
        hook.execute_component("PAY")
    assert message_part in str(caught.value)
    assert str(caught.value).startswith("Connection whiterabbit_default: ")
    for secret in (changes.get("password"), "hunter2", "X-Evil"):
        assert not secret or secret not in str(caught.value)
    assert hook.test_connection() == (False, str(caught.value))
    assert not whiterabbit_emulator.journal


def test_port(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """The port in the connection's field for it is used."""
    scheme, host, port = whiterabbit_emulator.url.rsplit(":", 2)
    make_hook({"host": f"{scheme}:{host}", "port": int(port)}).execute_component("X")


@pytest.mark.parametrize(
    ("host", "port", "base_url"),
    [
        (None, None, "https://api.whiterabbit.app"),
        ("api.example.org", None, "https://api.example.org"),
        ("api.example.org:8443", None, "https://api.example.org:8443"),
        ("api.example.org", 8443, "https://api.example.org:8443"),
        ("2001:db8::1", 8443, "https://[2001:db8::1]:8443"),
        ("[2001:db8::1]:8443", None, "https://[2001:db8::1]:8443"),
    ],
)
def test_host_without_a_scheme(make_hook: MakeHook, host: str | None, port: int | None, base_url: str) -> None:
    """A host without a scheme, which a connection in the form of a URI has, is reached by HTTPS."""
    assert make_hook({"host": host, "port": port}).get_conn().settings.base_url == base_url


async def test_limits(make_hook: MakeHook) -> None:
    """The limits of both clients come from the connection, as numbers or as the texts of a form."""
    by_default = make_hook(requests_at_once="", stream_silence=None).get_conn()
    assert by_default.timing.silence == 45
    limits = {"requests_per_second": 1_000, "requests_at_once": 100, "request_attempts": 2, "stream_silence": 62.5}
    for written in (limits, {name: str(value) for name, value in limits.items()}):
        hook = make_hook(**written)
        for client in (hook.get_conn(), await hook.get_async_client()):
            assert {name: getattr(client.settings, name) for name in limits} == limits
            assert client.timing == replace(by_default.timing, silence=62.5)


@pytest.mark.parametrize(
    ("written", "is_used"), [("", True), (None, True), ("true", True), ("y", True), (False, False), ("False", False)]
)
def test_http2(make_hook: MakeHook, written: object, is_used: bool) -> None:
    """HTTP/2 may be used, unless the connection says otherwise, in JSON or as the text of a form."""
    assert make_hook(http2=written).get_conn().settings.http2 is is_used


def test_attempts(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """A call is attempted as often as the connection says."""
    whiterabbit_emulator.fault(effects.Answer(503), kind="record", times=None)
    hook = make_hook(request_attempts=2)
    hook.timing = Timing(first_pause=0)
    with pytest.raises(exc.WhiteRabbitServerError):
        hook.get_execution("e-1")
    assert len(whiterabbit_emulator.journal) == 2


def test_connection_as_uri(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection in the form of a URI works, with an IPv6 address too."""
    secret = quote(whiterabbit_emulator.api_secret, safe="")
    uri = f"whiterabbit://:{secret}@[2001:db8::1]:8443/?api_key=ws_1"
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", uri)
    assert WhiteRabbitHook().get_conn().settings.base_url == "https://[2001:db8::1]:8443"


def test_line_ends(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """Key and secret may end with a line end, as files do; logs hide them with it and without it."""
    wr = whiterabbit_emulator
    hook = make_hook({"password": f"{wr.api_secret}\n"}, api_key=f"{wr.api_key}\n")
    assert hook.get_execution(wr.create_execution("X"))
    connection = WhiteRabbitHook.get_connection(hook.whiterabbit_conn_id)
    hidden = set(secrets_of(connection, connection.extra_dejson))
    assert {wr.api_key, f"{wr.api_key}\n", wr.api_secret, f"{wr.api_secret}\n"} <= hidden


async def test_unknown_fields(make_hook: MakeHook, caplog: pytest.LogCaptureFixture) -> None:
    """The log has one warning of each unknown field, with a similar name; the values do not appear."""
    hook = make_hook(request_timout=3, extra__whiterabbit__ca_bundle=None, **{"zzz\n": "hunter2"})
    hook.get_conn()
    await hook.get_async_client()
    warnings = [record.getMessage() for record in caplog.records if "does not know" in record.getMessage()]
    what = "The connection whiterabbit_default has an extra field"
    assert warnings == [
        f"{what} 'request_timout', which this provider does not know; did you mean 'request_timeout'?",
        f"{what} 'extra__whiterabbit__ca_bundle', which this provider does not know; did you mean 'ca_bundle'?",
        f"{what} 'zzz ', which this provider does not know and ignores",
    ]
    assert "hunter2" not in caplog.text


def test_misspelt_key(make_hook: MakeHook, caplog: pytest.LogCaptureFixture) -> None:
    """The warning comes although the connection can't be used: the wrong name can be the reason."""
    with pytest.raises(exc.WhiteRabbitConfigError, match="has no API key"):
        make_hook(api_key=None, apikey="ws_1").get_conn()
    assert "has an extra field 'apikey', which this provider does not know; did you mean 'api_key'?" in caplog.text


def test_omitted_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a server that expects no signed body in a GET there is an option, which the refusal's message names."""
    with Emulator(empty_body_signature="omitted") as wr:
        execution_id = wr.create_execution("X")
        connection = wr.connection
        monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
        with pytest.raises(exc.WhiteRabbitAuthenticationError, match="empty_body_signature"):
            WhiteRabbitHook().get_execution(execution_id)
        connection["extra"] = {**connection["extra"], "empty_body_signature": "omitted"}
        monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
        assert WhiteRabbitHook().get_execution(execution_id).id == execution_id


@needs_missing_connections
@pytest.mark.parametrize("extra", ['["api_key"]', '"api_key"'])
async def test_extra_that_is_no_object(
    whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    """An extra that is JSON but no object raises the error of a wrong connection, in the triggerer too."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps({**whiterabbit_emulator.connection, "extra": extra})
    )
    error: tuple[type[Exception], str] = (exc.WhiteRabbitConfigError, "extra must be a JSON object")
    if AIRFLOW_V_3_0_PLUS and not AIRFLOW_V_3_2_PLUS:  # these can't read such a connection, and log why as debug
        error = (AirflowNotFoundException, "isn't defined")
    with pytest.raises(error[0], match=error[1]):
        WhiteRabbitHook().get_conn()
    with pytest.raises(error[0], match=error[1]):
        await WhiteRabbitHook().get_async_client()


@pytest.mark.parametrize("connection_id", ["half \ud83d", "nothing \0", "\u202eright to left", "x" * 251, None])
async def test_ids_of_no_connection(connection_id: Any) -> None:
    """Airflow's error would quote the id as it is, and end the task without a reason in its log."""
    hook = WhiteRabbitHook(connection_id)
    with pytest.raises(exc.WhiteRabbitConfigError, match="can't be the id of an Airflow connection") as caught:
        hook.get_conn()
    assert str(caught.value).isprintable()
    with pytest.raises(exc.WhiteRabbitConfigError, match="can't be the id"):
        await hook.get_async_client()
