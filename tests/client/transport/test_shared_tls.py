"""TLS of the blocking client: all connections share what was loaded from files, and new ones resume TLS sessions."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.emulator import Emulator
from tests.client.servers import concurrent_server, read_request
from tests.client.transport.tls_servers import NAME
from tests.client.transport.tunnels import Proxy, connect_proxy
from tests.client.transports import AT_ONCE, settings_for

PAY = api.execute_component("PAY")
HOSTS = ("127.0.0.1", NAME)
BODY = b'{"id": "e-1"}'


class Server:
    """A TLS server that answers one request on each connection, and closes it.

    :param folder: where the file ``ca.pem`` is kept up to date with the server's authority.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca_file = folder / "ca.pem"
        self.reused: list[bool] = []
        self.requests: list[bytes] = []
        self.clients: list[Any] = []
        """The serial numbers of the clients' certificates; None for a client without one."""
        self.breaks = threading.Event()
        """Set to close the next connection within its handshake."""
        self.port = 0
        self.renew()

    def renew(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, *hosts: str, **fields: Any) -> None:
        """Use a certificate of a new authority, which the file `ca_file` holds from then on."""
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        self.context = self.new_context(*(hosts or HOSTS), **fields)
        self.context.maximum_version = version

    def new_context(self, *hosts: str, **fields: Any) -> ssl.SSLContext:
        """Return a context that takes, and does not require, client certificates of the authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.ca_file))
        context.verify_mode = ssl.CERT_OPTIONAL
        self.authority.issue_cert(*hosts, **fields).configure_cert(context)
        return context

    def client_files(self) -> dict[str, str]:
        """Write a new client certificate and its key to the same two files; return the settings that name them."""
        leaf = self.authority.issue_cert("client.example.org")
        certificate, key = self.folder / "client.pem", self.folder / "client.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        key.write_bytes(leaf.private_key_pem.bytes())
        return {"client_cert": str(certificate), "client_key": str(key)}

    def answer(self, connection: socket.socket) -> None:
        """Handle one connection."""
        if self.breaks.is_set():
            self.breaks.clear()
            return
        with self.context.wrap_socket(connection, server_side=True) as tls:
            self.reused.append(bool(tls.session_reused))
            self.clients.append((tls.getpeercert() or {}).get("serialNumber"))
            self.requests.append(read_request(tls))
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY))

    def settings(self, emulator: Emulator, host: str = HOSTS[0], **fields: Any) -> ClientSettings:
        """Return settings that trust the server."""
        return settings_for(emulator, f"https://{host}:{self.port}", ca_bundle=str(self.ca_file), **fields)


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[Server]:
    """Yield a running server."""
    server = Server(tmp_path)
    with concurrent_server(server.answer) as server.port:
        yield server


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list to which each load of CA certificates and of client certificates is added."""
    found: list[str] = []
    for name in ("load_verify_locations", "load_cert_chain"):
        load = getattr(ssl.SSLContext, name)

        def counting(*arguments: Any, name: str = name, load: Any = load, **options: Any) -> Any:
            found.append(name)
            return load(*arguments, **options)

        monkeypatch.setattr(ssl.SSLContext, name, counting)
    return found


