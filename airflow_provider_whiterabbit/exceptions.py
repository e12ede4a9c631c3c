"""Everything that this package raises of its own accord: one hierarchy with `WhiteRabbitError` at its root.

None of these is an `AirflowException`: a sensor's ``soft_fail`` skips a task on those, and a refused key or an unknown
execution must never look like a skipped task. No message ever holds a key, a secret or a signature.
"""

from __future__ import annotations


class WhiteRabbitError(Exception):
    """Root of all errors of this package."""


class WhiteRabbitConfigError(WhiteRabbitError):
    """The Airflow connection cannot be used as it is; the message names the field and the remedy."""


class WhiteRabbitInputError(WhiteRabbitError, ValueError):
    """An argument was refused before anything was sent; the message names the field and the remedy."""


class WhiteRabbitTransportError(WhiteRabbitError):
    """No usable answer arrived: the connection was refused, cut, silent, or answered something other than the API.

    :param sent: False only if it is certain that no byte of the request left this machine.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class WhiteRabbitProtocolError(WhiteRabbitError):
    """The server answered JSON in a shape that the documented API does not have; guessing on would be dangerous."""


class WhiteRabbitSignatureError(WhiteRabbitError):
    """A callback is not signed, not signed with this secret, or not of this time: nothing in it may be believed."""


class WhiteRabbitTimeoutError(WhiteRabbitError):
    """An execution was not terminal when the caller's time was up. The execution itself goes on."""


class WhiteRabbitStreamError(WhiteRabbitError):
    """A stream can't be read on: an event is malformed, foreign or too large. The record still tells the truth."""


class WhiteRabbitResponseError(WhiteRabbitError):
    """The server refused a request.

    :param status: HTTP status of the answer.
    :param method: HTTP method of the request.
    :param path: path of the request, without host.
    :param errors: ``(code, message)`` pairs as the server gave them; either may be an empty string.
    :param retry_after: seconds that the server asked to wait (RFC 9110, section 10.2.3), if it did.
    :param clock_offset: seconds that the server's ``Date`` was ahead of our clock when the answer arrived, if known.
    :param hint: what to do about it, where we know.
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
        said = "; ".join(": ".join(part for part in pair if part) for pair in self.errors)
        parts = [f"White Rabbit answered {self.status} to {self.method} {self.path}", said, self.hint]
        return ". ".join(part.rstrip(".") for part in parts if part)

    @property
    def codes(self) -> tuple[str, ...]:
        """The server's error codes."""
        return tuple(code for code, _ in self.errors if code)


class WhiteRabbitInvalidRequestError(WhiteRabbitResponseError):
    """The server found the request's content invalid (400, 422)."""


class WhiteRabbitAuthenticationError(WhiteRabbitResponseError):
    """Key, signature or timestamp were refused (401)."""


class WhiteRabbitPermissionError(WhiteRabbitResponseError):
    """The key is valid but not allowed here (403)."""


class WhiteRabbitNotFoundError(WhiteRabbitResponseError):
    """Unknown execution, run or workflow (404)."""


class WhiteRabbitRateLimitError(WhiteRabbitResponseError):
    """Too many requests (429)."""


class WhiteRabbitServerError(WhiteRabbitResponseError):
    """Trouble on White Rabbit's side (5xx)."""


class WhiteRabbitUncertainSubmissionError(WhiteRabbitError):
    """A submission may or may not have reached White Rabbit. It is never sent again by itself: that could pay twice."""
