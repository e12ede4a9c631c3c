"""The testbed: a cluster of Airflow with Celery, Redis, PostgreSQL and two of each part, and the emulator."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

import psutil  # type: ignore[import-untyped]  # comes with Airflow, its stubs don't
import requests
import sqlalchemy.exc

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.emulator.effects import Call, Delay, Effect
from airflow_provider_whiterabbit.emulator.world.scripts import Script
from dev.harness.airflow_api import AirflowApi
from dev.harness.airflow_home import SERVER, WORKER, AirflowHome
from dev.harness.airflow_settings import MAJOR
from dev.harness.forwarder import Forwarder
from dev.harness.polling import until
from dev.harness.postgres import Postgres
from dev.harness.redis import Redis
from dev.proofs.cluster.ledger import Ledger
from dev.proofs.cluster.outcome import Facts
from dev.proofs.cluster.plan import CALLED_DAG, CALLED_MODULE, MODULE, MODULES, SENSORS, STAGES, Unit, output_of
from dev.proofs.cluster.settings import settings

DAGS = Path(__file__).parent / "dags"
ROOT = Path(__file__).parents[3]
SECOND = tuple(f"{part}-2" for part in (SERVER, "scheduler", "triggerer"))
WORKERS = (WORKER, f"{WORKER}-2")
SECRET = "whsec_of_the_cluster"  # noqa: S105 (made up)
STEP_TIMEOUT = 120.0
"""Seconds that each step of a case may take."""

SLOWEST_ANSWER = 3.0
"""Seconds until White Rabbit answers a submission, at most. It is that slow so that failures hit POSTs in flight."""

_RECEIVED = re.compile(r"Task \S*execute_workload\[([0-9a-f-]+)\] received")

T = TypeVar("T")


@dataclass
class SlowAnswer(Effect):
    """Answers late, after a random time, what the emulator has processed at once."""

    random: Random

    async def apply(self, call: Call) -> None:
        """Process the request, and answer late."""
        await Delay(self.random.uniform(0, SLOWEST_ANSWER)).apply(call)


class Testbed:
    """The parts of the cluster, on which the cases act.

    `restarts` counts the components that have exited by themselves. `in_flight` holds the units whose submission was in
    flight when a part failed: their intent was stored, and not their id.
    """

    def __init__(self, wr: Emulator, airflow: AirflowHome, redis: Redis, postgres: Postgres, front: Forwarder) -> None:
        self.wr = wr
        self.airflow = airflow
        self.redis = redis
        self.postgres = postgres
        self.ledger = Ledger(postgres.url)
        self.api = AirflowApi(front.url, MAJOR, airflow.home / "logs")
        self.units: Sequence[Unit] = ()
        self.in_flight: set[Unit] = set()
        self.restarts: Counter[str] = Counter()

    # --- the executions of a case

    def start(self, units: Sequence[Unit]) -> None:
        """Start the DAG run of a case."""
        self.units, self.in_flight = units, set()
        for module in MODULES:  # their executions take these times in the order in which they are submitted
            mine = [unit for unit in units if unit.module == module and unit.way not in (*SENSORS, "workflow")]
            if mine:
                self.wr.script(module, *(Script(output=output_of, after=unit.seconds) for unit in mine))
        for unit in units:
            if unit.way == "workflow":
                stages = [{"module": MODULE, "output": unit.result, "after": unit.seconds / STAGES}] * STAGES
                self.wr.script_workflow(unit.name, stages)  # type: ignore[arg-type]  # these are its keys
        ids = {
            unit.name: self.wr.create_execution(MODULE, {"unit": unit.name}, output=output_of, after=unit.seconds)
            for unit in units
            if unit.way in SENSORS
        }
        self.api.trigger(units[0].dag_id, ids)

    def submissions(self) -> Counter[str]:
        """Return how many submissions White Rabbit has received, by the name of the unit."""
        submitted = [entry.json["input"]["unit"] for entry in self.wr.requests(kind="submit")]
        triggered = [entry.path.rpartition("/")[2] for entry in self.wr.requests(kind="trigger")]
        return Counter([*submitted, *triggered])

    def intents(self) -> Iterator[Unit]:
        """Yield the units of the case whose intent is stored, and not their id."""
        records = self.ledger.records(self.units[0].dag_id)
        for unit in self.units:
            if any(record.is_intent and record.key == unit.record_key for record in records.get(unit.task, ())):
                yield unit

    def note_in_flight(self) -> None:
        """Remember which submissions are in flight now."""
        self.in_flight.update(self.intents())

    def note_in_flight_in(self, pids: Set[int]) -> int:
        """Remember which submissions are in flight in these processes, and return their number."""
        found = self.in_flight_in(pids)
        self.in_flight |= found
        return len(found)

    def in_flight_in(self, pids: Set[int]) -> set[Unit]:
        """Return the units whose submission is in flight in one of these processes now."""
        tasks = self.ledger.tasks(self.units[0].dag_id)
        return {unit for unit in self.intents() if unit.task in tasks and tasks[unit.task].pid in pids}

    def facts(self) -> Facts:
        """Return what Airflow and White Rabbit know of the case now."""
        return self.facts_of(self.units, frozenset(self.in_flight))

    def facts_of(self, units: Sequence[Unit], in_flight: Set[Unit]) -> Facts:
        """Return what Airflow and White Rabbit know now of a case's units, some of which were in flight."""
        ledger, dag_id = self.ledger, units[0].dag_id
        tasks, called = ledger.tasks(dag_id), ledger.called()
        return Facts(
            self.submissions(),
            in_flight,
            tasks,
            ledger.results(dag_id),
            ledger.records(dag_id),
            ledger.execution_ids(dag_id),
            called,
        )

    def unknown_runs(self) -> list[str]:
        """Return the ids of executions that are not those of the proof, and whose callbacks have started runs."""
        known = {record["id"] for record in self.wr.executions if record["module"] == CALLED_MODULE}
        return sorted(self.ledger.called().keys() - known)

    def count(self, state: str) -> int:
        """Return how many tasks of the case are in a state."""
        return sum(task.state == state for task in self.ledger.tasks(self.units[0].dag_id).values())

    # --- the cluster

    def deliveries(self) -> Counter[str]:
        """Return how often the workers have received each task of Celery, by its id."""
        outputs = [self.airflow.home / "output" / f"{worker}.log" for worker in WORKERS]
        return Counter(found for path in outputs for found in _RECEIVED.findall(path.read_text(errors="replace")))

    def redelivered(self) -> int:
        """Return how many deliveries were not the first one of their task."""
        return sum(count - 1 for count in self.deliveries().values())

    def pids(self, component: str) -> set[int]:
        """Return the ids of the processes of a component."""
        return {process.pid for process in self.airflow.processes(component)}

    def kill(self, component: str) -> set[int]:
        """Kill a component and all processes that it started, and return their ids.

        :raises RuntimeError: if it did not run, or one is still alive.
        """
        killed = self.pids(component)
        self.airflow.kill(component)
        if not killed or any(map(_is_alive, killed)):
            raise RuntimeError(f"{component} was not killed: its processes are {killed}")
        return killed

    def connections(self, server: str) -> int:
        """Return how many connections an API server has."""
        port = int(self.airflow.url_of(server).rpartition(":")[2])
        open_ones = (found for found in psutil.net_connections("tcp") if found.status == psutil.CONN_ESTABLISHED)
        return sum(found.laddr.port == port for found in open_ones)

    def until(self, condition: Callable[[], T | None], what: str, timeout: float = STEP_TIMEOUT) -> T:
        """Wait for a condition, and meanwhile restart the components that exit by themselves."""

        def check() -> T | None:
            self.revive()
            try:
                return condition()
            except (requests.RequestException, RuntimeError, sqlalchemy.exc.OperationalError, psutil.NoSuchProcess):
                return None  # a part has just failed or been restarted

        return until(check, what, timeout, interval=0.5)

    def revive(self) -> None:
        """Restart the components that have exited by themselves, as a service manager does."""
        self.restarts.update(self.airflow.revive())

    def wait_until_well(self) -> None:
        """Wait until Airflow says that its parts are healthy, and knows all DAGs."""
        self.until(lambda: _is_healthy(self.api.health()), "Airflow to be healthy")
        self.until(lambda: self.api.call("GET", f"/dags/{CALLED_DAG}"), "the DAGs to be parsed")


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _is_healthy(health: dict[str, dict[str, str | None]]) -> bool:
    return bool(health) and all(part["status"] in ("healthy", None) for part in health.values())


