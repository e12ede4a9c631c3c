"""Run a real Airflow in its own directory and on free ports, and remove all of it afterwards."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil  # type: ignore[import-untyped]  # comes with Airflow, its stubs don't

from dev.harness.airflow_api import AirflowApi, DagRun, TaskInstance
from dev.harness.airflow_settings import MAJOR, inherited, settings
from dev.harness.polling import until
from dev.harness.ports import free_port
from dev.harness.sessions import Sessions

SERVER = "api-server" if MAJOR > 2 else "webserver"
# In Airflow 2 the scheduler itself parses the DAG files.
COMPONENTS = (SERVER, "scheduler", "dag-processor", "triggerer") if MAJOR > 2 else (SERVER, "scheduler", "triggerer")

_AIRFLOW = str(Path(sys.executable).parent / "airflow")
# `DagRun.log` reads the logs from disk; a log server would occupy another port for each component.
_OPTIONS = {name: ["--skip-serve-logs"] for name in ("scheduler", "triggerer", "worker")}
WORKER = "worker"
"""A worker of Celery, which needs the CeleryExecutor and Airflow's provider for Celery."""

MAX_START = 600
"""Seconds that Airflow may take to start: it takes half a minute, and several minutes on a busy machine."""


class AirflowHome:
    """A context manager that runs an Airflow.

    Every component is a separate process that can be stopped, killed and started by its name. The name is Airflow's
    command for the component, optionally with a number: ``triggerer``, ``triggerer-2``; that of a worker of Celery is
    ``worker``. Each API server has its own address (`url_of`). All components share one environment, `environ`.

    :param dag_folders: folders with DAG files.
    :param home: Airflow's home directory; by default a temporary directory, which is removed afterwards.
    :param database: SQLAlchemy URL of the database, such as `Postgres.url`; by default an SQLite file in the home.
    :param environ: additional environment variables, such as connections and settings.
    """

    def __init__(
        self,
        dag_folders: Iterable[Path],
        *,
        home: Path | None = None,
        database: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._dag_folders = [folder.resolve() for folder in dag_folders]
        self._home = home
        self._database = database
        self._environ = dict(environ or {})
        self._started: dict[str, datetime] = {}
        self._urls: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.home = self._home.resolve() if self._home else Path(tempfile.mkdtemp(prefix="airflow-")).resolve()
        self.url = self.url_of(SERVER)
        self.api = AirflowApi(self.url, MAJOR, self.home / "logs")
        database = self._database or self._sqlite(timeout=60)
        self.environ = inherited() | settings(self.home, self.url, database) | self._environ
        with ExitStack() as stack:
            output = self.home / "output"
            self._sessions = stack.enter_context(Sessions(self.environ, output, None if self._home else self.home))
            self._create_folders()
            self._sessions.run("db-migrate", [_AIRFLOW, "db", "migrate"])
            for component in COMPONENTS:
                self.start(component)
            self.wait_until_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def _create_folders(self) -> None:
        for name in ("dags", "logs", "output"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        for folder in self._dag_folders:
            link = self.home / "dags" / folder.name
            link.unlink(missing_ok=True)
            link.symlink_to(folder)
        # If the file exists, Airflow does not write a configuration file with all its defaults.
        (self.home / "airflow.cfg").touch()
        if MAJOR == 2:
            (self.home / "webserver_config.py").write_text("AUTH_ROLE_PUBLIC = 'Admin'\n")

    def start(self, component: str, *options: str) -> None:
        """Start a component that is not running, with additional options of its command."""
        command = component.rstrip("-0123456789")
        self._started[command.replace("-", "_")] = datetime.now(UTC)
        arguments = [
            _AIRFLOW,
            *(["celery"] if command == WORKER else []),
            command,
            *_OPTIONS.get(command, ()),
            *options,
        ]
        if command == WORKER:  # workers of one home need files and names of their own
            pid_file = self.home / f"{component}.pid"
            arguments += ["--celery-hostname", f"{component}@%h", "--pid", str(pid_file)]
        if command == SERVER:
            arguments += ["--port", self.url_of(component).rpartition(":")[2]]
        if command == SERVER and not self._database:
            arguments = ["env", f"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN={self._sqlite(timeout=1)}", *arguments]
        self._sessions.start(component, arguments)

    def url_of(self, server: str) -> str:
        """Return the address of an API server. The address stays the same when the server is started again."""
        return self._urls.setdefault(server, f"http://127.0.0.1:{free_port()}")

    def _sqlite(self, timeout: int) -> str:
        """Return the URL of the SQLite database, which allows one writer at a time.

        With SQLite's default timeout of 5 seconds, a component that waits longer for the write lock exits, so
        components get a longer timeout. Two requests to the API server can deadlock, so the API server gets a shorter
        timeout: one of the two requests then fails soon, and `AirflowApi.call` repeats it.

        :param timeout: seconds to wait for the write lock.
        """
        return f"sqlite:///{self.home / 'airflow.db'}?timeout={timeout}"

    def stop(self, *components: str) -> None:
        """Stop components with SIGTERM, as a service manager does."""
        self._sessions.stop(*components)

    def kill(self, component: str) -> None:
        """Kill a component and every process that it started, such as the scheduler's workers and their tasks."""
        self._sessions.kill(component)

    def freeze(self, component: str) -> None:
        """Suspend a component and every process that it started (SIGSTOP), until `thaw`."""
        self._sessions.freeze(component)

    def thaw(self, component: str) -> None:
        """Resume a component that `freeze` has suspended."""
        self._sessions.thaw(component)

    def dead(self) -> list[str]:
        """Return the names of the components that have exited by themselves."""
        return self._sessions.dead()

    def revive(self) -> list[str]:
        """Restart the components that have exited by themselves, as a service manager does; return their names."""
        dead = self.dead()
        for component in dead:
            self.kill(component)  # end the processes that the dead component left behind
            self.start(component)
        return dead

    def processes(self, component: str) -> list[psutil.Process]:
        """Return the processes of a component; the process that `start` has created comes first."""
        return self._sessions.processes(component)

    def is_busy_with(self, *tasks: TaskInstance) -> bool:
        """Whether a worker process of the scheduler still exists for one of the tasks.

        The worker process exits about a second after it has deferred its task. If the task is resumed before that, the
        scheduler mistakes the exit of the first process for the end of the task.
        """
        command_lines = [_command_line(process) for process in self.processes("scheduler")]
        return any(task.id and task.id in line for task in tasks for line in command_lines)

    def wait_until_ready(self, timeout: float = MAX_START) -> None:
        """Wait until the API server reports every component as healthy, with a heartbeat since the component's start.

        :raises RuntimeError: if a component exits; the message contains its output.
        """
        try:
            until(self._ready, "Airflow to be healthy", timeout)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.explain()}") from None
        self.api.warm_up()

    def _ready(self) -> bool:
        if dead := self.dead():
            raise RuntimeError("\n".join(f"{name} has exited:\n{self.output(name)}" for name in dead))
        health = self.api.health()
        return bool(health) and all(
            health[name]["status"] == "healthy"
            and datetime.fromisoformat(health[name][f"latest_{name}_heartbeat"] or "") > since
            for name, since in self._started.items()
            if name in health
        )

    def output(self, component: str, lines: int = 40) -> str:
        """Return the last lines that a component has printed."""
        return "\n".join(self._sessions.output(component).read_text(errors="replace").splitlines()[-lines:])

    def run(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> DagRun:
        """Start a run of a DAG with this configuration."""
        return self.api.trigger(dag_id, conf)

    def explain(self, run: DagRun | None = None, lines: int = 40) -> str:
        """Return the ends of the logs that help to find out why a run, or Airflow itself, failed.

        These are the task logs of the run's unsuccessful tasks, or if there are none, the output of the components.

        :param lines: how many lines to return of each log.
        """
        logs = {
            f"log of {task.task_id} [{task.map_index}], which is {task.state}": run.messages(
                task.task_id, task.map_index
            )
            for task in (run.tasks().values() if run else ())
            if run and task.state != "success"
        }
        if not any(logs.values()):
            files = sorted((self.home / "output").glob("*.log"))
            logs = {f"output of {file.stem}": file.read_text(errors="replace").splitlines() for file in files}
        return "\n".join("\n".join([f"--- {title}:", *log[-lines:]]) for title, log in logs.items() if log)


def _command_line(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
