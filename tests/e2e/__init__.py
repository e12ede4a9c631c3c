"""End-to-end tests, which run a real Airflow against the emulator."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = {"uuid": "1f0e…", "nested": {"list": [1, 2.5, None, True], "text": "größer"}}
ERROR = {"code": "INSUFFICIENT_FUNDS", "message": "balance too low for this transfer"}
DASHBOARD = "https://dashboard.example/executions/"
