"""What the blocking and the asynchronous client share: URLs, signed headers, time limits, and the check of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_whiterabbit import __version__
from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError, transport_error
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.client.wire import answers
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from airflow_provider_whiterabbit.client.wire.signing import Signer
from airflow_provider_whiterabbit.exceptions import WhiteRabbitAuthenticationError, WhiteRabbitTransportError

EVENT_STREAM = "text/event-stream"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of one HTTP request, in seconds: to connect, to wait for each next byte, and in total."""

    connect: float
    read: float
    total: float
    begun: float = field(default_factory=monotonic)

    @property
    def left(self) -> float:
        """Seconds until the total time limit of the HTTP request; negative after the limit."""
        return self.begun + self.total - monotonic()


class ClientBase:
    """Base class of the blocking and the asynchronous client of White Rabbit's API.

    :param timing: the times of waits and retries.
    :raises WhiteRabbitConfigError: if the environment names a proxy that can't be used.
    """

    __slots__ = ("_proxy", "_signer", "settings", "timing")

    def __init__(self, settings: ClientSettings, timing: Timing) -> None:
        self.settings = settings
        self.timing = timing
        self._signer = Signer(settings.api_key, settings.api_secret, settings.empty_body_signature)
        self._proxy = settings.proxy

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
        )

    def _correct_clock(self, error: WhiteRabbitAuthenticationError) -> bool:
        return self.settings.is_trustworthy and self._signer.correct_clock(error)

    def transport_error(self, request: Request, error: Exception) -> WhiteRabbitTransportError:
        """Return the exception for a request that got no usable HTTP response; see `failures.transport_error`."""
        return transport_error(self.settings, self._proxy, request, error)


def check_stream(request: Request, head: Response) -> None:
    """Check the status and the content type of an HTTP response that must be an event stream.

    :raises WhiteRabbitResponseError: if the server refused.
    :raises UnusableAnswerError: if something else answered.
    """
    if not 200 <= head.status < 300:
        raise answers.error_of(request, head)
    content_type = head.headers.get("content-type", "")
    if head.status != 200 or not content_type.lower().startswith(EVENT_STREAM):
        raise UnusableAnswerError(
            f"the answer with status {head.status} is not an event stream ({content_type or 'no content type':.60})"
        )


def lower_case(headers: Mapping[str, str]) -> dict[str, str]:
    """Return HTTP headers with lower-case names, as the class `Response` stores headers."""
    return {name.lower(): value for name, value in headers.items()}