@contextlib.contextmanager
def proxied(monkeypatch: pytest.MonkeyPatch, context: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """Run a proxy that the environment names."""
    with connect_proxy(context) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("https_proxy", raising=False)
        yield proxy


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_submissions(whiterabbit_emulator: Emulator, tls: Server, loads: list[str], version: ssl.TLSVersion) -> None:
    """Each submission has a connection of its own, which resumes a session; certificates are loaded once."""
    tls.renew(version)
    settings = tls.settings(whiterabbit_emulator, **tls.client_files())
    loads.clear()  # those of the server
    with Client(settings) as client:
        for _ in range(4):
            assert client.submit(PAY) == {"id": "e-1"}
        client.send(api.get_execution("e-1"))  # the adapter with connections that are kept shares them
    assert tls.reused == [False, True, True, True, True]
    assert sorted(loads) == ["load_cert_chain", "load_cert_chain", "load_verify_locations"]  # the first is the check


def test_plain_http_loads_nothing(whiterabbit_emulator: Emulator, loads: list[str]) -> None:
    """A client without TLS loads no certificates."""
    with Client(settings_for(whiterabbit_emulator)) as client:
        client.submit(PAY)
    assert not loads


def test_folder_of_authorities(whiterabbit_emulator: Emulator, tls: Server) -> None:
    """A folder with CA certificates, named by their hashes, is trusted too."""
    store = tls.folder / "authorities"
    store.mkdir()
    tls.authority.cert_pem.write_to_path(str(store / "1.pem"))
    ssl_hash = os.popen(f"openssl x509 -hash -noout -in {store / '1.pem'}").read().strip()  # noqa: S605 (no input)
    (store / "1.pem").rename(store / f"{ssl_hash}.0")
    settings = settings_for(whiterabbit_emulator, f"https://127.0.0.1:{tls.port}", ca_bundle=str(store))
    with Client(settings) as client:
        for _ in range(2):
            client.submit(PAY)
    assert tls.reused == [False, True]


def test_threads(whiterabbit_emulator: Emulator, tls: Server, loads: list[str]) -> None:
    """Threads that submit with one client at the same time share the certificates, and no connection."""
    settings = tls.settings(whiterabbit_emulator, request_attempts=1)
    loads.clear()
    with Client(settings) as client, ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: client.submit(PAY)["id"], range(64))) == ["e-1"] * 64
    assert len(tls.requests) == 64
    assert sum(tls.reused) >= 64 - 8
    assert loads == ["load_verify_locations"]


def test_fork(whiterabbit_emulator: Emulator, tls: Server) -> None:
    """A child of the process submits with TLS of its own, and the parent goes on with the one it has."""
    with Client(tls.settings(whiterabbit_emulator)) as client:
        client.submit(PAY)
        child = os.fork()
        if not child:
            code = 1
            with contextlib.suppress(BaseException):
                code = int([client.submit(PAY)["id"] for _ in range(2)] != ["e-1", "e-1"])
            os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        client.submit(PAY)
    assert tls.reused == [False, False, True, True]


def test_renewed_authority(whiterabbit_emulator: Emulator, tls: Server, caplog: pytest.LogCaptureFixture) -> None:
    """New connections trust what the file of CA certificates holds now; if it can't be read, what it held before."""
    with Client(tls.settings(whiterabbit_emulator)) as client:
        client.submit(PAY)
        tls.renew()
        client.submit(PAY)
        renewed = tls.ca_file.read_bytes()
        tls.ca_file.write_bytes(b"half")
        for _ in range(2):
            client.submit(PAY)
        tls.ca_file.unlink()
        client.submit(PAY)
        assert caplog.text.count("The earlier certificates stay in use") == 2
        tls.ca_file.write_bytes(renewed)
        client.submit(PAY)
    assert tls.reused == [False, False, True, True, True, False]


def test_authority_that_is_no_longer_trusted(whiterabbit_emulator: Emulator, tls: Server) -> None:
    """If the file of CA certificates is replaced, the server's certificate is checked against the new ones."""
    with Client(tls.settings(whiterabbit_emulator, request_attempts=1)) as client:
        client.submit(PAY)
        trustme.CA().cert_pem.write_to_path(str(tls.ca_file))
        with pytest.raises(exc.WhiteRabbitTransportError, match="certificate was refused") as caught:
            client.submit(PAY)
    assert not caught.value.sent
    assert len(tls.requests) == 1


def test_authorities_that_cannot_be_read(whiterabbit_emulator: Emulator, tls: Server) -> None:
    """A client whose file of CA certificates was never usable sends nothing, and its error names the file."""
    settings = tls.settings(whiterabbit_emulator, request_attempts=1)
    tls.ca_file.unlink()
    with (
        Client(settings) as client,
        pytest.raises(exc.WhiteRabbitTransportError, match=r"CA certificates in .*ca\.pem' can't be read") as caught,
    ):
        client.submit(PAY)
    assert not caught.value.sent


