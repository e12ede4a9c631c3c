"""HTTP error responses of the emulator, in the two JSON shapes that White Rabbit's documentation shows."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from airflow_provider_whiterabbit.emulator.plumbing.json_out import JsonResponse


class ApiError(Exception):
    """Raised when the emulator must respond to a request with an HTTP error.

    Errors of authentication (401) and of the HTTP framework, before any endpoint is reached (400, 405, 413), answer
    ``{"message", "error", "code", "statusCode"}``. The errors of the endpoints answer
    ``{"errors": [{"code", "message"}]}``.

    :param status: HTTP status.
    :param code: machine-readable reason, such as ``INVALID_SIGNATURE``.
    :param messages: one sentence for each problem.
    """

    def __init__(self, status: int, code: str, *messages: str) -> None:
        super().__init__(status, code, *messages)
        self.status = status
        self.code = code
        self.messages: Sequence[str] = messages

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the error response."""
        if self.status in (400, 401, 405, 413):
            return {
                "message": " ".join(self.messages),
                "error": HTTPStatus(self.status).phrase,
                "code": self.code,
                "statusCode": self.status,
            }
        return {"errors": [{"code": self.code, "message": message} for message in self.messages]}

    def response(self) -> JsonResponse:
        """Return the HTTP error response."""
        return JsonResponse(self.body(), status_code=self.status)


def not_found(noun: str, identity: str) -> ApiError:
    """Return the HTTP 404 error for an object that does not exist, such as an execution.

    :param noun: the kind of thing, such as ``execution``.
    """
    return ApiError(404, "NOT_FOUND", f"There is no {noun} {identity!r:.80}.")
