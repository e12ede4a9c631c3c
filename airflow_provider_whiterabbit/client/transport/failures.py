"""Error messages for failed HTTP requests: what went wrong, on which connection, at which host, and what to do."""

from __future__ import annotations

import re
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_whiterabbit.client.hiding import Hiding
from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.wire.messages import Request
from airflow_provider_whiterabbit.exceptions import WhiteRabbitTransportError

_PROXY_PASSWORD = re.compile(r"//[^/@\s]*@")  # some errors show the proxy's address with its password

_CLIENT_REFUSED = re.compile(r"ALERT_\w*(CERTIFICATE|UNKNOWN_CA)")
"""The names of the alerts (RFC 8446, section 6.2) with which a server refuses a client's certificate, or its lack."""

_LIBRARIES = ("aiohttp", "h2", "http", "requests", "ssl", "urllib3")
"""The packages whose errors, as well as those of the operating system, can be the cause of a failed exchange."""

_MAX_CAUSE = 500
"""How many characters of a library's error a message shows at most."""

_UNKNOWN_ISSUER = (18, 19, 20, 21)  # OpenSSL, X509_V_ERR_…: no certificate authority that we know signed it


class UnusableAnswerError(Exception):
    """Raised if an HTTP response is too slow, too large or not in the expected form; the message says which."""


class TooSlowError(UnusableAnswerError):
    """Raised if the next byte of an HTTP response, or its last byte, does not arrive in time."""


def too_large(max_bytes: int) -> UnusableAnswerError:
    """Return the exception for an HTTP response that is larger than the limit in bytes."""
    return UnusableAnswerError(f"the answer has more than {max_bytes} bytes")


def transport_error(
    settings: ClientSettings, proxy_url: str | None, request: Request, error: Exception, hiding: Hiding
) -> WhiteRabbitTransportError:
    """Return the exception for a request without a usable HTTP response; its message names connection, host and remedy.

    :param proxy_url: the proxy of the exchange, perhaps with a password, which the message omits.
    :param error: an unusable answer, or what a library raised.
    :param hiding: hides secrets in the library's text.
    """
    server = urlsplit(settings.base_url)
    proxy = urlsplit(proxy_url) if proxy_url else None
    place = f"{request.method} {request.path} on {server.netloc}"
    if proxy:
        place += f" through the proxy {proxy.netloc.rpartition('@')[2]}"
    # Through a proxy, this machine resolves and connects to the proxy alone.
    host, source = (proxy.hostname, "HTTPS_PROXY") if proxy else (server.hostname, "the connection's host")
    cause, remedy = _explained(error, str(host), source, hiding)
    return WhiteRabbitTransportError(f"{settings.prefix}{cause} ({place}){remedy}")


def root_cause_text(error: BaseException, hiding: Hiding) -> str:
    """Describe the root cause of a library's exception. The outer exceptions repeat addresses, some with passwords.

    :param hiding: hides secrets in the library's text, which may quote what the server sent.
    """
    cause = _root_cause(error)
    text = clean(_PROXY_PASSWORD.sub("//", hiding.cause(cause)), _MAX_CAUSE)
    return f"{type(cause).__name__}: {text}" if text else type(cause).__name__


def _explained(error: Exception, host: str, source: str, hiding: Hiding) -> tuple[str, str]:
    """Return a description of a failed request and a remedy; the remedy is empty if no remedy is known.

    :param host: the host that this machine connects to.
    :param source: the setting that names this host.
    """
    if isinstance(error, UnusableAnswerError):
        return str(error), ""
    cause, text = _root_cause(error), root_cause_text(error, hiding)
    if isinstance(cause, socket.gaierror):
        return f"cannot resolve {host}: {text}", f"; check {source}"
    if isinstance(cause, ConnectionRefusedError):
        return f"cannot connect to {host}: {text}", f"; check {source} and its port"
    if isinstance(cause, ssl.SSLCertVerificationError):
        unknown_issuer = getattr(cause, "verify_code", None) in _UNKNOWN_ISSUER
        remedy = "; if a company's own CA signed it, set the connection's 'ca_bundle'" if unknown_issuer else ""
        return f"a certificate was refused: {text}", remedy
    if isinstance(cause, ssl.SSLError) and _CLIENT_REFUSED.search(cause.reason or ""):
        return f"the server wants another client certificate: {text}", "; check the connection's 'client_cert'"
    if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER":  # OpenSSL's name for any other bytes
        return f"the other side does not speak TLS: {text}", f"; check {source}, its scheme and its port"
    return text, ""


def _root_cause(error: BaseException) -> BaseException:
    seen = {id(error)}
    while (inner := _inner(error)) is not None:
        if not isinstance(inner, BaseException) or id(inner) in seen:
            break
        seen.add(id(inner))
        error = inner
    return error


def _inner(error: BaseException) -> Any:
    inner = getattr(error, "reason", None) or error.__cause__ or _transport_error_or_none(error.__context__)
    if inner is None:  # urllib3 puts the error of a handshake into an argument
        return next((argument for argument in error.args if isinstance(argument, BaseException)), None)
    return inner


def _transport_error_or_none(context: BaseException | None) -> BaseException | None:
    """Return what led to an error; None if that is what the task's code was handling when it sent the request."""
    is_library_s = type(context).__module__.partition(".")[0] in _LIBRARIES
    return context if is_library_s or isinstance(context, OSError | EOFError) else None
