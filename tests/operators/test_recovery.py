"""The recovery of callbacks over many runs: what it looks at, what it remembers, and when it fails its task."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.assets import AssetAlias

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client.records.execution import Callback, Execution
from airflow_provider_whiterabbit.client.records.status import ExecutionStatus
from airflow_provider_whiterabbit.compat import AirflowFailException, Asset
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.callbacks import WhiteRabbitReplayCallbacksOperator
from airflow_provider_whiterabbit.operators.recovery import Recovery
from airflow_provider_whiterabbit.operators.submissions import OVERLAP, PAGE, Progress

ENDPOINT = "/endpoint"
REPLAYS = "*/replay-callback"
SUBMITTED = Asset("x-tests://submitted")
ALIAS = AssetAlias("submitted")
START = datetime(2026, 1, 1, tzinfo=UTC)


class Inlets:
    """The events of an asset in Airflow's database, as a task of Airflow 3.1 or newer finds them in its context.

    :param queries: the limits of the queries so far.
    """

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.queries: list[int] = []

    def add(self, execution_id: Any, when: datetime | None = None, **extra: Any) -> None:
        """Add an event of a submission."""
        when = when or START + timedelta(seconds=len(self.events))
        self.events.append(SimpleNamespace(extra={"execution_id": execution_id, **extra}, timestamp=when))

    def __getitem__(self, asset: Any) -> Query:
        assert asset is SUBMITTED
        return Query(self)


class Query:
    """A query for events. Like Airflow's, it sends `after` to the server, which compares with "not older"."""

    def __init__(self, inlets: Inlets) -> None:
        self._inlets = inlets
        self._after: datetime | None = None
        self._limit: int | None = None
        self._ascending = True

    def ascending(self, value: bool) -> Query:
        """Set the order."""
        self._ascending = value
        return self

    def after(self, when: str) -> Query:
        """Set the earliest time."""
        self._after = datetime.fromisoformat(when)
        return self

    def limit(self, count: int) -> Query:
        """Set how many events to return."""
        self._limit = count
        return self

    def __iter__(self) -> Any:
        assert self._limit is not None
        self._inlets.queries.append(self._limit)
        events = [event for event in self._inlets.events if self._after is None or event.timestamp >= self._after]
        events.sort(key=lambda event: event.timestamp, reverse=not self._ascending)
        return iter(events[: self._limit])


class OldInlets(Inlets):
    """The same before Airflow 3.1: a sequence of all events, oldest first."""

    def __getitem__(self, asset: Any) -> Any:
        return sorted(self.events, key=lambda event: event.timestamp)


