"""Sends requests of the blocking client: with a valid key, a right clock, and at the host's pace."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tenacity import Retrying

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.exchange import ClientBase, Limits
from airflow_provider_whiterabbit.client.transport.pace import HostPausedError
from airflow_provider_whiterabbit.client.transport.tls import check_client_certificate
from airflow_provider_whiterabbit.client.wait.target import EXECUTION, Target
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.client.wire import answers
from airflow_provider_whiterabbit.client.wire.messages import Request
from airflow_provider_whiterabbit.client.wire.signing import Signer
from airflow_provider_whiterabbit.exceptions import WhiteRabbitAuthenticationError, WhiteRabbitResponseError

T = TypeVar("T")


class SendingClient(ClientBase, abc.ABC):
    """Base class of the blocking client. For the parameters, see `Client`.

    :raises WhiteRabbitConfigError: if the environment names a proxy that can't be used.
    """

    def __init__(
        self,
        settings: ClientSettings,
        timing: Timing,
        sleep: Callable[[float], None],
        read_again: Callable[[], ClientSettings] | None,
    ) -> None:
        super().__init__(settings, timing)
        self._proxy = settings.proxy
        with settings.naming_connection():
            check_client_certificate(settings.client_cert, settings.client_key)
        self._sleep = sleep
        self._read_again = read_again

    def call(self, request: Request, attempts: int | None = None) -> Any:
        """Send a request, with the retries that the module `retry` allows; return the response's JSON.

        :param attempts: how often to send it at most; None for the `request_attempts` of the settings.
        :raises WhiteRabbitResponseError: if the server refuses.
        :raises WhiteRabbitTransportError: if no usable answer arrives.
        """
        policy = retry.policy(request, self.timing.first_pause, attempts or self.settings.request_attempts)
        retrying = Retrying(sleep=self._sleep, **policy)
        return retrying(self._send, itertools.count(1), request)

    def submit(
        self,
        request: Request,
        target: Target[Any] = EXECUTION,
        on_id: Callable[[str], None] = lambda _: None,
        attempts: int | None = None,
    ) -> Any:
        """Submit an execution or a workflow run at most once; return the response's JSON, which holds the new id.

        :param request: made by `api.execute_component` or `api.trigger_workflow`.
        :param target: what is submitted.
        :param on_id: receives the id before anything else in the answer is validated.
        :param attempts: as `call` has it.
        :raises WhiteRabbitResponseError: if the server refused: nothing runs.
        :raises WhiteRabbitTransportError: if the server was never reached: nothing runs.
        :raises WhiteRabbitUncertainSubmissionError: if it is not known whether anything runs.
        """
        id_field = target.answer_id  # nothing may fail between the POST and `on_id`
        with self._submitting():
            answer = self.call(request, attempts)
        on_id(answers.submitted_id(request, answer, id_field))
        return answer

    @abc.abstractmethod
    def _send(self, attempts: Iterator[int], request: Request) -> Any:
        """Send a request once, and return the response's JSON.

        :param attempts: numbers the times that the request is sent.
        """

    def _with_valid_key(self, exchange: Callable[[Limits], T], request: Request, within: float) -> T:
        """Send a request, and again if its clock was wrong, or if its key was replaced meanwhile.

        :param exchange: sends the request once.
        :param within: seconds that all of it may take.
        """
        ends, signer = monotonic() + within, self._signer
        try:
            return self._with_corrected_clock(exchange, request, within)
        except WhiteRabbitAuthenticationError as error:
            if not error.is_from_api or not request.idempotent or not self._has_new_key(signer):
                raise
        return self._with_corrected_clock(exchange, request, ends - monotonic())

    def _has_new_key(self, refused: Signer) -> bool:
        """Read the settings again after a key was refused; return whether they have another key."""
        if self._signer is refused and self._read_again is not None:
            try:
                self._sign_with(self._read_again())
            except Exception as error:  # whatever a secrets backend raises; the refusal is the error that counts
                self._tell_unreadable(error)
        return self._signer is not refused

    def _with_corrected_clock(self, exchange: Callable[[Limits], T], request: Request, within: float) -> T:
        ends = monotonic() + within
        try:
            return self._at_pace(exchange, request, within)
        except WhiteRabbitAuthenticationError as error:
            if not self._correct_clock(error):
                raise
        try:
            return self._at_pace(exchange, request, ends - monotonic())
        except WhiteRabbitAuthenticationError:
            self._undo_correction()
            raise

    def _at_pace(self, exchange: Callable[[Limits], T], request: Request, within: float) -> T:
        """Send a request as soon as the host's pace allows, and heed a ``Retry-After`` of the answer."""
        try:
            while pause := self._host.take():
                self._sleep(pause)
            return exchange(self._limits(request, within))
        except HostPausedError as error:
            raise self.transport_error(request, error) from None
        except WhiteRabbitResponseError as error:
            self._host.heed(error, self.timing.max_retry_after)
            raise
