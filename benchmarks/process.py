"""Runs a benchmark's function in a process of its own, and measures the memory and the time of that process."""

from __future__ import annotations

import base64
import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # installed with Airflow, without its stubs

from dev.harness.airflow_settings import inherited

ROOT = Path(__file__).resolve().parents[1]

PROCESS_TIMEOUT = 600
"""Seconds after which a child process counts as hung and is killed."""


def run(function: str, environ: dict[str, str] | None = None, /, **arguments: Any) -> Any:
    """Call a function in a new process with an Airflow home of its own, and return the function's result.

    :param function: module and name, for example ``"benchmarks.waits:child"``.
    :param environ: additional environment variables of the process.
    :param arguments: arguments of the function; they and the result must be JSON.
    :raises RuntimeError: if the process fails; the message holds the end of the process's output.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as home:
        (Path(home) / "airflow.cfg").touch()  # keeps Airflow from writing a file with all defaults
        variables = {
            "AIRFLOW_HOME": home,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": str(ROOT),
        }
        result = Path(home) / "result.json"
        with (Path(home) / "output.log").open("w+", errors="replace") as output:
            process = subprocess.run(
                [sys.executable, "-m", "benchmarks.process", function, json.dumps(arguments), str(result)],
                env=inherited() | variables | (environ or {}),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                check=False,
                timeout=PROCESS_TIMEOUT,
            )
            if process.returncode != 0 or not result.exists():
                output.seek(0)
                raise RuntimeError(f"{function} exited with {process.returncode}:\n{output.read()[-5000:]}")
        return json.loads(result.read_text())


def new_secret() -> str:
    """Return a new API secret: a random Ed25519 private key in PKCS#8 form, as base64."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    der, pkcs8 = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8
    return base64.b64encode(key.private_bytes(der, pkcs8, serialization.NoEncryption())).decode()


def connections(url: str, *, http2: bool = True) -> dict[str, str]:
    """Return environment variables with connections to a server, one of this provider and one of the http provider.

    :param http2: whether this provider's triggers may use HTTP/2.
    """
    extra = {"api_key": "ws_benchmark", "http2": http2}
    ours = {"conn_type": "whiterabbit", "host": url, "password": new_secret(), "extra": extra}
    return {
        "AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(ours),
        "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps({"conn_type": "http", "host": url}),
    }


def task_context() -> Any:
    """Return a context for a task that runs outside of Airflow, with a stand-in for the task instance."""
    from dev.harness.standins import FakeTaskInstance

    return {"ti": FakeTaskInstance()}


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes."""
    return int(psutil.Process().memory_info().rss)


def socket_count() -> int:
    """Return how many sockets this process has open; 0 on a system without Linux's ``/proc``."""
    links = []
    with contextlib.suppress(OSError):
        for descriptor in os.scandir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # that of the listing itself is closed by now
                links.append(os.readlink(descriptor.path))  # noqa: PTH115 (`Path` would cost more than the link)
    return sum(link.startswith("socket:") for link in links)


@contextlib.contextmanager
def peak_over_baseline() -> Iterator[dict[str, float]]:
    """Measure a block: its wall-clock and CPU seconds, and by how many bytes resident memory grew at its peak.

    Linux records the peak and resets the record on request. On other systems the result is the same if the process has
    not used much memory before.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    usage: dict[str, float] = {}
    baseline, wall, cpu = resident_bytes(), time.perf_counter(), time.process_time()
    yield usage
    usage |= {
        "seconds": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak": max(_peak_bytes() - baseline, 0),
    }


def _peak_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not report the peak of resident memory")


def _main() -> None:
    function, arguments, result_path = sys.argv[1:]
    module, _, name = function.partition(":")
    result = getattr(importlib.import_module(module), name)(**json.loads(arguments))
    Path(result_path).write_text(json.dumps(result))
    sys.stdout.flush()
    os._exit(0)  # does not wait for threads and tasks that are still open


if __name__ == "__main__":
    _main()
