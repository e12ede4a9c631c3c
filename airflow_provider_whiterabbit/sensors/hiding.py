"""Base class of the sensors for executions, whose outputs and errors may repeat the secrets of inputs."""

from __future__ import annotations

from collections.abc import Collection

from airflow_provider_whiterabbit.secrets import SecretName, as_names
from airflow_provider_whiterabbit.sensors.base import WhiteRabbitSensor


class HidingSensor(WhiteRabbitSensor):
    """A sensor that hides secrets, because it does not know which ones the submitting task has put into the inputs."""

    hidden_secrets: Collection[str] = ()  # also while `__init__` runs

    def _hide_secrets(self, names: Collection[str]) -> None:
        """Keep the argument `hidden_secrets` of `__init__`.

        :raises WhiteRabbitInputError: if it is no list of names.
        """
        self.hidden_secrets = names
        self._unless_mapped(names, lambda given: as_names(given, "hidden_secrets"))

    def _secret_names(self) -> frozenset[SecretName]:
        return as_names(self.hidden_secrets, "hidden_secrets")
