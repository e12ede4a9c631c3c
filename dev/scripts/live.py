"""Test the provider against the real White Rabbit: execute `RANDOM_UUID` twice, once by polling and once by streaming.

The script executes no other component, and spends the credits of these two executions. It says so before the first
one, and says at the end how many credits White Rabbit has charged. The credentials come from the environment variable
AIRFLOW_CONN_WHITERABBIT_DEFAULT, an Airflow connection as JSON:
{"conn_type": "whiterabbit", "password": "<API secret>", "extra": {"api_key": "<API key>"}}
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

VARIABLE = "AIRFLOW_CONN_WHITERABBIT_DEFAULT"
MODULE = "RANDOM_UUID"


def main() -> int:
    """Run the test from the command line; return the exit status."""
    if VARIABLE not in os.environ:
        print(f"{VARIABLE} is not set.\n\n{__doc__}", file=sys.stderr)
        return 2
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
    from airflow_provider_whiterabbit.exceptions import WhiteRabbitError
    from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

    hook = WhiteRabbitHook()
    works, message = hook.test_connection()
    print(f"connection: {message}")
    if not works:
        return 1
    print(f"cost: this executes {MODULE} twice, and nothing else; White Rabbit charges the credits of two executions")
    try:
        credits_spent = [_execute_and_poll(hook), _execute_and_stream(hook)]
    except (WhiteRabbitError, ValueError) as error:
        print(f"failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    total = "an unknown number of" if None in credits_spent else f"{sum(filter(None, credits_spent)):g}"
    print(f"cost: {total} credits")
    print(f"The provider works with {hook.get_conn().settings.base_url}")
    return 0


def _execute_and_poll(hook: WhiteRabbitHook) -> float | None:
    """Execute the component and read its record until it has ended; return the credits that were spent, if known."""
    started = time.monotonic()
    execution = hook.execute_component(MODULE)
    print(f"poll: submitted {execution.id}, {execution.status}")
    while not execution.is_terminal:
        if time.monotonic() - started > 120:
            raise ValueError(f"execution {execution.id} did not end within two minutes")
        time.sleep(1)
        execution = hook.get_execution(execution.id)
        print(f"poll: {execution.status} after {time.monotonic() - started:.1f} s")
    print(f"poll: output {UUID(execution.output['uuid'])}, {execution.total_usage} credits")
    return execution.total_usage


def _execute_and_stream(hook: WhiteRabbitHook) -> float | None:
    """Execute the component and follow its stream until it has ended; return the credits that were spent, if known."""
    started = time.monotonic()
    execution = hook.execute_component(MODULE)
    print(f"stream: submitted {execution.id}, {execution.status}")
    for event in hook.stream_execution(execution.id):
        print(f"stream: {event.status} after {time.monotonic() - started:.1f} s")
    completed = hook.wait_for_execution(execution.id, timeout=120)
    print(f"stream: output {UUID(completed.output['uuid'])}, {completed.total_usage} credits")
    return completed.total_usage


if __name__ == "__main__":
    sys.exit(main())
