"""The messages of failed exchanges: connection, cause, request, host and remedy."""

from __future__ import annotations

import socket
import ssl

import aiohttp
import pytest
from aiohttp.http_exceptions import BadStatusLine

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.hiding import Hiding, Withholding
from airflow_provider_whiterabbit.client.transport.failures import (
    UnusableAnswerError,
    root_cause_text,
    too_large,
    transport_error,
)
from airflow_provider_whiterabbit.emulator import Emulator
from tests.client.transports import settings_for

READ = api.get_execution("e-1")
URL = "https://api.example.org:8443"
WHERE = "(GET /v1/sdk/components/executions/e-1 on api.example.org:8443)"
PROXY = "http://user:hunter2@proxy.example.org:3128"
THROUGH_PROXY = WHERE.replace(")", " through the proxy proxy.example.org:3128)")


def refused_certificate(verify_code: int) -> ssl.SSLCertVerificationError:
    """Return the error of a certificate that OpenSSL refuses for a reason with this number."""
    error = ssl.SSLCertVerificationError(1, "not trusted")
    error.verify_code = verify_code
    return error


def no_tls() -> ssl.SSLError:
    """Return the error of a TLS client whose server answers in plain HTTP, without the place in Python's source."""
    client = ssl.create_default_context().wrap_bio(answer := ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="x")
    answer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError) as caught:
        client.do_handshake()
    error = ssl.SSLError(1, caught.value.args[1].partition(" (_ssl")[0])
    error.reason = caught.value.reason
    return error


@pytest.mark.parametrize(
    ("error", "cause", "remedy"),
    [
        (UnusableAnswerError("no answer within 3 s"), "no answer within 3 s", ""),
        (too_large(7), "the answer has more than 7 bytes", ""),
        (ConnectionResetError("reset by peer"), "ConnectionResetError: reset by peer", ""),
        (TimeoutError(), "TimeoutError", ""),
        (
            ConnectionRefusedError("refused"),
            "cannot connect to api.example.org: ConnectionRefusedError: refused",
            "; check the connection's host and its port",
        ),
        (
            socket.gaierror("Name or service not known"),
            "cannot resolve api.example.org: gaierror: Name or service not known",
            "; check the connection's host",
        ),
        (
            refused_certificate(20),
            "a certificate was refused: SSLCertVerificationError: not trusted",
            "; if a company's own CA signed it, set the connection's 'ca_bundle'",
        ),
        (
            no_tls(),
            "the other side does not speak TLS: SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number",
            "; check the connection's host, its scheme and its port",
        ),
        (refused_certificate(10), "a certificate was refused: SSLCertVerificationError: not trusted", ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_messages(whiterabbit_emulator: Emulator, error: Exception, cause: str, remedy: str) -> None:
    """A message names connection, cause, request, host and remedy; without Airflow there is no connection to name."""
    settings = settings_for(whiterabbit_emulator, URL, connection_id="wr_prod")
    message = f"{cause} {WHERE}{remedy}"
    assert str(transport_error(settings, None, READ, error, Hiding())) == f"Connection wr_prod: {message}"
    without_airflow = settings_for(whiterabbit_emulator, URL)
    assert str(transport_error(without_airflow, None, READ, error, Hiding())) == message


@pytest.mark.parametrize(
    ("error", "cause", "remedy"),
    [
        (socket.gaierror("unknown"), "cannot resolve proxy.example.org: gaierror: unknown", "; check HTTPS_PROXY"),
        (
            ConnectionRefusedError("refused"),
            "cannot connect to proxy.example.org: ConnectionRefusedError: refused",
            "; check HTTPS_PROXY and its port",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_messages_through_a_proxy(whiterabbit_emulator: Emulator, error: Exception, cause: str, remedy: str) -> None:
    """Through a proxy, the message blames the host that this machine connects to, and hides the proxy's password."""
    message = str(transport_error(settings_for(whiterabbit_emulator, URL), PROXY, READ, error, Hiding()))
    assert message == f"{cause} {THROUGH_PROXY}{remedy}"


def test_root_cause() -> None:
    """The text of an error is that of its innermost cause, without the password of a proxy."""
    inner = OSError("cannot connect to http://user:hunter2@proxy:3128")
    outer = ValueError("a library's error")
    outer.__cause__ = inner
    assert root_cause_text(outer, Hiding()) == "OSError: cannot connect to http://proxy:3128"
    inner.__context__ = outer  # a circle
    assert root_cause_text(outer, Hiding()) == "OSError: cannot connect to http://proxy:3128"


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (aiohttp.ClientPayloadError("Bad chunk size: Kj7dYw2mZq91XvbT"), "ClientPayloadError"),
        (BadStatusLine("Kj7dYw2mZq91XvbT"), "BadStatusLine"),
        (ConnectionResetError(104, "reset by peer"), "ConnectionResetError: [Errno 104] reset by peer"),
    ],
    ids=["payload", "status", "reset"],
)
def test_what_libraries_quote(error: Exception, shown: str) -> None:
    """Where answers may repeat secrets that are not known, a message shows only what quotes no answer."""
    assert root_cause_text(error, Withholding()) == shown
    assert "Kj7d" not in root_cause_text(error, Hiding(["Kj7dYw2mZq91XvbT"]))


@pytest.mark.parametrize("outer", [KeyError("order"), KeyboardInterrupt()], ids=repr)
def test_what_the_code_handles_is_no_cause(outer: BaseException) -> None:
    """A request that is sent while the task's code handles an error does not fail because of that error."""

    def send() -> None:
        try:
            raise ConnectionRefusedError("refused")
        except ConnectionRefusedError:
            raise aiohttp.ClientError  # noqa: B904 (as libraries do)

    def handle() -> None:
        try:
            raise outer
        except BaseException:
            send()

    with pytest.raises(aiohttp.ClientError) as caught:
        handle()
    assert root_cause_text(caught.value, Hiding()) == "ConnectionRefusedError: refused"
