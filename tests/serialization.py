"""Serialize DAGs as Airflow's DAG processor does, and read them as its other processes do."""

from __future__ import annotations

import contextlib
from typing import Any

from airflow.serialization import serialized_objects


def serialized(dag: Any) -> Any:
    """Return a DAG as the scheduler and the API server see it."""
    serialization: Any = getattr(serialized_objects, "DagSerialization", None) or serialized_objects.SerializedDAG
    written = serialization.to_dict(dag)
    with contextlib.suppress(ImportError):
        import msgspec  # Airflow 3 brings it

        msgspec.msgpack.encode(written)  # refuses subclasses of `str`
    return serialization.from_dict(written)
