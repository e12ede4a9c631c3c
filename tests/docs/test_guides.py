"""The pages of the operators and sensors have a DAG for each variant, and the DAG is what the heading says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.definitions.mappedoperator import MappedOperator

from airflow_provider_whiterabbit.ending.obstacles import code_obstacles, task_obstacles
from airflow_provider_whiterabbit.secrets import MARK
from tests.docs.pages import ROOT, Block, blocks

GUIDES = {
    "docs/operators/component.md": "WhiteRabbitExecuteComponentOperator",
    "docs/operators/components.md": "WhiteRabbitExecuteComponentsOperator",
    "docs/operators/workflow.md": "WhiteRabbitTriggerWorkflowOperator",
    "docs/sensors/execution.md": "WhiteRabbitExecutionSensor",
    "docs/sensors/executions.md": "WhiteRabbitExecutionsSensor",
    "docs/sensors/workflow.md": "WhiteRabbitWorkflowRunSensor",
}
"""The pages, and the operator or sensor that each of them is about."""

WITHOUT = {
    ("docs/operators/components.md", "From the triggerer"),
    ("docs/operators/components.md", "At most once"),
    ("docs/operators/workflow.md", "With named secrets"),
    ("docs/sensors/execution.md", "With a callback"),
    ("docs/sensors/executions.md", "From the triggerer"),
    ("docs/sensors/executions.md", "With a callback"),
    ("docs/sensors/workflow.md", "With named secrets"),
    ("docs/sensors/workflow.md", "With a callback"),
}
"""The variants that do not exist, of which the page says why, and other headings."""

MORE = {"docs/operators/components.md": ["At most once"]}
"""The headings that a page has after the variants."""


def ends_in_triggerer(task: Any) -> bool:
    """Return whether the triggerer ends the task, and also starts it if it is a sensor."""
    obstacles = chain(task_obstacles(task), code_obstacles(task))
    return task.ends_in_triggerer and task.start_from_trigger is hasattr(task, "poke") and not any(obstacles)


def texts_of(task: Any) -> str:
    """Return the values of the task's template fields."""
    return " ".join(str(getattr(task, name)) for name in task.template_fields)


VARIANTS: dict[str, Callable[[Any], bool]] = {
    "In a worker": lambda task: not task.deferrable,
    "Deferred": lambda task: task.deferrable and not task.start_from_trigger and not task.ends_in_triggerer,
    "From the triggerer": ends_in_triggerer,
    "Mapped": lambda task: isinstance(task, MappedOperator),
    "Templated": lambda task: "{{" in texts_of(task),
    "With named secrets": lambda task: MARK in f"{texts_of(task)} {getattr(task, 'hidden_secrets', '')}",
    "With a callback": lambda task: bool(getattr(task, "callback", None) or task.outlets),
}
"""What a heading says of the tasks below it."""


def sections(page: str) -> Iterator[tuple[str, list[Block]]]:
    """Yield the headings of a page, each with the Python blocks below it."""
    lines = (ROOT / page).read_text().splitlines()
    starts = [number for number, line in enumerate(lines, start=1) if line.startswith("## ")]
    for start, end in pairwise([*starts, len(lines) + 1]):
        shown = [block for block in blocks("python") if block.page == page and start < block.line < end]
        yield lines[start - 1].removeprefix("## "), shown


@pytest.mark.parametrize("page", GUIDES)
def test_variants(page: str) -> None:
    """Each page has all variants in the same order, and a DAG for each of them that exists."""
    shown = dict(sections(page))
    assert list(shown) == [*VARIANTS, *MORE.get(page, [])]
    assert {(page, heading) for heading, found in shown.items() if not found} == {
        (without, heading) for without, heading in WITHOUT if without == page
    }


@pytest.mark.parametrize("page", GUIDES)
def test_dags_are_what_the_heading_says(page: str, tmp_path: Path) -> None:
    """The tasks of the page's operator or sensor wait, start, end or are made as the heading says.

    `test_python.py` runs the DAGs, but `dag.test()` starts and ends all tasks in the same way.
    """
    from airflow.dag_processing.dagbag import DagBag

    for heading, shown in sections(page):
        for block in shown:
            path = block.write(tmp_path)
            bag = DagBag(str(path))
            assert not bag.import_errors
            tasks = [task for dag in bag.dags.values() for task in dag.tasks if task.task_type == GUIDES[page]]
            assert tasks
            assert [task for task in tasks if not VARIANTS[heading](task)] == [], heading
