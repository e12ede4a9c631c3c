"""HTTPS: a certificate that can be trusted, bad ones, and faults of an encrypted connection."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from tests.emulator.conftest import Client

CATALOGUE = "/v1/system/components"
BAD = {
    "unknown-ca": "unable to get local issuer certificate",
    "self-signed": "self.signed certificate",
    "wrong-host": "IP address mismatch",
    "expired": "certificate has expired",
}


@pytest.fixture(scope="module")
def server():
    with Emulator(certificate="trusted") as emulator:
        yield emulator


@pytest.fixture
def wr(server):
    server.reset()
    return server


@pytest.fixture
def client(wr, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", wr.ca_bundle)
    client = Client(wr)
    yield client
    client.close()


def test_a_certificate_that_can_be_trusted(wr, client, monkeypatch):
    """Its authority is in the connection; without it nobody trusts the emulator."""
    assert wr.url.startswith("https://127.0.0.1:")
    assert wr.connection["extra"]["ca_bundle"] == wr.ca_bundle
    assert json.loads(wr.environ["AIRFLOW_CONN_WHITERABBIT_DEFAULT"]) == wr.connection
    assert client.submit(waitForMs=1000)["status"] == "COMPLETED"
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(requests.exceptions.SSLError, match="unable to get local issuer"):
        requests.get(wr.url + CATALOGUE, verify=True, timeout=10)
    for name in ("localhost", "127.0.0.1"):
        assert requests.get(wr.url.replace("127.0.0.1", name) + CATALOGUE, verify=wr.ca_bundle, timeout=10).ok


def test_the_hook_takes_the_connection_as_it_is(wr, monkeypatch):
    """A user's code needs nothing but the environment."""
    for name, value in wr.environ.items():
        monkeypatch.setenv(name, value)
    wr.script("X", output=5)
    execution = WhiteRabbitHook().execute_component("X", inline_wait=1)
    assert execution.output == 5


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize(("certificate", "reason"), BAD.items())
def test_bad_certificates(certificate, reason):
    """Each is bad for one reason alone, and no request arrives."""
    with Emulator(certificate=certificate) as emulator:
        assert emulator.url.startswith("https://")
        assert emulator.connection["extra"].get("ca_bundle") == emulator.ca_bundle
        assert (emulator.ca_bundle is None) == (certificate in ("unknown-ca", "self-signed"))
        with pytest.raises(requests.exceptions.SSLError, match=reason):
            requests.get(emulator.url + CATALOGUE, verify=emulator.ca_bundle or True, timeout=10)
        assert emulator.journal == []
        assert requests.get(emulator.url + CATALOGUE, verify=False, timeout=10).ok  # noqa: S501


def test_a_certificate_that_does_not_exist():
    """The error names those that do."""
    with pytest.raises(ValueError, match="certificate must be one of trusted, unknown-ca"):
        Emulator(certificate="good")


def test_ipv6():
    """The certificate is for whatever address the emulator listens on."""
    with Emulator("::1", certificate="trusted") as emulator:
        assert requests.get(emulator.url + CATALOGUE, verify=emulator.ca_bundle, timeout=10).ok


def test_the_files_go_with_the_emulator():
    """Nothing is left on the disk."""
    emulator = Emulator(certificate="trusted")
    path = Path(emulator.ca_bundle)
    assert path.exists()
    del emulator
    assert not path.parent.exists()


def test_a_restart_keeps_the_certificate():
    """A client that trusts it goes on doing so."""
    emulator = Emulator(certificate="trusted")
    for _ in range(2):
        with emulator, requests.Session() as session:
            assert session.get(emulator.url + CATALOGUE, verify=emulator.ca_bundle, timeout=10).ok


CUT = "ended prematurely|InvalidChunkLength"
"""An answer that was cut off, in the words of one version of urllib3 or another."""


@pytest.mark.parametrize(
    ("effect", "events", "error"),
    [
        # Python's TLS sockets report an RST as the end of the data, those of some versions as what it is.
        (effects.Reset("request"), 0, "without response|reset by peer"),
        (effects.Reset("body", events=1), 1, f"{CUT}|reset by peer"),
        (effects.Close(events=1), 1, ""),
        (effects.Close(events=1, clean=False), 1, CUT),
        (effects.Silence(events=1), 1, "timed out"),
        (effects.Split(), 3, ""),
    ],
    ids=repr,
)
def test_faults(wr, client, effect, events, error):
    """They are the same on an encrypted connection."""
    wr.fault(effect, kind="stream")
    execution_id = wr.create_execution("X", manual=True)
    seen = b""
    problem = ""
    try:
        with client.stream(execution_id, timeout=0.3 if error == "timed out" else 10) as stream:
            wr.start(execution_id)
            wr.complete(execution_id)
            for piece in stream.iter_content(None):
                seen += piece
    except requests.RequestException as caught:
        problem = str(caught)
    assert re.search(error, problem)
    assert bool(problem) == bool(error)
    assert seen.count(b"data: ") == events
    wr.wait_for_stream(execution_id, count=0)


def test_outages(wr, client):
    """Refused and cut connections, told over HTTPS too."""
    client.submit()
    client.control("connections/cut", {"count": 1})
    with pytest.raises(requests.ConnectionError):
        requests.get(wr.url + CATALOGUE, timeout=10)
    client.control("pause", {"seconds": 60})
    with pytest.raises(requests.ConnectionError, match="refused"):
        requests.get(wr.url + CATALOGUE, timeout=10)
    wr.resume()
    assert client.submit()["status"] == "CREATED"


def test_as_a_process():
    """What it prints is enough to trust it."""
    command = [sys.executable, "-m", "airflow_provider_whiterabbit.emulator", "--certificate", "trusted"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=os.environ) as process:
        try:
            process.stdout.readline()
            shell = process.stdout.readline() + 'printf %s "$AIRFLOW_CONN_WHITERABBIT_DEFAULT"'
            printed = subprocess.run(["sh", "-c", shell], capture_output=True, check=True)
            connection = json.loads(printed.stdout)
            url, bundle = connection["host"] + CATALOGUE, connection["extra"]["ca_bundle"]
            assert requests.get(url, verify=bundle, timeout=10).ok
        finally:
            process.terminate()
    assert process.returncode == 0
    assert not Path(bundle).exists()
