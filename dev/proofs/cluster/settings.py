"""The settings of the cluster's Airflow."""

from __future__ import annotations

HEARTBEAT_TIMEOUT = 20
"""Seconds without a heartbeat after which Airflow takes a task for dead, and tries it again."""

VISIBILITY_TIMEOUT = 20
"""Seconds after which Celery delivers a task again that no worker has finished."""

RESTORE_INTERVAL = 10
"""Seconds after which a worker looks again for tasks to deliver again; a constant of Celery's library kombu."""


def settings(broker: str, database: str, url: str) -> dict[str, str]:
    """Return environment variables for Airflow.

    :param broker: URL of Redis.
    :param database: SQLAlchemy URL of the database.
    :param url: address in front of the API servers.
    """
    return {
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CELERY__BROKER_URL": broker,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "4",
        # A worker takes no more tasks than it runs, so that the other worker gets them.
        "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
        "AIRFLOW__CELERY__SYNC_PARALLELISM": "1",
        # The default is a day. Airflow's own tests of its heartbeats come first, or at about the same time.
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": str(VISIBILITY_TIMEOUT),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__PARALLELISM": "32",
        # Airflow takes a task, a scheduler or a triggerer for dead after so many seconds without a heartbeat. The
        # defaults are 300, 30 and 30; a scheduler looks for the tasks of dead schedulers every 300 seconds.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
        # Airflow queues a task again that no worker has begun after so many seconds, by default 600 and 120: the tasks
        # that Redis has lost come back by this. It does so twice by default, and then fails the task without retries.
        "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "5",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "40",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
        "AIRFLOW__WHITERABBIT__CALLBACK_BASE_URL": url,
        "AIRFLOW__WHITERABBIT__CALLBACK_CONNECTIONS": "whiterabbit_default",
    }
