"""Names of Airflow that have moved since Airflow 2.11; the other modules of this package import such names from here.

`apache-airflow-providers-common-compat` knows the place of each name, and follows Airflow when a name moves again. But
Airflow's constraints files pin the version of that package that was new when Airflow was released: 1.6.0 for Airflow
3.0.0, 1.19.0 for 3.3.2. Versions before 1.8.0 have no module `sdk`, and the `sdk` of versions before 1.22.0 lacks some
names. This module finds a name that `sdk` lacks in the places where the supported versions of Airflow have it. These
places can go when the constraints of every supported Airflow pin 1.22.0 or newer.

Each access looks the name up again, as `sdk` does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow import __version__ as _airflow_version
from packaging.version import Version

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import (  # noqa: I001 - one statement for all re-exports
        DAG as DAG,
        XCOM_RETURN_KEY as XCOM_RETURN_KEY,
        AirflowException as AirflowException,
        AirflowFailException as AirflowFailException,
        AirflowNotFoundException as AirflowNotFoundException,
        AirflowPlugin as AirflowPlugin,
        AirflowSensorTimeout as AirflowSensorTimeout,
        AirflowSkipException as AirflowSkipException,
        AirflowTaskTimeout as AirflowTaskTimeout,
        Asset as Asset,
        BaseHook as BaseHook,
        BaseOperator as BaseOperator,
        BaseOperatorLink as BaseOperatorLink,
        BaseSensorOperator as BaseSensorOperator,
        Connection as Connection,
        Context as Context,
        DecoratedOperator as DecoratedOperator,
        PokeReturnValue as PokeReturnValue,
        TaskDeferred as TaskDeferred,
        Variable as Variable,
        XCom as XCom,
        XComArg as XComArg,
        conf as conf,
        dag as dag,
        determine_kwargs as determine_kwargs,
        get_current_context as get_current_context,
        get_listener_manager as get_listener_manager,
        mask_secret as mask_secret,
        redact as redact,
        task as task,
        task_decorator_factory as task_decorator_factory,
        task_group as task_group,
    )

_SDK = "airflow.providers.common.compat.sdk"

_PLACES: dict[str, tuple[str, ...]] = {
    "DAG": ("airflow.sdk", "airflow.models.dag"),
    "XCOM_RETURN_KEY": ("airflow.models.xcom",),
    "AirflowException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowFailException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowNotFoundException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowPlugin": ("airflow.sdk.plugins_manager", "airflow.plugins_manager"),
    "AirflowSensorTimeout": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowSkipException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowTaskTimeout": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "Asset": ("airflow.sdk", "airflow.datasets:Dataset"),
    "BaseHook": ("airflow.sdk", "airflow.hooks.base"),
    "BaseOperator": ("airflow.sdk", "airflow.models.baseoperator"),
    "BaseOperatorLink": ("airflow.sdk", "airflow.models.baseoperatorlink"),
    "BaseSensorOperator": ("airflow.sdk", "airflow.sensors.base"),
    "Connection": ("airflow.sdk", "airflow.models.connection"),
    "Context": ("airflow.sdk", "airflow.utils.context"),
    "DecoratedOperator": ("airflow.sdk.bases.decorator", "airflow.decorators.base"),
    "PokeReturnValue": ("airflow.sdk", "airflow.sensors.base"),
    "TaskDeferred": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "Variable": ("airflow.sdk", "airflow.models.variable"),
    "XCom": ("airflow.sdk.execution_time.xcom", "airflow.models.xcom"),
    "XComArg": ("airflow.sdk", "airflow.models.xcom_arg"),
    "conf": ("airflow.sdk.configuration", "airflow.configuration"),
    "dag": ("airflow.sdk", "airflow.decorators"),
    "determine_kwargs": ("airflow.sdk.bases.decorator", "airflow.utils.operator_helpers"),
    "get_current_context": ("airflow.sdk", "airflow.operators.python"),
    "get_listener_manager": ("airflow.sdk.listener", "airflow.listeners.listener"),
    "mask_secret": ("airflow.sdk.log", "airflow.sdk.execution_time.secrets_masker", "airflow.utils.log.secrets_masker"),
    "redact": ("airflow.sdk.log", "airflow.sdk.execution_time.secrets_masker", "airflow.utils.log.secrets_masker"),
    "task": ("airflow.sdk", "airflow.decorators"),
    "task_decorator_factory": ("airflow.sdk.bases.decorator", "airflow.decorators.base"),
    "task_group": ("airflow.sdk", "airflow.decorators"),
}
"""Where each name is in the supported versions of Airflow, the newest place first."""


if not TYPE_CHECKING:  # so that type checkers report other names

    def __getattr__(name: str) -> Any:
        """Return a name of Airflow from the first place that has it.

        :raises AttributeError: if the name is not one of these names.
        :raises ImportError: if the name is in none of its places.
        """
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        for place in (_SDK, *_PLACES[name]):
            module, _, old_name = place.partition(":")
            try:
                return getattr(import_module(module), old_name or name)
            except (ImportError, AttributeError):
                continue
        raise ImportError(f"Airflow {_airflow_version} has no {name} in any of {', '.join(_PLACES[name])}")


_RELEASE = Version(_airflow_version).release

AIRFLOW_V_3_0_PLUS = _RELEASE >= (3, 0)
AIRFLOW_V_3_1_PLUS = _RELEASE >= (3, 1)
AIRFLOW_V_3_2_PLUS = _RELEASE >= (3, 2)
AIRFLOW_V_3_3_PLUS = _RELEASE >= (3, 3)
"""Whether the installed Airflow is this version or a newer one. Old versions of common-compat lack the newer ones."""
