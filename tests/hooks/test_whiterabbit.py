"""The hook: a connection becomes a client, and *Test* tells what is wrong."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable
from datetime import timedelta
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
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

MakeHook = Callable[..., WhiteRabbitHook]


@pytest.fixture
def make_hook(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> MakeHook:
    """Make a hook of the emulator's connection with some fields changed; extras by keyword, others as a dict."""

    def make(changes: dict[str, Any] | None = None, **extra: Any) -> WhiteRabbitHook:
        connection = whiterabbit_emulator.connection
        connection |= changes or {}
        connection["extra"] = {**connection["extra"], **extra}
        monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
        return WhiteRabbitHook()

    return make


def test_the_whole_way(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """Submit, read, stream and wait, with nothing but a connection id."""
    hook = make_hook()
    whiterabbit_emulator.script("SWAP", output={"hash": "0x1"}, after=0.1)
    execution = hook.execute_component("SWAP", {"amount": "1.5"}, {"chain": 1})
    assert [event.status for event in hook.stream_execution(execution.id)][-1] == "COMPLETED"
    assert hook.get_execution(execution.id).output == {"hash": "0x1"}
    ended = hook.wait_for_execution(execution.id, timeout=timedelta(seconds=20), poll_interval=1)
    assert ended.to_dict() == whiterabbit_emulator.execution(execution.id)
    assert json.loads(json.dumps(ended.to_dict())) == ended.to_dict()


def test_every_argument(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """Arguments arrive under the names of the API, in its units."""
    make_hook().execute_component(
        "PAY",
        attempts=2,
        inline_wait=timedelta(seconds=1.5),
        callback_url="https://example.org/hook",
        callback_secret="sesame",
        callback_headers={"X-Team": "payments"},
    )
    assert whiterabbit_emulator.requests(kind="submit")[0].json == {
        "module": "PAY",
        "input": {},
        "config": {},
        "attempts": 2,
        "waitForMs": 1500,
        "callbackUrl": "https://example.org/hook",
        "callbackSecret": "***",
        "callbackHeaders": {"X-Team": "payments"},
    }


def test_callback_defaults_come_from_the_connection(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """Secret and headers are the connection's where a callback is asked for, and are not sent where none is."""
    hook = make_hook(callback_secret="sesame", callback_headers='{"X-Team": "payments"}')
    hook.execute_component("PAY")
    hook.execute_component("PAY", callback_url="https://example.org/hook")
    plain, called_back = [entry.json for entry in whiterabbit_emulator.requests(kind="submit")]
    assert "callbackSecret" not in plain
    assert called_back["callbackHeaders"] == {"X-Team": "payments"}
    assert "callbackSecret" in called_back


def test_callback_defaults_can_be_declined(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """Headers that are meant for one host do not go to another for which the caller said none."""
    hook = make_hook(callback_headers={"Authorization": "Bearer x"})
    hook.execute_component("PAY", callback_url="https://example.org/hook", callback_headers={})
    assert whiterabbit_emulator.requests(kind="submit")[0].json["callbackHeaders"] == {}


def test_redeliver_callback(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """A callback can be asked for again."""
    wr = whiterabbit_emulator
    hook = make_hook()
    execution = hook.execute_component("X", callback_url=f"{wr.url}/nobody-listens-here")
    wr.wait_for_request(path="/nobody-listens-here")
    hook.redeliver_callback(execution.id)
    assert wr.requests(path=f"*/{execution.id}/replay-callback")[0].status == 200


@pytest.mark.parametrize("form", ["DER", "PEM", "escaped PEM"])
def test_forms_of_the_secret(make_hook: MakeHook, whiterabbit_emulator: Emulator, form: str) -> None:
    """The secret is accepted as White Rabbit shows it and as PEM, also with escaped line ends."""
    secret = whiterabbit_emulator.api_secret
    if form != "DER":
        key = load_der_private_key(base64.b64decode(secret), None)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    if form == "escaped PEM":
        secret = secret.replace("\n", "\\n")
    make_hook({"password": secret}).execute_component("X")


def der(key: Any, encryption: Any = None) -> str:
    return base64.b64encode(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, encryption or NoEncryption())).decode()


BAD_CONNECTIONS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
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
    ({}, {"ca_bundle": "/does/not/exist"}, "ca_bundle"),
    ({}, {"allow_http": "maybe"}, "allow_http"),
    ({}, {"empty_body_signature": "null"}, "empty_body_signature"),
    ({}, {"callback_headers": "X-Team: payments"}, "callback_headers"),
    ({}, {"callback_headers": {"X-Team": 7}}, "callback_headers"),
    ({}, {"callback_headers": ["X-Team"]}, "callback_headers"),
]


@pytest.mark.parametrize(("changes", "extra", "named"), BAD_CONNECTIONS, ids=[case[2] for case in BAD_CONNECTIONS])
def test_bad_connection(
    make_hook: MakeHook, whiterabbit_emulator: Emulator, changes: dict[str, Any], extra: dict[str, Any], named: str
) -> None:
    """A field that can't be used is named, before anything is sent and without a secret; *Test* says the same."""
    hook = make_hook(changes, **extra)
    with pytest.raises(exc.WhiteRabbitConfigError) as caught:
        hook.execute_component("PAY")
    assert named in str(caught.value)
    for secret in (changes.get("password"), "hunter2", "X-Evil"):
        assert not secret or secret not in str(caught.value)
    assert hook.test_connection() == (False, str(caught.value))
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"module": ""}, "module"),
        ({"module": None}, "module"),
        ({"input": [1]}, "input"),
        ({"config": "x"}, "config"),
        ({"attempts": 0}, "attempts"),
        ({"attempts": 4}, "attempts"),
        ({"attempts": True}, "attempts"),
        ({"inline_wait": -1}, "inline_wait"),
        ({"inline_wait": 15.1}, "inline_wait"),
        ({"inline_wait": float("nan")}, "inline_wait"),
        ({"inline_wait": timedelta(seconds=16)}, "inline_wait"),
        ({"inline_wait": "5"}, "inline_wait"),
        ({"callback_url": "http://example.org"}, "callback_url"),
        ({"callback_url": "example.org"}, "callback_url"),
        ({"callback_url": ""}, "callback_url"),
        ({"callback_secret": "x"}, "callback_url"),
        ({"callback_url": "https://example.org", "callback_headers": {"a b": "c"}}, "callback_headers"),
        ({"callback_url": "https://example.org", "callback_headers": {"a": "b\nc"}}, "callback_headers"),
        ({"input": {"amounts": [1, 2, 3, 2**53]}}, "input.amounts[3]"),
        ({"input": {"amounts": [1, float("nan")]}}, "input.amounts[1]"),
        ({"config": {"a b": {1: 2}}}, "config['a b']"),
        ({"input": {"text": "\ud800"}}, "input.text"),
        ({"input": {"when": timedelta(1)}}, "input.when"),
    ],
)
def test_bad_argument(
    make_hook: MakeHook, whiterabbit_emulator: Emulator, arguments: dict[str, Any], named: str
) -> None:
    """An argument that can't be sent as it is is named with its place, before anything is sent."""
    with pytest.raises(exc.WhiteRabbitInputError) as caught:
        make_hook().execute_component(**{"module": "PAY", **arguments})
    assert named in str(caught.value)
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize("execution_id", ["", "../x", "a/b", "a?b", "a b", "..", "{{ ti }}", None, 7, "a" * 300, "a\n"])
def test_bad_execution_id(make_hook: MakeHook, whiterabbit_emulator: Emulator, execution_id: Any) -> None:
    """An id that could leave its place in the path is refused by every method."""
    hook = make_hook()
    for call in (
        hook.get_execution,
        hook.wait_for_execution,
        hook.redeliver_callback,
        lambda identity: next(hook.stream_execution(identity)),
    ):
        with pytest.raises(exc.WhiteRabbitInputError, match="execution_id"):
            call(execution_id)
    assert not whiterabbit_emulator.journal


