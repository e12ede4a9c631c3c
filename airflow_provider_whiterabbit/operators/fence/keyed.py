"""The records of the many submissions of one task instance, each under a key of its own.

A worker can't list the keys of Airflow's task state store, and each call takes about 10 milliseconds. So the store has
no row for each key, but pages of up to `PAGE` records: a try reads a thousand records in some fifty calls. Afterwards
each new key takes four calls: its page is read again and written with the intent, then read again and written with the
id. `KeyedRecords.together` does so for the intents of many keys, or for their ids, with two calls for each page.

A page is read again because another process may run the same task for a moment. Then no intent is stored, and an id is
added to what the other process has stored.

A page that is written first is also counted, in a row of its own, so that a page that is missing later is noticed.
"""

from __future__ import annotations

import contextlib
import copy
import threading
from collections import defaultdict
from collections.abc import Iterator, Set
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError
from airflow_provider_whiterabbit.operators.fence.guarded_store import GuardedStore
from airflow_provider_whiterabbit.operators.fence.places import Place, set_for_ever
from airflow_provider_whiterabbit.operators.submission import COUNT_KEY, answer_key, page_key

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import Context

PAGE = 20
"""How many records a page has at most. With the longest keys, a page remains below the 64 KiB up to which Airflow's
REST API, and so its UI, can store a value."""


class KeyedRecords:
    """The records of a task instance's submissions by key. It is thread-safe, and the only one in its process.

    :param store: Airflow's task state store of the task instance; None before Airflow 3.3.
    """

    _last: ClassVar[tuple[Any, int, KeyedRecords] | None] = None
    """The task instance, the try, and the records that this process used last."""

    def __init__(self, store: Any) -> None:
        self.taken: dict[str, Any] = {}
        """What this try has submitted, or has taken of an earlier try, by key."""

        self.unsure: set[str] = set()
        """The keys under which this try has begun to submit. Where there is no store, nothing else tells them."""

        self.warned = False
        """Whether this try has logged the risks of this deployment."""

        self._store = store
        self._lock = threading.RLock()
        self._key_locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
        self._pages: list[dict[str, Any]] | None = None  # None before they are read
        self._page_of: dict[str, int] = {}  # counted from 0
        self._counted = 0
        # What the store may hold of each page: more than one value after a write that has failed, or seems to.
        self._possible: defaultdict[int, list[Any]] = defaultdict(lambda: [None])
        # The pages that were read again since they were written.
        self._fresh: set[int] = set()
        # While `together` is active: what to put back if it fails, newest last.
        self._postponed: list[tuple[int, str, Any]] | None = None

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

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Store what is written meanwhile at the end, with one call for each page; no other thread writes meanwhile.

        An intent is stored only when this has ended, so no request may be sent before. If it raises an error, what was
        written meanwhile counts as not stored.
        """
        with self._lock:
            written: list[tuple[int, str, Any]] = []
            self._postponed = written
            try:
                yield
                self._postponed = None
                for number in sorted({number for number, *_ in written}):
                    self._write(number, {key for page, key, _ in written if page == number})
            except BaseException:
                for number, key, before in reversed(written):
                    self._put(number, key, before)
                raise
            finally:
                self._postponed = None

    def get(self, key: str) -> Any:
        """Return the record under a key; None if there is none."""
        with self._lock:
            pages = self._loaded()
            number = self._page_of.get(key)
            return None if number is None else copy.deepcopy(pages[number].get(key))

    def has_changed(self, key: str) -> bool:
        """Read the page of a key again; return whether the store has another page than this process knows."""
        with self._lock:
            number = self._number_for(key)
            if self._postponed is not None and number in self._fresh:
                return False
            stored = self._store.get(page_key(number))
            if stored not in self._possible[number]:
                return True
            self._possible[number] = [stored]
            self._fresh.add(number)
            return False

    def set(self, key: str, record: Any) -> None:
        """Store the record under a key, or delete it if it is None. If that fails, it stays as it was."""
        with self._lock:
            pages, number = self._loaded(), self._number_for(key)
            before = None if number == len(pages) else pages[number].get(key)
            if number == len(pages):
                pages.append({})
            self._put(number, key, record)
            if self._postponed is not None:
                self._postponed.append((number, key, before))
                return
            try:
                self._write(number, {key})
            except BaseException:
                self._put(number, key, before)
                raise

    def _put(self, number: int, key: str, record: Any) -> None:
        page = self._loaded()[number]
        if record is None:
            page.pop(key, None)
            self._page_of.pop(key, None)
        else:
            page[key], self._page_of[key] = copy.deepcopy(record), number

    def _write(self, number: int, keys: Set[str]) -> None:
        """Write a page.

        :param keys: the keys whose records have changed; of the others, what another process has stored counts.
        """
        if number not in self._fresh:
            stored = self._store.get(page_key(number))
            if stored not in self._possible[number] and isinstance(stored, dict):
                for key, record in stored.items():
                    if key not in keys:
                        self._put(number, key, record)
        self._fresh.discard(number)
        page = copy.deepcopy(self._loaded()[number])
        self._possible[number].append(page)
        set_for_ever(self._store, page_key(number), page)
        self._possible[number] = [page]
        if number >= self._counted:
            set_for_ever(self._store, COUNT_KEY, {"pages": number + 1})
            self._counted = number + 1

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

    def has_changed(self, since: Any) -> bool:
        return self._records.has_changed(self._key)

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
            store = context.get("task_state_store")
            KeyedRecords._last = last = (
                ti,
                ti.try_number,
                KeyedRecords(None if store is None else GuardedStore(store, ti)),
            )
        return last[2]
