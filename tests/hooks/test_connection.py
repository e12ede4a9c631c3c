"""How the fields of an Airflow connection become the settings of a client."""

from __future__ import annotations

import base64
import json
from typing import Any

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
from airflow_provider_whiterabbit.compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_2_PLUS, AirflowNotFoundException
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from tests.hooks.making import MakeHook, der


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
    ({"host": "api.whiterabbit.app"}, {}, "no scheme"),
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
    ({}, {"ca_bundle": "/does/not/exist"}, "ca_bundle"),
    ({}, {"ca_bundle": f"/{'x' * 5_000}"}, "ca_bundle"),
    ({}, {"allow_http": "maybe"}, "allow_http"),
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
    for secret in (changes.get("password"), "hunter2", "X-Evil"):
        assert not secret or secret not in str(caught.value)
    assert hook.test_connection() == (False, str(caught.value))
    assert not whiterabbit_emulator.journal


def test_port(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """The port in the connection's field for it is used."""
    scheme, host, port = whiterabbit_emulator.url.rsplit(":", 2)
    make_hook({"host": f"{scheme}:{host}", "port": int(port)}).execute_component("X")


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
