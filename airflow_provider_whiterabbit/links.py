"""`WhiteRabbitLink`: the link from a task to its execution or workflow run in White Rabbit's dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

LINK_KEY = "whiterabbit_link"
"""Key of the XCom with the link. A task stores it as soon as the id is known, so that it shows during the wait."""


class WhiteRabbitLink(BaseOperatorLink):
    """The link to White Rabbit's dashboard, where the connection has a template of its (undocumented) addresses."""

    name = "White Rabbit"

    @property
    def xcom_key(self) -> str:
        """The XCom in which Airflow 3 finds the link."""
        return LINK_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the link for the web server of Airflow 2; empty if there is none."""
        return XCom.get_value(ti_key=ti_key, key=LINK_KEY) or ""
