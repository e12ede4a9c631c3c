"""The web application that receives White Rabbit's callbacks, checks each callback, and sends the HTTP response.

A sender without a valid signature cannot cost much: the receiver reads the body and discards it, computes one HMAC, and
looks up the connection's secret at most twice a minute.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from airflow_provider_whiterabbit.client import webhooks
from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.client.records.fields import MAX_MODULE
from airflow_provider_whiterabbit.client.text import clean, one_line
from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError, WhiteRabbitSignatureError
from airflow_provider_whiterabbit.observing.callbacks import callback_answered
from airflow_provider_whiterabbit.receiver.address import connection_in
from airflow_provider_whiterabbit.receiver.bodies import SMALL_BODY, BodyReader, Refusal
from airflow_provider_whiterabbit.receiver.events import CallbackResult, emit_events
from airflow_provider_whiterabbit.receiver.health import Health
from airflow_provider_whiterabbit.receiver.records import without_large_outputs, without_unneeded
from airflow_provider_whiterabbit.receiver.secrets import (
    KnownSecrets,
    SecretCache,
    Secrets,
    SecretUnavailableError,
    read_secret,
)
from airflow_provider_whiterabbit.receiver.settings import ReceiverSettings
from airflow_provider_whiterabbit.receiver.threads import ANSWER_TIMEOUT, MAX_WAITING, TURN_INTERVAL, Threads
from airflow_provider_whiterabbit.receiver.traces import Traces

log = logging.getLogger(__name__)


def create_app(receiver: Receiver) -> FastAPI:
    """Return the web application of a callback receiver, for Airflow to mount under `settings.URL_PREFIX`."""
    app = FastAPI(title="White Rabbit callbacks", openapi_url=None, redirect_slashes=False)

    @app.get("/health")
    async def health() -> dict[str, object]:
        return await receiver.health()

    @app.post("/callbacks/{connection_id:path}")
    async def receive(connection_id: str, request: Request) -> JSONResponse:
        try:
            result = await receiver.receive(connection_id, request)
        except Refusal as refusal:
            reason = one_line(refusal.reason)  # it may quote the record
            log.info("Refused a callback for connection %r: %d, %s", connection_id[:100], refusal.status, reason)
            return _refusal_response(refusal)
        return JSONResponse({"result": result.value})

    return app


class Receiver:
    """Receives White Rabbit's callbacks in one process: checks each callback, and emits the callback's asset events.

    :param emit: emits the asset events of a connection's execution; the third argument is `output_bytes`.
    :param read_secret: reads the callback secrets of a connection; see `SecretCache`.
    :param clock: returns the time in seconds, from any start.
    :param answer_timeout: seconds; see `ANSWER_TIMEOUT`.
    :param max_waiting: see `MAX_WAITING`.
    :param turn_interval: seconds; see `TURN_INTERVAL`.
    :param measure: reports the outcome of a callback to Airflow's metrics; see `callback_answered`.
    """

    def __init__(
        self,
        settings: ReceiverSettings,
        *,
        emit: Callable[[str, Execution, int], CallbackResult] = emit_events,
        read_secret: Callable[[str], Secrets | None] = read_secret,
        clock: Callable[[], float] = time.monotonic,
        answer_timeout: float = ANSWER_TIMEOUT,
        max_waiting: int = MAX_WAITING,
        turn_interval: float = TURN_INTERVAL,
        measure: Callable[[str, float, str | None], None] = callback_answered,
    ) -> None:
        self._settings = settings
        self._emit = emit
        self._threads = Threads(answer_timeout, max_waiting, turn_interval)
        self._health = Health(settings.connections)
        read = self._health.watching(read_secret)
        self._secrets = SecretCache(settings.connections, self._threads.for_secrets, read=read, clock=clock)
        self._body_reader = BodyReader(settings.max_bytes, settings.body_timeout)
        self._measure = measure
        self._traces = Traces(clock)

    async def health(self) -> dict[str, object]:
        """Return what the health page shows; see `Health.report`."""
        return await self._health.report(self._secrets.get)

    async def receive(self, connection_id: str, request: Request) -> CallbackResult:
        """Check a callback, emit the asset events of the callback's execution, and report the outcome to the metrics.

        :raises Refusal: if the callback is not valid, or the receiver cannot process it now.
        """
        started, outcome = time.monotonic(), "refused.error"
        try:
            result = await self._receive(connection_id, request)
            outcome = result.value
        except Refusal as refusal:
            outcome = refusal.outcome
            raise
        finally:
            # Anyone can send the id of a connection that does not exist; such an id must not become a tag.
            connection = connection_id if connection_id in self._settings.connections else None
            self._measure(outcome, time.monotonic() - started, connection)
        return result

    async def _receive(self, connection_id: str, request: Request) -> CallbackResult:
        try:
            signature = self._claimed_signature(connection_id, request)
            secrets = await self._callback_secrets(connection_id)
        except Refusal as refusal:
            async with self._body_reader.read(request, refusal):
                raise
        output_bytes = self._settings.output_bytes
        async with self._body_reader.read(request) as body:
            if len(body) <= SMALL_BODY:
                execution = _verified_execution(signature, body, secrets, output_bytes)
            else:
                check = self._threads.check_body
                execution = await check(_verified_execution, signature, body, secrets, output_bytes)
        _check_connection(connection_id, execution)
        # Not before: a sender without the secret must not delay others.
        result = await self._threads.run_in_turn(connection_id, self._emit_or_refuse, connection_id, execution)
        if result is CallbackResult.UNHEARD:
            module = clean(str(execution.module), MAX_MODULE)
            reason = f"no live DAG is scheduled on an asset of this execution of module {module}"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, reason, retry_after=60, outcome="unheard")
        return result

    def _claimed_signature(self, connection_id: str, request: Request) -> webhooks.Signature:
        """Return the signature in the headers of a callback request, before the receiver reads the request's body."""
        if connection_id not in self._settings.connections:
            raise Refusal(HTTPStatus.NOT_FOUND, "callbacks of this connection are not received here")
        try:
            return webhooks.Signature.of(
                request.headers,
                tolerance=self._settings.tolerance,
                raw_signatures=self._settings.raw_signatures,
                raw_max_age=self._settings.raw_max_age,
            )
        except WhiteRabbitSignatureError as error:
            raise Refusal(HTTPStatus.UNAUTHORIZED, str(error)) from None

    async def _callback_secrets(self, connection_id: str) -> KnownSecrets:
        try:
            async with self._threads.waiting_for_secret(connection_id):
                secrets = await self._secrets.get(connection_id)
        except SecretUnavailableError:  # the cache has logged why, once for all callbacks that wait
            raise _secret_refusal() from None
        if secrets.values is None:  # the log says why; the answer does not, since anyone can read it
            raise Refusal(HTTPStatus.UNAUTHORIZED, "the signature is not valid for this connection")
        return secrets

    def _emit_or_refuse(self, connection_id: str, execution: Execution) -> CallbackResult:
        try:
            return self._emit(connection_id, execution, self._settings.output_bytes)
        except Exception as error:
            message = "The asset events of execution %s could not be emitted: %s"
            log.error(message, execution.id, type(error).__name__, exc_info=self._traces.is_due())
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "try again later", retry_after=10) from None


