"""Types of the parameters of operators and sensors; only type checkers import this module.

`OperatorParameters` and `SensorParameters` list what Airflow's own base classes accept, in any of the supported
versions of Airflow. They have no types for what differs between these versions.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Required, TypeAlias, TypedDict

from airflow_provider_whiterabbit.compat import DAG, XComArg
from airflow_provider_whiterabbit.templates import Template

Rendered: TypeAlias = Template | XComArg
"""What Airflow replaces by a value when it renders the templates of a task."""

Seconds: TypeAlias = float | timedelta | Rendered

_Callback: TypeAlias = Callable[[Any], None]
_Callbacks: TypeAlias = _Callback | Sequence[_Callback] | None


class TaskParameters(TypedDict, total=False):
    """The parameters of Airflow's `BaseOperator` but `task_id`."""

    allow_nested_operators: bool
    dag: DAG | None
    default_args: dict[str, Any] | None
    depends_on_past: bool
    do_xcom_push: bool
    doc: str | None
    doc_json: str | None
    doc_md: str | None
    doc_rst: str | None
    doc_yaml: str | None
    email: str | Sequence[str] | None
    email_on_failure: bool
    email_on_retry: bool
    end_date: datetime | None
    execution_timeout: timedelta | None
    executor: str | None
    executor_config: dict[str, Any] | None
    ignore_first_depends_on_past: bool
    inlets: Any
    logger_name: str | None
    map_index_template: str | None
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    max_retry_delay: timedelta | float | None
    multiple_outputs: bool
    on_execute_callback: _Callbacks
    on_failure_callback: Any
    on_retry_callback: Any
    on_skipped_callback: _Callbacks
    on_success_callback: _Callbacks
    outlets: Any
    owner: str
    params: MutableMapping[str, Any] | None
    pool: str | None
    pool_slots: int
    post_execute: Callable[[Any, Any], None] | None
    pre_execute: Callable[[Any], None] | None
    priority_weight: int
    queue: str
    render_template_as_native_obj: bool | None
    resources: dict[str, Any] | None
    retries: int | None
    retry_delay: timedelta | float
    retry_exponential_backoff: float
    retry_policy: Any
    run_as_user: str | None
    sla: timedelta | None
    start_date: datetime | None
    task_concurrency: int | None
    task_display_name: str | None
    task_group: Any
    trigger_rule: str
    wait_for_downstream: bool
    wait_for_past_depends_before_skipping: bool
    weight_rule: Any


class OperatorParameters(TaskParameters, total=False):
    """The parameters of Airflow's `BaseOperator`."""

    task_id: Required[str]


class SensorParameters(OperatorParameters, total=False):
    """The parameters of Airflow's `BaseSensorOperator`, without `timeout` and `poke_interval`."""

    exponential_backoff: bool
    max_wait: timedelta | float | None
    mode: Literal["poke", "reschedule"]
    never_fail: bool
    silent_fail: bool
    soft_fail: bool
