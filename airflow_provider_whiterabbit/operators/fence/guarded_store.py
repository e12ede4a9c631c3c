"""Airflow's task state store for the code of a task, which may go on after an error, in threads and in processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from airflow_provider_whiterabbit.exceptions import WhiteRabbitError
from airflow_provider_whiterabbit.forked import is_inherited


class GuardedStore:
    """A task state store that refuses calls where it could give the answer to another call.

    Airflow's worker asks its supervisor through a socket, and takes the next answer for its own. Two things can mix the
    answers up, so that a record seems to be missing, or seems to be stored: a call that was interrupted before its
    answer came, by the exception that a handler of a signal raised, such as Airflow's timeout of a task; and a process
    that was forked from that of the task, and has the same socket.

    :param store: Airflow's task state store of the task instance.
    :param ti: the task instance.
    """

    def __init__(self, store: Any, ti: Any) -> None:
        self._store = store
        self._ti = ti
        self._was_interrupted = False

    def get(self, key: str) -> Any:
        """Return a stored value; None if there is none."""
        with self._calling():
            return self._store.get(key)

    def set(self, key: str, value: Any, *, retention: Any) -> None:
        """Store a value."""
        with self._calling():
            self._store.set(key, value, retention=retention)

    def delete(self, key: str) -> None:
        """Delete a stored value, if there is one."""
        with self._calling():
            self._store.delete(key)

    @contextlib.contextmanager
    def _calling(self) -> Iterator[None]:
        check_process(self._ti)
        if self._was_interrupted:
            raise WhiteRabbitError(
                "A call of Airflow's task state store was interrupted in this try, so its answers can't be trusted any "
                "more, and nothing was sent. Let the task end: a retry goes on where this try was"
            )
        try:
            yield
        except Exception:
            raise
        except BaseException:
            self._was_interrupted = True
            raise


def check_process(ti: Any) -> None:
    """Check that this process is that of a task instance.

    :raises WhiteRabbitError: if it was forked from that process.
    """
    if is_inherited(ti):
        raise WhiteRabbitError(
            "A task submits in its own process, and this process was forked from it, for example by multiprocessing. "
            "Nothing was sent. Submit in the task's own process, under keys in threads"
        )