class Stores:
    """The state stores of the task's assets (Airflow 3.3), which keep JSON."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.saves = 0

    def __getitem__(self, asset: Any) -> Stores:
        assert asset is SUBMITTED
        return self

    def get(self, key: str) -> Any:
        """Return a value."""
        return json.loads(self.values[key]) if key in self.values else None

    def set(self, key: str, value: Any) -> None:
        """Store a value."""
        assert not isinstance(value, str)
        self.saves += 1
        self.values[key] = json.dumps(value)

    @property
    def open(self) -> dict[str, list[Any]]:
        """What the recovery remembers of the executions that it looks at again."""
        (value,) = map(json.loads, self.values.values())
        opened: dict[str, list[Any]] = value["open"]
        return opened


@pytest.fixture
def wr(whiterabbit_emulator: Emulator) -> Emulator:
    """Return an emulator that tries to deliver each callback once."""
    whiterabbit_emulator.settings.callback_attempts = 1
    return whiterabbit_emulator


@pytest.fixture(params=[Inlets, OldInlets], ids=["3.1", "2.11"])
def inlets(request: pytest.FixtureRequest) -> Inlets:
    """Return the events of submissions, as old and as new versions of Airflow give them."""
    found: Inlets = request.param()
    return found


@pytest.fixture
def stores() -> Stores:
    """Return the state stores."""
    return Stores()


def recover(inlets: Inlets, stores: Stores, **arguments: Any) -> dict[str, list[str]]:
    """Execute one run of the recovery, and return its result without the outcomes that have no ids."""
    operator = WhiteRabbitReplayCallbacksOperator(task_id="replay", submitted=SUBMITTED, **arguments)
    result: dict[str, list[str]] = operator.execute({"inlet_events": inlets, "asset_state_store": stores})  # type: ignore[typeddict-unknown-key,assignment]
    return {outcome: ids for outcome, ids in result.items() if ids}


def answer(wr: Emulator, status: int) -> None:
    """Let the endpoint answer all further callbacks with a status."""
    wr.clear_faults()
    wr.fault(effects.Answer(status), path=ENDPOINT, times=None)


def submit(wr: Emulator, inlets: Inlets, *, lost: bool = True) -> str:
    """Submit an execution that ends at once, add its event, and wait for the delivery of its callback."""
    answer(wr, 401 if lost else 204)
    execution_id = WhiteRabbitHook().execute_component("PAY", callback_url=wr.url + ENDPOINT).id
    wr.wait_for_delivery(execution_id)
    inlets.add(execution_id)
    return execution_id


def deliveries(wr: Emulator, execution_id: str, count: int) -> None:
    """Wait for the delivery of a replayed callback."""
    wr.wait_for_delivery(execution_id, count=count)


def reads(wr: Emulator) -> int:
    """Return how many records were read."""
    return len(wr.requests(kind="record"))


# --- what it looks at


def test_more_submissions_than_a_page(wr: Emulator, stores: Stores) -> None:
    """The first run looks at all submissions, page by page; the next one only at new ones and at those of late."""
    inlets = Inlets()
    lost = submit(wr, inlets)
    without = wr.create_execution("PAY")
    for number in range(2 * PAGE):
        inlets.add(without, START + timedelta(minutes=number + 1))
    last = submit(wr, inlets)
    inlets.events[-1].timestamp = START + timedelta(minutes=3 * PAGE)
    answer(wr, 204)
    result = recover(inlets, stores)
    assert result["replayed"] == [lost, last]
    assert result["without_callback"] == [without]
    assert inlets.queries == [PAGE] * 3
    assert stores.saves >= 3
    deliveries(wr, lost, 2)
    deliveries(wr, last, 2)
    before = reads(wr)
    assert recover(inlets, stores) == {"delivered": [lost, last]}
    assert reads(wr) - before == 2
    assert recover(inlets, stores) == {"delivered": [last]}  # within the overlap


def test_many_submissions_at_the_same_time(wr: Emulator, stores: Stores) -> None:
    """More events of one time than fit into a page are all seen."""
    inlets = Inlets()
    first, *others = [wr.create_execution("PAY") for _ in range(4)]
    ids = [first] * PAGE + others
    for execution_id in ids:
        inlets.add(execution_id, START)
    ids.append(wr.create_execution("PAY"))
    inlets.add(ids[-1], START + timedelta(seconds=1))
    assert recover(inlets, stores)["without_callback"] == list(dict.fromkeys(ids))


def test_late_transactions(wr: Emulator, inlets: Inlets, stores: Stores) -> None:
    """An event that appears after newer ones were seen is seen by the next run."""
    submit(wr, inlets, lost=False)
    recover(inlets, stores)
    late = submit(wr, inlets)
    inlets.events[-1].timestamp = inlets.events[0].timestamp - OVERLAP
    assert recover(inlets, stores)["replayed"] == [late]


def test_a_clock_that_is_ahead(wr: Emulator, inlets: Inlets, stores: Stores) -> None:
    """An event from the future, of a server with a wrong clock, does not hide the events of others."""
    submit(wr, inlets, lost=False)
    inlets.events[-1].timestamp = datetime.now(UTC) + timedelta(days=1)
    recover(inlets, stores)
    lost = submit(wr, inlets)
    inlets.events[-1].timestamp = datetime.now(UTC)
    assert recover(inlets, stores)["replayed"] == [lost]


@pytest.mark.parametrize("extra", [None, {}, {"execution_id": "../x"}, {"execution_id": 7}, {"execution_id": ""}])
def test_events_without_an_id(wr: Emulator, inlets: Inlets, stores: Stores, extra: Any) -> None:
    """An event that somebody else has added, without a valid id, keeps the recovery from nothing."""
    inlets.events.append(SimpleNamespace(extra=extra, timestamp=START))
    lost = submit(wr, inlets)
    assert recover(inlets, stores) == {"replayed": [lost]}


def test_running_executions(wr: Emulator, inlets: Inlets, stores: Stores) -> None:
    """An execution that runs for longer than the recovery looks back is looked at until it has ended."""
    wr.script("SLOW", manual=True)
    running = WhiteRabbitHook().execute_component("SLOW", callback_url=wr.url + ENDPOINT).id
    inlets.add(running)
    assert recover(inlets, stores) == {"running": [running]}
    inlets.events.clear()  # airflow db clean
    assert recover(inlets, stores) == {"running": [running]}
    answer(wr, 401)
    wr.complete(running)
    deliveries(wr, running, 1)
    assert recover(inlets, stores) == {"replayed": [running]}


def test_unknown_executions(wr: Emulator, inlets: Inlets, stores: Stores) -> None:
    """An execution that White Rabbit does not know, perhaps not yet, is looked at in three runs."""
    inlets.add("e-1")
    assert recover(inlets, stores) == {"unknown": ["e-1"]}
    inlets.events.clear()
    assert recover(inlets, stores) == {"unknown": ["e-1"]}
    assert recover(inlets, stores) == {"unknown": ["e-1"]}
    assert recover(inlets, stores) == {}


# --- what was in vain


def test_in_vain(wr: Emulator, inlets: Inlets, stores: Stores) -> None:
    """After three replays in vain, each run replays again and fails, and says why, until the callback is delivered."""
    lost = submit(wr, inlets)
    for count in (1, 2, 3):
        assert recover(inlets, stores) == {"replayed": [lost]}
        deliveries(wr, lost, count + 1)
    for count in (4, 5):
        with pytest.raises(
            AirflowFailException, match=rf"replayed 3 times or more: {lost} \(attempts: {count}, "
        ) as caught:
            recover(inlets, stores)
        assert "last error: HTTP 401" in str(caught.value)
        deliveries(wr, lost, count + 1)
    answer(wr, 204)
    with pytest.raises(AirflowFailException):
        recover(inlets, stores)
    deliveries(wr, lost, 7)
    assert recover(inlets, stores) == {"delivered": [lost]}
    assert lost not in stores.open


def test_replays_that_are_still_to_come(wr: Emulator, inlets: Inlets, stores: Stores) -> None:
    """Replays that White Rabbit has not got to are not in vain; the task fails if it never gets to them."""
    lost = submit(wr, inlets)
    wr.fault(effects.Answer(202), path=REPLAYS, times=None)  # accepted, but never done
    for _ in range(6):
        assert recover(inlets, stores) == {"replayed": [lost]}
    with pytest.raises(AirflowFailException, match="attempts: 1, last error: HTTP 401"):
        recover(inlets, stores)


@pytest.mark.parametrize("error", [None, {"message": "x" * 9000}, "\ud800\x00", ["a", {"b": 1}], 7])
def test_errors_of_all_kinds(wr: Emulator, inlets: Inlets, stores: Stores, error: Any) -> None:
    """Whatever White Rabbit's last error and count of attempts are, the message says so, and is not too long."""
    lost = submit(wr, inlets)
    record = wr.execution(lost)
    record["callback"] |= {"lastError": error, "attemptCount": "many"}
    answer(wr, 401)
    wr.fault(effects.Answer(200, record), path=f"*/executions/{lost}", times=None)
    recover(inlets, stores, max_replays=1)
    with pytest.raises(AirflowFailException, match="attempts: unknown, last error: ") as caught:
        recover(inlets, stores, max_replays=1)
    assert len(str(caught.value)) < 600
    str(caught.value).encode()


