"""Callback deliveries: the emulator POSTs the record of a finished execution to the execution's callback URL."""

from __future__ import annotations

import asyncio
import hashlib
import hmac

import aiohttp

from airflow_provider_whiterabbit.emulator.plumbing.json_out import encode
from airflow_provider_whiterabbit.emulator.world.clock import Clock
from airflow_provider_whiterabbit.emulator.world.executions import Execution
from airflow_provider_whiterabbit.emulator.world.settings import Settings

_DELIVERY_TIMEOUT = aiohttp.ClientTimeout(total=10)


class Deliveries:
    """POSTs records of finished executions to callback URLs; repeats, with growing pauses, until HTTP status 2xx."""

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self._delivery_tasks: set[asyncio.Task[None]] = set()

    def deliver(self, execution: Execution) -> None:
        """Begin to POST an execution's record to its callback URL. Nothing happens without a callback URL."""
        if execution.callback.url is not None:
            delivery = asyncio.get_running_loop().create_task(self._post_callback(execution))
            self._delivery_tasks.add(delivery)
            delivery.add_done_callback(self._delivery_tasks.discard)

    async def stop(self) -> None:
        """Cancel all callback deliveries."""
        deliveries = list(self._delivery_tasks)
        for delivery in deliveries:
            delivery.cancel()
        await asyncio.gather(*deliveries, return_exceptions=True)

    async def _post_callback(self, execution: Execution) -> None:
        async with aiohttp.ClientSession(
            timeout=_DELIVERY_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()
        ) as callback_session:
            for delivery_attempt in range(self._settings.callback_attempts):
                if delivery_attempt:
                    await asyncio.sleep(self._settings.callback_backoff * 2 ** (delivery_attempt - 1))
                if await self._attempt_delivery(callback_session, execution):
                    break
        execution.callback.finished += 1
        execution.changes.notify()

    async def _attempt_delivery(self, callback_session: aiohttp.ClientSession, execution: Execution) -> bool:
        callback = execution.callback
        callback_body = encode(execution.record())
        callback.attempt_count += 1
        callback.last_attempt_at = self._clock.iso()
        callback_headers = self._delivery_headers(execution, callback_body)
        try:
            # A redirect would send the callback's own headers to another host.
            async with callback_session.post(
                str(callback.url), data=callback_body, headers=callback_headers, allow_redirects=False
            ) as response:
                callback.last_error = None if 200 <= response.status < 300 else f"HTTP {response.status}"
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            callback.last_error = f"{type(error).__name__}: {error}"
        if callback.last_error is None:
            callback.delivered_at = self._clock.iso()
        return callback.last_error is None

    def _delivery_headers(self, execution: Execution, callback_body: bytes) -> dict[str, str]:
        callback = execution.callback
        delivery_time = self._clock.iso()
        delivery_headers = {
            **callback.headers,
            "content-type": "application/json",
            "x-delivery-id": f"{execution.id}:{callback.attempt_count}",
            "x-event": "component.execution.terminal",
        }
        form = self._settings.callback_signature
        if form != "body":
            delivery_headers["x-signature-timestamp"] = delivery_time
        if callback.secret is None:
            return delivery_headers
        callback_key = callback.secret.encode()
        if form in ("wr", "both"):
            delivery_headers["x-wr-signature"] = f"hmac-sha256-v1={_callback_hmac(callback_key, callback_body)}"
        if form in ("timed", "both"):
            delivery_headers["x-signature-version"] = "v1"
            signed_callback = delivery_time.encode() + b"." + callback_body
            delivery_headers["x-signature"] = f"sha256={_callback_hmac(callback_key, signed_callback)}"
        if form == "body":
            delivery_headers["x-signature"] = f"sha256={_callback_hmac(callback_key, callback_body)}"
        return delivery_headers


def _callback_hmac(callback_key: bytes, signed_callback: bytes) -> str:
    return hmac.new(callback_key, signed_callback, hashlib.sha256).hexdigest()