@contextmanager
def cluster(seed: int, plan: dict[str, int]) -> Iterator[Testbed]:
    """Run the cluster.

    :param plan: the arguments of `plan.units`, which the DAG file needs.
    """
    with ExitStack() as stack:
        wr = stack.enter_context(Emulator(components=MODULES))
        wr.settings.callback_attempts, wr.settings.callback_backoff = 8, 1.0  # up to two minutes, longer than an outage
        wr.fault(SlowAnswer(Random(seed)), kind="submit", times=None)  # noqa: S311 (nothing secret)
        wr.fault(SlowAnswer(Random(seed)), kind="trigger", times=None)  # noqa: S311
        redis, postgres = stack.enter_context(Redis()), stack.enter_context(Postgres())
        front = stack.enter_context(Forwarder())
        connection = wr.connection
        connection["extra"]["callback_secret"] = SECRET
        environ = settings(redis.url, postgres.url, front.url) | {
            "AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(connection),
            "CLUSTER_PLAN": json.dumps(plan),
            "PYTHONPATH": str(ROOT),
        }
        airflow = stack.enter_context(AirflowHome([DAGS], database=postgres.url, environ=environ))
        front.set_targets([airflow.url_of(server) for server in (SERVER, SECOND[0])])
        for component in (*SECOND, *WORKERS):
            airflow.start(component)
        bed = Testbed(wr, airflow, redis, postgres, front)
        second = AirflowApi(airflow.url_of(SECOND[0]), MAJOR, airflow.home / "logs")
        bed.until(second.health, "the second API server to answer")
        second.warm_up()
        bed.wait_until_well()
        yield bed