def test_many_in_vain(wr: Emulator, inlets: Inlets, stores: Stores) -> None:
    """The message names ten executions, and says how many others there are."""
    for _ in range(13):
        submit(wr, inlets)
    recover(inlets, stores, max_replays=1)
    for event in inlets.events:
        deliveries(wr, event.extra["execution_id"], 2)
    with pytest.raises(AirflowFailException, match="and 3 more, see the log"):
        recover(inlets, stores, max_replays=1)


def test_giving_up(wr: Emulator, inlets: Inlets, stores: Stores) -> None:
    """An execution in `ignore` is neither read nor replayed, and is forgotten."""
    lost = submit(wr, inlets)
    recover(inlets, stores)
    before = reads(wr)
    assert recover(inlets, stores, ignore=[lost]) == {}
    assert reads(wr) == before
    assert stores.open == {}


# --- when something breaks


@pytest.mark.long
def test_one_record_that_cannot_be_read(wr: Emulator, inlets: Inlets, stores: Stores) -> None:
    """A record that can't be read, or a replay that is refused, hinders no other execution, and fails the task."""
    ids = [submit(wr, inlets) for _ in range(4)]
    answer(wr, 204)
    wr.fault(effects.Answer(200, {"id": ids[0]}), path=f"*/executions/{ids[0]}", times=None)
    wr.fault(effects.Answer(422), path=f"*/executions/{ids[1]}/replay-callback", times=None)
    for _ in range(3):
        with pytest.raises(exc.WhiteRabbitError, match="could not be replayed: ") as caught:
            recover(inlets, stores)
        assert not isinstance(caught.value, AirflowFailException)
        assert all(execution_id in str(caught.value) for execution_id in ids[:2])
    deliveries(wr, ids[2], 2)
    deliveries(wr, ids[3], 2)
    wr.clear_faults()
    answer(wr, 204)
    assert sorted(recover(inlets, stores)["replayed"]) == sorted(ids[:2])


