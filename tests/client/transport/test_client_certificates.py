"""Client certificates of both clients, with a server that requires one."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.sharing import join, leave
from airflow_provider_whiterabbit.emulator import Emulator
from tests.client.servers import concurrent_server, read_request
from tests.client.transports import Fetch, both_clients, settings_for


@dataclass(frozen=True, slots=True)
class Server:
    """A TLS server that accepts clients with a certificate of its authority.

    :param authority: signs the certificates of the server and of the clients.
    :param folder: where files may be written.
    :param url: the server's URL.
    :param requests: what it has received.
    """

    authority: trustme.CA
    folder: Path
    url: str
    requests: list[bytes]

    def files_for(self, authority: trustme.CA) -> tuple[str, str]:
        """Make a client certificate; return the paths of the certificate and its key."""
        leaf = authority.issue_cert("client.example.org")
        number = len(list(self.folder.iterdir()))
        certificate, key = self.folder / f"{number}.pem", self.folder / f"{number}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        key.write_bytes(leaf.private_key_pem.bytes())
        return str(certificate), str(key)

    def settings(self, emulator: Emulator, **fields: Any) -> ClientSettings:
        """Return settings that trust the server."""
        return settings_for(emulator, self.url, ca_bundle=str(self.folder / "ca.pem"), connection_id="mutual", **fields)


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[Server]:
    """Run a server that answers to clients with a certificate."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("127.0.0.1").configure_cert(context)
    received: list[bytes] = []
    body = json.dumps({"id": "e-1"}).encode()

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as tls:
            try:
                tls.do_handshake()
            except ssl.SSLError:
                with socket.socket(fileno=os.dup(tls.fileno())) as tcp:
                    while tcp.recv(65536):  # closing while bytes are unread would reset the connection, and the alert
                        pass
                raise
            received.append(read_request(tls))
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))

    with concurrent_server(answer) as port:
        yield Server(authority, tmp_path, f"https://127.0.0.1:{port}", received)


@both_clients
@pytest.mark.parametrize("in_one_file", [False, True], ids=["two-files", "one-file"])
def test_a_client_certificate(
    whiterabbit_emulator: Emulator, tls_server: Server, fetch: Fetch, in_one_file: bool
) -> None:
    """The certificate and its key, in two files or in one, open the connection to the server."""
    certificate, key = tls_server.files_for(tls_server.authority)
    fields = {"client_cert": certificate, "client_key": key}
    if in_one_file:
        with Path(certificate).open("ab") as file:
            file.write(Path(key).read_bytes())
        del fields["client_key"]
    assert fetch(tls_server.settings(whiterabbit_emulator, **fields), "e-1") == {"id": "e-1"}
    assert len(tls_server.requests) == 1


@both_clients
@pytest.mark.parametrize("has_certificate", [True, False], ids=["unknown", "none"])
def test_a_certificate_that_the_server_refuses(
    whiterabbit_emulator: Emulator, tls_server: Server, fetch: Fetch, has_certificate: bool
) -> None:
    """A client without a certificate, or with one of another authority, is refused; the error names the field."""
    fields: dict[str, str] = {}
    if has_certificate:
        fields = dict(zip(("client_cert", "client_key"), tls_server.files_for(trustme.CA()), strict=True))
    with pytest.raises(exc.WhiteRabbitTransportError, match="check the connection's 'client_cert'"):
        fetch(tls_server.settings(whiterabbit_emulator, **fields), "e-1")
    assert not tls_server.requests


@both_clients
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("other key", "'client_key' names is not that of the certificate in 'client_cert'"),
        ("no key", "Without 'client_key', the file that 'client_cert' names must hold the private key too"),
        ("encrypted", "the extra field 'client_key' names is encrypted"),
        ("nonsense", "'client_cert' and 'client_key' name must hold a certificate and its private key"),
    ],
)
def test_certificates_that_cannot_be_used(
    whiterabbit_emulator: Emulator, tls_server: Server, fetch: Fetch, kind: str, message: str
) -> None:
    """A certificate without its key, or a key with a password, raises an error that names connection and field."""
    certificate, key = tls_server.files_for(tls_server.authority)
    fields = {"client_cert": certificate, "client_key": key}
    if kind == "other key":
        fields["client_key"] = tls_server.files_for(tls_server.authority)[1]
    elif kind == "no key":
        del fields["client_key"]
    elif kind == "encrypted":
        parsed = load_pem_private_key(Path(key).read_bytes(), None)
        encryption = BestAvailableEncryption(b"hunter2")
        Path(key).write_bytes(parsed.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    else:
        Path(certificate).write_text("-----BEGIN NONSENSE-----")
    with pytest.raises(exc.WhiteRabbitConfigError, match=message) as refused:
        fetch(tls_server.settings(whiterabbit_emulator, **fields), "e-1")
    assert str(refused.value).startswith("Connection mutual: ")
    assert not tls_server.requests


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_a_key_that_airflow_may_not_read(whiterabbit_emulator: Emulator, tls_server: Server) -> None:
    """A key whose permissions keep Airflow out raises an error that says so."""
    certificate, key = tls_server.files_for(tls_server.authority)
    Path(key).chmod(0)
    with pytest.raises(exc.WhiteRabbitConfigError, match=r"'client_key' names .* Permission denied"):
        tls_server.settings(whiterabbit_emulator, client_cert=certificate, client_key=key)


async def test_a_renewed_certificate(whiterabbit_emulator: Emulator, tls_server: Server) -> None:
    """Waits that start after a certificate was renewed share a session with the new one."""
    certificate, key = tls_server.files_for(tls_server.authority)
    settings = tls_server.settings(whiterabbit_emulator, client_cert=certificate, client_key=key)
    first, second = join(settings), join(settings)
    os.utime(certificate, ns=(1, 1))
    renewed = join(settings)
    assert first is second
    assert renewed is not first
    for shared in (first, second, renewed):
        await leave(shared)
