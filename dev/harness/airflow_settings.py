"""Environment variables for the Airflow of `AirflowHome`, without the settings of the caller's own Airflow."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from importlib import metadata
from pathlib import Path

MAJOR = int(metadata.version("apache-airflow").partition(".")[0])


EXAMPLE_VARIABLES = {"AIRFLOW_VAR_SECRET_RPC_URL": "https://ethereum.example.org/v2/access-key"}
"""The Airflow variables that the examples read: those of `example_dags` and of the documentation."""


def inherited() -> dict[str, str]:
    """Return the caller's environment without Airflow's variables, and without a proxy for loopback addresses."""
    dropped = ("AIRFLOW_", "_AIRFLOW_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    # If Python may not store byte code, each of Airflow's processes compiles all modules and starts three times slower.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in ("NO_PROXY", "no_proxy"):
        environ[name] = ",".join(filter(None, (environ.get(name), "127.0.0.1", "localhost")))
    return environ | {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
        "PYTHONUNBUFFERED": "1",
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",  # otherwise macOS kills forked tasks
    }


def settings(home: Path, url: str, database: str) -> dict[str, str]:
    """Return Airflow's settings as environment variables.

    :param home: Airflow's home directory.
    :param url: address of the API server.
    :param database: SQLAlchemy URL of the database.
    """
    fernet_key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    common = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__FERNET_KEY": fernet_key,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        **EXAMPLE_VARIABLES,
    }
    if MAJOR == 2:
        return common | {
            # Airflow 2 allows no other executor with SQLite.
            "AIRFLOW__CORE__EXECUTOR": "SequentialExecutor" if database.startswith("sqlite") else "LocalExecutor",
            "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.default",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
            "AIRFLOW__WEBSERVER__BASE_URL": url,
            "AIRFLOW__WEBSERVER__SECRET_KEY": secrets.token_hex(),
            "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
            "AIRFLOW__WEBSERVER__WORKERS": "1",
            "TMPDIR": str(home / "output"),  # the web server puts its cache there
        }
    return common | {
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        # The worker process exits that many seconds after it has deferred its task (default: 5). If the task is resumed
        # before that, the scheduler mistakes the exit of the first process for the end of the task, and fails the task.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }
