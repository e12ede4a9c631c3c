"""Runs the proof: executions end while everything fails; then Airflow recovers what was lost."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import FINISHED
from dev.harness.airflow_home import AirflowHome
from dev.harness.postgres import Postgres
from dev.proofs.callbacks.listening import RECOVERY, DagFiles
from dev.proofs.callbacks.outcome import Report, problems_of, wanted_runs, wrong_answers
from dev.proofs.callbacks.plan import FAILING, SERVERS, Step, executions, steps
from dev.proofs.callbacks.post import Post, accepted, answers
from dev.proofs.callbacks.testbed import SETTINGS, Submitted, Testbed

SECONDS = 600.0
EXECUTIONS = 2000

RECOVERIES = 3
"""How often the recovery may run until every callback is delivered, as it would run every hour."""

NO_PROGRESS = 90.0
"""Seconds after which a run that does not come is missing."""


@dataclass(frozen=True)
class Options:
    """What a run is like.

    :param seconds: how long executions end and parts fail.
    :param keep: a folder for Airflow's home, which is kept; None for a folder that is removed.
    """

    seed: int
    seconds: float = SECONDS
    executions: int = EXECUTIONS
    keep: Path | None = None


def run_chaos(options: Options, on_line: Callable[[str], object] = lambda line: None) -> Report:
    """Run the proof and return what happened.

    :param on_line: is called with a line for each thing that fails or is mended.
    """
    with _testbed(options) as testbed:
        testbed.prepare()
        on_line("Airflow is well")
        submitted = testbed.submit(executions(options.seed, options.executions, options.seconds))
        on_line(f"{len(submitted)} executions are submitted")
        _let_fail(testbed, options, submitted, on_line)
        testbed.wait_until_well()
        testbed.until(lambda: _is_delivered_or_given_up(testbed, submitted), "the deliveries to end")
        on_line("Everything is mended, and no delivery is under way")
        return _judge(testbed, options, submitted, on_line)


@contextmanager
def _testbed(options: Options) -> Iterator[Testbed]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dags-")))
        files = DagFiles(folder)
        files.write_all()
        wr, postgres = stack.enter_context(Emulator()), stack.enter_context(Postgres())
        wr.settings.callback_backoff = 2.0  # seconds, so that White Rabbit tries for six seconds
        posts = [stack.enter_context(Post(f"{options.seed} {server}")) for server in SERVERS]
        home = AirflowHome([folder], home=options.keep, database=postgres.url, environ=SETTINGS)
        airflow = stack.enter_context(home)
        for server, post, twin in zip(SERVERS, posts, reversed(posts), strict=True):
            post.twin = twin
            post.set_targets([airflow.url_of(server)])
            if server != SERVERS[0]:
                airflow.start(server)
        yield Testbed(wr, airflow, postgres, files, posts)


def _let_fail(testbed: Testbed, options: Options, submitted: list[Submitted], on_line: Callable[[str], object]) -> None:
    """Let executions end and parts fail, until the time is over and all parts are mended."""
    start = time.monotonic()
    ending = threading.Thread(target=_end_all, args=(testbed, submitted, start), daemon=True)
    ending.start()
    queues = {part: deque(steps(options.seed, part, options.seconds)) for part in FAILING}
    while any(queues.values()) or ending.is_alive():
        testbed.revive()
        for queue in queues.values():
            # A part fails and is mended in turns, so a step that has to wait keeps the part's later steps waiting.
            while queue and queue[0].at <= time.monotonic() - start and testbed.act(queue[0]):
                on_line(_line(time.monotonic() - start, queue.popleft()))
        time.sleep(0.2)


def _line(seconds: float, step: Step) -> str:
    return f"{seconds:6.1f} s  {step.part}: {step.way if step.begins else 'mended'}"


def _end_all(testbed: Testbed, submitted: list[Submitted], start: float) -> None:
    """End each execution at its time, and replay some callbacks."""
    calls: list[tuple[float, Callable[[Submitted], None], Submitted]] = []
    for execution in submitted:
        calls.append((execution.planned.ends_at, testbed.end, execution))
        if execution.planned.replayed_at is not None:
            calls.append((execution.planned.replayed_at, testbed.replay, execution))
    for at, call, execution in sorted(calls, key=lambda entry: entry[0]):
        time.sleep(max(0.0, start + at - time.monotonic()))
        call(execution)


def _is_delivered_or_given_up(testbed: Testbed, submitted: list[Submitted]) -> bool:
    """Whether White Rabbit has ended all its deliveries, and no API server still works on one."""
    for execution in submitted:
        deliveries = 1 if execution.planned.replayed_at is None else 2
        testbed.wr.wait_for_delivery(execution.id, count=deliveries, timeout=60)
    return all(post.is_idle for post in testbed.posts)


def _judge(testbed: Testbed, options: Options, submitted: list[Submitted], on_line: Callable[[str], object]) -> Report:
    """Compare the runs with the answers, before the recovery and after it."""
    during = answers(testbed.posts)
    answered = accepted(testbed.posts)
    delivered = {execution.id for execution in submitted if is_delivered(testbed, execution)}
    unsaid = [f"White Rabbit says that {one} was delivered, and no answer was 200" for one in delivered - answered]
    _settle(testbed, [execution for execution in submitted if execution.id in answered])
    before = testbed.ledger.runs()
    problems = [*unsaid, *problems_of(submitted, before, testbed.explain, answered)]
    on_line(f"{before.total()} runs, {len(problems)} problems; the recovery begins")
    recoveries = _recover(testbed, submitted, on_line)
    _settle(testbed, submitted)
    after = testbed.ledger.runs()
    if unfinished := testbed.ledger.unfinished():
        problems.append(f"{unfinished} runs have not succeeded")
    problems += [f"after the recovery: {problem}" for problem in problems_of(submitted, after, testbed.explain)]
    if lost := sum(not is_delivered(testbed, execution) for execution in submitted):
        problems.append(f"after the recovery: {lost} callbacks are not delivered")
    problems += wrong_answers(answers(testbed.posts))
    return Report(
        options.seed,
        options.seconds,
        submitted,
        testbed.failures,
        testbed.restarts,
        during,
        repeated=sum(post.repeated for post in testbed.posts),
        lost=sum(post.lost for post in testbed.posts),
        answered=len(answered),
        delivered=len(delivered),
        before=before,
        after=after,
        recoveries=recoveries,
        problems=problems,
        log=testbed.airflow.explain() if problems else "",
    )


def is_delivered(testbed: Testbed, execution: Submitted) -> bool:
    """Whether White Rabbit's record says that the callback was delivered."""
    return testbed.wr.execution(execution.id)["callback"]["deliveredAt"] is not None


