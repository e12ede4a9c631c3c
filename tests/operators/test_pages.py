"""The pages of the records of many submissions, with a store that fails and with another process beside this one."""

from __future__ import annotations

import pytest

from airflow_provider_whiterabbit.operators.fence.keyed import KeyedRecords
from airflow_provider_whiterabbit.operators.fence.pages import PAGE, Change, Pages
from tests.hooks.tries import Store
from tests.versions import needs_store

pytestmark = needs_store

INTENT = {"id": None}


def intents(count: int) -> list[Change]:
    """Return the intents of so many keys."""
    return [Change(f"k{number}", INTENT, is_intent=True) for number in range(count)]


@pytest.fixture
def store() -> Store:
    """Return a store whose failing call raises an ordinary error."""
    store = Store()
    store.error = ConnectionError("down")
    return store


@pytest.mark.parametrize("fails_after", [False, True])
@pytest.mark.parametrize("fail_at", range(1, 11))
def test_a_failure_leaves_no_hole(store: Store, fail_at: int, fails_after: bool) -> None:
    """Whichever call fails while three pages are written, a later process can read all that is stored, and no more."""
    store.fail_at, store.fails_after = fail_at, fails_after
    pages = Pages(store)
    changes = intents(3 * PAGE)
    pages.write(changes)
    assert all(change.is_stored is (change.error is None) for change in changes)
    stored = {change.key for change in changes if change.is_stored}
    later = Change("later", INTENT, is_intent=True)
    pages.write([later])
    assert later.is_stored
    assert set(Pages(store).keys()) == set(pages.keys()) == stored | {"later"}


def test_one_failing_page_loses_nothing_of_others(store: Store) -> None:
    """If a page can't be written, the records of the others are stored nevertheless."""
    pages = Pages(store)
    pages.write(intents(2 * PAGE))
    store.calls.clear()
    store.fail_at = 1  # the first page is set
    facts = [Change(f"k{number}", {"id": f"e-{number}"}, is_fact=True) for number in range(2 * PAGE)]
    pages.write(facts)
    assert [change.is_stored for change in facts] == [False] * PAGE + [True] * PAGE
    assert [record["id"] for record in store.records.values()] == [None] * PAGE + [f"e-{PAGE + n}" for n in range(PAGE)]


def test_a_doubt_does_not_replace_an_id(store: Store) -> None:
    """What a process notes about a submission does not count if another process has stored its id meanwhile."""
    ours, theirs = KeyedRecords(store), KeyedRecords(store)
    assert theirs.intend("a", INTENT, since=None)
    assert theirs.intend("b", INTENT, since=None)
    assert ours.get("a") == INTENT
    theirs.set("a", {"id": "e-1"})
    ours.amend("a", INTENT | {"doubt": "uncertain"})
    ours.amend("b", None)
    assert store.records == {"a": {"id": "e-1"}}
    ours.set("a", {"id": "e-2"})  # but an id counts
    assert store.records == {"a": {"id": "e-2"}}
