"""What happened in a run of the proof, and what differs from the promise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dev.proofs.callbacks.ledger import Runs
from dev.proofs.callbacks.testbed import Submitted

UNHEARD = "no live DAG is scheduled"
"""Begin of the reason that the receiver gives with 503 if an asset has no live DAG."""

ALLOWED = frozenset({"200", "503"})
"""The statuses of answers. An outage of Airflow's own is never answered with 4xx, which senders take for final."""


@dataclass(frozen=True)
class Report:
    """What happened.

    :param failures: how often each part failed in which way.
    :param restarts: components that exited by themselves and were started again.
    :param answers: answers while the parts failed: by status, ``none``, and by the receiver's result or reason.
    :param repeated: deliveries that reached both API servers.
    :param lost: answers that did not reach White Rabbit.
    :param answered: how many executions had a callback that was answered with 200.
    :param delivered: how many executions had a delivered callback, as White Rabbit says.
    :param before: the runs before the recovery.
    :param after: the runs after the recovery.
    :param recoveries: how many runs of the recovery it took.
    :param problems: what differs from the promise.
    :param log: the ends of Airflow's logs if there are problems.
    """

    seed: int
    seconds: float
    submitted: list[Submitted]
    failures: Counter[tuple[str, str]]
    restarts: Counter[str]
    answers: Counter[str]
    repeated: int
    lost: int
    answered: int
    delivered: int
    before: Runs
    after: Runs
    recoveries: int
    problems: list[str]
    log: str

    @property
    def unheard(self) -> int:
        """How many callbacks found no live DAG on an asset."""
        return sum(count for reason, count in self.answers.items() if reason.startswith(UNHEARD))

    @property
    def recovered(self) -> int:
        """How many runs the recovery has brought."""
        return len(self.after.keys() - self.before.keys())

    def failed(self, *ways: str, part: str = "") -> int:
        """Count the failures in these ways of the parts whose names begin with `part`."""
        return sum(count for (name, way), count in self.failures.items() if way in ways and name.startswith(part))


def wanted_runs(submitted: list[Submitted]) -> set[tuple[str, str]]:
    """Return the runs that executions start, as ids of the execution and of the DAG."""
    return {(execution.id, dag_id) for execution in submitted for dag_id in execution.dags}


def problems_of(
    submitted: list[Submitted],
    runs: Runs,
    explain: Callable[[Submitted], str],
    answered: set[str] | None = None,
) -> Iterator[str]:
    """Yield each run that there is twice, that is missing, or that nobody wants.

    :param explain: returns what is known about an execution, for the message.
    :param answered: ids of the executions that need all their runs; None for all executions.
    """
    wanted = wanted_runs(submitted)
    by_id = {execution.id: execution for execution in submitted}
    for (execution_id, dag_id), count in sorted(runs.items()):
        if (execution_id, dag_id) not in wanted:
            yield f"{dag_id} has a run of execution {execution_id}, which nobody wants"
        elif count > 1:
            yield f"{dag_id} has {count} runs of execution {explain(by_id[execution_id])}"
    for execution_id, dag_id in sorted(wanted - runs.keys()):
        if answered is None or execution_id in answered:
            yield f"{dag_id} has no run of execution {explain(by_id[execution_id])}"


def wrong_answers(answers: Counter[str]) -> Iterator[str]:
    """Yield the statuses that the receiver must never answer with."""
    for key, count in sorted(answers.items()):
        if key.isdecimal() and key not in ALLOWED:
            yield f"{count} callbacks were answered with {key}"