def _settle(testbed: Testbed, submitted: list[Submitted]) -> None:
    """Wait until all wanted runs of these executions have succeeded, or no run has come for `NO_PROGRESS` seconds."""
    wanted = wanted_runs(submitted)
    latest, changed_at = (-1, -1), time.monotonic()
    while time.monotonic() < changed_at + NO_PROGRESS:
        testbed.revive()
        runs, unfinished = testbed.ledger.runs(), testbed.ledger.unfinished()
        if not wanted - runs.keys() and not unfinished and not testbed.ledger.queued():
            return
        if latest != (runs.total(), unfinished):
            latest, changed_at = (runs.total(), unfinished), time.monotonic()
        time.sleep(1)


def _recover(testbed: Testbed, submitted: list[Submitted], on_line: Callable[[str], object]) -> int:
    """Run the recovery until every callback is delivered; return how many runs it took.

    A run that fails is followed by another one, as in life. What it did not bring is found missing afterwards.
    """
    for number in range(1, RECOVERIES + 1):
        with suppress(TimeoutError):
            run = testbed.airflow.run(RECOVERY)
            testbed.until(lambda run=run: run.state in FINISHED, "the recovery to end", 300)  # type: ignore[misc]
            on_line(f"run {number} of the recovery: {run.state}")
            testbed.until(lambda: all(is_delivered(testbed, execution) for execution in submitted), "", 60)
            return number
    return RECOVERIES
