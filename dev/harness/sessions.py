"""Start processes that end when the process that started them (the owner) ends, even if the owner is killed.

Each process that `Sessions` starts leads its own POSIX session. Its child processes belong to the same session, even if
they have another process group or their parent has died. A whole session can therefore be ended at once.

A guard process reads from a pipe that the owner holds open. When the owner ends for any reason, including SIGKILL, the
pipe closes and the guard ends the sessions.
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
"""Seconds that a session gets to end after SIGTERM."""

# Each process first writes its id into the guard's pipe, which is its standard input, and then executes the command. If
# the owner wrote the id instead, an owner killed before that would leave a process that the guard does not know.
_ENROL = ("/bin/sh", "-c", 'echo $$ >&0; exec "$@" </dev/null', "sh")


def members(sessions: Collection[int]) -> list[psutil.Process]:
    """Return the living processes of these sessions."""
    living = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
    return living


def end(sessions: Collection[int], grace: float = GRACE) -> None:
    """Send SIGTERM to the leaders of the sessions, and kill the processes that remain after `grace` seconds.

    The caller must not have waited for leaders that have exited: until the wait, no other process can get their ids.
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
    """Kill all processes of the sessions, including processes that they start while this function runs."""
    while remaining := members(sessions):
        for process in remaining:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(remaining, timeout=0.2)


class Sessions:
    """A context manager for named processes, each of which leads its own session.

    All sessions end when the context ends or the owner dies.

    :param environ: the complete environment of the processes.
    :param output: folder for the output of the processes, one file per name.
    :param remove: folder that the guard removes at the end.
    :param user: user that the processes run as; by default the caller. Only root may choose another user.
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
        """Start a process under a name.

        :raises ValueError: if a process of this name is running.
        """
        if name in self._leaders:
            raise ValueError(f"{name} is already running")
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
        """Run a command and wait for its end.

        :raises RuntimeError: if the command fails; the message contains its output.
        """
        self.start(name, command)
        self._leaders[name].wait()
        if code := self._forget(name):
            raise RuntimeError(f"{name}: exit code {code}\n{self.output(name).read_text(errors='replace')}")

    def stop(self, *names: str, grace: float = GRACE) -> None:
        """End the sessions of these names at the same time: SIGTERM, and SIGKILL after `grace` seconds."""
        end([self._leaders[name].pid for name in names], grace)
        for name in names:
            self._forget(name)

    def kill(self, name: str) -> None:
        """Kill all processes of the session of this name."""
        kill([self._leaders[name].pid])
        self._forget(name)

    def freeze(self, name: str) -> None:
        """Suspend all processes of the session (SIGSTOP) until `thaw`."""
        suspended: set[psutil.Process] = set()
        while running := set(self.processes(name)) - suspended:  # repeat: the processes may have started others
            for process in running:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
            suspended |= running

    def thaw(self, name: str) -> None:
        """Resume the processes that `freeze` has suspended."""
        for process in reversed(self.processes(name)):
            process.resume()

    def _forget(self, name: str) -> int:
        """Tell the guard that the session has ended, release its name, and return the leader's exit code."""
        leader = self._leaders.pop(name)
        if self._guard.stdin:
            self._guard.stdin.write(b"-%d\n" % leader.pid)
            self._guard.stdin.flush()
        return leader.wait()

    def processes(self, name: str) -> list[psutil.Process]:
        """Return the living processes of a session; the leader comes first."""
        leader = self._leaders[name].pid
        return sorted(members([leader]), key=lambda process: (process.pid != leader, process.pid))

    def dead(self) -> list[str]:
        """Return the names of the sessions whose leader has exited by itself."""
        living = {process.pid for process in members([leader.pid for leader in self._leaders.values()])}
        return [name for name, leader in self._leaders.items() if leader.pid not in living]

    def output(self, name: str) -> Path:
        """Return the path of the file that holds the output of a process."""
        return self._output / f"{name}.log"


def _guard(remove: str) -> None:
    """Read the ids of sessions from the pipe until it closes; then end the sessions and remove the folder."""
    sessions: set[int] = set()
    for number in map(int, sys.stdin):  # positive: a session has started; negative: a session has ended
        sessions = sessions | {number} if number > 0 else sessions - {-number}
    end(sessions)
    if remove:
        shutil.rmtree(remove, ignore_errors=True)


if __name__ == "__main__":
    _guard(sys.argv[1])
