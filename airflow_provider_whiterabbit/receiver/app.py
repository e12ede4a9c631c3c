"""The application that takes callbacks: what is checked in which order, and what is answered.

Whoever can't show a signature costs a body that is read and thrown away, one HMAC over it, and no more of the database
than a look at the connection's secret twice a minute.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from airflow_provider_whiterabbit.client import webhooks
from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError, WhiteRabbitSignatureError
from airflow_provider_whiterabbit.receiver.bodies import SMALL, Bodies, Refusal
from airflow_provider_whiterabbit.receiver.events import Result, emit
from airflow_provider_whiterabbit.receiver.secrets import Secrets
from airflow_provider_whiterabbit.receiver.settings import ReceiverSettings

log = logging.getLogger(__name__)

T = TypeVar("T")

THREADS = 4
"""Threads for the database and for large bodies. They are the receiver's own, so that Airflow keeps its."""

WAITING = 256
"""Callers who wait for a thread, or for a secret; the next ones are told to come back."""

PATIENCE = 30.0
"""Seconds after which a caller is told to come back, though the thread goes on; he will find a repeat."""


def create_app(settings: ReceiverSettings) -> FastAPI:
    """Return the application, which is to be mounted under `settings.PREFIX`."""
    app = FastAPI(title="White Rabbit callbacks", openapi_url=None, redirect_slashes=False)
    receiver = Receiver(settings)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @app.post("/callbacks/{connection_id:path}")
    async def receive(connection_id: str, request: Request) -> JSONResponse:
        try:
            return JSONResponse({"result": (await receiver.take(connection_id, request)).value})
        except Refusal as refusal:
            log.info("Callback for %r answered %d: %s", connection_id[:100], refusal.status, refusal.reason)
            return _answer(refusal)

    return app


class Receiver:
    """Takes callbacks, for one process."""

    def __init__(self, settings: ReceiverSettings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="whiterabbit-callbacks")
        self._secrets = Secrets(settings.connections, self._threads)
        self._bodies = Bodies(settings.max_bytes, settings.body_timeout)
        self._waiting = 0

    async def take(self, connection_id: str, request: Request) -> Result:
        """Emit what a request tells, if it may be believed.

        :raises Refusal: if nothing was emitted that wasn't before.
        """
        try:
            signature = self._claim(connection_id, request)
            secret = await self._secret(connection_id)
        except Refusal as refusal:
            async with self._bodies.of(request, refusal):
                raise
        async with self._bodies.of(request) as body:
            small = len(body) <= SMALL
            execution = _open(signature, body, secret) if small else await self._do(_open, signature, body, secret)
            result = await self._do(self._emit, connection_id, execution)
        if result is Result.UNHEARD:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"no DAG listens for {execution.module}", retry_after=60)
        return result

    def _claim(self, connection_id: str, request: Request) -> webhooks.Signature:
        """Read the signature that a request claims to have."""
        if connection_id not in self._settings.connections:
            raise Refusal(HTTPStatus.NOT_FOUND, "not a connection that is served")
        names = [name for name in request.headers.keys() if name in webhooks.SIGNATURE_HEADERS]  # noqa: SIM118
        if len(names) != len(set(names)):
            raise Refusal(HTTPStatus.UNAUTHORIZED, "a header of the signature comes twice")
        try:
            return webhooks.Signature.of(
                request.headers,
                tolerance=self._settings.tolerance,
                raw_signatures=self._settings.raw_signatures,
            )
        except WhiteRabbitSignatureError as error:
            raise Refusal(HTTPStatus.UNAUTHORIZED, str(error)) from None

    async def _secret(self, connection_id: str) -> str:
        self._enter()
        try:
            async with asyncio.timeout(PATIENCE) as limit:
                secret = await self._secrets.get(connection_id)
        except Exception:
            if limit.expired():
                raise _too_slow() from None
            log.exception("The connection %s can't be read", connection_id)
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "try again later", retry_after=10) from None
        finally:
            self._waiting -= 1
        if secret is None:  # the log says why, strangers need not know
            raise Refusal(HTTPStatus.UNAUTHORIZED, "not signed as callbacks of this connection are")
        return secret

    def _emit(self, connection_id: str, execution: Execution) -> Result:
        try:
            return emit(connection_id, execution, self._settings.output_bytes)
        except Exception:
            log.exception("The event of execution %s was not emitted", execution.id)
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "try again later", retry_after=10) from None

    async def _do(self, function: Callable[..., T], *arguments: Any) -> T:
        """Do something in a thread, if there are not too many already who want one."""
        self._enter()
        job = self._threads.submit(function, *arguments)
        doing = asyncio.wrap_future(job)
        doing.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(doing), PATIENCE)
        except TimeoutError:
            raise _too_slow() from None
        finally:
            job.cancel()  # if it has not begun, or else it goes on, and counts as waiting

    def _enter(self) -> None:
        if self._waiting >= WAITING:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many at once", retry_after=5)
        self._waiting += 1

    def _done(self, doing: asyncio.Future[Any]) -> None:
        self._waiting -= 1
        if not doing.cancelled():
            doing.exception()  # is not to be reported as never retrieved


def _open(signature: webhooks.Signature, body: bytearray, secret: str) -> Execution:
    """Return the record in a body, if the signature is right."""
    try:
        signature.check(body, secret)
        return webhooks.finished_record(body)
    except WhiteRabbitSignatureError as error:
        raise Refusal(HTTPStatus.UNAUTHORIZED, str(error)) from None
    except WhiteRabbitProtocolError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from None


def _too_slow() -> Refusal:
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "took too long", retry_after=10)


def _answer(refusal: Refusal) -> JSONResponse:
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.closes:
        headers["Connection"] = "close"
    return JSONResponse({"detail": refusal.reason}, refusal.status, headers)
