"""Marks that skip a test where the installed Airflow lacks a feature, or this machine a tool, each with the reason."""

from __future__ import annotations

import shutil

import pytest
from airflow import __version__ as airflow_version
from airflow.triggers.base import BaseTrigger

from airflow_provider_whiterabbit.compat import (
    AIRFLOW_V_3_0_PLUS,
    AIRFLOW_V_3_1_PLUS,
    AIRFLOW_V_3_2_PLUS,
    AIRFLOW_V_3_3_PLUS,
    DAG,
)
from airflow_provider_whiterabbit.ending.obstacles import version_obstacles

RELEASE = tuple(map(int, airflow_version.split(".")[:3]))
HAS_SDK = AIRFLOW_V_3_0_PLUS
HAS_RECEIVER = AIRFLOW_V_3_1_PLUS
HAS_RUN_EACH = AIRFLOW_V_3_2_PLUS
HAS_LOCKED_QUEUE = AIRFLOW_V_3_2_PLUS
HAS_STORE = AIRFLOW_V_3_3_PLUS
HAS_BUSY_ANSWERS = AIRFLOW_V_3_3_PLUS
HAS_DAG_TEST = hasattr(DAG, "test")
HAS_TRIGGER_KILL = hasattr(BaseTrigger, "on_kill")
HAS_TRIGGERER_END = not list(version_obstacles())

NO_STORE = "needs the task state store (Airflow 3.3)"

needs_sdk = pytest.mark.skipif(not HAS_SDK, reason="shows a DAG that imports airflow.sdk (Airflow 3.0)")
needs_dag_test = pytest.mark.skipif(
    not HAS_DAG_TEST, reason="needs dag.test() (which the DAGs of Airflow 3.0.0 and 3.0.1 lack)"
)
needs_missing_connections = pytest.mark.skipif(
    RELEASE == (3, 1, 0), reason="needs the error of a missing connection (Airflow 3.1.0 needs a supervisor for that)"
)
needs_receiver = pytest.mark.skipif(not HAS_RECEIVER, reason="needs the receiver of callbacks (Airflow 3.1)")
needs_run_each = pytest.mark.skipif(not HAS_RUN_EACH, reason="needs one DAG run per execution (Airflow 3.2)")
needs_store = pytest.mark.skipif(not HAS_STORE, reason=NO_STORE)
needs_trigger_kill = pytest.mark.skipif(not HAS_TRIGGER_KILL, reason="needs BaseTrigger.on_kill (Airflow 3.3)")
needs_triggerer_end = pytest.mark.skipif(
    not HAS_TRIGGERER_END, reason="needs tasks that start and end in the triggerer (Airflow 3.3.1)"
)

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js 18 or newer: node on PATH")
