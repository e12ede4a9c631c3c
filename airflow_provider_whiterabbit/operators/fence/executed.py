"""What a process knows of the operator that it executes or resumes in a try of a task."""

from __future__ import annotations

import threading

from airflow_provider_whiterabbit.operators.submission import Way


class ExecutedOperator:
    """The operator that a process executes, or has resumed; a task executes one at most. It is thread-safe."""

    def __init__(self) -> None:
        self.has_found = False
        """Whether its submission is known in this process: it is the only one of an operator of one input."""

        self.resumed: Way | None = None
        """How the operator submits that Airflow has resumed here; None if it has resumed none that has submitted."""

        self._has_begun = False
        self._lock = threading.Lock()

    def begin(self) -> bool:
        """Note that this process executes an operator; return False if it has executed one before in this try."""
        with self._lock:
            is_first, self._has_begun = not self._has_begun, True
            return is_first

    def resume(self, way: Way | None) -> None:
        """Note that Airflow has resumed an operator in this process.

        :param way: how it has submitted; None if that is still to be found out.
        """
        self.begin()
        self.resumed = way
        self.has_found |= way is Way.ONE
