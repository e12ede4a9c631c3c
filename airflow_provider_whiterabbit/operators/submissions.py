"""Which executions the recovery of callbacks has to look at: what it remembers between its runs, and what is new.

The ids of submitted executions come from the events of an asset. A run continues where the last one stopped, and also
looks at each earlier execution whose callback is still open: the execution runs, or its callback was replayed.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError

log = logging.getLogger(__name__)

PAGE = 500
"""How many asset events one request to Airflow's API server returns at most."""

OVERLAP = timedelta(minutes=10)
"""How far a run goes back behind the newest event that was seen.

The time of an event is the time at which a transaction writes it. A slow transaction, or an API server whose clock is
late, adds an event that is older than others that were seen.
"""


@dataclass(slots=True)
class Tries:
    """What was tried for the callback of one execution.

    :param replays: how often the callback was replayed.
    :param in_vain: after how many of these replays White Rabbit has tried to deliver the callback, and failed.
    :param attempts: White Rabbit's count of attempts at the time of the last replay; None if unknown.
    :param misses: how often White Rabbit has answered that it does not know the execution.
    """

    replays: int = 0
    in_vain: int = 0
    attempts: int | None = None
    misses: int = 0

    @classmethod
    def from_json(cls, counts: Any) -> Self:
        """Return the tries from a list of their members.

        :raises TypeError: if it is something else.
        """
        tries = cls(*counts)
        numbers = [tries.replays, tries.in_vain, tries.misses, 0 if tries.attempts is None else tries.attempts]
        if any(type(number) is not int for number in numbers):
            raise TypeError
        return tries

    def count_in_vain(self, attempts: int | None, limit: int) -> bool:
        """Count the last replay of a callback that is still not delivered, and return whether that gives an alert.

        A replay that White Rabbit has not got to yet is not in vain; many that it never gets to are.

        :param attempts: White Rabbit's count of attempts now; None if unknown.
        :param limit: how many replays in vain give an alert.
        """
        if self.replays and (attempts is None or self.attempts is None or attempts > self.attempts):
            self.in_vain += 1
        return self.in_vain >= limit or self.replays >= 2 * limit


@dataclass(slots=True)
class Progress:
    """How far the recovery has come.

    :param seen_until: time of the newest event that was seen; None before the first run.
    :param open: the executions that the next run has to look at again, by their ids.
    """

    seen_until: datetime | None = None
    open: dict[str, Tries] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the progress that `to_json` has returned.

        If somebody has changed it to something else, or it says that events of the future were seen, because a clock
        was wrong, there is no progress: otherwise the recovery would look at no submission until that time comes.
        """
        if value is None:
            return cls()
        try:
            seen_until = datetime.fromisoformat(value["seen_until"]).astimezone(UTC) if value["seen_until"] else None
            if seen_until is not None and seen_until - OVERLAP > datetime.now(UTC):
                raise ValueError(seen_until)
            tries = {checks.identifier(key, "id"): Tries.from_json(counts) for key, counts in value["open"].items()}
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            log.warning("What the recovery of callbacks has remembered cannot be read; it looks at all submissions")
            return cls()
        return cls(seen_until, tries)

    def to_json(self) -> dict[str, Any]:
        """Return the progress as JSON."""
        return {
            "seen_until": self.seen_until.isoformat() if self.seen_until else None,
            "open": {key: [t.replays, t.in_vain, t.attempts, t.misses] for key, t in self.open.items()},
        }


class Submissions:
    """The executions that were submitted, in the events of an Airflow asset.

    :param submitted: the asset. The ``extra`` of its events holds an execution's id as ``execution_id``.
    :param context: the context of a task that has the asset as an inlet.
    :param connection_id: id of the connection that the executions were submitted with.
    :raises WhiteRabbitInputError: if the asset is no inlet.
    """

    def __init__(self, submitted: Any, context: Mapping[str, Any], connection_id: str) -> None:
        try:
            context["inlet_events"][submitted]
        except KeyError:
            raise WhiteRabbitInputError(
                f"the asset {submitted.uri} is no inlet of this task: a mapped task needs inlets=[…] beside submitted=…"
            ) from None
        self._submitted = submitted
        self._context = context
        self._connection_id = connection_id
        self.progress = Progress.from_json(self._load())

    def new(self) -> Iterator[str]:
        """Yield the ids of executions that were submitted since the last run that saw everything, oldest first.

        `progress` moves on, and is saved, after each page of events.
        """
        progress = self.progress
        since = None if progress.seen_until is None else progress.seen_until - OVERLAP
        for page in self._pages(since):
            for event in page:
                yield from self._ids_in(event)
            if page:
                # An API server whose clock is ahead must not hide the events of others.
                newest = min(page[-1].timestamp, datetime.now(UTC))
                progress.seen_until = max(newest, progress.seen_until or newest)
            self.save()

    def save(self) -> None:
        """Save the progress for the next run, also if this one fails."""
        value = self.progress.to_json()
        if store := self._store():
            store.set(self._key, value)
        else:
            _variables().set(self._variable, json.dumps(value), f"Progress of recovering callbacks of {self._name}")

    def _load(self) -> Any:
        if store := self._store():
            return store.get(self._key)
        text = _variables().get(self._variable, None)
        try:
            return None if text is None else json.loads(text)
        except ValueError:
            return text

    def _store(self) -> Any:
        """Return the asset's state store, which Airflow has since 3.3; None before."""
        stores = self._context.get("asset_state_store")
        return None if stores is None else stores[self._submitted]

    @property
    def _key(self) -> str:
        return f"whiterabbit_recovery/{self._connection_id}"

    @property
    def _variable(self) -> str:
        return f"whiterabbit_recovery_{hashlib.sha256(self._name.encode()).hexdigest()[:16]}"

    @property
    def _name(self) -> str:
        return f"{self._submitted.uri}, connection {self._connection_id}"

    def _pages(self, since: datetime | None) -> Iterator[list[Any]]:
        """Yield the asset's events from a time on, oldest first, as lists. Two lists may have events in common."""
        events = self._context["inlet_events"][self._submitted]
        if not hasattr(events, "after"):  # before Airflow 3.1, which returns all events
            yield [event for event in events if since is None or event.timestamp >= since]
            return
        limit = PAGE
        while True:
            query = self._context["inlet_events"][self._submitted].ascending(True).limit(limit)
            page = list(query if since is None else query.after(since.isoformat()))
            yield page
            if len(page) < limit:
                return
            # The next page begins with the events of the same time. If all are of one time, it must be larger.
            limit = limit * 2 if page[-1].timestamp == since else PAGE
            since = page[-1].timestamp

    def _ids_in(self, event: Any) -> Iterator[str]:
        try:
            yield checks.identifier((event.extra or {}).get("execution_id"), "execution_id")
        except (AttributeError, WhiteRabbitInputError):
            log.warning("An event of the asset %s holds no valid execution_id", self._submitted.uri)


def _variables() -> Any:
    from airflow_provider_whiterabbit.compat import Variable

    return Variable
