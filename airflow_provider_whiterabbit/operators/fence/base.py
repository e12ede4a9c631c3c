"""What every fence can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_whiterabbit.operators.submission import Submission

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import Context


class Fence(ABC):
    """Guards one Airflow task instance against submitting to White Rabbit a second time.

    :param subject: names what is submitted, as ``component PAY``.
    """

    survives_retries: ClassVar[bool]
    """Whether a retry of the task finds what an earlier try submitted."""

    request: str
    """The digest of what this try of the task asks for. It is set after `earlier` was read: what was submitted before
    must be known also if this try can't say what it asks for."""

    def __init__(self, context: Context, subject: str) -> None:
        self._ti: Any = context["ti"]
        self._task: Any = context["task"]
        self._subject = subject

    @abstractmethod
    def earlier(self) -> Submission | None:
        """Return the earlier submission of the task; None if the task has not submitted before.

        :raises WhiteRabbitProtocolError: if a stored record can't be read.
        """

    def asks_for_more_than(self, earlier: Submission | None) -> bool:
        """Return whether this try asks for something that was not submitted before, and that no person has answered."""
        return earlier is None or not (earlier.answer or earlier.request in (None, self.request))

    @abstractmethod
    def intend(self) -> Submission:
        """Store the intent to submit, and return it.

        If storing raises an error, no request was sent, and no request may be sent.
        """

    @abstractmethod
    def adopt(self, target_id: str, earlier: Submission | None = None) -> None:
        """Store the id of the submitted execution or workflow run. A failure to store the id is logged, never raised.

        :param earlier: the submission that the task waits for; None if the task has just submitted.
        """

    @abstractmethod
    def withdraw(self) -> None:
        """Undo `intend`, because certainly nothing was submitted. A failure is logged, never raised."""

    @abstractmethod
    def note(self, **entries: Any) -> None:
        """Add entries to the stored record, such as ``doubt`` or ``answer``."""

    @abstractmethod
    def is_cleared(self, earlier: Submission) -> bool | None:
        """Return whether a user has cleared the Airflow task since an earlier submission; None if it can't be told."""

    @abstractmethod
    def risks(self, earlier: Submission | None) -> Iterator[str]:
        """Yield why this deployment may forget a submission, as sentences for a warning."""

    @property
    @abstractmethod
    def remedy(self) -> str:
        """How a person settles a doubt about an earlier submission, as sentences for an error message."""
