"""Processes that never outlive the one that started them.

Each one leads a session of its own. Whatever it starts belongs to that session, even in another process group and even
after its parent died, so a session can be ended as a whole. A guard process holds the reading end of a pipe; when the
owner is gone, however it went (SIGKILL included), the pipe closes and the guard ends the sessions in its place.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil  # type: ignore[import-untyped]  # comes with Airflow, its stubs don't

GRACE = 3.0
# The process tells the guard of itself before it becomes what it is to be: were that left to the owner, one that is
# interrupted in between would leave a process that nobody knows. Its standard input is the way to the guard until then.
_ENROL = ("/bin/sh", "-c", 'echo $$ >&0; exec "$@" </dev/null', "sh")


def members(sessions: Collection[int]) -> list[psutil.Process]:
    """Return the living processes of the given sessions."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end(sessions: Collection[int], grace: float = GRACE) -> None:
    """Ask the leaders to stop, as a service manager would; kill whatever is still there after `grace` seconds.

    Leaders that have exited must not have been waited for: until then no other process can get their ids.
    """
    deadline = time.monotonic() + grace
    remaining = members(sessions)
    for process in remaining:
        if process.pid in sessions:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
    while remaining and time.monotonic() < deadline:
        time.sleep(0.05)
        remaining = members(sessions)
    kill(sessions)


def kill(sessions: Collection[int]) -> None:
    """Kill the sessions' processes at once, those included that are being started meanwhile."""
    while remaining := members(sessions):
        for process in remaining:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(remaining, timeout=0.2)


class Sessions:
    """Named processes, each the leader of a session; none is left when the context ends or the owner dies.

    :param environ: the whole environment of the processes.
    :param output: folder for what they print, one file per name.
    :param remove: folder to remove in the end.
    :param user: whom the processes run as; by default the caller. Only root may choose.
    """

    def __init__(
        self, environ: Mapping[str, str], output: Path, remove: Path | None = None, user: str | None = None
    ) -> None:
        self._environ = dict(environ)
        self._output = output
        self._remove = remove
        self._identity: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
        self._leaders: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self._guard = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(self._remove or "")],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop(*self._leaders)
        self._guard.communicate()

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a process under a name that is free."""
        if name in self._leaders:
            raise ValueError(f"{name} has been started already")
        with self.output(name).open("ab") as output:
            self._leaders[name] = subprocess.Popen(
                [*_ENROL, *command],
                stdin=self._guard.stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environ,
                cwd=self._output,
                start_new_session=True,
                **self._identity,
            )

    def __contains__(self, name: str) -> bool:
        return name in self._leaders

    def run(self, name: str, command: Sequence[str]) -> None:
        """Run a command to its end.

        :raises RuntimeError: with what it printed, if it fails.
        """
        self.start(name, command)
        self._leaders[name].wait()
        if code := self._forget(name):
            raise RuntimeError(f"{name}: exit code {code}\n{self.output(name).read_text(errors='replace')}")

    def stop(self, *names: str, grace: float = GRACE) -> None:
        """End the sessions of these names, all at the same time."""
        end([self._leaders[name].pid for name in names], grace)
        for name in names:
            self._forget(name)

    def kill(self, name: str) -> None:
        """Kill the session of this name without notice."""
        kill([self._leaders[name].pid])
        self._forget(name)

    def freeze(self, name: str) -> None:
        """Halt the session's processes where they are until `thaw`, as a machine does that is out of breath."""
        halted: set[psutil.Process] = set()
        while moving := set(self.processes(name)) - halted:  # again, for those that were being started meanwhile
            for process in moving:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
            halted |= moving

    def thaw(self, name: str) -> None:
        """Let the session's processes go on."""
        for process in reversed(self.processes(name)):
            process.resume()

    def _forget(self, name: str) -> int:
        """Give a name and, after the guard was told, the process id free; return the exit code."""
        leader = self._leaders.pop(name)
        if self._guard.stdin:
            self._guard.stdin.write(b"-%d\n" % leader.pid)
            self._guard.stdin.flush()
        return leader.wait()

    def processes(self, name: str) -> list[psutil.Process]:
        """Return the living processes of a session, its leader first."""
        leader = self._leaders[name].pid
        return sorted(members([leader]), key=lambda process: (process.pid != leader, process.pid))

    def dead(self) -> list[str]:
        """Return the names of those whose leader has exited by itself."""
        living = {process.pid for process in members([leader.pid for leader in self._leaders.values()])}
        return [name for name, leader in self._leaders.items() if leader.pid not in living]

    def output(self, name: str) -> Path:
        """Return the file with what a process has printed."""
        return self._output / f"{name}.log"


def _guard(remove: str) -> None:
    sessions: set[int] = set()
    for number in map(int, sys.stdin):  # a session that has been started; negative, one that has ended
        sessions = sessions | {number} if number > 0 else sessions - {-number}
    end(sessions)
    if remove:
        shutil.rmtree(remove, ignore_errors=True)


if __name__ == "__main__":
    _guard(sys.argv[1])
