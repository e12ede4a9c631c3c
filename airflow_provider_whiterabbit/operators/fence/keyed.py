"""The records of the many submissions of one task instance, each under a key of its own.

A worker can't list the keys of Airflow's task state store, and each call takes about 10 milliseconds. So the store has
no row for each key, but pages of up to `PAGE` records: a try reads a thousand records in some fifty calls. Afterwards
each record that is written takes two calls: its page is read again and written. What several threads write at the same
time takes two calls for each page: while one of them writes, the records of the others gather.

A page is read again because another process may run the same task for a moment. Then no intent is stored, and an id is
added to what the other process has stored.

A page that is written first is also counted, in a row of its own, so that a page that is missing later is noticed.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitProtocolError
from airflow_provider_whiterabbit.operators.fence.places import Place, set_for_ever
from airflow_provider_whiterabbit.operators.submission import COUNT_KEY, answer_key, page_key

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import Context

PAGE = 20
"""How many records a page has at most. With the longest keys, a page remains below the 64 KiB up to which Airflow's
REST API, and so its UI, can store a value."""


@dataclass(eq=False, slots=True)
class _Change:
    """A record that a thread wants to store, or to delete if it is None.

    :param is_intent: whether it is stored only if no other process has changed the page.
    :param since: for an intent, the record that the thread has found.
    :param number: the number of the page, which is known while it is written.
    :param before: the record that it replaces in memory.
    :param is_done: whether another thread need not write it any more.
    :param error: why it could not be stored.
    """

    key: str
    record: Any
    is_intent: bool = False
    since: Any = None
    number: int = 0
    before: Any = None
    is_stored: bool = False
    is_done: bool = False
    error: BaseException | None = None


class KeyedRecords:
    """The records of a task instance's submissions by key. It is thread-safe, and the only one in its process.

    :param store: Airflow's task state store of the task instance; None before Airflow 3.3.
    """

    _last: ClassVar[tuple[Any, int, KeyedRecords] | None] = None
    """The task instance, the try, and the records that this process used last."""

    def __init__(self, store: Any) -> None:
        self.taken: dict[str, Any] = {}
        """What this try has submitted, or has taken of an earlier try, by key."""

        self.warned = False
        """Whether this try has logged the risks of this deployment."""

        self.log_level = logging.INFO
        """The level with which the id of each submission is logged."""

        self._store = store
        self._lock = threading.RLock()
        self._gathering = threading.Lock()
        self._gathered: list[_Change] = []  # what waits to be written together
        self._key_locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
        self._pages: list[dict[str, Any]] | None = None  # None before they are read
        self._page_of: dict[str, int] = {}  # counted from 0
        self._counted = 0
        # What the store may hold of each page: more than one value after a write that has failed, or seems to.
        self._possible: defaultdict[int, list[Any]] = defaultdict(lambda: [None])

    @property
    def survives_retries(self) -> bool:
        """Whether there is a store (Airflow 3.3+)."""
        return self._store is not None

    def lock_of(self, key: str) -> threading.RLock:
        """Return the lock that a thread holds while it looks for a submission and submits."""
        with self._lock:
            return self._key_locks[key]

    def keys(self) -> list[str]:
        """Return the keys that have a record.

        :raises WhiteRabbitProtocolError: if the records can't be read.
        """
        with self._lock:
            return [key for page in self._loaded() for key in page]

    def place(self, key: str) -> Place:
        """Return the place of the record under a key."""
        return _KeyedPlace(self, self._store, key)

    def get(self, key: str) -> Any:
        """Return the record under a key; None if there is none."""
        with self._lock:
            pages = self._loaded()
            number = self._page_of.get(key)
            return None if number is None else copy.deepcopy(pages[number].get(key))

    def set(self, key: str, record: Any) -> None:
        """Store the record under a key, or delete it if it is None. If that fails, it stays as it was."""
        self._commit(_Change(key, record))

    def intend(self, key: str, record: Any, since: Any) -> bool:
        """Store the record under a key, unless another process has changed its page; return whether it is stored.

        :param since: the record that this process has found under the key.
        """
        return self._commit(_Change(key, record, is_intent=True, since=since))

    def _commit(self, change: _Change) -> bool:
        """Write a change, together with those that other threads want to write at the same time."""
        with self._gathering:
            self._gathered.append(change)
        try:
            with self._lock:
                is_mine = not change.is_done
                if is_mine:
                    self._write_gathered()
        finally:
            with self._gathering:
                if change in self._gathered:  # this thread was interrupted
                    self._gathered.remove(change)
        if change.error is not None:
            if is_mine:
                raise change.error
            raise WhiteRabbitError(
                f"The record of a submission could not be stored: {type(change.error).__name__}: {change.error}"
            ) from change.error
        return change.is_stored

    def _write_gathered(self) -> None:
        with self._gathering:
            changes, self._gathered = self._gathered, []
        try:
            for change in changes:
                self._apply(change)
            for number in sorted({change.number for change in changes}):
                self._write(number, [change for change in changes if change.number == number])
        except BaseException as error:
            for change in reversed(changes):
                if not change.is_done:
                    self._undo(change)
                    change.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            for change in changes:
                change.is_done = True

    def _apply(self, change: _Change) -> None:
        """Change the record in memory."""
        pages = self._loaded()
        change.number = self._number_for(change.key)
        if change.number == len(pages):
            pages.append({})
        change.before = pages[change.number].get(change.key)
        self._put(change.number, change.key, change.record)

    def _undo(self, change: _Change) -> None:
        self._put(change.number, change.key, change.before)

    def _put(self, number: int, key: str, record: Any) -> None:
        page = self._loaded()[number]
        if record is None:
            page.pop(key, None)
            self._page_of.pop(key, None)
        else:
            page[key], self._page_of[key] = copy.deepcopy(record), number

    def _write(self, number: int, changes: Sequence[_Change]) -> None:
        """Write a page with the changes of its records, as far as they may be stored."""
        stored = self._store.get(page_key(number))
        has_changed = stored not in self._possible[number]
        for change in changes:
            if change.is_intent and (has_changed or change.before != change.since):
                self._undo(change)
                change.is_done = True
        changes = [change for change in changes if not change.is_done]
        if not changes:
            return
        if has_changed and isinstance(stored, dict):
            keys = {change.key for change in changes}
            for key, record in stored.items():
                if key not in keys:  # what another process has stored counts
                    self._put(number, key, record)
        page = copy.deepcopy(self._loaded()[number])
        self._possible[number].append(page)
        set_for_ever(self._store, page_key(number), page)
        self._possible[number] = [page]
        if number >= self._counted:
            set_for_ever(self._store, COUNT_KEY, {"pages": number + 1})
            self._counted = number + 1
        for change in changes:
            change.is_stored = change.is_done = True

    def _number_for(self, key: str) -> int:
        """Return the number of the page that has a key, or will have it."""
        pages = self._loaded()
        if key in self._page_of:
            return self._page_of[key]
        return len(pages) - (bool(pages) and len(pages[-1]) < PAGE)

    def _loaded(self) -> list[dict[str, Any]]:
        """Return the pages, which are read at first."""
        if self._pages is None:
            count = self._store.get(COUNT_KEY)
            self._counted = count["pages"] if isinstance(count, dict) and isinstance(count.get("pages"), int) else 0
            pages = list(self._read_pages())
            self._possible.update({number: [copy.deepcopy(page)] for number, page in enumerate(pages)})
            self._page_of = {key: number for number, page in enumerate(pages) for key in page}
            self._pages = pages
        return self._pages

    def _read_pages(self) -> Iterator[dict[str, Any]]:
        number = 0
        while (page := self._store.get(page_key(number))) is not None or number < self._counted:
            if not isinstance(page, dict):
                raise WhiteRabbitProtocolError(
                    f"The stored submission records cannot be read: the key {page_key(number)} of this task instance's "
                    f"task state store has {page!r:.100}. Nothing was sent. Restore the value in Airflow's UI, or "
                    "store {} there if the submissions that it recorded may be submitted again."
                )
            yield page
            number += 1


class _KeyedPlace(Place):
    """The place of the record under one key."""

    def __init__(self, records: KeyedRecords, store: Any, key: str) -> None:
        self._records = records
        self._store = store
        self._key = key
        self.label = f" (key {key!r})"

    @property
    def name(self) -> str:
        return f"the member {self._key!r} of a key {page_key(0)[:-1]}…"

    def get(self) -> Any:
        return self._records.get(self._key)

    @property
    def log_level(self) -> int:
        return self._records.log_level

    def intend(self, record: Any, since: Any) -> bool:
        return self._records.intend(self._key, record, since)

    def set(self, record: Any) -> None:
        self._records.set(self._key, record)

    def delete(self) -> None:
        self._records.set(self._key, None)

    def answer(self) -> Any:
        """Read the answer, if there can be one: a person answers a doubt, and an intent that a killed try has left."""
        record = self.get()
        if isinstance(record, dict) and (record.get("doubt") or not record.get("id")):
            return self._store.get(answer_key(self._key))
        return None

    def delete_answer(self) -> None:
        self._store.delete(answer_key(self._key))


_last_lock = threading.Lock()


def records_of(context: Context) -> KeyedRecords:
    """Return the records of the running task's submissions by key, the same object at each call in one try."""
    ti: Any = context["ti"]  # the same object in each context of a task
    with _last_lock:
        last = KeyedRecords._last
        if last is None or last[0] is not ti or last[1] != ti.try_number:
            KeyedRecords._last = last = ti, ti.try_number, KeyedRecords(context.get("task_state_store"))
        return last[2]