def test_a_key_that_is_refused(wr: Emulator, inlets: Inlets, stores: Stores) -> None:
    """If White Rabbit refuses the key in the middle of a run, the task fails at once, and the next run continues."""
    ids = [submit(wr, inlets) for _ in range(3)]
    answer(wr, 204)
    refusal = {"errors": [{"code": "UNAUTHORIZED", "message": "no"}]}
    wr.fault(effects.Answer(401, refusal), path=f"*/executions/{ids[1]}", times=None)
    with pytest.raises(exc.WhiteRabbitAuthenticationError):
        recover(inlets, stores)
    deliveries(wr, ids[0], 2)
    assert not wr.requests(path=f"*/executions/{ids[2]}")
    answer(wr, 204)
    result = recover(inlets, stores)
    assert sorted(result.pop("replayed")) == sorted(ids[1:])
    assert result == {"delivered": [ids[0]]}


class BrokenHook:
    """A hook whose calls raise these errors, one after the other."""

    def __init__(self, *errors: exc.WhiteRabbitError) -> None:
        self.errors = list(errors)
        self.ids: list[str] = []

    def get_execution(self, execution_id: str) -> Any:
        """Raise the next error."""
        self.ids.append(execution_id)
        raise self.errors.pop(0)


DOWN = exc.WhiteRabbitTransportError("cannot connect")


def test_an_outage() -> None:
    """After five errors in a row that an outage explains, the recovery stops, and keeps what it has not looked at."""
    progress = Progress()
    recovery = Recovery(BrokenHook(*[DOWN] * 9), progress, 3)  # type: ignore[arg-type]
    for number in range(4):
        recovery.look_at(f"e-{number}")
    with pytest.raises(exc.WhiteRabbitTransportError):
        recovery.look_at("e-4")
    assert list(progress.open) == [f"e-{number}" for number in range(5)]


def test_errors_that_are_no_outage() -> None:
    """Errors of single executions never stop the recovery, however many there are."""
    errors = [*[DOWN] * 4, exc.WhiteRabbitProtocolError("no id"), *[DOWN] * 4]
    recovery = Recovery(BrokenHook(*errors), Progress(), 3)  # type: ignore[arg-type]
    for number in range(9):
        recovery.look_at(f"e-{number}")
    assert len(recovery.outcomes["failed"]) == 9


