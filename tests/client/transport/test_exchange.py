"""What both clients share: the check that an answer is an event stream."""

from __future__ import annotations

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.exchange import check_stream
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError
from airflow_provider_whiterabbit.client.wire.messages import Response

READ = api.get_execution("e-1")


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
            UnusableAnswerError,
            "status 204 is not an event stream",
        ),
        (200, {"content-type": "text/html"}, UnusableAnswerError, r"not an event stream \(text/html\)"),
        (200, {}, UnusableAnswerError, r"not an event stream \(no content type\)"),
    ],
)
def test_answers_that_are_not_event_streams(
    status: int, headers: dict[str, str], error: type[Exception], message: str
) -> None:
    """A refusal raises the error of its status, and any other answer that is not a stream is unusable."""
    with pytest.raises(error, match=message):
        check_stream(READ, Response(status, headers, b"", 0.0))
