"""Airflow's command line offers the command, and names what the operators name."""

from __future__ import annotations

import pytest

from airflow_provider_whiterabbit.compat import AIRFLOW_V_3_2_PLUS
from airflow_provider_whiterabbit.doubts import arguments
from airflow_provider_whiterabbit.operators.doubt import Kind
from airflow_provider_whiterabbit.operators.question import OPTIONS


@pytest.mark.skipif(not AIRFLOW_V_3_2_PLUS, reason="needs commands of providers (Airflow 3.2)")
def test_airflow_has_the_command() -> None:
    """Airflow's parser knows the command with all of its arguments."""
    from airflow.cli.cli_parser import get_parser

    options = get_parser().parse_args(["whiterabbit", "doubts", "pay", "run-1", "--all", "stop", "--kind", "gone"])
    assert (options.dag_id, options.run_id, options.all, options.kind) == ("pay", "run-1", "stop", "gone")
    assert options.func.__name__ == "run"


def test_names() -> None:
    """The command line has the kinds and answers that the operators have; it repeats them to import nothing."""
    assert tuple(Kind) == arguments.KINDS
    assert set(arguments.ANSWERS_FOR_ALL) == set(OPTIONS) - {"there"}
