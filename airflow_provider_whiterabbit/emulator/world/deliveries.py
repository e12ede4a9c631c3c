"""Delivery of finished execution records to their callback URLs."""

from __future__ import annotations

import asyncio
import hashlib
import hmac

import aiohttp

from airflow_provider_whiterabbit.emulator.plumbing.json_out import encode
from airflow_provider_whiterabbit.emulator.world.clock import Clock
from airflow_provider_whiterabbit.emulator.world.executions import Execution
from airflow_provider_whiterabbit.emulator.world.settings import Settings

_TIMEOUT = aiohttp.ClientTimeout(total=10)


class Deliveries:
    """POSTs finished records to callback URLs, with a growing pause between attempts until one is answered with 2xx."""

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self._tasks: set[asyncio.Task[None]] = set()

    def deliver(self, execution: Execution) -> None:
        """Begin to deliver an execution's record. Nothing happens if the execution has no callback URL."""
        if execution.callback.url is not None:
            task = asyncio.get_running_loop().create_task(self._deliver(execution))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Cancel all deliveries."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver(self, execution: Execution) -> None:
        async with aiohttp.ClientSession(timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()) as session:
            for attempt in range(self._settings.callback_attempts):
                if attempt:
                    await asyncio.sleep(self._settings.callback_backoff * 2 ** (attempt - 1))
                if await self._attempt(session, execution):
                    break
        execution.callback.finished += 1
        execution.changes.notify()

    async def _attempt(self, session: aiohttp.ClientSession, execution: Execution) -> bool:
        callback = execution.callback
        body = encode(execution.record())
        callback.attempt_count += 1
        callback.last_attempt_at = self._clock.iso()
        headers = self._headers(execution, body)
        try:
            # A redirect would send the callback's own headers to another host.
            async with session.post(str(callback.url), data=body, headers=headers, allow_redirects=False) as response:
                callback.last_error = None if 200 <= response.status < 300 else f"HTTP {response.status}"
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            callback.last_error = f"{type(error).__name__}: {error}"
        if callback.last_error is None:
            callback.delivered_at = self._clock.iso()
        return callback.last_error is None

    def _headers(self, execution: Execution, body: bytes) -> dict[str, str]:
        callback = execution.callback
        timestamp = self._clock.iso()
        headers = {
            **callback.headers,
            "content-type": "application/json",
            "x-delivery-id": f"{execution.id}:{callback.attempt_count}",
            "x-event": "component.execution.terminal",
            "x-signature-timestamp": timestamp,
        }
        if callback.secret is None:
            return headers
        key = callback.secret.encode()
        if self._settings.legacy_callback_signature:
            headers["x-wr-signature"] = f"hmac-sha256-v1={_hmac(key, body)}"
        else:
            headers["x-signature-version"] = "v1"
            headers["x-signature"] = f"sha256={_hmac(key, timestamp.encode() + b'.' + body)}"
        return headers


def _hmac(key: bytes, message: bytes) -> str:
    return hmac.new(key, message, hashlib.sha256).hexdigest()
