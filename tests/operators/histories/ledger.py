"""The promises of the operators, checked without the record: one submission per generation, no foreign output."""

from __future__ import annotations

from tests.operators.histories.tries import Outcome, Trouble
from tests.operators.histories.truth import Options
from tests.operators.histories.work import Work


class Ledger:
    """What one task instance has submitted and returned, and what a person or an option has allowed.

    A *generation* of a request begins with the first try, with a clear after the end, with a person's answer *Submit
    now*, when the record is forgotten, and with what the options allow. It may hold one submission.
    """

    def __init__(self, options: Options, work: Work) -> None:
        self._options, self._work = options, work
        self._sent = False  # whether anything may have been submitted
        self._latest: set[str | None] = set()  # executions of which the task may have submitted or taken the last
        self._request = ""  # what the task asked for then
        self._tampered = False  # whether the record of it may say something else
        self._retries_lowered = False  # whether a retry can look like a try after a clear
        self._cleared = False  # whether a user has cleared the task since
        self._told_to_submit = False
        self._vouched: set[tuple[str | None, str | None]] = set()

    def clear(self) -> None:
        """Note that a user has cleared the task."""
        self._cleared = True

    def forget(self) -> None:
        """Note that the record was deleted."""
        self._sent = False

    def tamper(self) -> None:
        """Note that a person has changed the record."""
        self._tampered = True

    def lower_retries(self) -> None:
        """Note that the task has fewer `retries` than before."""
        self._retries_lowered = True

    def tell_to_submit(self) -> None:
        """Note that a person has answered *Submit now*."""
        self._told_to_submit = True

    def vouch(self, identity: str | None, request: str | None) -> None:
        """Note that a person has said that an execution is what a request needs; None for each request."""
        self._vouched.add((identity, request))
        self._latest.add(identity)

    def check_output(self, outcome: Outcome, request: str) -> None:
        """Check what a try has returned that asked for this request."""
        if outcome.kind == "returned":
            paid = outcome.output["input"]["to"]
            vouched = self._vouched & {(outcome.what, request), (outcome.what, None)}
            assert paid == request or vouched, f"returned the output of {paid}, asked for {request}"

    def check(self, outcome: Outcome, trouble: Trouble, request: str, sent: list[str], created: set[str]) -> None:
        """Check a try that has looked for an earlier submission.

        :param request: what the try asked for.
        :param sent: the requests of the submissions that reached White Rabbit in this try.
        :param created: ids of the executions that they have created.
        """
        self.check_output(outcome, request)
        assert sent in ([], [request]), "more than one submission in one try, or another one than asked for"
        submitted, took = bool(sent) and trouble.fault != "refused", outcome.kind in ("waits", "returned", "failed")
        if submitted:
            assert self._may_submit(request, trouble), "a second submission in one generation"
        if submitted or took:
            self._sent, self._request = True, request
            self._latest = {*created} if submitted else {outcome.what}
            self._cleared = self._told_to_submit = False
            self._tampered = bool(trouble.store) or not took
        elif outcome.kind in ("doubt", "asks", "asks later"):
            self._told_to_submit = False

    def _may_submit(self, request: str, trouble: Trouble) -> bool:
        latest = [execution for identity in self._latest if (execution := self._work.read(identity))]
        uncertain = self._tampered or self._retries_lowered or trouble.fault == "forgotten"
        return (
            not self._sent
            or self._told_to_submit
            or (self._options.on_clear == "resubmit" and self._cleared and any(each.ended for each in latest))
            or (self._options.on_failed_execution == "resubmit" and any(each.status == "FAILED" for each in latest))
            or (self._options.on_doubt == "resubmit" and (uncertain or request != self._request))
        )
