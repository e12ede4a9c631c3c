"""The records of the many submissions of one task instance, each under a key of its own.

A worker can't list the keys of Airflow's task state store, and each call takes about 10 milliseconds. So the store has
no row for each key, but pages of up to `PAGE` records: a try reads a thousand records in some fifty calls. Afterwards
each record that is written takes two calls: its page is read again and written. What several threads write at the same
time takes two calls for each page: while one of them writes, the records of the others gather. Threads that are known
to write about the same time also wait a moment for each other.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_whiterabbit.exceptions import WhiteRabbitError
from airflow_provider_whiterabbit.operators.fence.executed import ExecutedOperator
from airflow_provider_whiterabbit.operators.fence.guarded_store import GuardedStore
from airflow_provider_whiterabbit.operators.fence.pages import PAGE as PAGE
from airflow_provider_whiterabbit.operators.fence.pages import Change, Pages
from airflow_provider_whiterabbit.operators.fence.places import Place
from airflow_provider_whiterabbit.operators.submission import KEY, answer_key, page_key

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import Context

PATIENCE = 0.05
"""Seconds for which a thread waits at most for what the others write: some calls of the store."""


class KeyedRecords:
    """The records of a task instance's submissions by key. It is thread-safe, and the only one in its process.

    :param store: Airflow's task state store of the task instance; None before Airflow 3.3.
    :param patience: seconds for which a thread waits at most for what the others write.
    """

    _last: ClassVar[tuple[Any, int, KeyedRecords] | None] = None
    """The task instance, the try, and the records that this process used last."""

    def __init__(self, store: Any, patience: float = PATIENCE) -> None:
        self.taken: dict[str, Any] = {}
        """What this try has submitted, or has taken of an earlier try, by key."""

        self.unsure: set[str] = set()
        """The keys under which this try has begun to submit. Where there is no store, nothing else tells them."""

        self.warned = False
        """Whether this try has logged the risks of this deployment."""

        self.operator = ExecutedOperator()
        """The operator that this process executes; the record of one input is not among these."""

        self.log_level = logging.INFO
        """The level with which the id of each submission is logged."""

        self._store = store
        self._of_operator: list[Any] = []  # empty before it is asked for
        self._owners: dict[str, str] | None = None  # None before it is asked for
        self._lock = threading.RLock()
        self._gathering = threading.Condition()
        self._gathered: list[Change] = []  # what waits to be written together
        self._writers = 1
        self._patience = patience
        self._key_locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
        self._pages = Pages(store)

    @property
    def survives_retries(self) -> bool:
        """Whether there is a store (Airflow 3.3+)."""
        return self._store is not None

    def record_of_operator(self) -> Any:
        """Return the record of an operator of one input as this process has first read it; None if there was none."""
        with self._lock:
            if not self._of_operator:
                self._of_operator.append(self._store.get(KEY))
            return self._of_operator[0]

    def lock_of(self, key: str) -> threading.RLock:
        """Return the lock that a thread holds while it looks for a submission and submits."""
        with self._lock:
            return self._key_locks[key]

    def keys(self) -> list[str]:
        """Return the keys that have a record.

        :raises WhiteRabbitProtocolError: if the records can't be read.
        """
        with self._lock:
            return self._pages.keys()

    def earlier_keys(self) -> list[str]:
        """Return the keys that had a record when this process has read the records, in order.

        :raises WhiteRabbitProtocolError: if the records can't be read.
        """
        with self._lock:
            return self._pages.earlier_keys()

    def owner(self, target_id: str, key: str) -> str:
        """Return the key that an id belongs to; if there is none, it belongs to this key from now on.

        :raises WhiteRabbitProtocolError: if the records can't be read.
        """
        with self._lock:
            if self._owners is None:
                self._owners = {} if self._store is None else self._pages.owners()
            return self._owners.setdefault(target_id, key)

    def place(self, key: str) -> Place:
        """Return the place of the record under a key."""
        return _KeyedPlace(self, self._store, key)

    def get(self, key: str) -> Any:
        """Return the record under a key; None if there is none."""
        with self._lock:
            return self._pages.get(key)

    def set(self, key: str, record: Any) -> None:
        """Store the record under a key. If that fails, it stays as it was."""
        self._commit(Change(key, record, is_fact=True))

    def amend(self, key: str, record: Any) -> None:
        """Store the record under a key, or delete it if it is None, unless another process has changed it."""
        self._commit(Change(key, record), waits=False)  # after a refusal, the other threads are to stop soon

    def intend(self, key: str, record: Any, since: Any) -> bool:
        """Store the record under a key, unless another process has changed its page; return whether it is stored.

        :param since: the record that this process has found under the key.
        """
        return self._commit(Change(key, record, is_intent=True, since=since))

    def expect(self, writers: int) -> None:
        """Tell how many threads write again and again, so that each waits a moment for what the others write."""
        with self._gathering:
            self._writers = writers
            self._gathering.notify_all()

    def _commit(self, change: Change, *, waits: bool = True) -> bool:
        """Write a change, together with those that other threads want to write at the same time."""
        try:
            self._gather(change, waits=waits)
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

    def _gather(self, change: Change, *, waits: bool) -> None:
        """Put a change beside those of other threads; perhaps wait a moment for those that are expected."""
        with self._gathering:
            self._gathered.append(change)
            if len(self._gathered) >= self._writers:
                self._gathering.notify_all()
            elif waits:
                self._gathering.wait_for(
                    lambda: change not in self._gathered or len(self._gathered) >= self._writers, self._patience
                )

    def _write_gathered(self) -> None:
        changes: list[Change] = []
        try:
            with self._gathering:
                changes, self._gathered = self._gathered, []
                self._gathering.notify_all()
            self._pages.write(changes)
        except BaseException as error:  # perhaps that of a signal, before anything was written
            for change in changes:
                change.error = change.error or (None if change.is_done else error)
                change.is_done = True
            raise


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

    def amend(self, record: Any) -> None:
        self._records.amend(self._key, record)

    def delete(self) -> None:
        self._records.amend(self._key, None)

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
            records = KeyedRecords(None if store is None else GuardedStore(store, ti))
            KeyedRecords._last = last = ti, ti.try_number, records
        return last[2]
