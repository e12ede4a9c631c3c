"""What keeps key and memory safe, the same in both transports, over real sockets."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import get_args

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client.transport import exchange as base
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.emulator.plumbing.certificates import Certificate
from airflow_provider_whiterabbit.hooks.connection import settings_of
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from tests.client.servers import server
from tests.client.transports import Ask, both, every, settings_for


@every
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(whiterabbit_emulator: Emulator, ask: Ask, status: int) -> None:
    """A redirect to another host would carry the key there."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X", manual=True)
    with Emulator() as elsewhere:
        wr.fault(effects.Answer(status, headers={"Location": f"{elsewhere.url}/api/executions/{execution_id}"}))
        with pytest.raises(exc.WhiteRabbitResponseError, match="never redirects"):
            ask(settings_for(wr), execution_id)
        assert not elsewhere.journal


@every
@pytest.mark.parametrize("certificate", get_args(Certificate))
def test_certificates_are_verified(ask: Ask, certificate: Certificate) -> None:
    """Only a certificate of an authority in the connection's bundle, for this host and today, gets a request."""
    with Emulator(certificate=certificate) as wr:
        execution_id = wr.create_execution("X", output=1)
        settings = settings_for(wr, ca_bundle=wr.ca_bundle)
        if certificate == "trusted":
            assert ask(settings, execution_id)
        else:
            with pytest.raises(exc.WhiteRabbitTransportError, match="'ca_bundle'"):
                ask(settings, execution_id)
            assert not wr.journal


@every
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_bundle_of_the_environment(ask: Ask, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both transports take the environment's bundle where the connection names none, and trust nobody else's."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with Emulator(certificate="trusted") as wr:
        execution_id = wr.create_execution("X", output=1)
        with pytest.raises(exc.WhiteRabbitTransportError, match="CERTIFICATE_VERIFY_FAILED"):
            ask(settings_for(wr), execution_id)
        assert wr.ca_bundle is not None
        monkeypatch.setenv(variable, wr.ca_bundle)
        assert ask(settings_for(wr), execution_id)


@contextlib.contextmanager
def proxy() -> Iterator[tuple[int, list[bytes]]]:
    """Refuse everything as a proxy that wants a password; yield its port and what it was asked."""
    asked: list[bytes] = []

    def refuse(connection: socket.socket) -> None:
        asked.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    with server(refuse) as port:
        yield port, asked


@every
def test_proxy_of_the_environment(whiterabbit_emulator: Emulator, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both transports go through the environment's proxy, which sees no key, and whose password is not shown."""
    with proxy() as (port, asked):
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        settings = settings_for(whiterabbit_emulator, "https://whiterabbit.invalid")
        with pytest.raises(exc.WhiteRabbitTransportError) as caught:
            ask(settings, "00000000-0000-0000-0000-000000000000")
    assert asked[0].startswith(b"CONNECT whiterabbit.invalid:443")
    assert settings.api_key.encode() not in b"".join(asked)
    assert "hunter2" not in str(caught.value)


@both
def test_answers_are_bounded_in_size(whiterabbit_emulator: Emulator, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is larger than any may be is not read to its end."""
    monkeypatch.setattr(base, "MAX_RESPONSE_BYTES", 10_000)
    wr = whiterabbit_emulator
    assert ask(settings_for(wr), wr.create_execution("X", output="x" * 1_000))
    with pytest.raises(exc.WhiteRabbitTransportError, match="more than 10000 bytes"):
        ask(settings_for(wr), wr.create_execution("X", output="x" * 20_000))


@both
def test_answers_are_bounded_in_time(whiterabbit_emulator: Emulator, ask: Ask) -> None:
    """An answer that trickles, so that no silence is too long, is given up all the same."""
    wr = whiterabbit_emulator
    wr.fault(effects.Split((1,), interval=0.02), kind="record", times=None)
    execution_id = wr.create_execution("X", output="x" * 10_000)
    with pytest.raises(exc.WhiteRabbitTransportError):
        ask(settings_for(wr, request_timeout=0.05), execution_id)


@every
def test_errors_show_no_secret(ask: Ask) -> None:
    """Neither what is raised nor the settings show key or secret, whatever the server answers."""
    with Emulator() as wr, Emulator(api_key=wr.api_key) as other:
        settings = settings_for(other, wr.url)  # the secret of somebody else
        with pytest.raises(exc.WhiteRabbitAuthenticationError) as caught:
            ask(settings, wr.create_execution("X"))
        shown = f"{caught.value!r} {caught.value} {vars(caught.value)} {settings!r}"
        assert wr.api_key not in shown
        assert other.api_secret not in shown


@pytest.mark.parametrize("identity", ["../components", "a/b", "", ".", "..", "%2e%2e", "a?b", "a#b", "a b", "é", "a\n"])
def test_ids_that_would_leave_their_path(
    whiterabbit_emulator: Emulator, identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are refused before anything is sent."""
    for name, value in whiterabbit_emulator.environ.items():
        monkeypatch.setenv(name, value)
    hook = WhiteRabbitHook()
    for ask in (hook.get_execution, hook.get_workflow_run, hook.trigger_workflow, hook.redeliver_callback):
        with pytest.raises(exc.WhiteRabbitInputError):
            ask(identity)
    assert not whiterabbit_emulator.journal


def test_emulator_listens_on_loopback(whiterabbit_emulator: Emulator) -> None:
    """Nobody else's machine reaches it unless its host is given."""
    assert whiterabbit_emulator.url.startswith("http://127.0.0.1:")


def test_connection_keeps_its_secrets(whiterabbit_emulator: Emulator) -> None:
    """What is made of a connection shows neither key, secret nor callback secret."""
    from airflow.providers.common.compat.sdk import Connection

    wr = whiterabbit_emulator
    extra = {"api_key": wr.api_key, "callback_secret": "top-secret-callback", "callback_headers": {"X-A": "hush-hush"}}
    connection = Connection(conn_id="x", conn_type="whiterabbit", host=wr.url, password=wr.api_secret)
    shown = repr(settings_of(connection, extra))
    assert not [secret for secret in (wr.api_key, wr.api_secret, "top-secret", "hush-hush") if secret in shown]
