"""What both transports do alike: addresses, signed headers, time limits."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_whiterabbit import __version__
from airflow_provider_whiterabbit.client.transport.settings import ClientSettings
from airflow_provider_whiterabbit.client.wire import answers
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from airflow_provider_whiterabbit.client.wire.signing import Signer
from airflow_provider_whiterabbit.exceptions import WhiteRabbitAuthenticationError, WhiteRabbitTransportError

MAX_RESPONSE_BYTES = 256 * 1024 * 1024
"""Largest answer that is read, in bytes."""

PATIENCE = 10
"""How many request time-outs the whole of an answer may take: outputs can be large, and a dribble must end."""

EVENT_STREAM = "text/event-stream"

_USER_INFO = re.compile(r"//[^/@\s]*@")  # the password of a proxy, which some errors show with its address


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of one exchange, from now on, in seconds: for the connection, for each silence, and for all of it."""

    connect: float
    read: float
    total: float
    begun: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds until all of it has to be over; negative from then on."""
        return self.begun + self.total - time.monotonic()


class ClientBase:
    """Everything about a client but the moving of bytes.

    :raises WhiteRabbitConfigError: if the environment names a proxy that can't be used.
    """

    __slots__ = ("_proxy", "_signer", "settings")

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings
        self._signer = Signer(settings.api_key, settings.api_secret, settings.empty_body_signature)
        self._proxy = settings.proxy

    @property
    def clock_offset(self) -> float:
        """Seconds that were added to our clock for signing, because the server's is ahead."""
        return self._signer.offset

    def _url(self, request: Request) -> str:
        return self.settings.base_url.rstrip("/") + request.path

    def _headers(self, request: Request, accept: str) -> dict[str, str]:
        headers = self._signer.headers(request)
        headers["Accept"] = accept
        headers["Accept-Encoding"] = "identity"  # an event must not wait in a compressor's buffer
        headers["User-Agent"] = f"airflow-provider-whiterabbit/{__version__}"
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        return headers

    def _limits(self, request: Request, within: float = float("inf")) -> Limits:
        usual = self.settings.request_timeout
        within = max(within, 0.001)  # nought would mean without a limit
        read = usual + request.server_wait
        return Limits(min(usual, within), min(read, within), min(PATIENCE * usual + request.server_wait, within))

    def _corrected_clock(self, error: WhiteRabbitAuthenticationError) -> bool:
        return self.settings.is_trustworthy and self._signer.correct_clock(error)


def check_stream(request: Request, response: Response) -> None:
    """Check that the head of an answer is that of an event stream.

    :raises WhiteRabbitResponseError: if the server refused.
    :raises WhiteRabbitTransportError: if something else answered.
    """
    if not 200 <= response.status < 300:
        raise answers.error_of(request, response)
    kind = response.headers.get("content-type", "")
    if response.status != 200 or not kind.lower().startswith(EVENT_STREAM):
        raise WhiteRabbitTransportError(
            f"{request.method} {request.path}: answered {response.status} with {kind or 'no content type'!r:.60}, "
            "not with an event stream"
        )


def lower_case(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers by their names in lower case, as `Response` keeps them."""
    return {name.lower(): value for name, value in headers.items()}


def root_cause(error: BaseException) -> str:
    """Name what is at the bottom of a transport's error; the layers above it repeat addresses, some with passwords."""
    seen = {id(error)}
    while (inner := getattr(error, "reason", None) or error.__cause__ or error.__context__) is not None:
        if not isinstance(inner, BaseException) or id(inner) in seen:
            break
        seen.add(id(inner))
        error = inner
    text = _USER_INFO.sub("//", str(error))
    if isinstance(error, ssl.SSLCertVerificationError):
        text += " (is the certificate of a company's own CA missing in the connection's 'ca_bundle'?)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
