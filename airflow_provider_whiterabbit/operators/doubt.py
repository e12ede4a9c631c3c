"""Doubts about an earlier submission: what a task finds may not be what the task asks for, or may not exist.

A task that finds an earlier submission takes the earlier one, submits anew, or has a *doubt*. A doubt is never settled
by a guess: the task fails, or asks a person, or submits anew because the DAG says so (`on_doubt`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from airflow_provider_whiterabbit.client.known_secrets import quoted
from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.client.wait.target import Target
from airflow_provider_whiterabbit.compat import conf
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitConfigError,
    WhiteRabbitInputError,
    WhiteRabbitNotFoundError,
)
from airflow_provider_whiterabbit.masking import failure_of
from airflow_provider_whiterabbit.operators.fence import Fence
from airflow_provider_whiterabbit.operators.submission import Kind as Kind
from airflow_provider_whiterabbit.operators.submission import Submission

log = logging.getLogger(__name__)

_MAX_TEXT = 1_300
"""How many characters of a doubt an error shows at most, so that the command that settles the doubt is not cut."""

_MAX_CAUSE = 1_000
"""How many characters of an error the message about an uncertain submission quotes at most."""

OnFailedExecution = Literal["fail", "resubmit"]
OnDoubt = Literal["fail", "resubmit", "ask"]

Choice = Literal["there", "earlier", "submit", "stop"]
"""How a person settles a doubt: the submission is there under a given id, take the earlier one, submit now, or stop."""


CHOICES: dict[Kind, tuple[Choice, ...]] = {
    Kind.UNCERTAIN: ("there", "submit", "stop"),
    Kind.OTHER_REQUEST: ("earlier", "submit", "stop"),
    Kind.GONE: ("there", "submit", "stop"),
    Kind.PERHAPS_CLEARED: ("earlier", "submit", "stop"),
}
"""The choices that a person has, by the kind of the doubt."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A doubt about a task's earlier submission.

    :param facts: what is known, as sentences.
    :param problem: why an answer of a person did not settle the doubt; empty if nobody has answered.
    """

    kind: Kind
    earlier: Submission
    facts: str
    problem: str = ""

    @property
    def text(self) -> str:
        """The doubt as sentences for an error message."""
        return clean(f"{self.problem}{' ' if self.problem else ''}{self.facts}", _MAX_TEXT)

    def message(self, fence: Fence, key: str = "") -> str:
        """Return the doubt with the way to settle it, for the error that ends a task.

        :param key: the key under which the task submits; empty for an operator, which submits once.
        """
        return f"{f'Key {key!r}: ' if key else ''}{self.text} (Doubt: {self.kind}.) {fence.remedy}"

    def note(self, fence: Fence) -> None:
        """Store the doubt in the record of the submission."""
        # An answer that has not settled this doubt must not settle a later one.
        fence.note(doubt=str(self.kind), asked=fence.request, answer={})


@dataclass(frozen=True, slots=True)
class Found:
    """An earlier submission that the task takes for its own; `record` is its record."""

    earlier: Submission
    record: Any

    @property
    def target_id(self) -> str:
        """The id of the execution or workflow run."""
        return str(self.record.id)


@dataclass(frozen=True, slots=True)
class Search:
    """Finds out what an earlier submission means for a task.

    :param target: what the task submits.
    :param subject: names what is submitted, as ``component PAY``.
    :param module: the component's module; None for a workflow.
    :param read: reads the record with an id; raises `WhiteRabbitInputError` for what can't be an id.
    :param resubmits_cleared: whether the task submits anew after a clear.
    :param may_resubmit: whether the task submits anew after what has this record, without a clear.
    :param log_level: the level with which it is logged that something was submitted before.
    """

    fence: Fence
    target: Target[Any]
    subject: str
    module: str | None
    read: Callable[[Any], Any]
    resubmits_cleared: bool
    may_resubmit: Callable[[Any], bool]
    log_level: int = logging.INFO

    def result(self, earlier: Submission) -> Found | Doubt | None:
        """Return the earlier submission if it is the task's own, or the doubt about it; None to submit anew."""
        choice = self._choice(earlier)
        if choice == "submit":
            log.info("Submitting anew: %s answered so", earlier.answer.get("by"))
            return None
        if choice == "there":
            return self._named(earlier)
        if earlier.target_id is None:
            return self.uncertain(earlier)
        try:
            record = self._record(earlier.target_id)
        except WhiteRabbitInputError as error:
            return Doubt(Kind.GONE, earlier, f"The stored id can't be one of White Rabbit: {error}.")
        if record is None:
            return Doubt(Kind.GONE, earlier, f"White Rabbit does not know {self._earlier(earlier)}.")
        log.log(self.log_level, "Submitted before, at %s: %s is %s", earlier.at, earlier.target_id, record.progress)
        if choice == "earlier":
            return Found(earlier, record)
        return self._judged(earlier, record)

    def _choice(self, earlier: Submission) -> Any:
        """Return the choice of the person who answered; None if the answer does not count."""
        choice = earlier.answer.get("choice")
        if choice is None or choice == "stop":
            return None
        if choice not in ("there", "earlier", "submit"):
            log.warning("The stored answer %r is none of there, earlier, submit and stop", choice)
            return None
        # A task that was killed has left no doubt, so the person has seen what was submitted.
        if (earlier.asked or earlier.request) not in (None, self.fence.request):
            log.warning("The stored answer %r does not count: this try asks for another request since", choice)
            return None
        return choice

    def uncertain(self, earlier: Submission, error: Exception | None = None, problem: str = "") -> Doubt:
        """Return the doubt whether a submission arrived.

        :param error: why it is not known; None if an earlier try knows it.
        """
        cause = "" if error is None else clean(str(error.__cause__ or error), _MAX_CAUSE)
        facts = (
            f"It is not known whether White Rabbit received the submission of {earlier.subject or self.subject} "
            f"{earlier.made}, so it was not sent again: that could pay twice."
        )
        if self._differs(earlier):
            facts += f" It was another request than the one of this try, which asks for {self.subject}."
        if earlier.replaces:
            facts += f" It replaced {earlier.replaces.get('id')}, submitted at {earlier.replaces.get('at')}."
        return Doubt(Kind.UNCERTAIN, earlier, f"{facts} ({cause})" if cause else facts, problem)

    def _judged(self, earlier: Submission, record: Any) -> Found | Doubt | None:
        """Compare an earlier submission with what the task asks for now."""
        cleared = self.fence.is_cleared(earlier) if self.resubmits_cleared else False
        if record.is_terminal and cleared:
            log.info("Submitting anew: the task was cleared")
            return None
        if self._differs(earlier):
            facts = (
                f"This task submitted another request before: {self._earlier(earlier)} (request {earlier.request:.8}) "
                f"is {record.status}, and this try asks for {self.subject} with request {self.fence.request:.8}. Its "
                "output was not taken, and nothing was submitted."
            )
            return Doubt(Kind.OTHER_REQUEST, earlier, facts)
        if (other := other_module(record, self.module)) is not None:
            return Doubt(Kind.GONE, earlier, f"White Rabbit says that {self._earlier(earlier)} has {other}.")
        if record.is_terminal and cleared is None:
            facts = (
                f"{self._earlier(earlier, 'The')} is {record.status}. It can't be told whether this task was cleared "
                "since, because retries was lowered meanwhile. If you cleared the task to submit anew, clear it again."
            )
            return Doubt(Kind.PERHAPS_CLEARED, earlier, facts)
        if record.is_terminal and self.may_resubmit(record):
            log.info("Submitting anew: %s", failure_of(record))
            return None
        return Found(earlier, record)

    def _named(self, earlier: Submission) -> Found | Doubt:
        """Check the id that a person named as the id of a submission; if it is wrong, the doubt remains."""
        named = earlier.answer.get("id")
        problem: str | None
        try:
            record = self._record(named)
            problem = "White Rabbit does not know this id" if record is None else other_module(record, self.module)
        except WhiteRabbitInputError as error:
            record, problem = None, str(error)
        if record is not None and problem is None:
            log.info("Submitted before, as %s answered: %s is %s", earlier.answer.get("by"), record.id, record.progress)
            return Found(earlier, record)
        return self._remaining(earlier, f"The answer {named!r:.100} can't be right: {problem}.")

    def belongs_to(self, owner: str, found: Found) -> Doubt:
        """Return the doubt about an earlier submission whose id a person has named, and which has another key.

        :param owner: the other key.
        """
        earlier = found.earlier
        if found.target_id == earlier.target_id:
            which = self._earlier(earlier, "The")
            facts = f"{which}, is the one of the key {owner!r} of this task. Two keys can't share an id."
            return Doubt(Kind.GONE, earlier, facts)
        problem = f"The answer {found.target_id!r} can't be right: it is the one of the key {owner!r} of this task."
        return self._remaining(earlier, problem)

    def _remaining(self, earlier: Submission, problem: str) -> Doubt:
        """Return the doubt that an answer has not settled."""
        if earlier.target_id is None:
            return self.uncertain(earlier, problem=problem)
        kind = next((kind for kind in Kind if kind == earlier.doubt), Kind.GONE)
        return Doubt(kind, earlier, f"The doubt about {self._earlier(earlier)} remains.", problem)

    def _differs(self, earlier: Submission) -> bool:
        return earlier.request not in (None, self.fence.request)

    def _record(self, target_id: Any) -> Any:
        """Read a record; None if White Rabbit's API says that there is none."""
        try:
            return self.read(target_id)
        except WhiteRabbitNotFoundError as error:
            if not error.is_from_api:
                raise  # a proxy may have answered
            return None

    def _earlier(self, earlier: Submission, article: str = "the") -> str:
        return f"{article} {self.target.noun} {earlier.target_id}, submitted at {earlier.at}"


def configured_on_doubt() -> OnDoubt:
    """Return what ``[whiterabbit] on_doubt`` says.

    :raises WhiteRabbitConfigError: if it is another word.
    """
    option = conf.get("whiterabbit", "on_doubt", fallback="fail")
    if option not in get_args(OnDoubt):
        choices = ", ".join(get_args(OnDoubt))
        raise WhiteRabbitConfigError(
            f"on_doubt, the option of [whiterabbit], must be one of {choices}; got {option!r:.50}"
        )
    return cast(OnDoubt, option)


def other_module(record: Any, asked: str | None) -> str | None:
    """Return which other module a record has than the one that a task asked for; None if it has no other.

    :param asked: None for a workflow.
    """
    module = getattr(record, "module", None)
    if asked is None or module in (None, asked):
        return None
    return f"the module {quoted(module, 100)}, not {asked}"
