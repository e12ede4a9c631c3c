"""`Faults`: the faults that were added to an emulator."""

from __future__ import annotations

from functools import partial

from starlette.types import ASGIApp

from airflow_provider_whiterabbit.emulator.effects.fault import Fault
from airflow_provider_whiterabbit.emulator.world.errors import not_found
from airflow_provider_whiterabbit.emulator.world.journal import Entry


class Faults:
    """The faults of one emulator, in the order in which they were added."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> int:
        """Add a fault and return its position, counted from 0."""
        self._faults.append(fault)
        return len(self._faults) - 1

    def at(self, position: str) -> Fault:
        """Return the fault at a position, given as text.

        :raises ApiError: 404 if there is no such fault.
        """
        if position.isdecimal() and int(position) < len(self._faults):
            return self._faults[int(position)]
        raise not_found("fault", position)

    def clear(self) -> None:
        """Release all faults and remove them."""
        for fault in self._faults:
            fault.release()
        self._faults.clear()

    def wrap(self, endpoint: ASGIApp, request: Entry) -> ASGIApp:
        """Return the endpoint wrapped in each fault that hits the request.

        A fault that was added later wraps the earlier ones: it works on the answer that they send.
        """
        for fault in self._faults:
            if fault.hit(request):
                endpoint = partial(fault.run, endpoint, request.kind)
        return endpoint
