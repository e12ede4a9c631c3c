"""TLS of both clients: which servers they trust, and the certificate with which they identify themselves."""

from __future__ import annotations

import contextlib
import os
import ssl
from pathlib import Path

from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError

FIELDS = ("client_cert", "client_key")


class _EncryptedKeyError(Exception):
    """Raised instead of asking for the key's password on a terminal, which would hang the task."""


def check_files(client_cert: str | None, client_key: str | None) -> None:
    """Check that the files of a client certificate can be opened, which takes no noticeable time.

    :raises WhiteRabbitConfigError: if one can't. The message names the extra field and the file.
    """
    if client_key and not client_cert:
        raise WhiteRabbitConfigError("The extra field 'client_key' needs 'client_cert', the certificate of the key.")
    for name, path in zip(FIELDS, (client_cert, client_key), strict=True):
        if path is None:
            continue
        try:
            with open(path, "rb"):  # noqa: PTH123 (`Path` fails with other errors if the path holds a NUL)
                pass
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise WhiteRabbitConfigError(
                f"The extra field '{name}' names {path!r:.300}, which can't be read: {reason}. Each worker, triggerer "
                "and API server needs the file."
            ) from None


def check_client_certificate(client_cert: str | None, client_key: str | None) -> None:
    """Parse a client certificate and its key, for clear errors before anything is sent.

    :raises WhiteRabbitConfigError: if they can't be used. The message names the extra field.
    """
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), client_cert, client_key)


def tls_context(trust_store: str, client_cert: str | None, client_key: str | None) -> ssl.SSLContext:
    """Return the TLS context of a client. Reading the certificates takes some 20 ms.

    :param trust_store: file or folder with CA certificates.
    :param client_cert: file with the client's certificate, perhaps followed by those of its authorities.
    :param client_key: file with the private key; None if it is in the certificate's file.
    :raises WhiteRabbitConfigError: if the client certificate can't be used.
    :raises OSError: if the CA certificates can't be read.
    """
    context = _trusting(trust_store)
    context.hostname_checks_common_name = False  # as browsers and urllib3 do
    _load(context, client_cert, client_key)
    return context


def stamp(*paths: str | None) -> tuple[int, ...]:
    """Return numbers that change when one of these files is changed or replaced: a renewed one is to be read again.

    :param paths: files, and folders, of which only the list of entries counts; None is skipped.
    """
    stamps: list[int] = []
    for path in filter(None, paths):
        with contextlib.suppress(OSError):
            status = os.stat(path)  # noqa: PTH116 (a text)
            stamps += (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
    return tuple(stamps)


def _trusting(trust_store: str) -> ssl.SSLContext:
    folder = trust_store if Path(trust_store).is_dir() else None
    try:
        return ssl.create_default_context(cafile=None if folder else trust_store, capath=folder)
    except OSError as error:  # which does not name the file
        unreadable = OSError(f"the CA certificates in {trust_store!r:.300} can't be read: {error}")
    raise unreadable  # without a cause, which the message of a failed request would show instead


def _load(context: ssl.SSLContext, client_cert: str | None, client_key: str | None) -> None:
    if client_cert is None:
        return

    def refuse() -> str:
        raise _EncryptedKeyError

    key_field = "client_key" if client_key else "client_cert"
    try:
        context.load_cert_chain(client_cert, client_key, password=refuse)
    except _EncryptedKeyError:
        raise WhiteRabbitConfigError(
            f"The private key in the file that the extra field '{key_field}' names is encrypted: store it without a "
            "password, readable for Airflow alone."
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = f"The private key that '{key_field}' names is not that of the certificate in 'client_cert'"
        elif client_key:
            problem = "The files that 'client_cert' and 'client_key' name must hold a certificate and its private key"
        else:
            problem = "Without 'client_key', the file that 'client_cert' names must hold the private key too"
        raise WhiteRabbitConfigError(f"{problem}, both as PEM ({error.reason or error}).") from None
    except OSError as error:  # since the settings were made
        raise WhiteRabbitConfigError(
            f"The files that 'client_cert' and 'client_key' name can't be read: {error}"
        ) from None
