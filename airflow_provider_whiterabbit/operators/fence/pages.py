"""The pages of records of a task instance in Airflow's task state store, as this process knows them.

A page is read again before it is written, because another process may run the same task for a moment. Then no intent is
stored, and an id is added to what the other process has stored.

A page that is written first is also counted, in a row of its own, so that a page that is missing later is noticed.
"""

from __future__ import annotations

import contextlib
import copy
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError
from airflow_provider_whiterabbit.operators.fence.places import set_for_ever
from airflow_provider_whiterabbit.operators.submission import COUNT_KEY, owners_in, page_key

PAGE = 20
"""How many records a page has at most. With the longest keys, a page remains below the 64 KiB up to which Airflow's
REST API, and so its UI, can store a value."""


@dataclass(eq=False, slots=True)
class Change:
    """A record that a thread wants to store, or to delete if it is None.

    :param is_intent: whether it is stored only if no other process has changed the page.
    :param since: for an intent, the record that the thread has found.
    :param is_fact: whether it is stored also if another process has changed the record. Others must not lose an id.
    :param number: the number of the page; None until it is changed in memory.
    :param before: the record that it replaces in memory.
    :param is_done: whether another thread need not write it any more.
    :param error: why it could not be stored.
    """

    key: str
    record: Any
    is_intent: bool = False
    since: Any = None
    is_fact: bool = False
    number: int | None = None
    before: Any = None
    is_stored: bool = False
    is_done: bool = False
    error: BaseException | None = None


class Pages:
    """The pages of records. They are not thread-safe.

    :param store: Airflow's task state store of the task instance.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self._pages: list[dict[str, Any]] | None = None  # None before they are read
        self._page_of: dict[str, int] = {}  # counted from 0
        self._earlier: list[str] = []
        self._counted = 0
        # What the store may hold of each page: more than one value after a write that has failed, or seems to.
        self._possible: defaultdict[int, list[Any]] = defaultdict(lambda: [None])

    def keys(self) -> list[str]:
        """Return the keys that have a record.

        :raises WhiteRabbitProtocolError: if the records can't be read.
        """
        return [key for page in self._loaded() for key in page]

    def earlier_keys(self) -> list[str]:
        """Return the keys that had a record when the pages were read, in order."""
        self._loaded()
        return self._earlier

    def owners(self) -> dict[str, str]:
        """Return the keys of the records by the ids of what was submitted."""
        return owners_in({key: record for page in self._loaded() for key, record in page.items()})

    def get(self, key: str) -> Any:
        """Return the record under a key; None if there is none."""
        pages = self._loaded()
        number = self._page_of.get(key)
        return None if number is None else copy.deepcopy(pages[number].get(key))

    def write(self, changes: Sequence[Change]) -> None:
        """Write changes, with two calls of the store for each page. What can't be written stays as it was.

        An error of the store is the `error` of the changes that it concerns.
        """
        hole: Exception | None = None  # why a new page could not be written; the store has none after a missing one
        try:
            for number in sorted({self._apply(change) for change in changes}):
                several = [change for change in changes if change.number == number]
                try:
                    if hole is not None and number >= self._counted:
                        raise hole
                    self._write(number, several)
                except Exception as error:
                    if number >= self._counted:
                        hole = error
                    self._fail(several, error)
                    self._undo_intents(number, several)
        except BaseException as error:
            self._fail(changes, error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._drop_unwritten()

    def _fail(self, changes: Sequence[Change], error: BaseException) -> None:
        """Undo in memory what is not stored."""
        for change in reversed(changes):
            if not change.is_done:
                self._undo(change)
                change.error, change.is_done = error, True

    def _undo_intents(self, number: int, changes: Sequence[Change]) -> None:
        """Write a page as it was, because the store may have intents although it has failed: they would be doubts."""
        page = self._loaded()[number] or None
        if all(change.is_intent for change in changes) and any(each != page for each in self._possible[number]):
            with contextlib.suppress(Exception):
                self._store_page(number)

    def _drop_unwritten(self) -> None:
        """Forget pages that could not be written."""
        pages = self._pages or []
        while len(pages) > self._counted and not pages[-1]:
            pages.pop()

    def _apply(self, change: Change) -> int:
        """Change the record in memory, and return the number of its page."""
        pages, number = self._loaded(), self._number_for(change.key)
        if number == len(pages):
            pages.append({})
        change.number, change.before = number, pages[number].get(change.key)
        self._put(number, change.key, change.record)
        return number

    def _undo(self, change: Change) -> None:
        if change.number is not None:
            self._put(change.number, change.key, change.before)

    def _put(self, number: int, key: str, record: Any) -> None:
        page = self._loaded()[number]
        if record is None:
            page.pop(key, None)
            self._page_of.pop(key, None)
        else:
            page[key], self._page_of[key] = copy.deepcopy(record), number

    def _write(self, number: int, changes: Sequence[Change]) -> None:
        """Write a page with the changes of its records, as far as they may be stored."""
        stored = self._store.get(page_key(number))
        has_changed = stored not in self._possible[number]
        for change in changes:
            if self._is_outdated(change, stored, has_changed=has_changed):
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
        self._store_page(number)
        if number >= self._counted:
            set_for_ever(self._store, COUNT_KEY, {"pages": number + 1})
            self._counted = number + 1
        for change in changes:
            change.is_stored = change.is_done = True

    def _is_outdated(self, change: Change, stored: Any, *, has_changed: bool) -> bool:
        """Return whether a change must not be stored, because another process has changed the page or the record."""
        if change.is_intent:
            return has_changed or change.before != change.since
        return (
            has_changed and not change.is_fact and isinstance(stored, dict) and stored.get(change.key) != change.before
        )

    def _store_page(self, number: int) -> None:
        page = copy.deepcopy(self._loaded()[number])
        self._possible[number].append(page)
        set_for_ever(self._store, page_key(number), page)
        self._possible[number] = [page]

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
            pages = [copy.deepcopy(page) for page in self._read_pages()]
            self._possible.update({number: [copy.deepcopy(page)] for number, page in enumerate(pages)})
            self._page_of = {key: number for number, page in enumerate(pages) for key in page}
            self._earlier = [key for page in pages for key, record in page.items() if record is not None]
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