def test_renewed_client_certificate(whiterabbit_emulator: Emulator, tls: Server) -> None:
    """New connections show the client certificate that its files hold now, in a full handshake."""
    with Client(tls.settings(whiterabbit_emulator, **tls.client_files())) as client:
        for _ in range(2):
            client.submit(PAY)
        tls.client_files()
        for _ in range(2):
            client.submit(PAY)
    assert tls.reused == [False, True, False, True]
    first, _, second, _ = tls.clients
    assert tls.clients == [first, first, second, second]
    assert None not in (first, second)
    assert first != second


def test_handshake_that_breaks(whiterabbit_emulator: Emulator, tls: Server) -> None:
    """A submission whose resumed handshake breaks was not sent: it is sent again, after a full handshake."""
    with Client(tls.settings(whiterabbit_emulator), AT_ONCE) as client:
        for _ in range(2):
            client.submit(PAY)
        tls.breaks.set()
        with pytest.raises(exc.WhiteRabbitTransportError) as caught:
            client.submit(PAY, attempts=1)
        assert not caught.value.sent
        client.submit(PAY)
        tls.breaks.set()
        client.submit(PAY)
    assert tls.reused == [False, True, False, False]
    assert len(tls.requests) == 4


@pytest.mark.parametrize("has_tls", [False, True], ids=["http", "https"])
def test_proxies(
    whiterabbit_emulator: Emulator, tls: Server, loads: list[str], monkeypatch: pytest.MonkeyPatch, has_tls: bool
) -> None:
    """Through a proxy, too, certificates are loaded once and sessions resumed; the proxy gets no certificate."""
    context = tls.new_context(*HOSTS) if has_tls else None
    with proxied(monkeypatch, context) as proxy:
        settings = tls.settings(whiterabbit_emulator, NAME, **tls.client_files())
        loads.clear()
        with Client(settings) as client:
            for _ in range(3):
                client.submit(PAY)
    assert tls.reused == [False, True, True]
    assert None not in tls.clients
    assert (proxy.targets, proxy.certificates) == ([NAME] * 3, [None] * 3)
    assert loads.count("load_verify_locations") == 1 + has_tls
    assert loads.count("load_cert_chain") == 2  # one is the check before anything is sent


REFUSED: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "wrong host": (("other.example",), {}, "mismatch"),
    "expired": (HOSTS, {"not_after": datetime(2020, 1, 2, tzinfo=UTC)}, "expired"),
    "common name": (("other.example",), {"common_name": NAME}, "mismatch"),
    "unknown authority": (HOSTS, {}, "self-signed certificate in certificate chain|local issuer"),
}
"""Hosts and fields of the server's certificate, and the reason why it is refused."""


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("way", ["direct", "http proxy", "https proxy", "proxy itself"])
def test_refused_certificates(
    whiterabbit_emulator: Emulator, tls: Server, monkeypatch: pytest.MonkeyPatch, kind: str, way: str
) -> None:
    """A certificate that is wrong is refused, be it the server's or a proxy's, and nothing was sent."""
    hosts, fields, reason = REFUSED[kind]
    if "not_after" in fields:
        fields = {**fields, "not_before": datetime(2020, 1, 1, tzinfo=UTC)}
    bad, good = tls.new_context(*hosts, **fields), tls.context
    if kind == "unknown authority":
        trusted = tls.ca_file.read_bytes()
        tls.renew()
        bad = tls.context
        tls.ca_file.write_bytes(trusted)
    tls.context, of_proxy = (good, bad) if way == "proxy itself" else (bad, good)
    with contextlib.ExitStack() as stack:
        host = HOSTS[0]
        if way != "direct":
            stack.enter_context(proxied(monkeypatch, None if way == "http proxy" else of_proxy))
            host = NAME
        client = stack.enter_context(Client(tls.settings(whiterabbit_emulator, host), AT_ONCE))
        for _ in range(2):
            with pytest.raises(exc.WhiteRabbitTransportError, match=f"certificate was refused: .*({reason})") as caught:
                client.submit(PAY, attempts=1)
            assert not caught.value.sent
    assert not tls.requests
