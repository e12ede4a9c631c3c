"""The exceptions of this package: one hierarchy with `WhiteRabbitError` at its root.

None of them is an `AirflowException`: after those, a sensor's ``soft_fail`` skips its task, and a refused key or an
unknown execution must not look like a skipped task. No message contains a key, a secret or a signature.
"""

from __future__ import annotations


class WhiteRabbitError(Exception):
    """Root of all errors of this package."""


class WhiteRabbitConfigError(WhiteRabbitError):
    """The Airflow connection can't be used. The message names the field and the remedy."""


class WhiteRabbitInputError(WhiteRabbitError, ValueError):
    """An argument was refused before anything was sent. The message names the argument and the remedy."""


class WhiteRabbitTransportError(WhiteRabbitError):
    """No usable answer arrived: the connection was refused, cut or silent, or something other than the API answered.

    :param sent: False only if it is certain that no byte of the request left this machine.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class WhiteRabbitProtocolError(WhiteRabbitError):
    """The server's JSON has a form that the API does not document. Guessing what it means would be dangerous."""


class WhiteRabbitSignatureError(WhiteRabbitError):
    """A callback has no signature, a wrong one or an old one, so nothing in it can be trusted."""


class WhiteRabbitTimeoutError(WhiteRabbitError):
    """An execution or run had not ended at the deadline. It was not cancelled."""


class WhiteRabbitStreamError(WhiteRabbitError):
    """A stream can't be used any more: it is silent, or an event is malformed, too large, or of another execution."""


class WhiteRabbitResponseError(WhiteRabbitError):
    """The server refused a request.

    :param status: HTTP status of the answer.
    :param method: HTTP method of the request.
    :param path: path of the request, without host.
    :param errors: ``(code, message)`` pairs of the server; either may be an empty string.
    :param retry_after: seconds that the server asked to wait (RFC 9110, section 10.2.3); None if it did not.
    :param clock_offset: seconds that the server's ``Date`` was ahead of this machine's clock; None if unknown.
    :param hint: what to do about it; empty if unknown.
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
    ) -> None:
        self.status = status
        self.method = method
        self.path = path
        self.errors = errors
        self.retry_after = retry_after
        self.clock_offset = clock_offset
        self.hint = hint
        super().__init__(status, method, path, errors)

    def __str__(self) -> str:
        server_errors = "; ".join(": ".join(part for part in pair if part) for pair in self.errors)
        parts = [f"White Rabbit answered {self.status} to {self.method} {self.path}", server_errors, self.hint]
        return ". ".join(part.rstrip(".") for part in parts if part)

    @property
    def codes(self) -> tuple[str, ...]:
        """The server's error codes."""
        return tuple(code for code, _ in self.errors if code)


class WhiteRabbitInvalidRequestError(WhiteRabbitResponseError):
    """The server found the request's content invalid (400, 422)."""


class WhiteRabbitAuthenticationError(WhiteRabbitResponseError):
    """The server refused the key, the signature or the timestamp (401)."""


class WhiteRabbitPermissionError(WhiteRabbitResponseError):
    """The key is valid, but is not allowed to do this (403)."""


class WhiteRabbitNotFoundError(WhiteRabbitResponseError):
    """The server does not know the execution, run or workflow (404)."""


class WhiteRabbitRateLimitError(WhiteRabbitResponseError):
    """The server received too many requests (429)."""


class WhiteRabbitServerError(WhiteRabbitResponseError):
    """White Rabbit's server failed (5xx)."""


class WhiteRabbitUncertainSubmissionError(WhiteRabbitError):
    """A submission perhaps reached White Rabbit. It is never resent automatically: that could pay twice."""
