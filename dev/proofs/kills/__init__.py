"""At most one submission, whatever dies: a real Airflow whose processes are killed at every point of a submission."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_home import AirflowHome
from dev.proofs.kills.cases import CASES, Case
from dev.proofs.kills.plays import Row, Theatre
from dev.proofs.kills.stage import SETTINGS, Stage

DAGS = Path(__file__).parent / "dags"


def play(cases: Sequence[Case] = CASES, timeout: float = 150) -> list[Row]:
    """Play the cases on an Airflow of their own and return the rows of the table.

    :param timeout: seconds from the first submission on.
    """
    with tempfile.TemporaryDirectory(prefix="kills-") as folder, Emulator() as wr:
        environ = wr.environ | SETTINGS | {"KILLS_FOLDER": folder}
        with AirflowHome([DAGS], environ=environ) as airflow:
            modules = {f"KILLS_{number}": case for number, case in enumerate(cases, 1)}
            return Theatre(Stage(wr, airflow, Path(folder)), modules).run(timeout)
