"""Where the record of one submission is kept: in Airflow's task state store, alone or among those of other keys."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import Any

from airflow_provider_whiterabbit.operators.submission import ANSWER_KEY, KEY


class Place(ABC):
    """The place of one record of a submission, and of the answer of a person that settles a doubt about it."""

    label = ""
    """What a message about the submission adds to its subject."""

    @property
    def log_level(self) -> int:
        """The level with which the id of the submission is logged."""
        return logging.INFO

    @property
    @abstractmethod
    def name(self) -> str:
        """What a person has to edit or delete in the task state store, for messages."""

    @abstractmethod
    def get(self) -> Any:
        """Return the stored record; None if there is none."""

    @abstractmethod
    def intend(self, record: Any, since: Any) -> bool:
        """Store a record, unless another process has written one meanwhile; return whether it is stored.

        :param since: the record that this process has found.
        """

    @abstractmethod
    def set(self, record: Any) -> None:
        """Store a record, which never expires."""

    @abstractmethod
    def amend(self, record: Any) -> None:
        """Store a record, unless another process has written one meanwhile."""

    @abstractmethod
    def delete(self) -> None:
        """Delete the record, unless another process has written one meanwhile."""

    @abstractmethod
    def answer(self) -> Any:
        """Return the answer that a person has stored by command; None if there is none."""

    @abstractmethod
    def delete_answer(self) -> None:
        """Delete that answer."""


class TaskPlace(Place):
    """The place of the only submission of a task instance, which an operator submits.

    :param store: Airflow's task state store of the task instance.
    """

    name = f"the key {KEY}"

    def __init__(self, store: Any) -> None:
        self._store = store
        self._known: Any = None  # the record that this process has read or written last

    def get(self) -> Any:
        """Read the record."""
        self._known = record = self._store.get(KEY)
        return record

    def intend(self, record: Any, since: Any) -> bool:
        """Read the record again, compare it, and store another one."""
        if self._store.get(KEY) != since:
            return False
        self.set(record)
        return True

    def set(self, record: Any) -> None:
        """Store a record."""
        set_for_ever(self._store, KEY, record)
        self._known = record

    def amend(self, record: Any) -> None:
        """Read the record again; if it is the one that this process knows, store another one."""
        if self._is_known():
            self.set(record)

    def delete(self) -> None:
        """Read the record again; if it is the one that this process knows, delete it."""
        if self._is_known():
            self._store.delete(KEY)

    def _is_known(self) -> bool:
        """Return whether no other process has written a record meanwhile, such as one that has submitted."""
        return bool(self._store.get(KEY) == self._known)

    def answer(self) -> Any:
        """Read the answer."""
        return self._store.get(ANSWER_KEY)

    def delete_answer(self) -> None:
        """Delete the answer."""
        self._store.delete(ANSWER_KEY)


def set_for_ever(store: Any, key: str, value: Any) -> None:
    """Store a value that never expires in a task state store: a user may clear the task a year later."""
    from airflow.sdk.execution_time.context import NEVER_EXPIRE

    store.set(key, value, retention=NEVER_EXPIRE)
