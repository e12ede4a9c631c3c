"""End-to-end tests, which run a real Airflow against the emulator."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = {"uuid": "1f0e…", "nested": {"list": [1, 2.5, None, True], "text": "größer"}}
ERROR = {"code": "INSUFFICIENT_FUNDS", "message": "balance too low for this transfer"}
PARSE_ONCE = {
    f"AIRFLOW__{section}__MIN_FILE_PROCESS_INTERVAL": "600"  # in Airflow 2 the scheduler parses the files
    for section in ("DAG_PROCESSOR", "SCHEDULER")
}
"""Settings of an Airflow whose DAG files do not change: it parses them once, instead of every thirty seconds."""

DASHBOARD = "https://dashboard.example/executions/"
