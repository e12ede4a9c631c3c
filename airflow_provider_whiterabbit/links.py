"""`WhiteRabbitLink`: from a task to what it waits for, in White Rabbit's dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

LINK_KEY = "whiterabbit_link"
"""XCom with the link, stored as soon as the id is known, so that it is there while the task waits."""


class WhiteRabbitLink(BaseOperatorLink):
    """There where the connection says how the dashboard's addresses look: they are not documented."""

    name = "White Rabbit"

    @property
    def xcom_key(self) -> str:
        """Where Airflow 3 finds the link."""
        return LINK_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the link, for the web server of Airflow 2."""
        return XCom.get_value(ti_key=ti_key, key=LINK_KEY) or ""
