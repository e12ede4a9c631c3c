"""TLS certificates for the emulator: a certificate that clients can trust, and invalid certificates."""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
import weakref
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, get_args

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Certificate = Literal["trusted", "unknown-ca", "self-signed", "wrong-host", "expired"]
"""The kind of TLS certificate that the emulator shows to clients. The authority in the connection's ``ca_bundle`` signs
``trusted``, ``wrong-host`` (only the host is wrong) and ``expired`` (only the date is wrong)."""

_DAY = timedelta(days=1)


class Identity:
    """The emulator's TLS certificate and key in files. The files are deleted with the `Identity` object.

    :param host: address that the emulator listens on.
    :raises ValueError: if `certificate` is not one of `Certificate`.
    """

    def __init__(self, certificate: Certificate, host: str) -> None:
        if certificate not in get_args(Certificate):
            raise ValueError(f"certificate must be one of {', '.join(get_args(Certificate))}")
        folder = Path(tempfile.mkdtemp(prefix="whiterabbit-emulator-"))
        weakref.finalize(self, _remove, folder, os.getpid())
        authority, key = _Authority("White Rabbit emulator CA"), ec.generate_private_key(ec.SECP256R1())
        server_certificate = _server_certificate(certificate, host, key, authority)
        self.ca_bundle: str | None = None
        if certificate in ("trusted", "wrong-host", "expired"):
            ca_file = folder / "ca.pem"
            ca_file.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
            self.ca_bundle = str(ca_file)
        certificate_file = folder / "server.pem"
        self.certificate_file = str(certificate_file)
        certificate_file.touch(0o600)
        certificate_file.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + server_certificate.public_bytes(Encoding.PEM)
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate_file)


def _remove(folder: Path, process: int) -> None:
    # A forked process ends with a copy of the finalizer, while its parent process still uses the files.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


class _Authority:
    """A certificate authority: a name, and the key that signs certificates."""

    def __init__(self, name: str, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = key or ec.generate_private_key(ec.SECP256R1())

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate authority's own certificate, signed with its own key."""
        key_usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        return self.sign(
            _builder(self.name, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(key_usage, critical=True)
        )

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Add this certificate authority as the issuer of a certificate, and return the signed certificate."""
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return builder.issuer_name(self.name).add_extension(issuer_key, critical=False).sign(self.key, SHA256())


def _server_certificate(
    kind: Certificate, host: str, key: ec.EllipticCurvePrivateKey, authority: _Authority
) -> x509.Certificate:
    hosts = ["elsewhere.invalid"] if kind == "wrong-host" else [host, "localhost", "127.0.0.1", "::1"]
    not_after = datetime.now(UTC) + (-_DAY if kind == "expired" else 365 * _DAY)
    builder = (
        _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])]), key.public_key(), not_after)
        .add_extension(x509.SubjectAlternativeName(list(dict.fromkeys(map(_alternative_name, hosts)))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    issuer = _Authority(hosts[0], key) if kind == "self-signed" else authority
    return issuer.sign(builder)


def _builder(
    name: x509.Name, key: ec.EllipticCurvePublicKey, not_after: datetime | None = None
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _DAY)
        .not_valid_after(not_after or now + 365 * _DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
