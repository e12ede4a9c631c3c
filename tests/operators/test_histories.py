"""Random histories of a task: never two submissions of one generation, never an output of another request.

A history submits, loses answers, is killed, retried, cleared and edited, shifts the mapped inputs, forgets its record,
and gets answers of people. After each try, its outcome is compared with a model of `docs/at-most-once.md`, and what
White Rabbit has received with what the documentation promises.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.standins import FakeSupervisor
from tests.operators.histories.history import History
from tests.operators.histories.truth import Options
from tests.versions import needs_store

STEPS = 30


@needs_store
@pytest.mark.parametrize("on_doubt", ["fail", "ask", "resubmit"])
@given(random=st.randoms(use_true_random=True))  # one seed for a history: Hypothesis varies no single choices
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),  # without Phase.shrink, a failure is reported at once
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_histories(
    whiterabbit_emulator: Emulator,
    install_supervisor: Callable[[FakeSupervisor], None],
    on_doubt: str,
    random: Random,
) -> None:
    """Each try of a random history does what the model says, and keeps the promises."""
    install_supervisor(FakeSupervisor())
    options = Options(on_doubt, random.choice(["resubmit", "reattach"]), random.choice(["fail", "resubmit"]))
    history = History(whiterabbit_emulator, options, choose=random.choice, tell=note)
    for _ in range(STEPS):
        history.step()
