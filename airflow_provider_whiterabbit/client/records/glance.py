"""A part of a record: enough to tell whether the execution or run has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import pendulum

from airflow_provider_whiterabbit.client.records.fields import (
    lenient,
    strict_id,
    strict_object,
    strict_status,
    time,
)
from airflow_provider_whiterabbit.client.records.status import HasStatus, Status


@dataclass(frozen=True, slots=True)
class Glance(HasStatus):
    """The id and the status of a record. Its output, which may be large, was not parsed.

    :param created_at: None where it was not read.
    :param updated_at: None where it was not read.
    """

    id: str
    status: Status
    created_at: pendulum.DateTime | None = None
    updated_at: pendulum.DateTime | None = None

    @property
    def progress(self) -> str:
        """The status, for the log."""
        return str(self.status)

    @classmethod
    def from_dict(cls, data: Any, statuses: type[Status]) -> Self:
        """Parse a record, or its first members, strictly for id and status.

        :raises WhiteRabbitProtocolError: if the id or the status is not as documented.
        """
        record = strict_object(data, "record")
        return cls(
            strict_id(record, "record"),
            strict_status(record, statuses, "record"),
            lenient(record, "createdAt", time),
            lenient(record, "updatedAt", time),
        )
