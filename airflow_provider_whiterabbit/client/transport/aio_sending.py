"""Sends requests of the asynchronous client: with a valid key, a right clock, and heeding the host's pauses."""

from __future__ import annotations

import abc
import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

from tenacity import AsyncRetrying

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.exchange import ClientBase, Limits
from airflow_provider_whiterabbit.client.wait.target import EXECUTION, Target
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.client.wire import answers
from airflow_provider_whiterabbit.client.wire.messages import Request
from airflow_provider_whiterabbit.client.wire.signing import Signer
from airflow_provider_whiterabbit.exceptions import WhiteRabbitAuthenticationError, WhiteRabbitResponseError

T = TypeVar("T")


class SendingClient(ClientBase, abc.ABC):
    """Base class of the asynchronous client. For the parameters, see `AsyncClient`."""

    __slots__ = ("_read_again",)

    def __init__(
        self,
        settings: ClientSettings,
        timing: Timing,
        read_again: Callable[[], Awaitable[ClientSettings]] | None,
    ) -> None:
        super().__init__(settings, timing)
        self._read_again = read_again

    async def call(self, request: Request) -> Any:
        """Send a request, with the retries that the module `retry` allows; return the response's JSON.

        :raises WhiteRabbitResponseError: if the server refuses.
        :raises WhiteRabbitTransportError: if no usable answer arrives.
        """
        policy = retry.policy(request, self.timing.first_pause, self.settings.request_attempts)
        return await AsyncRetrying(**policy)(self._send, itertools.count(1), request)

    async def submit(
        self, request: Request, target: Target[Any] = EXECUTION, on_id: Callable[[str], None] = lambda _: None
    ) -> Any:
        """Submit an execution or a workflow run at most once; return the response's JSON, which holds the new id.

        :param request: made by `api.execute_component` or `api.trigger_workflow`.
        :param target: what is submitted.
        :param on_id: receives the id before anything else in the answer is validated.
        :raises WhiteRabbitResponseError: if the server refused: nothing runs.
        :raises WhiteRabbitTransportError: if the server was never reached: nothing runs.
        :raises WhiteRabbitUncertainSubmissionError: if it is not known whether anything runs.
        """
        id_field = target.answer_id  # nothing may fail between the POST and `on_id`
        with self._submitting():
            answer = await self.call(request)
        on_id(answers.submitted_id(request, answer, id_field))
        return answer

    @abc.abstractmethod
    async def _send(self, attempts: Iterator[int], request: Request) -> Any:
        """Send a request once, and return the response's JSON.

        :param attempts: numbers the times that the request is sent.
        """

    async def _with_valid_key(self, exchange: Callable[[Limits], Awaitable[T]], request: Request, within: float) -> T:
        """Send a request, and again if its clock was wrong, or if its key was replaced meanwhile.

        :param exchange: sends the request once.
        :param within: seconds that all of it may take.
        """
        ends, signer = monotonic() + within, self._signer
        try:
            return await self._with_corrected_clock(exchange, request, within)
        except WhiteRabbitAuthenticationError as error:
            is_worth_it = error.is_from_api and request.idempotent
            if not is_worth_it or not await self._has_new_key(signer, ends - monotonic()):
                raise
        return await self._with_corrected_clock(exchange, request, ends - monotonic())

    async def _has_new_key(self, refused: Signer, within: float) -> bool:
        """Read the settings again after a key was refused; return whether they have another key."""
        if self._signer is refused and self._read_again is not None:
            try:
                async with asyncio.timeout(within):
                    self._sign_with(await self._read_again())
            except Exception as error:  # whatever a secrets backend raises; the refusal is the error that counts
                self._tell_unreadable(error)
        return self._signer is not refused

    async def _with_corrected_clock(
        self, exchange: Callable[[Limits], Awaitable[T]], request: Request, within: float
    ) -> T:
        ends = monotonic() + within
        try:
            return await self._at_pace(exchange, request, within)
        except WhiteRabbitAuthenticationError as error:
            if not self._correct_clock(error):
                raise
        try:
            return await self._at_pace(exchange, request, ends - monotonic())
        except WhiteRabbitAuthenticationError:
            self._undo_correction()
            raise

    async def _at_pace(self, exchange: Callable[[Limits], Awaitable[T]], request: Request, within: float) -> T:
        """Send a request once, and heed a ``Retry-After`` of the answer. The session keeps the host's pace."""
        try:
            return await exchange(self._limits(request, within))
        except WhiteRabbitResponseError as error:
            self._host.heed(error, self.timing.max_retry_after)
            raise
