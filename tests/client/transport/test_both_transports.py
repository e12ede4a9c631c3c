"""Both transports alike: redirects, certificates, proxies, bounds of answers, and secrets in errors."""

from __future__ import annotations

import contextlib
import socket
from typing import get_args

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.client.wire.sse import event_data
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.emulator.plumbing.certificates import Certificate
from airflow_provider_whiterabbit.emulator.world.settings import EmptyBody
from airflow_provider_whiterabbit.hooks.connection import settings_of
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from dev.harness.modules import MODULES
from tests.client.servers import refusing_proxy
from tests.client.transports import Fetch, both_clients, records_and_streams, settings_for, streams


@records_and_streams
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(whiterabbit_emulator: Emulator, fetch: Fetch, status: int) -> None:
    """A redirect is an error, and is not followed: it would carry the API key to another host."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X", manual=True)
    with Emulator(components=MODULES) as elsewhere:
        wr.fault(effects.Answer(status, headers={"Location": f"{elsewhere.url}/api/executions/{execution_id}"}))
        with pytest.raises(exc.WhiteRabbitResponseError, match="never redirects"):
            fetch(settings_for(wr), execution_id)
        assert not elsewhere.journal


@streams
def test_events_may_have_more_fields(whiterabbit_emulator: Emulator, fetch: Fetch) -> None:
    """Lines with an id, a name and a reconnection time do not change what an event tells."""
    whiterabbit_emulator.stream_options(event_ids=True, event_name="status", retry=1)
    execution_id = whiterabbit_emulator.create_execution("X", output={"a": 1})
    (event,) = fetch(settings_for(whiterabbit_emulator), execution_id)
    assert event.startswith(b"id: 1\nevent: status\nretry: 1\ndata: ")
    assert event_data(event).items() >= {"id": execution_id, "status": "COMPLETED", "output": {"a": 1}}.items()


@records_and_streams
@pytest.mark.parametrize("certificate", get_args(Certificate))
def test_certificates_are_verified(fetch: Fetch, certificate: Certificate) -> None:
    """A request is sent only to a server with a valid certificate for its host from an authority in `ca_bundle`.

    The message names `ca_bundle` where it helps: an unknown authority.
    """
    with Emulator(certificate=certificate, components=MODULES) as wr:
        execution_id = wr.create_execution("X", output=1)
        settings = settings_for(wr, ca_bundle=wr.ca_bundle)
        if certificate == "trusted":
            assert fetch(settings, execution_id)
        else:
            with pytest.raises(exc.WhiteRabbitTransportError, match="a certificate was refused") as refused:
                fetch(settings, execution_id)
            assert ("'ca_bundle'" in str(refused.value)) is (certificate in ("unknown-ca", "self-signed"))
            assert not wr.journal


@records_and_streams
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_ca_bundle_of_the_environment(fetch: Fetch, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without `ca_bundle` uses the CA bundle that an environment variable names."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with Emulator(certificate="trusted", components=MODULES) as wr:
        execution_id = wr.create_execution("X", output=1)
        with pytest.raises(exc.WhiteRabbitTransportError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(settings_for(wr), execution_id)
        assert wr.ca_bundle is not None
        monkeypatch.setenv(variable, wr.ca_bundle)
        assert fetch(settings_for(wr), execution_id)


@records_and_streams
def test_proxy_of_the_environment(
    whiterabbit_emulator: Emulator, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's proxy is used: it does not see the API key, and errors do not show its password."""
    with refusing_proxy() as (port, received):
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        settings = settings_for(whiterabbit_emulator, "https://whiterabbit.invalid")
        with pytest.raises(exc.WhiteRabbitTransportError) as caught:
            fetch(settings, "00000000-0000-0000-0000-000000000000")
    assert received[0].startswith(b"CONNECT whiterabbit.invalid:443")
    assert settings.api_key.encode() not in b"".join(received)
    assert "hunter2" not in str(caught.value)


THIS_MACHINE = {socket.AF_INET: ("127.0.0.1", "0.0.0.0"), socket.AF_INET6: ("::1", "[::]")}  # noqa: S104
"""An address of loopback, and one that leads there too, but does not count as loopback, so that a proxy is used."""


def has(family: socket.AddressFamily) -> bool:
    """Return whether this machine has a loopback address of the family."""
    with socket.socket(family) as tried, contextlib.suppress(OSError):
        tried.bind((THIS_MACHINE[family][0], 0))
        return True
    return False


@records_and_streams
@pytest.mark.parametrize(
    ("family", "networks", "is_direct"),
    [
        (socket.AF_INET, "0.0.0.0/8", True),
        (socket.AF_INET, "10.0.0.0/8, ::/0", False),
        (socket.AF_INET6, "::/64", True),
        (socket.AF_INET6, "::", True),
        (socket.AF_INET6, "2001:db8::/32, 0.0.0.0/0", False),
    ],
    ids=str,
)
def test_networks_without_a_proxy(
    whiterabbit_emulator: Emulator,
    fetch: Fetch,
    monkeypatch: pytest.MonkeyPatch,
    family: socket.AddressFamily,
    networks: str,
    is_direct: bool,
) -> None:
    """``NO_PROXY`` can name networks and IPv6 addresses, to which both clients connect without the proxy."""
    if not has(family):
        pytest.skip("this machine has no loopback address of this family")
    loopback, host = THIS_MACHINE[family]
    for name in ("HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with refusing_proxy() as (proxy_port, proxied), refusing_proxy(loopback) as (port, direct):
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy_port}")
        monkeypatch.setenv("NO_PROXY", networks)
        with pytest.raises(exc.WhiteRabbitResponseError, match="407"):
            fetch(settings_for(whiterabbit_emulator, f"http://{host}:{port}", allow_http=True), "e-1")
    assert (bool(direct), bool(proxied)) == (is_direct, not is_direct)


