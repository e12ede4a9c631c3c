"""The arguments of `airflow whiterabbit doubts`. Each `airflow` command loads this module, so it imports nothing."""

from __future__ import annotations

from typing import Any

KINDS = ("uncertain", "other request", "gone", "perhaps cleared")
ANSWERS_FOR_ALL = ("earlier", "submit", "stop")

HELP = "List and settle the doubts of a DAG run about earlier submissions to White Rabbit"
DESCRIPTION = """\
List the doubts of a DAG run about earlier submissions to White Rabbit, or settle them.

Without --output, --answers and --all, the command prints the doubts. It uses Airflow's REST API (Airflow 3.3 and newer)
with the token in the environment variable AIRFLOW_CLI_TOKEN."""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "dag_id": {"help": "id of the DAG"},
    "run_id": {"help": "id of the DAG run"},
    "--output": {"metavar": "FILE", "help": "write the doubts to a new JSON file, to fill in the answers"},
    "--answers": {"metavar": "FILE", "help": "settle the doubts by the answers in such a file"},
    "--all": {"choices": ANSWERS_FOR_ALL, "help": "settle all doubts by this answer"},
    "--task-id": {"help": "list or settle the doubts of this task only"},
    "--kind": {"choices": KINDS, "help": "list or settle the doubts of this kind only"},
    "--url": {"help": "address of Airflow's API server (default: base_url in section api of Airflow's configuration)"},
}
"""The arguments of `airflow whiterabbit doubts`, as argparse takes them."""
