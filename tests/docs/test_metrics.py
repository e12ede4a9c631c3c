"""The page on metrics and the code have the same metrics, each with its tags; the alerts name metrics that exist."""

from __future__ import annotations

import re

from airflow_provider_whiterabbit.observing.names import PREFIX, Metric
from tests.docs.pages import ROOT, tables

PAGE = "docs/metrics.md"
NAMES = {f"{PREFIX}.{metric}" for metric in Metric}


def named(text: str) -> set[str]:
    """Return the names of metrics in a text."""
    return set(re.findall(rf"`({PREFIX}\.[\w.]*\w)`", text))


def test_names() -> None:
    """The tables of the page list each metric once, and nothing else."""
    _, tasks, _, callbacks = tables(PAGE)
    listed = [row[0].strip("`") for row in (*tasks[1:], *callbacks[1:])]
    assert sorted(listed) == sorted(NAMES)


def test_alerts() -> None:
    """The page has three alerts, each about one metric, and names no metric that does not exist."""
    alerts = next(tables(PAGE))[1:]
    assert [len(named(row[0])) for row in alerts] == [1, 1, 1]
    assert all(row[1] for row in alerts)
    for page in ("metrics", "callbacks"):
        assert named((ROOT / "docs" / f"{page}.md").read_text()) <= NAMES


def test_timers() -> None:
    """The page says of each timer, and of nothing else, that it is not a count."""
    _, tasks, _, callbacks = tables(PAGE)
    timers = {row[0].strip("`") for row in (*tasks[1:], *callbacks[1:]) if row[-1].startswith("not a count")}
    assert timers == {f"{PREFIX}.{metric}" for metric in Metric if metric.is_timer}


def test_tags() -> None:
    """The page explains each tag that a metric has, and no other."""
    _, tasks, tags, _ = tables(PAGE)
    used = {tag for row in tasks[1:] for tag in re.findall(r"`(\w+)`", row[2])}
    assert used == {row[0].strip("`") for row in tags[1:]}
