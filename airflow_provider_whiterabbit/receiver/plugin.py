"""The Airflow plugin that serves the callback receiver on Airflow's API server, if the configuration turns it on.

Airflow finds the plugin by the entry point ``airflow.plugins``. Every Airflow process imports this module, so the
module must import nothing heavy. The metadata of a provider can name plugins too, but Airflow reads those names only if
``[core] lazy_discover_providers`` is off, and then warns about a plugin that it finds twice.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any

from airflow_provider_whiterabbit.compat import AirflowPlugin

log = logging.getLogger(__name__)


class WhiteRabbitPlugin(AirflowPlugin):
    """Serves the callback receiver on Airflow 3.1 and newer, if ``[whiterabbit] callback_connections`` is not empty."""

    name = "whiterabbit"

    @cached_property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]  # a property, so that only the API server builds it
        """A list with the callback receiver's web application; an empty list if the receiver is off."""
        from airflow_provider_whiterabbit.compat import AIRFLOW_V_3_1_PLUS
        from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError
        from airflow_provider_whiterabbit.receiver.settings import URL_PREFIX, ReceiverSettings

        try:
            settings = ReceiverSettings.from_configuration()
        except WhiteRabbitConfigError as error:  # the API server must start anyway
            log.error("The receiver of White Rabbit's callbacks is off: %s", error)
            return []
        if not settings.connections:
            return []
        if not AIRFLOW_V_3_1_PLUS:
            log.error("The receiver of White Rabbit's callbacks is off: it needs Airflow 3.1 or newer")
            return []
        from airflow_provider_whiterabbit.receiver.app import Receiver, create_app

        return [{"app": create_app(Receiver(settings)), "url_prefix": URL_PREFIX, "name": "White Rabbit callbacks"}]