@records_and_streams
def test_host_without_an_address(whiterabbit_emulator: Emulator, fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error about a host name that does not exist names the host and the remedy."""
    for name in ("HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    settings = settings_for(whiterabbit_emulator, "https://whiterabbit.invalid")
    with pytest.raises(
        exc.WhiteRabbitTransportError, match=r"cannot resolve whiterabbit\.invalid: .* connection's host"
    ):
        fetch(settings, "e-1")


@both_clients
def test_answers_are_bounded_in_size(whiterabbit_emulator: Emulator, fetch: Fetch) -> None:
    """An answer of more than `max_answer_bytes` raises a transport error."""
    wr = whiterabbit_emulator
    settings = settings_for(wr, max_answer_bytes=10_000)
    assert fetch(settings, wr.create_execution("X", output="x" * 1_000))
    with pytest.raises(exc.WhiteRabbitTransportError, match="more than 10000 bytes"):
        fetch(settings, wr.create_execution("X", output="x" * 20_000))


@both_clients
def test_answers_are_bounded_in_time(whiterabbit_emulator: Emulator, fetch: Fetch) -> None:
    """An answer whose bytes arrive too slowly in all raises a transport error, although no silence is too long."""
    wr = whiterabbit_emulator
    wr.fault(effects.Split((1,), interval=0.02), kind="record", times=None)
    execution_id = wr.create_execution("X", output="x" * 10_000)
    with pytest.raises(exc.WhiteRabbitTransportError):
        fetch(settings_for(wr, request_timeout=0.05), execution_id)


@records_and_streams
@pytest.mark.parametrize(("signed", "other"), [("object", "omitted"), ("omitted", "object")])
def test_other_signature(fetch: Fetch, signed: EmptyBody, other: EmptyBody) -> None:
    """The refusal of a request without a body suggests the other way to sign it, which then works."""
    with Emulator(empty_body_signature=other, components=MODULES) as wr:
        execution_id = wr.create_execution("X", output=1)
        with pytest.raises(exc.WhiteRabbitAuthenticationError, match=f"'empty_body_signature': '{other}'"):
            fetch(settings_for(wr, empty_body_signature=signed), execution_id)
        assert fetch(settings_for(wr, empty_body_signature=other), execution_id)


async def test_refusals_for_another_reason(whiterabbit_emulator: Emulator) -> None:
    """The signature without a body is not suspected after it was accepted, nor where the request has a body."""
    wr = whiterabbit_emulator
    read = api.get_execution(wr.create_execution("X"))
    settings = settings_for(wr)
    async with AsyncClient(settings) as aio:
        with Client(settings) as blocking:
            await aio.send(read)
            blocking.send(read)
            wr.rotate_key()
            for request in (read, api.execute_component("X")):
                with pytest.raises(exc.WhiteRabbitAuthenticationError) as refused:
                    blocking.send(request)
                assert "empty_body_signature" not in str(refused.value)
            with pytest.raises(exc.WhiteRabbitAuthenticationError) as refused:
                await aio.send(read)
            assert "empty_body_signature" not in str(refused.value)


@records_and_streams
def test_errors_show_no_secrets(fetch: Fetch) -> None:
    """Neither the error about a refused key nor the settings contain the API key or the secret."""
    with Emulator(components=MODULES) as wr, Emulator(api_key=wr.api_key, components=MODULES) as other:
        settings = settings_for(other, wr.url)  # with a wrong secret
        with pytest.raises(exc.WhiteRabbitAuthenticationError) as caught:
            fetch(settings, wr.create_execution("X"))
        shown = f"{caught.value!r} {caught.value} {vars(caught.value)} {settings!r}"
        assert wr.api_key not in shown
        assert other.api_secret not in shown


@pytest.mark.parametrize("identity", ["../components", "a/b", "", ".", "..", "%2e%2e", "a?b", "a#b", "a b", "é", "a\n"])
def test_ids_that_cannot_be_part_of_a_path(
    whiterabbit_emulator: Emulator, identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id that could change the path of a request is refused before anything is sent."""
    for name, value in whiterabbit_emulator.environ.items():
        monkeypatch.setenv(name, value)
    hook = WhiteRabbitHook()
    for send in (hook.get_execution, hook.get_workflow_run, hook.trigger_workflow, hook.redeliver_callback):
        with pytest.raises(exc.WhiteRabbitInputError):
            send(identity)
    assert not whiterabbit_emulator.journal


def test_emulator_listens_on_loopback(whiterabbit_emulator: Emulator) -> None:
    """The emulator listens on this machine only, unless a host is given."""
    assert whiterabbit_emulator.url.startswith("http://127.0.0.1:")


def test_settings_of_a_connection_show_no_secrets(whiterabbit_emulator: Emulator) -> None:
    """The settings of an Airflow connection show neither its API key, its secrets nor its callback headers."""
    from airflow_provider_whiterabbit.compat import Connection

    wr = whiterabbit_emulator
    extra = {"api_key": wr.api_key, "callback_secret": "top-secret-callback", "callback_headers": {"X-A": "hush-hush"}}
    connection = Connection(conn_id="x", conn_type="whiterabbit", host=wr.url, password=wr.api_secret)
    shown = repr(settings_of(connection, extra))
    assert not [secret for secret in (wr.api_key, wr.api_secret, "top-secret", "hush-hush") if secret in shown]
