"""Certificates: HTTPS with a trusted certificate, invalid certificates, and faults over HTTPS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from tests.emulator.api_client import CATALOGUE, ApiClient, limit

INVALID = {
    "unknown-ca": "unable to get local issuer certificate",
    "self-signed": "self.signed certificate",
    "wrong-host": "IP address mismatch",
    "expired": "certificate has expired",
}


@pytest.fixture(scope="module")
def https_server() -> Iterator[Emulator]:
    """Return an emulator with a trusted certificate."""
    with Emulator(certificate="trusted", components=["ECHO", "X", "PAY"]) as emulator:
        yield emulator


@pytest.fixture
def wr(https_server: Emulator) -> Emulator:
    """Return the emulator with a trusted certificate, reset."""
    https_server.reset()
    return https_server


@pytest.fixture
def client(wr: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiClient]:
    """Return a client that trusts the emulator."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(wr.ca_bundle))
    client = ApiClient(wr)
    yield client
    client.close()


def test_trusted(wr, client, monkeypatch):
    """A client trusts the emulator with the CA bundle of the connection, and not without it."""
    assert wr.url.startswith("https://127.0.0.1:")
    assert wr.connection["extra"]["ca_bundle"] == wr.ca_bundle
    assert json.loads(wr.environ["AIRFLOW_CONN_WHITERABBIT_DEFAULT"]) == wr.connection
    assert client.submit(waitForMs=1000)["status"] == "COMPLETED"
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(requests.exceptions.SSLError, match="unable to get local issuer"):
        requests.get(wr.url + CATALOGUE, verify=True, timeout=60)
    for name in ("localhost", "127.0.0.1"):
        assert requests.get(wr.url.replace("127.0.0.1", name) + CATALOGUE, verify=wr.ca_bundle, timeout=60).ok


def test_the_hook_trusts_the_connection(wr, monkeypatch):
    """The hook trusts the emulator with nothing but the environment variable of the connection."""
    for name, value in wr.environ.items():
        monkeypatch.setenv(name, value)
    wr.script("X", output=5)
    execution = WhiteRabbitHook().execute_component("X", inline_wait=1)
    assert execution.output == 5


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize(("certificate", "reason"), INVALID.items())
def test_bad_certificates(certificate, reason):
    """Each invalid certificate is refused for its one reason, before a request arrives."""
    with Emulator(certificate=certificate) as emulator:
        assert emulator.url.startswith("https://")
        assert emulator.connection["extra"].get("ca_bundle") == emulator.ca_bundle
        assert (emulator.ca_bundle is None) == (certificate in ("unknown-ca", "self-signed"))
        with pytest.raises(requests.exceptions.SSLError, match=reason):
            requests.get(emulator.url + CATALOGUE, verify=emulator.ca_bundle or True, timeout=60)
        assert emulator.journal == []
        assert requests.get(emulator.url + CATALOGUE, verify=False, timeout=60).ok  # noqa: S501


def test_an_unknown_certificate():
    """An unknown kind of certificate raises `ValueError` with the list of kinds."""
    with pytest.raises(ValueError, match="certificate must be one of trusted, unknown-ca"):
        Emulator(certificate="good")


def test_ipv6():
    """The certificate is valid for an IPv6 address that the emulator listens on."""
    with Emulator("::1", certificate="trusted", components=["ECHO", "X", "PAY"]) as emulator:
        assert requests.get(emulator.url + CATALOGUE, verify=emulator.ca_bundle, timeout=60).ok


def test_the_files_are_deleted():
    """The files of the certificate are deleted with the emulator."""
    emulator = Emulator(certificate="trusted", components=["ECHO", "X", "PAY"])
    path = Path(emulator.ca_bundle)
    assert path.exists()
    del emulator
    assert not path.parent.exists()


def test_a_restart_keeps_the_certificate():
    """A client still trusts the emulator after a restart."""
    emulator = Emulator(certificate="trusted", components=["ECHO", "X", "PAY"])
    for _ in range(2):
        with emulator, requests.Session() as session:
            assert session.get(emulator.url + CATALOGUE, verify=emulator.ca_bundle, timeout=60).ok


INCOMPLETE = "ended prematurely|InvalidChunkLength"
"""The error for an incomplete answer, in the words of different versions of urllib3."""


@pytest.mark.parametrize(
    ("effect", "events", "error"),
    [
        # Most versions of Python report an RST on a TLS socket as the end of the data, some as a reset.
        (effects.Reset("request"), 0, "without response|reset by peer"),
        (effects.Reset("body", events=1), 1, f"{INCOMPLETE}|reset by peer"),
        (effects.Close(events=1), 1, ""),
        (effects.Close(events=1, clean=False), 1, INCOMPLETE),
        (effects.Silence(events=1), 1, "timed out"),
        (effects.Split(), 3, ""),
    ],
    ids=repr,
)
def test_faults(wr, client, effect, events, error):
    """Effects on streams work over HTTPS as well."""
    wr.fault(effect, kind="stream")
    execution_id = wr.create_execution("X", manual=True)
    body = b""
    message = ""
    try:
        with client.stream(execution_id, timeout=60) as stream:
            wr.start(execution_id)
            wr.complete(execution_id)
            for piece in stream.iter_content(None):
                body += piece
                if error == "timed out" and body.endswith(b"\n\n"):
                    limit(stream, 0.3)
    except requests.RequestException as problem:
        message = str(problem)
    assert re.search(error, message)
    assert bool(message) == bool(error)
    assert body.count(b"data: ") == events
    wr.wait_for_stream(execution_id, count=0)


def test_outages(wr, client):
    """Outages and cut connections work over HTTPS as well."""
    client.submit()
    client.control("connections/cut", {"count": 1})
    with pytest.raises(requests.ConnectionError):
        requests.get(wr.url + CATALOGUE, timeout=60)
    client.control("pause", {"seconds": 60})
    with pytest.raises(requests.ConnectionError, match="refused"):
        requests.get(wr.url + CATALOGUE, timeout=60)
    wr.resume()
    assert client.submit()["status"] == "CREATED"
