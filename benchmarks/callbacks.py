"""Callbacks: how many of them an API server of a real Airflow takes, and what they cost its other requests."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.emulator.plumbing.certificates import Identity
from benchmarks.callback_loads import EARLIER, LOADS, RATE, SERVER, Load, Measurements
from benchmarks.callback_senders import CONNECTIONS, MODULE, SECRET
from benchmarks.process import ROOT
from benchmarks.report import Goal
from dev.harness.airflow_home import AirflowHome
from dev.harness.postgres import Postgres

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Callbacks"
ROUNDS, SECONDS = 3, 12.0
"""How often each load is measured, in turns, and for how long."""


def add_events(database: str, connection: str, count: int) -> None:
    """Store the asset events of executions that have ended in the last 50 minutes, as the receiver would have.

    In the minutes of the benchmark, none of them becomes older than the hour in which the receiver looks for repeats.
    """
    statement = sqlalchemy.text(
        "INSERT INTO asset_event (asset_id, partition_key, extra, source_map_index, timestamp) "
        "SELECT asset_id, id, json_build_object('execution_id', id, 'whiterabbit_conn_id', :connection, "
        "'module', :module, 'status', 'COMPLETED', 'usage', 1), -1, now() - number * interval '50 minutes' / :count "
        "FROM (SELECT asset.id AS asset_id, CAST(gen_random_uuid() AS text) AS id, number "
        "FROM asset, generate_series(1, :count) AS number WHERE asset.name = :asset) AS execution"
    )
    asset = assets.module(MODULE, whiterabbit_conn_id=connection).name
    engine = sqlalchemy.create_engine(database)
    with engine.begin() as session:
        values = {"connection": connection, "module": MODULE, "count": count, "asset": asset}
        session.execute(statement, values)
        session.execute(sqlalchemy.text("ANALYZE asset_event"))
    engine.dispose()


def environ() -> dict[str, str]:
    """Return the environment of the benchmark's Airflow."""
    connection = {"conn_type": "whiterabbit", "extra": {"callback_secret": SECRET}}
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection) for name in CONNECTIONS} | {
        "AIRFLOW__WHITERABBIT__CALLBACK_CONNECTIONS": ",".join(CONNECTIONS),
        "PYTHONPATH": str(ROOT),
    }


def measure(smoke: bool) -> Any:
    """Measure the loads in turns, on an API server that serves HTTPS, in an Airflow on PostgreSQL."""
    rounds, seconds, earlier = (1, 2.0, 1000) if smoke else (ROUNDS, SECONDS, EARLIER)
    identity = Identity("trusted", "127.0.0.1")
    assert identity.ca_bundle  # noqa: S101 (a trusted certificate has an authority)
    folders = [ROOT / "benchmarks" / "callback_dags"]
    with Postgres() as postgres, AirflowHome(folders, database=postgres.url, environ=environ()) as airflow:
        airflow.start(SERVER, "--ssl-cert", identity.certificate_file, "--ssl-key", identity.certificate_file)
        measurements = Measurements(airflow, identity.ca_bundle)
        measurements.wait_until_ready()
        add_events(postgres.url, CONNECTIONS[1], earlier)
        for load in LOADS.values():
            measurements.measure(load, 1.0)  # a warm-up
        measured: dict[str, list[Any]] = {name: [] for name in LOADS}
        for _ in range(rounds):
            for name, load in LOADS.items():
                measured[name].append(measurements.measure(load, seconds))
        return {name: figures(rounds) for name, rounds in measured.items()}


def figures(rounds: Sequence[Any]) -> dict[str, Any]:
    """Return the figures of all rounds of one load as JSON; percentiles 1 to 99 stand for all requests."""
    sent = [measured["callbacks"] for measured in rounds if measured["callbacks"]]
    result = {
        "others": _percentiles([took for measured in rounds for took in measured["others"]]),
        "cpu": sum(measured["cpu"] for measured in rounds),
        "machine": statistics.mean(measured["machine"] for measured in rounds),
    }
    if not sent:
        return result
    return result | {
        "callbacks": _percentiles([took for callbacks in sent for took in callbacks["took"]]),
        "answers": dict(sum((Counter(callbacks["answers"]) for callbacks in sent), Counter())),
        "rates": [len(callbacks["took"]) / callbacks["seconds"] for callbacks in sent],
    }


def _percentiles(seconds: Sequence[float]) -> list[float]:
    return statistics.quantiles(seconds, n=100, method="inclusive")


def table(data: Any) -> list[list[str]]:
    """Return the figures of each load, and how much longer the other requests take than beside an idle receiver."""
    rows = [["callbacks", "per second", "answer, median ms", "95 %, ms", "API server CPU each, ms"]]
    rows[0] += ["other request, median ms", "95 %, ms", "median / idle", "95 % / idle", "CPU of the machine in use"]
    for name, load in LOADS.items():
        figures = data[name]
        cells = ["none (idle receiver)", "0", "", "", ""] if load is None else _callback_cells(load, figures, data)
        others = [f"{1000 * figures['others'][percentile]:.0f}" for percentile in (49, 94)]
        ratios = [f"{_ratio(data, name, percentile):.1f}" for percentile in (49, 94)]
        rows.append([*cells, *others, *ratios, f"{figures['machine']:.0f} %"])
    return rows


def _callback_cells(load: Load, figures: Any, data: Any) -> list[str]:
    cpu = (figures["cpu"] - data["idle"]["cpu"]) / sum(figures["answers"].values())
    answers = [f"{1000 * figures['callbacks'][percentile]:.0f}" for percentile in (49, 94)]
    return [load.text, f"{statistics.median(figures['rates']):.0f}", *answers, f"{1000 * cpu:.0f}"]


def _ratio(data: Any, name: str, percentile: int) -> float:
    return float(data[name]["others"][percentile] / data["idle"]["others"][percentile])


def goals(data: Any) -> list[Goal]:
    """Return the goals: right answers, other requests that go on, and a rate that lasts for more than an hour."""
    loads = {name: load for name, load in LOADS.items() if load}
    wrong = sum(
        count
        for name, load in loads.items()
        for answer, count in data[name]["answers"].items()
        if answer != f"200 {load.answer}"
    )
    beside = f"of another request beside {RATE:g} callbacks per second / beside none"
    each = 1000 / statistics.median(data["hour"]["rates"])
    return [
        Goal("callbacks with another answer than expected", wrong, 0, "callbacks"),
        Goal(f"median {beside}", _ratio(data, "steady", 49), 1.5, "times"),
        Goal(f"95 % {beside}", _ratio(data, "steady", 94), 2, "times"),
        Goal(f"time per callback after an hour with {RATE:g} per second", each, 1000 / RATE, "ms"),
    ]


def plot(data: Any, figure: Figure) -> None:
    """Draw the share of other requests that were answered by the seconds since they were due."""
    axes = figure.subplots()
    for name, load in LOADS.items():
        seconds = [1000 * took for took in data[name]["others"]]
        axes.plot(seconds, range(1, 100), label=load.text.strip("*") if load else "no callbacks")
    axes.set(xscale="log", xlabel="ms until another request is answered", ylabel="% of the other requests")
    axes.legend(title="callbacks meanwhile")
