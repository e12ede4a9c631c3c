"""What an HTTP response of the API means: its JSON, or the exception for an error status."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import checks, known_secrets
from airflow_provider_whiterabbit.client.hiding import Hiding
from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.client.wire.json_in import integer
from airflow_provider_whiterabbit.client.wire.messages import Request, Response

CLOCK_WINDOW = 25.0
"""Clock error, in seconds, that explains a refused signature: the server allows 30 seconds, less network delay."""

_MAX_SHOWN = 500
"""How many characters of a server's error code or error message an exception keeps at most."""

_ERRORS: dict[int, type[exc.WhiteRabbitResponseError]] = {
    400: exc.WhiteRabbitInvalidRequestError,
    401: exc.WhiteRabbitAuthenticationError,
    403: exc.WhiteRabbitPermissionError,
    404: exc.WhiteRabbitNotFoundError,
    422: exc.WhiteRabbitInvalidRequestError,
    429: exc.WhiteRabbitRateLimitError,
}


_REQUEST_IDS = (
    "x-request-id",
    "x-correlation-id",
    "request-id",
    "x-amzn-requestid",
    "x-amzn-trace-id",
    "x-amz-cf-id",
    "cf-ray",
    "x-vercel-id",
    "fly-request-id",
    "x-cloud-trace-context",
    "x-azure-ref",
    "traceparent",
)
"""Headers in which servers, clouds and proxies name a request, in the order of their use to White Rabbit's support."""

_OTHER_REASON = re.compile("key|timestamp", re.IGNORECASE)
"""What the code of a 401 contains that is not about the signature."""

_VISIBLE = re.compile(r"[!-~]{1,100}")


def data_of(request: Request, response: Response, other_signature: str | None = None) -> Any:
    """Return the JSON of a successful HTTP response; None for an empty response to a POST request.

    :param other_signature: as for `error_of`.
    :raises WhiteRabbitResponseError: for every status but 2xx. Redirects are not part of the API.
    :raises WhiteRabbitTransportError: if a 2xx does not hold JSON: a proxy answered, not the API.
    """
    if not 200 <= response.status < 300:
        raise error_of(request, response, other_signature)
    if not response.body and request.method != "GET":
        return None
    try:
        return json.loads(response.body, parse_int=integer)
    except (ValueError, RecursionError):
        kind = known_secrets.hide(response.headers.get("content-type", "no content type"))
        raise exc.WhiteRabbitTransportError(
            f"{request.method} {request.path}: the answer with status {response.status} is not JSON ({kind:.60}); "
            "perhaps a proxy sent it"
        ) from None


def submitted_id(request: Request, data: Any, field: str) -> str:
    """Return the id in the HTTP response to a submission, before anything else in the response is validated.

    :param field: the member with the id, as ``id`` or ``runId``.
    :raises WhiteRabbitUncertainSubmissionError: if there is no id that can be part of a path; the message quotes the
        answer.
    """
    try:
        return checks.identifier(data.get(field) if isinstance(data, dict) else None, field)
    except exc.WhiteRabbitInputError:
        raise exc.WhiteRabbitUncertainSubmissionError(
            f"White Rabbit accepted {request.method} {request.path}, but its answer has no usable '{field}': "
            f"{json.dumps(Hiding().data(_telling(data), is_error=True)):.300}"
        ) from None


def _telling(data: Any) -> Any:
    """Return the members of an answer that help to find a submission; the others can be secret or long."""
    if not isinstance(data, dict):
        return data
    return {name: data[name] for name in ("id", "runId", "jobId", "status", "module", "createdAt") if name in data}


def error_of(request: Request, response: Response, other_signature: str | None = None) -> exc.WhiteRabbitResponseError:
    """Return the exception for an HTTP response whose status is not 2xx.

    :param other_signature: the value of ``empty_body_signature`` to try, if the request's signature depends on it.
    """
    status = response.status
    errors = _server_errors(response.body)
    kind = exc.WhiteRabbitServerError if status >= 500 else _ERRORS.get(status, exc.WhiteRabbitResponseError)
    offset = _clock_offset(response)
    return kind(
        status,
        request.method,
        request.path,
        errors,
        retry_after=_retry_after(response),
        clock_offset=offset,
        hint=_hint(status, offset, other_signature if _may_mean_signature(errors) else None),
        request_id=request_id(response.headers),
    )


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the id that the server gave a request, at most 100 visible ASCII characters of it; None without one.

    :param headers: of the HTTP response, with names in lower case.
    """
    found = (_VISIBLE.match(headers.get(name, "").strip()) for name in _REQUEST_IDS)
    return next((match[0] for match in found if match), None)


def clock_message(offset: float) -> str:
    """Return a message that says how far this machine's clock differs from White Rabbit's clock.

    :param offset: seconds that the server's clock is ahead of ours.
    """
    return f"This machine's clock is {abs(offset):.0f} seconds {'behind' if offset > 0 else 'ahead of'} White Rabbit's"


def _may_mean_signature(errors: tuple[tuple[str, str], ...]) -> bool:
    """Return whether a server may refuse the signature: it sent the API's JSON, and no code for something else."""
    return bool(errors) and not any(_OTHER_REASON.search(code) for code, _ in errors)


def _hint(status: int, offset: float | None, other_signature: str | None) -> str:
    if 300 <= status < 400:
        return "The API never redirects, and this provider follows no redirect; check the connection's host"
    if status != 401:
        return ""
    if offset is not None and abs(offset) >= CLOCK_WINDOW:
        return clock_message(offset)
    if other_signature is not None:
        return (
            f"If key and secret are right, try the connection's extra field 'empty_body_signature': '{other_signature}'"
        )
    return ""


def _server_errors(body: bytes) -> tuple[tuple[str, str], ...]:
    """Parse the errors in an HTTP response's body, in both documented JSON forms; other bodies give no errors."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(data, dict):
        return ()
    errors = data.get("errors")
    if not isinstance(errors, list):
        # NestJS, with which White Rabbit's server seems to be built, sends the status alone with an error of its own.
        code = data.get("code") or data.get("error") or data.get("statusCode")
        errors = [{"code": code, "message": data.get("message")}]
    pairs = [(_short(e.get("code")), _short(e.get("message"))) for e in errors[:10] if isinstance(e, dict)]
    return tuple(pair for pair in pairs if any(pair))


def _short(value: Any) -> str:
    if isinstance(value, list):
        value = "; ".join(json.dumps(item) if isinstance(item, list) else _short(item) for item in value[:10])
    return "" if value is None else clean(str(value), _MAX_SHOWN)


def _retry_after(response: Response) -> float | None:
    """Parse the header ``Retry-After``, seconds or an HTTP date, into seconds from now (RFC 9110, section 10.2.3)."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    when = _http_date(value)
    # The date is by the server's clock, so it is compared with the server's time.
    now = _http_date(response.headers.get("date", "")) or response.received_at
    return None if when is None else max(0.0, when - now)


def _clock_offset(response: Response) -> float | None:
    date = _http_date(response.headers.get("date", ""))
    return None if date is None else date + 0.5 - response.received_at  # a Date is cut to whole seconds


def _http_date(value: str) -> float | None:
    try:
        when = parsedate_to_datetime(value)
        # RFC 9110, section 5.6.7: the obsolete form without a zone means UTC.
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
