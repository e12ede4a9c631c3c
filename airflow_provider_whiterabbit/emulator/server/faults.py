"""`Faults`: the simulated faults that were added to an emulator."""

from __future__ import annotations

from functools import partial

from starlette.types import ASGIApp

from airflow_provider_whiterabbit.emulator.effects.fault import Fault
from airflow_provider_whiterabbit.emulator.world.errors import ApiError, not_found
from airflow_provider_whiterabbit.emulator.world.journal import Entry


class Faults:
    """The simulated faults of one emulator, in the order in which they were added."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> int:
        """Add a simulated fault and return its position, counted from 0."""
        self._faults.append(fault)
        return len(self._faults) - 1

    def at(self, position: str) -> Fault:
        """Return the simulated fault at a position, which is a number from 0 as text.

        :raises ApiError: 404 if there is no such fault.
        """
        if position.isdecimal() and int(position) < len(self._faults):
            return self._faults[int(position)]
        raise not_found("fault", position)

    def clear(self) -> None:
        """Remove all simulated faults, and let all requests continue that a `Hold` holds back."""
        for fault in self._faults:
            fault.release()
        self._faults.clear()

    def wrap(self, endpoint: ASGIApp, request: Entry) -> ASGIApp:
        """Return the endpoint of a request, wrapped in each simulated fault that applies to the request.

        A fault that was added later wraps the earlier faults: it changes the HTTP response that they send. If a fault
        can't tell whether it applies, an answer 500 says why.
        """
        for fault in self._faults:
            try:
                is_hit = fault.hit(request)
            except ApiError as error:
                return error.response()
            if is_hit:
                endpoint = partial(fault.run, endpoint, request.kind)
        return endpoint
