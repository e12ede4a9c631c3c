"""`WhiteRabbitLink`: the link from a task to its execution or workflow run in White Rabbit's dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_whiterabbit.compat import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_whiterabbit.compat import BaseOperator

LINK_KEY = "whiterabbit_link"
"""Key of the XCom with the dashboard link, which a task stores as soon as the id is known, before the wait."""


class WhiteRabbitLink(BaseOperatorLink):
    """The link from a task to White Rabbit's dashboard, if the connection has a template for the (undocumented) URL."""

    name = "White Rabbit"

    @property
    def xcom_key(self) -> str:
        """The key of the XCom in which Airflow 3 finds the dashboard link."""
        return LINK_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the dashboard link for the web server of Airflow 2; an empty string if there is no link."""
        return XCom.get_value(ti_key=ti_key, key=LINK_KEY) or ""
