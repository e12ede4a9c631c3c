"""TLS of the blocking client: all connections share what was loaded from files, and new ones resume TLS sessions."""

from __future__ import annotations

import contextlib
import multiprocessing
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
from airflow_provider_whiterabbit.client.transport.exchange import Limits
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.client.transport.sync_limits import limited
from airflow_provider_whiterabbit.client.transport.sync_sockets import LimitedSocket
from airflow_provider_whiterabbit.client.transport.sync_tls import ClientTls
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
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
        self.drops_resumed = False
        """Whether a connection that has resumed a session is closed after its handshake."""
        self.early = b""
        """What is sent instead of an answer, before the request is read, and closes the connection."""
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
            if self.early or (self.drops_resumed and tls.session_reused):
                tls.sendall(self.early)
                return
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


def test_authority_replaced_in_place(whiterabbit_emulator: Emulator, tls: Server) -> None:
    """A file that was changed is noticed although its size and its time are the old ones, as in built images."""
    with Client(tls.settings(whiterabbit_emulator), AT_ONCE) as client:
        client.submit(PAY)
        before, trusted = tls.ca_file.stat(), tls.ca_file.read_bytes()
        tls.ca_file.write_bytes(trustme.CA().cert_pem.bytes()[: len(trusted)].ljust(len(trusted)))
        os.utime(tls.ca_file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert tls.ca_file.stat().st_size == before.st_size
        with pytest.raises(exc.WhiteRabbitTransportError, match="certificate"):
            client.submit(PAY, attempts=1)


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


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_connection_that_breaks_after_it_has_resumed(
    whiterabbit_emulator: Emulator, tls: Server, version: ssl.TLSVersion
) -> None:
    """If a server drops connections because they have resumed a session, that makes one submission uncertain."""
    tls.renew(version)
    tls.drops_resumed = True
    with Client(tls.settings(whiterabbit_emulator), AT_ONCE) as client:
        client.submit(PAY)
        with pytest.raises(exc.WhiteRabbitUncertainSubmissionError):
            client.submit(PAY)
        for _ in range(3):
            client.submit(PAY)
    assert tls.reused == [False, True, False, False, False]


@pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
def test_early_refusals(whiterabbit_emulator: Emulator, tls: Server, is_large: bool) -> None:
    """A server that refuses before it has read the request, and closes, has refused; as without TLS, that is known."""
    tls.renew(ssl.TLSVersion.TLSv1_2)  # with TLS 1.3, the unread tickets of the handshake reset the connection
    tls.early = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    request = api.execute_component("PAY", {"text": "x" * 3_000_000}) if is_large else PAY
    settings = tls.settings(whiterabbit_emulator)
    for _ in range(5):
        with Client(settings) as client, pytest.raises(exc.WhiteRabbitResponseError, match="413"):
            client.submit(request)


@pytest.mark.parametrize("has_certificate", [False, True])
def test_contexts_of_proxies(whiterabbit_emulator: Emulator, tls: Server, has_certificate: bool) -> None:
    """A proxy with TLS has a context of its own: it may have the server's name, under which sessions are kept."""
    settings = tls.settings(whiterabbit_emulator, **(tls.client_files() if has_certificate else {}))
    contexts = ClientTls(has_tls_proxy=True).current(settings)
    assert contexts.proxy is not contexts.server
    alone = ClientTls(has_tls_proxy=False).current(settings)
    assert alone.proxy is alone.server


def test_time_of_a_handshake(whiterabbit_emulator: Emulator, tls: Server) -> None:
    """A handshake has no more time than what is left of the exchange, as after a proxy that has taken most of it."""
    connecting, listener = socket.socketpair()
    limits = Limits(connect=60, read=60, total=50)
    with connecting, listener, limited(limits):
        assert 0 < LimitedSocket(connecting).gettimeout() <= 50


def test_stream_of_another_process(whiterabbit_emulator: Emulator) -> None:
    """A child process can't read the parent's stream, which would take away its bytes."""
    execution_id = whiterabbit_emulator.create_execution("PAY", manual=True)
    with Client(settings_for(whiterabbit_emulator)) as client:
        events = client.events(EXECUTION.followed(execution_id))
        next(events)

        def read(answers: Any) -> None:
            try:
                next(events)
            except Exception as error:
                answers.send(str(error))

        answer, answers = multiprocessing.get_context("fork").Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(target=read, args=(answers,))
        child.start()
        assert "belongs to the process that has opened it" in answer.recv()
        child.join()
        whiterabbit_emulator.complete(execution_id, 1)
        assert list(events)[-1].status.succeeded


@pytest.mark.parametrize("password", ["p%E2%82%AC", "hunter2\\x"], ids=["charset", "backslash"])
def test_proxy_that_cannot_be_used(
    whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    """A URL that the clients' libraries read otherwise, or a password that they can't send, is refused at once."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{password}@127.0.0.1:9")
    settings = settings_for(whiterabbit_emulator, "https://whiterabbit.invalid")
    with pytest.raises(exc.WhiteRabbitConfigError, match="proxy for https") as caught:
        Client(settings)
    assert password.partition("\\")[0] not in str(caught.value)


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
