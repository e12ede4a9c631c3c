"""A DAG with fifty waits that one triggerer holds at the same time; some of them get a hostile text."""

from __future__ import annotations

from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

HOSTILE = ("surrogate", "nul", "controls", "content_type", "error", "output", "output_nul", "status")
ORDINARY = tuple(f"wait_{number}" for number in range(50 - len(HOSTILE)))

with DAG("e2e_texts", schedule=None, catchup=False):
    for name in HOSTILE + ORDINARY:
        WhiteRabbitExecutionSensor(
            task_id=name,
            execution_id=f"{{{{ dag_run.conf['{name}'] }}}}",
            start_from_trigger=True,
            end_from_trigger=True,
            # These two waits go on: a proxy, or a newer White Rabbit, may have sent what they get.
            timeout=30 if name in ("content_type", "status") else 600,
        )
