"""A part of a record: enough to tell whether the execution or the workflow run has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import pendulum

from airflow_provider_whiterabbit.client.records.fields import (
    lenient,
    number,
    strict_id,
    strict_object,
    strict_status,
    time,
)
from airflow_provider_whiterabbit.client.records.status import TERMINAL, HasStatus, Status, status_text


@dataclass(frozen=True, slots=True)
class Glance(HasStatus):
    """The id and the status in the record of an execution or workflow run, without the output, which may be large.

    :param created_at: None where it was not read.
    :param updated_at: None where it was not read.
    :param total_usage: the number of credits spent; None where it was not read.
    :param lags: whether the record has ended by its field ``completed``, but not by its status.
    """

    id: str
    status: Status | str
    created_at: pendulum.DateTime | None = None
    updated_at: pendulum.DateTime | None = None
    lags: bool = False
    total_usage: float | None = None

    @property
    def progress(self) -> str:
        """The status of the execution or workflow run as text, for the log."""
        return status_text(self.status)

    @classmethod
    def from_dict(cls, data: Any, statuses: type[Status], *, is_part: bool = False) -> Self:
        """Parse the id and the status of a record, of which perhaps only the first JSON members were read.

        :param is_part: ``completed`` was perhaps not read.
        :raises WhiteRabbitProtocolError: if the id or the status is not as documented.
        """
        record = strict_object(data, "record")
        status = strict_status(record, statuses, "record", is_part=is_part)
        return cls(
            strict_id(record, "record"),
            status,
            lenient(record, "createdAt", time),
            lenient(record, "updatedAt", time),
            lags=record.get("completed") is True and status not in TERMINAL,
            total_usage=lenient(record, "totalUsage", number),
        )
