"""The plugin that puts the receiver into Airflow's API server, if the configuration says so.

Airflow finds it by the entry point ``airflow.plugins``, and every one of its processes imports this module: nothing
here may cost anything. The metadata of a provider has a place for plugins too, but Airflow reads that only where
``[core] lazy_discover_providers`` is off, and would then complain about one that it has found twice.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

log = logging.getLogger(__name__)


class WhiteRabbitPlugin(AirflowPlugin):
    """Serves ``/whiterabbit`` on Airflow 3.1 and newer where ``[whiterabbit] callback_connections`` is set."""

    name = "whiterabbit"

    @cached_property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]  # only the API server is to build it
        """The receiver, if there is one."""
        from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

        from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError
        from airflow_provider_whiterabbit.receiver.settings import PREFIX, ReceiverSettings

        try:
            settings = ReceiverSettings.from_configuration()
        except WhiteRabbitConfigError as error:  # no reason for Airflow not to start
            log.error("Callbacks of White Rabbit are not received: %s", error)
            return []
        if not settings.connections:
            return []
        if not AIRFLOW_V_3_1_PLUS:
            log.error("Callbacks of White Rabbit are not received: that needs Airflow 3.1 or newer")
            return []
        from airflow_provider_whiterabbit.receiver.app import create_app

        return [{"app": create_app(settings), "url_prefix": PREFIX, "name": "White Rabbit callbacks"}]
