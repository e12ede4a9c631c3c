"""Submits many inputs of a component: in order, some of them at a time, and each at most once.

Before it submits anything, it finds all that earlier tries have submitted. So if there are doubts about inputs, all of
them are told, and nothing more is submitted.

The first input that can't be submitted stops it: a list with a wrong input may be wrong as a whole, and the inputs
behind may build on those before. What is under way meanwhile is finished and recorded, so a later try takes it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.compat import AirflowException, AirflowFailException
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitRateLimitError,
    WhiteRabbitTimeoutError,
    WhiteRabbitTransportError,
)
from airflow_provider_whiterabbit.operators.many_failures import failure_of, listed
from airflow_provider_whiterabbit.operators.many_patience import Patience, is_busy
from airflow_provider_whiterabbit.operators.submission import Way, index_of, is_key, key_of

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.wait.timing import Timing
    from airflow_provider_whiterabbit.client.wire.messages import Request
    from airflow_provider_whiterabbit.hooks.once_submitting import KeyedSubmissions
    from airflow_provider_whiterabbit.hooks.once_types import Asked, Taken

log = logging.getLogger(__name__)

_MAX_DOUBTS = 100
"""After so many doubts, no more are looked for: a killed try leaves one for each input that was under way."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be submitted, and how.

    :param module: the name of the component.
    :param requests: for each input, the request with the names of secrets in it.
    :param check: checks the inputs with White Rabbit, before anything is submitted.
    :param filled: returns the request to send for the input with an index.
    :param hint: returns what to do about a refusal; empty if that is not known.
    :param may_submit_twice: whether the task submits anew what is in doubt.
    :param at_once: how many inputs are submitted at the same time, at most.
    :param deadline: when to stop; None for never.
    :param timing: how often the progress is logged, and how long the first pause is.
    """

    module: str
    requests: Sequence[Request]
    check: Callable[[], None]
    filled: Callable[[int], Request]
    hint: Callable[[], str]
    may_submit_twice: bool
    at_once: int
    deadline: datetime | None
    timing: Timing


class ManySubmissions:
    """The submissions of many inputs. As text: ``412 of 1,000 inputs are submitted``."""

    def __init__(self, submissions: KeyedSubmissions, plan: Plan) -> None:
        self._submissions = submissions
        self._plan = plan
        self._taken: dict[int, Taken] = {}
        self._asked: dict[int, Asked] = {}  # what no earlier try has submitted, or what is submitted anew
        self._errors: dict[int, BaseException] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._indexes: Iterator[int] = iter(())  # of the inputs that wait for a thread
        self._allowed = plan.at_once
        self._working = 0
        self._patience = Patience(plan.timing.first_pause)
        self._still_run = False
        self._is_finding = True  # what earlier tries have submitted

    def __str__(self) -> str:
        known = "known to be " if self._is_finding else ""  # earlier tries may have submitted more
        return f"{len(self._taken):,} of {len(self._plan.requests):,} inputs are {known}submitted"

    @property
    def target_ids(self) -> list[str]:
        """The ids of the executions of the inputs that are submitted, in the order of the inputs."""
        return [taken.target_id for _, taken in sorted(self._taken.items())]

    @property
    def have_ended(self) -> bool:
        """Whether all executions are known to have ended, because an earlier try has submitted them."""
        return not self._still_run

    def stop(self) -> None:
        """Submit no further inputs."""
        self._stopped.set()

    def run(self) -> list[str]:
        """Find or submit all inputs; return the ids of their executions, in the order of the inputs.

        :raises AirflowFailException: if there is a doubt about an input, or one was refused.
        :raises WhiteRabbitTimeoutError: at the deadline.
        :raises AirflowException: if an input could not be submitted. A later try goes on.
        """
        earlier = dict.fromkeys(self._submissions.earlier_keys())
        count = len(self._plan.requests)
        # The first stands for all where there are no records: an earlier try may have submitted all, or none.
        self._each([index for index in range(count) if index == 0 or key_of(index) in earlier], self._find)
        self._is_finding = False
        if self._taken:
            log.info("Submitted before: %s", self)
        if missing := [index for index in range(count) if index not in self._taken]:
            if any(index not in self._asked or self._asked[index].is_new for index in missing):
                self._submissions.refuse_replaced(Way.MANY)
            self._refuse_if_moved([key for key in earlier if (index_of(key) or 0) >= count], missing)
            self._plan.check()
            self._each(missing, self._submit)
        if others := [key for key in self._submissions.untouched() if is_key(key)]:
            log.warning(
                "An earlier try has submitted %d inputs more than this try has: nobody waits for %s",
                len(others),
                listed(others),
            )
        return self.target_ids

    def _refuse_if_moved(self, lost: Sequence[str], missing: Sequence[int]) -> None:
        """Refuse to submit inputs that may have been submitted already, at places that the list has lost.

        :raises AirflowFailException: if the list has lost inputs, and others of it were never submitted.
        """
        lost = [key for key in lost if not self._submissions.is_cleared(key)]
        if lost and not self._plan.may_submit_twice:
            raise AirflowFailException(
                f"Earlier tries have submitted {listed(lost)}, which this list does not have, but not "
                f"{listed([key_of(index) for index in missing])}: if inputs have moved forward, they would be "
                f"submitted twice. So nothing was submitted now; {self}. Put the inputs back at their places, and "
                "clear this task; or start another DAG run for the list as it is now."
            )

    def _each(self, indexes: Sequence[int], work: Callable[[int], None]) -> None:
        """Do the work for inputs, in their order, for some at the same time; then raise what went wrong."""
        self._indexes, self._working = iter(indexes), min(self._allowed, len(indexes))
        self._submissions.expect(self._working)
        if indexes:
            with ThreadPoolExecutor(self._working, thread_name_prefix="whiterabbit-submitting") as pool:
                try:
                    running = {pool.submit(self._work, work) for _ in range(self._working)}
                    while running:
                        running = wait(running, self._plan.timing.tally_interval).not_done
                        if running:
                            log.info("Submissions: %s", self)
                except BaseException:  # such as Airflow's timeout of the task; what is under way is finished
                    self.stop()
                    raise
        if self._errors:
            raise failure_of(self._errors, str(self), self._plan.hint, is_finding=self._is_finding)
        if self._stopped.is_set():
            raise AirflowException(f"The task was stopped: {self}")

    def _work(self, work: Callable[[int], None]) -> None:
        while (index := self._next()) is not None:
            try:
                work(index)
            except BaseException as error:  # raised when all threads have ended
                self._errors[index] = error
                self.stop()

    def _next(self) -> int | None:
        """Return the index of the next input; None to end the thread."""
        with self._lock:
            if not self._stopped.is_set() and self._working <= self._allowed:
                index = next(self._indexes, None)
                if index is not None:
                    return index
            self._working -= 1
            self._submissions.expect(self._working)
            return None

    def _ask(self, index: int) -> Asked:
        module = self._plan.module
        return self._submissions.ask(
            key_of(index), EXECUTION, f"component {module}", module, self._plan.requests[index]
        )

    def _find(self, index: int) -> None:
        asked = self._ask(index)
        try:
            is_found = self._submissions.find(asked)
        except AirflowFailException as doubt:  # the others are looked for as well, so that all can be settled at once
            self._errors[index] = doubt
            if len(self._errors) >= _MAX_DOUBTS:
                self.stop()
            return
        if is_found:
            self._still_run |= not asked.taken.has_ended
            asked.taken.record = None  # its output may be large
            self._taken[index] = asked.taken
        else:
            self._asked[index] = asked

    def _submit(self, index: int) -> None:
        asked = self._asked.pop(index, None) or self._ask(index)
        failures = 0
        while True:
            if self._seconds_left() <= 0:
                raise WhiteRabbitTimeoutError(str(self))
            try:
                # A single attempt: the pauses of the client would neither heed the deadline nor `stop`.
                self._submissions.submit(asked, self._plan.filled(index), 1, partial(self._stop_unless_busy, failures))
            except (WhiteRabbitRateLimitError, WhiteRabbitTransportError) as error:
                failures += 1
                if not self._patience.may_wait(error, failures, self._submissions.attempts):
                    raise
                if is_busy(error):
                    self._submit_fewer()
                if self._stopped.wait(min(self._patience.pause(error, failures), self._seconds_left())):
                    return
                continue
            self._patience.accepted()
            self._still_run, self._taken[index] = True, asked.taken
            return

    def _stop_unless_busy(self, failures: int, error: WhiteRabbitError) -> None:
        """Stop the other threads before the record of a failed input is written, which may wait for theirs."""
        if not self._patience.may_wait(error, failures + 1, self._submissions.attempts):
            self.stop()

    def _seconds_left(self) -> float:
        deadline = self._plan.deadline
        return threading.TIMEOUT_MAX if deadline is None else max(0.0, (deadline - datetime.now(UTC)).total_seconds())

    def _submit_fewer(self) -> None:
        """Submit half as many inputs at the same time from now on."""
        with self._lock:
            fewer = max(1, self._allowed // 2)
            if fewer < self._allowed:
                log.warning("White Rabbit has too many requests: from now on, %d inputs are submitted at once", fewer)
            self._allowed = fewer
