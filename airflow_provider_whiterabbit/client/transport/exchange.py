"""What both clients share: the address, the signed headers, the time limits, and the messages of failures."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airflow_provider_whiterabbit import __version__
from airflow_provider_whiterabbit.client.transport.settings import ClientSettings
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.client.wire import answers
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from airflow_provider_whiterabbit.client.wire.signing import Signer
from airflow_provider_whiterabbit.exceptions import WhiteRabbitAuthenticationError, WhiteRabbitTransportError

EVENT_STREAM = "text/event-stream"
JSON = "application/json"

_PROXY_PASSWORD = re.compile(r"//[^/@\s]*@")  # some errors show the proxy's address with its password


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of one exchange, from now on, in seconds: to connect, for each silence, and in total."""

    connect: float
    read: float
    total: float
    begun: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds until the exchange must be over; negative afterwards."""
        return self.begun + self.total - time.monotonic()


class ClientBase:
    """What the two clients share.

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
        """Seconds that are added to this machine's clock for signing, because the server's is ahead."""
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

    def transport_error(self, request: Request, error: BaseException | str) -> WhiteRabbitTransportError:
        """Return the error for an exchange without a usable answer. It names connection, host, request and remedy.

        :param error: what a library raised, or a description.
        """
        url = urlsplit(self.settings.base_url)
        text, remedy = (error, "") if isinstance(error, str) else (root_cause_text(error), "")
        if isinstance(error, BaseException) and isinstance(_root_cause(error), socket.gaierror):
            text, remedy = f"cannot resolve {url.hostname}: {text}", "; check the connection's host"
        elif isinstance(error, BaseException) and isinstance(_root_cause(error), ssl.SSLCertVerificationError):
            text = f"the certificate of {url.hostname} was refused: {text}"
            remedy = "; if a company's own CA signed it, set the connection's 'ca_bundle'"
        connection = f"Connection {self.settings.connection_id}: " if self.settings.connection_id else ""
        return WhiteRabbitTransportError(
            f"{connection}{text} ({request.method} {request.path} on {url.netloc}){remedy}"
        )


def check_stream(request: Request, response: Response) -> None:
    """Check that the head of an answer is that of an event stream.

    :raises WhiteRabbitResponseError: if the server refused.
    :raises WhiteRabbitTransportError: if something else answered.
    """
    if not 200 <= response.status < 300:
        raise answers.error_of(request, response)
    content_type = response.headers.get("content-type", "")
    if response.status != 200 or not content_type.lower().startswith(EVENT_STREAM):
        raise WhiteRabbitTransportError(
            f"{request.method} {request.path}: the answer with status {response.status} is not an event stream "
            f"({content_type or 'no content type':.60})"
        )


def lower_case(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with their names in lower case, as `Response` keeps them."""
    return {name.lower(): value for name, value in headers.items()}


def root_cause_text(error: BaseException) -> str:
    """Describe the error at the bottom of a library's error. The layers above repeat addresses, some with passwords."""
    cause = _root_cause(error)
    text = _PROXY_PASSWORD.sub("//", str(cause))
    return f"{type(cause).__name__}: {text}" if text else type(cause).__name__


def _root_cause(error: BaseException) -> BaseException:
    seen = {id(error)}
    while (inner := getattr(error, "reason", None) or error.__cause__ or error.__context__) is not None:
        if not isinstance(inner, BaseException) or id(inner) in seen:
            break
        seen.add(id(inner))
        error = inner
    return error
