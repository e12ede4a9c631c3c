"""What both clients share: the messages of transport errors, and the check that an answer is an event stream."""

from __future__ import annotations

import socket
import ssl

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.exchange import ClientBase, check_stream, root_cause_text
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.client.wire.messages import Response
from airflow_provider_whiterabbit.emulator import Emulator
from tests.client.transports import settings_for

READ = api.get_execution("e-1")
WHERE = "(GET /v1/sdk/components/executions/e-1 on api.example.org:8443)"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("no answer within 3 s", f"no answer within 3 s {WHERE}"),
        (ConnectionResetError("reset by peer"), f"ConnectionResetError: reset by peer {WHERE}"),
        (TimeoutError(), f"TimeoutError {WHERE}"),
        (
            socket.gaierror("Name or service not known"),
            f"cannot resolve api.example.org: gaierror: Name or service not known {WHERE}; check the connection's host",
        ),
        (
            ssl.SSLCertVerificationError(1, "self-signed"),
            (
                f"the certificate of api.example.org was refused: SSLCertVerificationError: self-signed {WHERE}; "
                "if a company's own CA signed it, set the connection's 'ca_bundle'"
            ),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_messages_of_transport_errors(whiterabbit_emulator: Emulator, error: str | Exception, message: str) -> None:
    """A transport error says which connection failed and why, for which request to which host, and what to do."""
    url = "https://api.example.org:8443"
    client = ClientBase(settings_for(whiterabbit_emulator, url, connection_id="wr_prod"), Timing())
    assert str(client.transport_error(READ, error)) == f"Connection wr_prod: {message}"
    without_airflow = ClientBase(settings_for(whiterabbit_emulator, url), Timing())
    assert str(without_airflow.transport_error(READ, error)) == message


def test_root_cause() -> None:
    """The text of an error is that of its innermost cause, without the password of a proxy."""
    inner = OSError("cannot connect to http://user:hunter2@proxy:3128")
    outer = ValueError("a library's error")
    outer.__cause__ = inner
    assert root_cause_text(outer) == "OSError: cannot connect to http://proxy:3128"
    inner.__context__ = outer  # a circle
    assert root_cause_text(outer) == "OSError: cannot connect to http://proxy:3128"


@pytest.mark.parametrize("content_type", ["text/event-stream", "Text/Event-Stream; charset=utf-8"])
def test_event_streams(content_type: str) -> None:
    """An answer with the status 200 and the content type of event streams is a stream."""
    check_stream(READ, Response(200, {"content-type": content_type}, b"", 0.0))


@pytest.mark.parametrize(
    ("status", "headers", "error", "message"),
    [
        (403, {"content-type": "text/event-stream"}, exc.WhiteRabbitPermissionError, "answered 403"),
        (302, {}, exc.WhiteRabbitResponseError, "never redirects"),
        (
            204,
            {"content-type": "text/event-stream"},
            exc.WhiteRabbitTransportError,
            "status 204 is not an event stream",
        ),
        (200, {"content-type": "text/html"}, exc.WhiteRabbitTransportError, r"not an event stream \(text/html\)"),
        (200, {}, exc.WhiteRabbitTransportError, r"not an event stream \(no content type\)"),
    ],
)
def test_answers_that_are_not_event_streams(
    status: int, headers: dict[str, str], error: type[Exception], message: str
) -> None:
    """A refusal raises the error of its status, and any other answer that is not a stream raises a transport error."""
    with pytest.raises(error, match=message):
        check_stream(READ, Response(status, headers, b"", 0.0))