def test_five_that_can_never_be_read(stores: Stores) -> None:
    """Five executions that can't be read stop the recovery once, not at each run: new ones are looked at first."""
    inlets = Inlets()
    for number in range(7):
        inlets.add(f"e-{number}")
    hook = BrokenHook(*[DOWN] * 10)
    for _ in range(2):
        operator = WhiteRabbitReplayCallbacksOperator(task_id="replay", submitted=SUBMITTED)
        vars(operator)["_hook"] = hook
        with pytest.raises(exc.WhiteRabbitTransportError):
            operator.execute({"inlet_events": inlets, "asset_state_store": stores})  # type: ignore[typeddict-unknown-key]
    assert hook.ids == [f"e-{number}" for number in (0, 1, 2, 3, 4, 5, 6, 0, 1, 2)]


class Unreadable(BrokenHook):
    """A hook for which some executions can never be read; all others have a lost callback."""

    def __init__(self, *ids: str) -> None:
        super().__init__()
        self.unreadable = ids

    def get_execution(self, execution_id: str) -> Execution:
        """Return a record."""
        self.ids.append(execution_id)
        if execution_id in self.unreadable:
            raise DOWN
        callback = {"url": "https://x/", "attemptCount": 1}
        return Execution(execution_id, ExecutionStatus.COMPLETED, 1, None, callback=Callback.from_dict(callback))

    def redeliver_callback(self, execution_id: str) -> None:
        """Accept a replay."""


def test_later_runs_reach_the_others(stores: Stores) -> None:
    """Executions that can never be read do not keep the recovery from the others, whose callbacks it has replayed."""
    inlets = Inlets()
    for number in range(7):
        inlets.add(f"e-{number}")
    hook = Unreadable(*[f"e-{number}" for number in range(5)])
    for run in range(4):
        hook.ids.clear()
        operator = WhiteRabbitReplayCallbacksOperator(task_id="replay", submitted=SUBMITTED)
        vars(operator)["_hook"] = hook
        with pytest.raises(exc.WhiteRabbitTransportError):
            operator.execute({"inlet_events": inlets, "asset_state_store": stores})  # type: ignore[typeddict-unknown-key]
        assert run == 0 or {"e-5", "e-6"} <= set(hook.ids)


@pytest.mark.parametrize(
    "value",
    [
        "x",
        7,
        {},
        {"seen_until": "soon", "open": {}},
        {"seen_until": None, "open": {"../x": [1]}},
        {"seen_until": None, "open": {"e": [1, 2, 3, 4, 5]}},
        {"seen_until": None, "open": {"e": ["a", 0, 0, 0]}},
        {"seen_until": None, "open": {"e": [1, None, 0, 0]}},
        {"seen_until": None, "open": {"e": [1, 0, "9", 0]}},
        {"seen_until": None, "open": {"e": "abc"}},
        {"seen_until": "0001-01-01T00:00:00+00:00", "open": {}},
        {"seen_until": "0001-01-01T00:00:00+14:00", "open": {}},
        {"seen_until": "9999-12-31T23:59:59-14:00", "open": {}},
        {"seen_until": "9999-12-31T23:59:59+00:00", "open": {}},
    ],
)
def test_a_store_that_somebody_has_changed(wr: Emulator, inlets: Inlets, stores: Stores, value: Any) -> None:
    """If what is stored can't be read, the recovery looks at all submissions again."""
    lost = submit(wr, inlets)
    recover(inlets, stores)
    deliveries(wr, lost, 2)
    (key,) = stores.values
    stores.values[key] = json.dumps(value)
    assert recover(inlets, stores) == {"replayed": [lost]}


