"""What the blocking and the asynchronous client share: URLs, signed headers, time limits, and the check of a stream."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_whiterabbit import __version__
from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.hiding import Hiding
from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError, transport_error
from airflow_provider_whiterabbit.client.transport.pace import HostPausedError, host_of, origin
from airflow_provider_whiterabbit.client.wait.followed import Followed, R
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.client.wire import answers
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from airflow_provider_whiterabbit.client.wire.signing import EmptyBodySignature, Signer
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitAuthenticationError,
    WhiteRabbitResponseError,
    WhiteRabbitTransportError,
    WhiteRabbitUncertainSubmissionError,
)

log = logging.getLogger(__name__)

EVENT_STREAM = "text/event-stream"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of one HTTP request, in seconds: to connect, to wait for each next byte, and in total.

    :param within: limit of all this and of the time for which the request queues before.
    """

    connect: float
    read: float
    total: float
    within: float = float("inf")
    begun: float = field(default_factory=monotonic)

    @property
    def left(self) -> float:
        """Seconds until the total time limit of the HTTP request; negative after the limit."""
        return self.begun + self.total - monotonic()


class ClientBase:
    """Base class of the blocking and the asynchronous client of White Rabbit's API.

    :param timing: the times of waits and retries.
    """

    __slots__ = ("_host", "_is_signature_accepted", "_proxy", "_signer", "hiding", "settings", "timing")

    def __init__(self, settings: ClientSettings, timing: Timing) -> None:
        self.settings = settings
        silence = settings.stream_silence
        self.timing = timing if silence is None else replace(timing, silence=silence)
        self._signer = Signer(settings.api_key, settings.api_secret, settings.empty_body_signature)
        self._proxy: str | None = None  # its URL, perhaps with a password
        self._host = host_of(settings.base_url, settings.requests_per_second)
        self._is_signature_accepted = False  # that of a request without a body
        self.hiding = Hiding()
        """The secrets in the inputs of submissions, which the client hides in all answers."""

    @property
    def clock_offset(self) -> float:
        """Seconds that are added to this machine's clock for signing requests, because the server's clock is ahead."""
        return self._signer.offset

    def _url(self, request: Request) -> str:
        return self.settings.base_url.rstrip("/") + request.path

    def _headers(self, request: Request, accept: str) -> dict[str, str]:
        headers = self._signer.headers(request)
        headers["Accept"] = accept
        headers["Accept-Encoding"] = "identity"  # compression would delay events in a buffer
        headers["User-Agent"] = f"airflow-provider-whiterabbit/{__version__}"
        if request.body is not None:
            headers["Content-Type"] = JSON
        return headers

    def _limits(self, request: Request, within: float = float("inf")) -> Limits:
        timeout = self.settings.request_timeout
        within = max(within, 0.001)  # 0 would mean without a limit
        return Limits(
            connect=min(timeout, within),
            read=min(timeout + request.server_wait, within),
            total=min(self.settings.answer_timeouts * timeout + request.server_wait, within),
            within=within,
        )

    def _correct_clock(self, error: WhiteRabbitAuthenticationError) -> bool:
        return self.settings.is_trustworthy and self._signer.correct_clock(error)

    def _sign_with(self, settings: ClientSettings) -> None:
        """Sign requests with the key and the secret of settings that were read again, if they are for the same host."""
        if origin(settings.base_url) != origin(self.settings.base_url):  # the new key belongs to the new host alone
            log.warning("The key was refused, and the connection %s names another host now", settings.connection_id)
            return
        names = ("api_key", "api_secret", "empty_body_signature")
        credentials = {name: getattr(settings, name) for name in names}
        if any(getattr(self.settings, name) != value for name, value in credentials.items()):
            log.info("The connection %s has a new key: requests are signed with it", settings.connection_id)
            self.settings = replace(self.settings, **credentials)
            offset, self._signer = self.clock_offset, Signer(*credentials.values())
            self._signer.offset = offset

    def _tell_unreadable(self, error: Exception) -> None:
        cause = clean(str(error)) or type(error).__name__
        log.warning("The key was refused, and the connection can't be read again: %s", cause)

    @contextlib.contextmanager
    def _submitting(self) -> Iterator[None]:
        """Submit within it; an error after which something may run at White Rabbit raises the error for that."""
        try:
            yield
        except (WhiteRabbitResponseError, WhiteRabbitTransportError) as error:
            if not retry.is_uncertain(error):
                raise
            raise WhiteRabbitUncertainSubmissionError(
                f"It is not known whether White Rabbit received this submission, so it was not sent again: {error}"
            ) from error

    def _undo_correction(self) -> None:
        self._signer.undo_correction()

    def _data_of(self, request: Request, response: Response) -> Any:
        """Return the JSON of an HTTP response, or raise the error that it is; see `answers.data_of`."""
        data = answers.data_of(request, self._hidden(response), self._other_signature(request, response))
        return self.hiding.data(data)

    def guarded(self, followed: Followed[R]) -> Followed[R]:
        """Return an execution or workflow run whose events are parsed without the secrets of inputs."""
        parse, hide = followed.parse_event, self.hiding.data
        return replace(followed, parse_event=lambda data: parse(hide(data))) if self.hiding else followed

    def _check_stream(self, request: Request, head: Response) -> None:
        """Check an HTTP response that must be an event stream, as `check_stream` of this module does."""
        check_stream(request, self._hidden(head), self._other_signature(request, head))

    def _other_signature(self, request: Request, response: Response) -> EmptyBodySignature | None:
        """Return the other way to sign a request without a body, if the way that was used can be why it is refused."""
        if request.body is not None:
            return None
        self._is_signature_accepted |= 200 <= response.status < 300
        if self._is_signature_accepted:
            return None
        return "omitted" if self.settings.empty_body_signature == "object" else "object"

    def _hidden(self, response: Response) -> Response:
        """Return an HTTP response; in that of an error, three stars take the place of each secret that it repeats."""
        if 200 <= response.status < 300:
            return response
        body = Hiding(self.settings.secrets).whole(response.body)
        headers = {name: self.hiding.error(value) for name, value in response.headers.items()}
        return replace(response, headers=headers, body=self.hiding.body(body))

    def transport_error(self, request: Request, error: Exception) -> WhiteRabbitTransportError:
        """Return the exception for a request that got no usable HTTP response; see `failures.transport_error`."""
        result = transport_error(self.settings, self._proxy, request, error, self.hiding)
        result.args = tuple(self.hiding.error(text) for text in result.args)
        if isinstance(error, HostPausedError):
            result.sent, result.retry_after = False, error.left
        return result


def check_stream(request: Request, head: Response, other_signature: str | None = None) -> None:
    """Check the status and the content type of an HTTP response that must be an event stream.

    :param other_signature: as for `answers.error_of`.
    :raises WhiteRabbitResponseError: if the server refused.
    :raises UnusableAnswerError: if something else answered.
    """
    if not 200 <= head.status < 300:
        raise answers.error_of(request, head, other_signature)
    content_type = head.headers.get("content-type", "")
    if head.status != 200 or not content_type.lower().startswith(EVENT_STREAM):
        raise UnusableAnswerError(
            f"the answer with status {head.status} is not an event stream ({content_type or 'no content type':.60})"
        )


def lower_case(headers: Mapping[str, str]) -> dict[str, str]:
    """Return HTTP headers with lower-case names, as the class `Response` stores headers.

    Fields of the same name are combined, as `requests` does (RFC 9110, section 5.3). The values are fit for messages:
    aiohttp reads a byte that is not UTF-8 as a lone surrogate.
    """
    combined: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        combined[key] = f"{combined[key]}, {clean(value)}" if key in combined else clean(value)
    return combined
