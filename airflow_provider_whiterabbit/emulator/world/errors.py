"""Refusals, in the two shapes that White Rabbit's documentation shows."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from airflow_provider_whiterabbit.emulator.plumbing.json_out import JsonResponse


class ApiError(Exception):
    """A request is refused.

    Authentication (401) and what the server's framework refuses before any endpoint is reached (400, 405, 413) answer
    ``{"message", "error", "code", "statusCode"}``; the endpoints' own refusals answer ``{"errors": [{"code",
    "message"}]}``.

    :param status: HTTP status.
    :param code: machine-readable reason, such as ``INVALID_SIGNATURE``.
    :param messages: what is wrong, one sentence each.
    """

    def __init__(self, status: int, code: str, *messages: str) -> None:
        super().__init__(status, code, *messages)
        self.status = status
        self.code = code
        self.messages: Sequence[str] = messages

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the answer."""
        if self.status in (400, 401, 405, 413):
            return {
                "message": " ".join(self.messages),
                "error": HTTPStatus(self.status).phrase,
                "code": self.code,
                "statusCode": self.status,
            }
        return {"errors": [{"code": self.code, "message": message} for message in self.messages]}

    def response(self) -> JsonResponse:
        """Return the answer."""
        return JsonResponse(self.body(), status_code=self.status)


def not_found(what: str, identity: str) -> ApiError:
    """Return the 404 for something that does not exist; `what` is such as ``execution``."""
    return ApiError(404, "NOT_FOUND", f"There is no {what} {identity!r:.80}.")