def test_connections_are_apart(wr: Emulator, inlets: Inlets, stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two recoveries with different connections share no progress."""
    monkeypatch.setenv("AIRFLOW_CONN_SECOND", json.dumps(wr.connection))
    lost = submit(wr, inlets)
    assert recover(inlets, stores) == {"replayed": [lost]}
    deliveries(wr, lost, 2)
    assert recover(inlets, stores, whiterabbit_conn_id="second") == {"replayed": [lost]}
    assert sorted(stores.values) == ["whiterabbit_recovery/second", "whiterabbit_recovery/whiterabbit_default"]


# --- arguments


@pytest.mark.parametrize("arguments", [{}, {"submitted": SUBMITTED, "execution_ids": []}])
def test_either_ids_or_an_asset(arguments: dict[str, Any]) -> None:
    """The operator takes either ids or an asset."""
    with pytest.raises(exc.WhiteRabbitInputError, match="execution_ids or submitted"):
        WhiteRabbitReplayCallbacksOperator(task_id="replay", **arguments)


@pytest.mark.parametrize(
    "submitted", ["x-tests://submitted", "{{ params.asset }}", 5, [SUBMITTED], len, ALIAS], ids=type
)
def test_no_asset(submitted: Any) -> None:
    """What is no asset is found when the DAG is parsed, templates too, which Airflow would not render here."""
    with pytest.raises(exc.WhiteRabbitInputError, match="submitted must be an Airflow asset"):
        WhiteRabbitReplayCallbacksOperator(task_id="replay", submitted=submitted)


@pytest.mark.parametrize("submitted", ["x-tests://submitted", ALIAS], ids=type)
def test_no_asset_of_a_mapped_task(submitted: Any, stores: Stores) -> None:
    """A mapped task, whose arguments are known when it runs, is refused then."""
    arguments: dict[str, Any] = {"submitted": submitted, "_airflow_from_mapped": True}  # Airflow's own argument
    operator = WhiteRabbitReplayCallbacksOperator(task_id="replay", **arguments)
    with pytest.raises(exc.WhiteRabbitInputError, match="submitted must be an Airflow asset"):
        operator.execute({"inlet_events": Inlets(), "asset_state_store": stores})  # type: ignore[typeddict-unknown-key]


@pytest.mark.parametrize("name", ["execution_ids", "ignore"])
@pytest.mark.parametrize("ids", ["", "an-id", 5, {"a": 1}, '["a/b"]', ["a/b"], [None], '"a"'], ids=repr)
def test_wrong_ids(name: str, ids: Any) -> None:
    """Ids that are none are found when the DAG is parsed."""
    with pytest.raises(exc.WhiteRabbitInputError, match=rf"^{name}(\[0\])? must be"):
        WhiteRabbitReplayCallbacksOperator(task_id="replay", **{"execution_ids": ["a"]} | {name: ids})


def test_ids_that_are_read_once() -> None:
    """Ids may come from a generator, and a list may hold templates."""
    operator = WhiteRabbitReplayCallbacksOperator(task_id="replay", execution_ids=(name for name in "ab"))
    assert operator.execution_ids == ["a", "b"]
    given = ["{{ params.first }}", "b"]
    assert WhiteRabbitReplayCallbacksOperator(task_id="replay", execution_ids=given).execution_ids == given


@pytest.mark.parametrize("number", [0, -1, 1.5, "0", "1.5", "x", None, True])
def test_max_replays(number: Any) -> None:
    """`max_replays` is an integer of at least 1."""
    with pytest.raises(exc.WhiteRabbitInputError, match="max_replays"):
        WhiteRabbitReplayCallbacksOperator(task_id="replay", submitted=SUBMITTED, max_replays=number)


def test_inlets() -> None:
    """The asset becomes an inlet of the task, beside the inlets that the task has."""
    other = Asset("x-tests://other")
    operator = WhiteRabbitReplayCallbacksOperator(task_id="replay", submitted=SUBMITTED, inlets=[other])
    assert operator.inlets == [other, SUBMITTED]
    again = WhiteRabbitReplayCallbacksOperator(task_id="replay", submitted=SUBMITTED, inlets=[SUBMITTED])
    assert again.inlets == [SUBMITTED]


def test_no_inlet(stores: Stores) -> None:
    """A mapped task, whose inlets Airflow takes from its arguments alone, says what it needs."""

    class NoInlets(Inlets):
        def __getitem__(self, asset: Any) -> Query:
            raise KeyError(asset)

    with pytest.raises(exc.WhiteRabbitInputError, match=r"a mapped task needs inlets=\[…\]"):
        recover(NoInlets(), stores)