def test_port_of_its_own(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """A port in the connection's own field belongs to the base URL."""
    scheme, host, port = whiterabbit_emulator.url.rsplit(":", 2)
    make_hook({"host": f"{scheme}:{host}", "port": int(port)}).execute_component("X")


def test_omitted_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that signs nothing for an empty body is suited by a setting, which the refusal names."""
    with Emulator(empty_body_signature="omitted") as wr:
        execution_id = wr.create_execution("X")
        connection = wr.connection
        monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
        with pytest.raises(exc.WhiteRabbitAuthenticationError, match="empty_body_signature"):
            WhiteRabbitHook().get_execution(execution_id)
        connection["extra"] = {**connection["extra"], "empty_body_signature": "omitted"}
        monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
        assert WhiteRabbitHook().get_execution(execution_id).id == execution_id


def test_client_for_triggers(make_hook: MakeHook) -> None:
    """The asynchronous client reads, and refuses to submit."""
    import asyncio

    from airflow_provider_whiterabbit.client import api

    async def check() -> None:
        async with await make_hook().get_async_client() as client:
            with pytest.raises(exc.WhiteRabbitNotFoundError):
                await client.send(api.get_execution(api.NIL_UUID))
            with pytest.raises(exc.WhiteRabbitInputError, match="worker"):
                await client.send(api.execute_component("PAY"))

    asyncio.run(check())


# --- *Test*


def test_connection_accepted(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """Everything is right; nothing was submitted."""
    assert make_hook().test_connection() == (True, "White Rabbit accepted the key and the signature.")
    assert {entry.method for entry in whiterabbit_emulator.journal} == {"GET"}


def test_connection_restricted(make_hook: MakeHook, whiterabbit_emulator: Emulator) -> None:
    """A key that may not read executions is a valid one."""
    whiterabbit_emulator.fault(effects.Answer(403, {"message": "restricted"}))
    works, message = make_hook().test_connection()
    assert works
    assert "may not read executions" in message


@pytest.mark.parametrize("extra", [{"api_key": "ws_wrong"}, {}], ids=["key", "secret"])
def test_connection_refused(make_hook: MakeHook, extra: dict[str, Any]) -> None:
    """A wrong key and a wrong secret are told apart from everything else."""
    changes = {} if extra else {"password": der(load_der_private_key(base64.b64decode(OTHER_SECRET), None))}
    works, message = make_hook(changes, **extra).test_connection()
    assert not works
    assert "refused the API key or the signature" in message
    assert "ws_wrong" not in message


OTHER_SECRET = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g"  # RFC 8032, section 7.1, test 1


@pytest.mark.parametrize(("offset", "works"), [(0, True), (10, True), (120, True), (-120, True), (4000, False)])
def test_connection_clock(
    make_hook: MakeHook, whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, offset: int, works: bool
) -> None:
    """A clock that is off is told with the distance: corrected where that is safe, refused where it is not."""
    monkeypatch.setattr(whiterabbit_emulator, "clock_offset", offset)
    worked, message = make_hook().test_connection()
    assert worked is works
    assert ("This machine's clock is" in message) is (abs(offset) > 30)


def test_connection_unreachable(make_hook: MakeHook) -> None:
    """Nobody there is told as that."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        works, message = make_hook({"host": f"http://127.0.0.1:{bound.getsockname()[1]}"}).test_connection()
    assert not works
    assert "can't be reached" in message
    assert "refused" in message


@pytest.mark.parametrize("body", ["<html>not found</html>", {"detail": "Not Found"}])
def test_connection_to_something_else(make_hook: MakeHook, whiterabbit_emulator: Emulator, body: Any) -> None:
    """A web server that knows nothing of White Rabbit answers 404 as well, and is not mistaken for it."""
    whiterabbit_emulator.fault(effects.Answer(404, body))
    works, message = make_hook().test_connection()
    assert not works
    assert "check the connection's host" in message


# --- the form


def test_ui_field_behaviour() -> None:
    """Older versions of Airflow read the same metadata through the hook."""
    behaviour = WhiteRabbitHook.get_ui_field_behaviour()
    assert set(behaviour) == {"hidden_fields", "relabeling", "placeholders"}
    assert "login" in behaviour["hidden_fields"]
    assert "port" not in behaviour["hidden_fields"]
