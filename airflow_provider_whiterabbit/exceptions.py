"""The exceptions of the White Rabbit provider; all of the exceptions derive from `WhiteRabbitError`.

None of them is an `AirflowException`: after those, a sensor's ``soft_fail`` skips its task, and a refused key or an
unknown execution must not look like a skipped task. No message contains a key, a secret or a signature. Each message
has at most 2,000 characters, and none that a log or a database refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_whiterabbit.client.text import clean

_MAX_SERVER_ERRORS = 1_000
"""How many characters of the server's errors a message shows at most, so that nothing behind them is cut."""


class WhiteRabbitError(Exception):
    """Base class of all exceptions of the White Rabbit provider."""

    def __str__(self) -> str:
        return clean(super().__str__())


class WhiteRabbitConfigError(WhiteRabbitError):
    """Raised if the Airflow connection can't be used; the message names the wrong field and the remedy."""


class WhiteRabbitSecretError(WhiteRabbitError):
    """Raised if a secret that an input names can't be read; the message names the input's place and the secret."""


class WhiteRabbitInputError(WhiteRabbitError, ValueError):
    """Raised if an argument is wrong, before a request is sent; the message names the argument and the remedy."""


class WhiteRabbitTransportError(WhiteRabbitError):
    """Raised if no usable HTTP response arrived: the connection failed, or something other than the API responded.

    :param sent: False only if it is certain that no byte of the request left this machine.
    :param retry_after: seconds that are left of a pause for which the host asked; None if it did not.
    """

    def __init__(self, message: str, *, sent: bool = True, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.sent = sent
        self.retry_after = retry_after


class WhiteRabbitProtocolError(WhiteRabbitError):
    """Raised if the server's JSON has a form that the API does not document, because a guess would be dangerous."""


class WhiteRabbitSignatureError(WhiteRabbitError):
    """Raised if a callback's signature is missing, wrong or too old, so that nothing in the callback can be trusted."""


class WhiteRabbitOutputError(WhiteRabbitError):
    """Raised if an execution or workflow run COMPLETED, but Airflow can't store its output as XCom."""


class WhiteRabbitTimeoutError(WhiteRabbitError):
    """Raised if an execution or workflow run has not ended at the deadline; nothing is cancelled at White Rabbit.

    :param ended: the results of those that had ended, of a wait for many; in the order of the ids.
    """

    def __init__(self, message: str, ended: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.ended = list(ended)


class WhiteRabbitStreamError(WhiteRabbitError):
    """Raised if an event stream is silent, or sends an event that is malformed, too large or of another execution."""


class WhiteRabbitResponseError(WhiteRabbitError):
    """Raised if White Rabbit's server refused a request with an HTTP error status.

    :param status: HTTP status of the answer.
    :param method: HTTP method of the request.
    :param path: path of the request, without host.
    :param errors: ``(code, message)`` pairs of the server; either may be an empty string.
    :param retry_after: seconds that the server asked to wait (RFC 9110, section 10.2.3); None if it did not.
    :param clock_offset: seconds that the server's ``Date`` was ahead of this machine's clock; None if unknown.
    :param hint: what to do about it; empty if unknown.
    :param request_id: the server's id of the request, for White Rabbit's support; None if it gave none.
    """

    def __init__(
        self,
        status: int,
        method: str,
        path: str,
        errors: tuple[tuple[str, str], ...] = (),
        *,
        retry_after: float | None = None,
        clock_offset: float | None = None,
        hint: str = "",
        request_id: str | None = None,
    ) -> None:
        self.status = status
        self.method = method
        self.path = path
        self.errors = errors
        self.retry_after = retry_after
        self.clock_offset = clock_offset
        self.hint = hint
        self.request_id = request_id
        super().__init__(status, method, path, errors)

    def __str__(self) -> str:
        server_errors = "; ".join(": ".join(part for part in pair if part) for pair in self.errors)
        server_errors = clean(server_errors, _MAX_SERVER_ERRORS)
        parts = [f"White Rabbit answered {self.status} to {self.method} {self.path}", server_errors, self.hint]
        text = ". ".join(part.rstrip(".") for part in parts if part)
        return clean(f"{text} (request id {self.request_id})" if self.request_id else text)

    @property
    def is_from_api(self) -> bool:
        """Whether White Rabbit's API itself refused: its errors have a code and a message, those of proxies do not."""
        return any(code and message for code, message in self.errors)

    @property
    def codes(self) -> tuple[str, ...]:
        """The error codes in the server's HTTP response."""
        return tuple(code for code, _ in self.errors if code)


class WhiteRabbitInvalidRequestError(WhiteRabbitResponseError):
    """Raised if the server found the content of a request invalid (HTTP status 400 or 422)."""


class WhiteRabbitAuthenticationError(WhiteRabbitResponseError):
    """Raised if the server refused a request's API key, signature or timestamp (HTTP status 401)."""


class WhiteRabbitPermissionError(WhiteRabbitResponseError):
    """Raised if the API key is valid, but does not permit the request (HTTP status 403)."""


class WhiteRabbitNotFoundError(WhiteRabbitResponseError):
    """Raised if the server does not know the execution, workflow run or workflow (HTTP status 404)."""


class WhiteRabbitRateLimitError(WhiteRabbitResponseError):
    """Raised if the server received too many requests (HTTP status 429)."""


class WhiteRabbitServerError(WhiteRabbitResponseError):
    """Raised if White Rabbit's server failed (HTTP status 5xx)."""


class WhiteRabbitUncertainSubmissionError(WhiteRabbitError):
    """Raised if a submission may have reached White Rabbit; submitting again automatically could pay twice."""
