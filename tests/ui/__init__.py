"""Tests of Airflow's web UI in a browser."""

from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AIRFLOW = metadata.version("apache-airflow")
DASHBOARD = "https://dashboard.example"
LINKS = {
    "execution_url": DASHBOARD + "/executions/{execution_id}",
    "workflow_run_url": DASHBOARD + "/runs/{workflow_run_id}",
}
