"""A private PostgreSQL server in a temporary directory, that leaves nothing behind."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import psutil  # type: ignore[import-untyped]  # comes with Airflow, its stubs don't

from dev.harness.airflow_api import until
from dev.harness.sessions import Sessions

Mode = Literal["fast", "immediate", "kill"]

_SIGNALS: dict[Mode, signal.Signals] = {
    "fast": signal.SIGINT,  # what is under way is rolled back, and everyone told
    "immediate": signal.SIGQUIT,  # everyone is cut off, and the next start recovers
    "kill": signal.SIGKILL,
}
# Where it is if it is not on PATH: Debian, Red Hat, Homebrew.
_PLACES = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql*/bin",
    "usr/local/opt/postgresql*/bin",
)
_SERVER = "postgres"
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "max_connections": "300",  # up to fifteen for each of Airflow's processes
}


class Postgres:
    """Runs a PostgreSQL server as long as the context lasts.

    It is reached by a Unix socket in a directory of its own, and nowhere else. So it needs no port, which others could
    take while it is stopped, and no password: only the caller may enter. Where the caller is root, as whom PostgreSQL
    refuses to run, it runs as the user postgres.

    :raises FileNotFoundError: on entering, if PostgreSQL is not installed; says what to install.
    """

    def __enter__(self) -> Self:
        self._programs = programs()
        is_root = os.geteuid() == 0
        user = _user() if is_root else None
        self.folder = Path(tempfile.mkdtemp(prefix="pg-")).resolve()
        if user:
            shutil.chown(self.folder, user)
        self._data = self.folder / "data"
        with ExitStack() as stack:
            self._sessions = stack.enter_context(Sessions(os.environ | {"LC_ALL": "C"}, self.folder, self.folder, user))
            self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", "airflow", "-E", "UTF8", "--no-sync")
            stack.callback(self.stop, "immediate")
            self.start()
            self._run("createdb", "-h", str(self.folder), "-U", "airflow", "airflow")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """The database, as a URL for SQLAlchemy."""
        return f"postgresql+psycopg2://airflow@/airflow?host={self.folder}"

    def start(self, timeout: float = 60) -> None:
        """Start the server, which is stopped; return when it accepts connections.

        :raises RuntimeError: with what it printed, if it ends instead.
        """
        options = _OPTIONS | {"unix_socket_directories": str(self.folder)}
        settings = [f"-c{name}={value}" for name, value in options.items()]
        self._sessions.start(_SERVER, [str(self._programs / _SERVER), "-D", str(self._data), *settings])
        until(self._is_ready, "PostgreSQL to accept connections", timeout, interval=0.05)

    def _is_ready(self) -> bool:
        if self._sessions.dead():
            raise RuntimeError(f"PostgreSQL has ended:\n{self._sessions.output(_SERVER).read_text(errors='replace')}")
        (server, *_) = self._sessions.processes(_SERVER)
        # Its first line is the process id, its last one the state. It may be that of a server that was killed.
        with suppress(FileNotFoundError):
            lines = (self._data / "postmaster.pid").read_text().split()
            return lines[:1] == [str(server.pid)] and lines[-1] == "ready"
        return False

    def stop(self, mode: Mode = "fast") -> None:
        """Stop the server and wait for its end; no error if it does not run.

        :param mode: one of PostgreSQL's own modes, or SIGKILL.
        """
        if _SERVER not in self._sessions:
            return
        backends: list[psutil.Process] = []
        for server in self._sessions.processes(_SERVER):
            backends += server.children()  # each of them leads a session of its own
            server.send_signal(_SIGNALS[mode])
        until(self._sessions.dead, "PostgreSQL to end", 60, interval=0.05)
        until(lambda: not any(map(psutil.Process.is_running, backends)), "PostgreSQL's processes to end", 60, 0.05)
        self._sessions.stop(_SERVER)

    def _run(self, program: str, *arguments: str) -> None:
        self._sessions.run(program, [str(self._programs / program), *arguments])


def programs() -> Path:
    """Return the folder of PostgreSQL's programs, the newest one that there is."""
    found = [Path(path).resolve().parent for path in [shutil.which("initdb")] if path]
    for place in _PLACES:
        found += sorted(Path("/").glob(place), key=_version, reverse=True)
    for folder in found:
        if all((folder / program).exists() for program in ("initdb", "createdb", _SERVER)):
            return folder
    raise FileNotFoundError(
        "PostgreSQL's server is not installed. On Debian and Ubuntu: apt install postgresql; "
        "on Fedora: dnf install postgresql-server; on macOS: brew install postgresql@17"
    )


def _version(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(folder))]


def _user() -> str:
    """Return whom it runs as where the caller is root."""
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise FileNotFoundError("PostgreSQL does not run as root, and there is no user postgres") from None
