"""Serialize DAGs as Airflow's DAG processor does, and read them as its other processes do."""

from __future__ import annotations

from typing import Any

from airflow.serialization import serialized_objects


def serialized(dag: Any) -> Any:
    """Return a DAG as the scheduler and the API server see it."""
    serialization: Any = getattr(serialized_objects, "DagSerialization", None) or serialized_objects.SerializedDAG
    return serialization.from_dict(serialization.to_dict(dag))