def _verified_execution(
    signature: webhooks.Signature, body: bytearray, secrets: KnownSecrets, output_bytes: int
) -> Execution:
    """Check the signature of a callback's body, and return what the events need of the record in the body."""
    try:
        signature.check(body, secrets.values or ())
        execution = signature.record_in(without_large_outputs(body, output_bytes))
        return without_unneeded(execution, output_bytes)
    except WhiteRabbitSignatureError as error:
        if secrets.is_kept:  # the secret may have changed since
            raise _secret_refusal() from None
        raise Refusal(HTTPStatus.UNAUTHORIZED, str(error)) from None
    except WhiteRabbitProtocolError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from None


def _check_connection(connection_id: str, execution: Execution) -> None:
    """Check that the connection in the request's path, which nobody has signed, is the one in the signed record.

    Two connections may have the same secret, so a valid signature does not show to which of them a record belongs.
    """
    url = execution.callback.url if execution.callback else None
    if url and connection_in(url) not in (None, connection_id):
        raise Refusal(HTTPStatus.BAD_REQUEST, "the callback URL in the record belongs to another connection")


def _secret_refusal() -> Refusal:
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the callback secret cannot be read now", retry_after=10)


def _refusal_response(refusal: Refusal) -> JSONResponse:
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.closes_connection:
        headers["Connection"] = "close"
    return JSONResponse({"detail": refusal.reason}, int(refusal.status), headers)
