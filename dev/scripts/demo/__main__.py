"""Run an example DAG on a real Airflow against an emulated White Rabbit, and print each event when it happens.

Every printed line reports something that the script has read from the emulator's journal, from Airflow's API or from a
task's log.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_home import AirflowHome
from dev.scripts.demo import doubt, waits
from dev.scripts.demo.timeline import Timeline

EXAMPLES = Path(__file__).resolve().parents[3] / "example_dags"


def demo(timeline: Timeline, options: argparse.Namespace) -> bool:
    """Run the demo that the command line chooses, and return whether it has succeeded."""
    with Emulator() as wr:
        prepared = doubt.prepare(wr) if options.doubt else waits.prepare(wr)
        timeline.print(f"White Rabbit is emulated at {wr.url}; {prepared}")
        airflow_version = metadata.version("apache-airflow")
        timeline.print(f"Airflow {airflow_version} is starting with its own database and ports; wait a minute or more")
        with AirflowHome([EXAMPLES], home=options.keep, environ=wr.environ) as airflow:
            healthy = [name for name, health in airflow.api.health().items() if health["status"] == "healthy"]
            timeline.print(f"Airflow is ready in {airflow.home}, healthy: {', '.join(healthy)}")
            if options.doubt:
                succeeded = doubt.show(airflow, wr, timeline, attended=not options.unattended)
            else:
                succeeded = waits.show(airflow, wr, timeline)
            if options.ui:
                timeline.print("Airflow's web UI needs no login; in it, you can trigger this DAG again, and the others")
                timeline.print(f"The web UI is open until you press Ctrl-C: {airflow.url}/dags/{waits.DAG}")
                with suppress(KeyboardInterrupt):
                    threading.Event().wait()
            timeline.print("Airflow and the emulator are stopping")
        return succeeded


def main() -> int:
    """Run the demo from the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m dev.scripts.demo", description=__doc__)
    parser.add_argument("--doubt", action="store_true", help="lose an answer, and let a person settle the doubt")
    parser.add_argument("--unattended", action="store_true", help="with --doubt: answer through Airflow's API")
    parser.add_argument("--ui", action="store_true", help="keep Airflow's web UI open after the run, until Ctrl-C")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="run Airflow in this directory and keep it")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    timeline = Timeline()
    try:
        succeeded = demo(timeline, options)
    except KeyboardInterrupt:
        return 0 if options.ui else 130
    except (RuntimeError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    timeline.print("Done: no process is left running")
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
