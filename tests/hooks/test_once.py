"""`WhiteRabbitHook.once` submits each key at most once, whatever happens to the task."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import AirflowException, AirflowFailException
from airflow_provider_whiterabbit.emulator import Emulator, Script, effects
from airflow_provider_whiterabbit.hooks.once import Once
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.fence import keyed_fence_of
from airflow_provider_whiterabbit.operators.fence.keyed import PAGE, KeyedRecords
from airflow_provider_whiterabbit.secrets import secret
from dev.harness.polling import until
from tests.hooks.tries import Killed, Store, Task, most_often, paid, pay, quick_hook, receipts
from tests.versions import needs_store

ORDERS = ("alice", "bob", "carol")


def receipt(inputs: Any, _config: object) -> dict[str, Any]:
    """Return the output of a payment."""
    return {"paid": inputs["to"]}


@pytest.fixture(autouse=True)
def wr(whiterabbit_emulator: Emulator, emulator_connection: None, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Return the emulator with a component that pays; writes to the store are tried again without pauses."""
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=lambda seconds: None))
    whiterabbit_emulator.script("PAY", output=receipt)
    return whiterabbit_emulator


@pytest.fixture
def task() -> Task:
    """Return a task instance."""
    return Task()


@pytest.fixture
def held(wr: Emulator) -> Iterator[effects.Fault]:
    """Hold the first submission until the test releases it."""
    fault = wr.fault(effects.Hold(before=True), kind="submit")
    yield fault
    wr.release(fault)


# --- the whole way


def test_first_try(task: Task, wr: Emulator) -> None:
    """Each key is submitted, and the results come by key in the order of asking."""
    results = task.run(pay(*ORDERS))
    assert list(results.items()) == list(receipts(*ORDERS).items())
    assert paid(wr) == list(ORDERS)


@needs_store
def test_retry(task: Task, wr: Emulator) -> None:
    """A retry takes what the earlier try submitted, and submits the rest."""
    task.run(pay("alice", "bob"))
    assert task.run(pay(*ORDERS)) == receipts(*ORDERS)
    assert paid(wr) == list(ORDERS)


@needs_store
def test_clear(task: Task, wr: Emulator) -> None:
    """A clear submits nothing again, because it may be the clear of a task that has done half of its work."""
    task.run(pay("alice", "bob"))
    task.clear()
    assert task.run(pay(*ORDERS)) == receipts(*ORDERS)
    assert paid(wr) == list(ORDERS)


def test_workflow(task: Task, wr: Emulator) -> None:
    """A workflow is started once too, and its result is the record of its run."""
    wr.script_workflow("flow", [{"module": "PAY", "output": 1}])

    def code(once: Once) -> Any:
        run_id = once.trigger_workflow("flow of today", "flow")
        assert once.trigger_workflow("flow of today", "flow") == run_id == once.wait("flow of today", timeout=60).id
        return once.results()

    assert task.run(code)["flow of today"]["status"] == "COMPLETED"
    if task.store.values:
        task.run(code)
    assert len(wr.requests(kind="trigger")) == 1


@needs_store
def test_running(task: Task, wr: Emulator) -> None:
    """A retry waits for what still runs."""
    wr.script("PAY", manual=True)
    identity = task.run(lambda once: once.execute_component("a", "PAY", {"to": "a"}).id)

    def code(once: Once) -> Any:
        assert once.execute_component("a", "PAY", {"to": "a"}).id == identity
        wr.complete(identity, {"paid": "late"})
        return once.results(timeout=60)

    assert task.run(code) == {"a": {"paid": "late"}}


# --- keys


@pytest.mark.parametrize(
    "key", ["", " ", "x" * 201, "x" * 10_240, "a\0b", "a\nb", "\ud83d", "\u202eabc", 7, None, ["a"], b"a"], ids=ascii
)
def test_unusable_keys(task: Task, wr: Emulator, key: Any) -> None:
    """A key that is no short line of text is refused before anything is sent or stored."""
    for use in (
        lambda once: once.execute_component(key, "PAY"),
        lambda once: once.trigger_workflow(key, "flow"),
        lambda once: once.wait(key),
    ):
        with pytest.raises(exc.WhiteRabbitInputError, match="key must be a text"):
            task.run(use)
    assert not task.store.values
    assert not wr.journal


@needs_store
@pytest.mark.parametrize("key", ["/", "..", "a/b?c#d%2F", "é", "e\u0301", "👩\u200d👧", "None", "{{ x }}", "x" * 200])
def test_any_text(task: Task, wr: Emulator, key: str) -> None:
    """Any other text is a key, also one that is special in paths."""
    first = task.run(lambda once: once.execute_component(key, "PAY", {"to": "a"}).id)
    assert task.run(lambda once: once.execute_component(key, "PAY", {"to": "a"}).id) == first
    assert len(paid(wr)) == 1
    assert all(len(name) < 100 and name.isascii() for name in task.store.values)


def test_twice_in_a_try(task: Task, wr: Emulator) -> None:
    """A key that is used twice in a try returns the same execution; with another request, it is an error."""

    def code(once: Once) -> None:
        first = once.execute_component("order", "PAY", {"to": "alice"})
        assert once.execute_component("order", "PAY", {"to": "alice"}, inline_wait=1).id == first.id
        for module, payee in (("PAY", "bob"), ("OTHER", "alice")):
            with pytest.raises(exc.WhiteRabbitInputError, match="'order' stands for another request in this try"):
                once.execute_component("order", module, {"to": payee})

    task.run(code)
    assert paid(wr) == ["alice"]


@needs_store
def test_two_objects(task: Task, wr: Emulator) -> None:
    """Two hooks in one task share the records, so neither loses what the other has stored."""

    def code(once: Once) -> Any:
        other = quick_hook().once()
        for number, each in enumerate((once, other, once, other)):
            each.execute_component(f"order {number}", "PAY", {"to": str(number)})
        assert other.execute_component("order 0", "PAY", {"to": "0"}).id
        return once.results(timeout=60)

    assert list(task.run(code)) == ["order 0", "order 2"]
    assert len(task.store.records) == 4
    task.run(code)
    assert len(paid(wr)) == 4


def test_nothing_asked(task: Task) -> None:
    """To wait for a key that this try has not asked for is an error."""
    with pytest.raises(exc.WhiteRabbitInputError, match="asked for nothing under the key 'x'"):
        task.run(lambda once: once.wait("x"))
    assert task.run(lambda once: once.results()) == {}


def test_outside_of_a_task() -> None:
    """Without a running task there is nothing to bind to."""
    with pytest.raises(exc.WhiteRabbitInputError, match="needs a running task"):
        WhiteRabbitHook().once()


# --- several task instances


@needs_store
def test_mapped(wr: Emulator) -> None:
    """Each map index has its own records, and so has a DAG run that was deleted and created again."""
    for task in (Task(0), Task(1), Task(0, run_id="another")):
        task.run(pay("alice"))
    assert len(paid(wr)) == 3
    recreated = Task(0)  # the store of a deleted DAG run is gone
    recreated.run(pay("alice"))
    assert len(paid(wr)) == 4


@needs_store
def test_digests_differ(wr: Emulator) -> None:
    """Equal requests under two keys, or of two task instances, have different digests; no input is stored."""
    tasks = Task(0), Task(1)
    for task in tasks:
        for key in ("a", "b"):
            task.run(lambda once, key=key: once.execute_component(key, "PAY", {"to": "top secret"}))
    digests = {record["request"] for task in tasks for record in task.store.records.values()}
    assert len(digests) == 4
    assert not any("top secret" in text for task in tasks for text in task.store.values.values())


# --- many


@needs_store
def test_thousands_are_cheap(task: Task, wr: Emulator) -> None:
    """A new key takes four calls of the store, and a retry reads many records with one."""
    keys = [str(number) for number in range(PAGE + 1)]
    task.run(pay(*keys))
    assert len(task.store.calls) == 4 * len(keys) + 2 + 2  # the count and the first page are read; pages are counted
    before = len(wr.journal)
    task.run(pay(*keys))
    assert task.store.calls == ["get whiterabbit_once", *(f"get whiterabbit_once_{number}" for number in (1, 2, 3))]
    assert len(wr.journal) - before == len(keys)  # one record each
    assert paid(wr) == keys


@needs_store
def test_largest_page(task: Task) -> None:
    """A page with the longest keys is small enough for Airflow's REST API and UI."""
    wide = [f"{number:03}{'😀' * 197}" for number in range(PAGE)]
    task.run(lambda once: [once.execute_component(key, "PAY", {"to": "a"}) for key in wide])
    assert max(map(len, task.store.values.values())) < 65_535


# --- changes between tries


@needs_store
def test_another_request(task: Task, wr: Emulator) -> None:
    """Another input, module, number of attempts or workflow under a key in a later try is a doubt."""
    task.run(pay("alice"))
    wr.script("OTHER", output=1)
    changes: list[Callable[[Once], Any]] = [
        lambda once: once.execute_component("alice", "PAY", {"to": "bob"}),
        lambda once: once.execute_component("alice", "OTHER", {"to": "alice"}),
        lambda once: once.execute_component("alice", "PAY", {"to": "alice"}, attempts=2),
        lambda once: once.trigger_workflow("alice", "flow"),
    ]
    for change in changes:
        with pytest.raises(AirflowFailException, match=r"^Key 'alice': .*\(Doubt: (other request|gone)\.\).*doubts"):
            task.run(change)
    assert len(wr.requests(method="POST")) == 1


@needs_store
def test_changed_list(task: Task, wr: Emulator, read_log: Callable[[], str]) -> None:
    """The order of the list does not matter, and what was removed from it is named in the log."""
    task.run(pay(*ORDERS))
    assert task.run(pay("dave", "carol", "alice")) == receipts("dave", "carol", "alice")
    assert paid(wr) == [*ORDERS, "dave"]
    assert (
        "An earlier try has submitted under 1 keys that this try has not asked for: nobody waits for 'bob'"
        in read_log()
    )


@needs_store
def test_gone(task: Task, wr: Emulator) -> None:
    """An execution that White Rabbit does not know any more is a doubt, and nothing is submitted."""
    task.run(pay("alice"))
    wr.fault(effects.Answer(404, {"errors": [{"code": "NOT_FOUND", "message": "no"}]}), kind="record", times=None)
    with pytest.raises(AirflowFailException, match=r"Key 'alice'.*Doubt: gone"):
        task.run(pay("alice"))
    assert paid(wr) == ["alice"]


# --- failures


def test_failed(task: Task, wr: Emulator) -> None:
    """A failed execution fails the task for good, after all have ended."""
    wr.script("PAY", Script(error={"message": "no funds"}, times=1), Script(output={"paid": 1}))
    with pytest.raises(AirflowFailException, match=r"1 of 3 did not complete. 'alice': .*no funds"):
        task.run(pay(*ORDERS))
    assert {record["completed"] for record in wr.executions} == {True}


@needs_store
def test_resubmit_failed(task: Task, wr: Emulator) -> None:
    """With ``on_failed_execution="resubmit"``, a retry submits what failed, and nothing else."""
    wr.script("PAY", Script(error={"message": "no funds"}, times=1), Script(output=receipt))
    with pytest.raises(AirflowException) as caught:
        task.run(pay(*ORDERS), on_failed_execution="resubmit")
    assert not isinstance(caught.value, AirflowFailException)
    assert task.run(pay(*ORDERS), on_failed_execution="resubmit") == receipts(*ORDERS)
    assert paid(wr) == [*ORDERS, "alice"]


def test_each_failure_by_itself(task: Task, wr: Emulator) -> None:
    """`wait` returns the record also if it FAILED, so that the task can decide."""
    wr.script("PAY", error={"message": "no funds"})
    task.run(lambda once: once.execute_component("a", "PAY", {"to": "a"}) and None)
    record = Task().run(lambda once: [once.execute_component("a", "PAY", {"to": "a"}), once.wait("a", timeout=60)][1])
    assert record.failed


def test_refused(task: Task, wr: Emulator) -> None:
    """A refused submission leaves no record, and the same key can be submitted again in the same try."""
    wr.fault(effects.Answer(422, {"message": "no", "error": "Nope"}), kind="submit")

    def code(once: Once) -> Any:
        with pytest.raises(exc.WhiteRabbitInvalidRequestError):
            once.execute_component("a", "PAY", {"to": "a"})
        assert not task.store.records
        return once.execute_component("a", "PAY", {"to": "b"}).id

    assert task.run(code) == wr.executions[-1]["id"]


@needs_store
def test_answer_with_the_id_of_what_is_replaced(task: Task, wr: Emulator) -> None:
    """An answer with the id of the execution that is replaced does not tell whether the submission was received."""
    wr.script("PAY", error={"message": "no funds"})
    resubmit = {"on_failed_execution": "resubmit"}
    with pytest.raises(AirflowException, match="no funds"):
        task.run(pay("alice"), **resubmit)
    failed = wr.executions[0]["id"]
    wr.fault(effects.Alter({"id": failed}), kind="submit")
    for _ in range(2):
        with pytest.raises(AirflowFailException, match=rf"Key 'alice': It is not known.* It replaced {failed}, "):
            task.run(pay("alice"), **resubmit)
    assert paid(wr) == ["alice", "alice"]


def test_all_at_once(task: Task, wr: Emulator) -> None:
    """`results` follows all executions at the same time."""
    wr.script("PAY", manual=True)

    def end_all() -> None:
        wr.wait_for_request(kind="stream", count=len(ORDERS), timeout=60)
        for execution, payee in zip(wr.executions, paid(wr), strict=True):
            wr.complete(execution["id"], {"paid": payee})

    with ThreadPoolExecutor() as pool:
        ending = pool.submit(end_all)
        assert list(task.run(pay(*ORDERS)).items()) == list(receipts(*ORDERS).items())
        ending.result()


def test_timeout(task: Task, wr: Emulator) -> None:
    """The timeout of `results` is for all together."""
    wr.script("PAY", manual=True)

    def code(once: Once) -> None:
        for payee in ORDERS:
            once.execute_component(payee, "PAY", {"to": payee})
        once.results(timeout=0.1)

    with pytest.raises(exc.WhiteRabbitTimeoutError):
        task.run(code)


# --- doubts


@needs_store
def test_uncertain(task: Task, wr: Emulator) -> None:
    """A lost answer fails the task with the key; a later try submits neither this key nor an earlier one again."""
    wr.fault(effects.Reset("answer"), kind="submit", skip=1)
    for _ in range(2):
        with pytest.raises(AirflowFailException, match=r"^Key 'bob': It is not known.*Doubt: uncertain") as caught:
            task.run(pay(*ORDERS))
        task.clear()
    assert "airflow whiterabbit doubts pay.daily" in str(caught.value)
    assert paid(wr) == ["alice", "bob"]
    assert task.store.records["bob"]["doubt"] == "uncertain"


@needs_store
def test_uncertain_resubmit(task: Task, wr: Emulator) -> None:
    """With ``on_doubt="resubmit"``, the retry submits what is uncertain again, and nothing else."""
    wr.fault(effects.Reset("answer"), kind="submit", skip=1)
    with pytest.raises(exc.WhiteRabbitUncertainSubmissionError):
        task.run(pay(*ORDERS), on_doubt="resubmit")
    assert task.run(pay(*ORDERS), on_doubt="resubmit") == receipts(*ORDERS)
    assert paid(wr) == ["alice", "bob", "bob", "carol"]


@needs_store
@pytest.mark.parametrize(
    "form", [lambda identity, record: identity, lambda identity, record: record | {"id": identity}]
)
def test_settled_by_hand(task: Task, wr: Emulator, form: Callable[[str, Any], Any]) -> None:
    """A person may store the id in the record of the key, or delete the record."""
    wr.fault(effects.Reset("answer"), kind="submit", times=2)
    for payee in ("alice", "bob"):
        with pytest.raises(AirflowFailException):
            task.run(pay(payee))
    task.store.change("alice", form(wr.executions[0]["id"], task.store.records["alice"]))
    task.store.change("bob", None)
    assert task.run(pay("alice", "bob")) == receipts("alice", "bob")
    assert paid(wr) == ["alice", "bob", "bob"]


def test_ask(task: Task, monkeypatch: pytest.MonkeyPatch, read_log: Callable[[], str]) -> None:
    """`ask` is refused as an argument, and counts as `fail` as the option of a deployment."""
    with pytest.raises(exc.WhiteRabbitInputError, match="can't be used with once"):
        task.run(pay("alice"), on_doubt="ask")
    for options in ({"on_doubt": "x"}, {"on_failed_execution": "x"}):
        with pytest.raises(exc.WhiteRabbitInputError, match="must be one of"):
            task.run(pay("alice"), **options)
    monkeypatch.setenv("AIRFLOW__WHITERABBIT__ON_DOUBT", "ask")
    Task().run(pay("alice"))
    assert "The task fails instead of asking a person" in read_log()


# --- before Airflow 3.3


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> Task:
    """Return a task instance of an Airflow without a task state store."""
    monkeypatch.setattr("tests.hooks.tries.HAS_STORE", False)
    return Task()


@pytest.mark.parametrize("cleared", [False, True])
def test_no_store(old: Task, wr: Emulator, cleared: bool) -> None:
    """Without a store, the first try submits, and each later one refuses, also after a clear."""
    assert old.run(pay("alice", "bob")) == receipts("alice", "bob")
    if cleared:
        old.clear()
    with pytest.raises(AirflowFailException, match=r"Before version 3\.3, Airflow keeps no ids across tries"):
        old.run(pay("alice", "bob"))
    assert paid(wr) == ["alice", "bob"]
    old.run(pay("alice"), on_doubt="resubmit")
    assert paid(wr) == ["alice", "bob", "alice"]


# --- the store


@needs_store
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [Killed(), ConnectionError("the API server is down")], ids=["killed", "outage"])
def test_every_call_of_the_store(wr: Emulator, error: BaseException, after: bool) -> None:
    """Wherever a try is killed, or the store fails, each order is paid at most once, and at the end exactly once."""
    orders = ("alice", "bob")
    probe = Task()
    probe.run(pay(*orders))
    points = len(probe.store.calls)
    doubts = 0
    for point in range(points):
        wr.reset()
        wr.component("PAY")
        wr.script("PAY", output=receipt)
        task = Task()
        task.store.fail_at, task.store.fails_after, task.store.error = point, after, error
        try:
            task.run(pay(*orders))
        except type(error):
            pass
        task.store.fail_at = None
        try:
            results = task.run(pay(*orders))
        except AirflowFailException:
            doubts += 1
            assert most_often(paid(wr)) <= 1
            (uncertain,) = [key for key, record in task.store.records.items() if not record["id"]]
            ids = {record["input"]["to"]: record["id"] for record in map(_with_input(wr), wr.executions)}
            task.store.change(uncertain, ids.get(uncertain))
            task.clear()
            results = task.run(pay(*orders))
        assert results == receipts(*orders), point
        assert sorted(paid(wr)) == sorted(orders), point
    # After a single failure, the store is soon as it was; a kill leaves what it holds.
    assert doubts == 0 if isinstance(error, Exception) else 0 < doubts < points


def _with_input(wr: Emulator) -> Callable[[dict[str, Any]], dict[str, Any]]:
    inputs = [entry.json["input"] for entry in wr.requests(kind="submit")]
    numbers = {record["id"]: number for number, record in enumerate(wr.executions)}
    return lambda record: {"id": record["id"], "input": inputs[numbers[record["id"]]]}


@needs_store
def test_other_process(task: Task, wr: Emulator) -> None:
    """A process that finds that another one has changed the page sends nothing."""

    def code(once: Once) -> None:
        once.execute_component("alice", "PAY", {"to": "alice"})
        ours, calls = dict(task.store.values), task.store.calls
        task.store.calls = []
        task.again(pay("alice", "bob"))
        task.store.calls = calls
        assert task.store.values != ours
        once.execute_component("bob", "PAY", {"to": "bob"})

    with pytest.raises(exc.WhiteRabbitError, match="Another process"):
        task.run(code)
    assert task.run(pay("alice", "bob")) == receipts("alice", "bob")
    assert paid(wr) == ["alice", "bob"]


@needs_store
def test_other_process_during_the_post(task: Task, wr: Emulator, held: effects.Fault) -> None:
    """An id is added to what another process has stored meanwhile, and overwrites nothing of it."""

    def code(once: Once) -> None:
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(once.execute_component, "slow", "PAY", {"to": "slow"})
            wr.wait_for_request(kind="submit")
            task.again(lambda other: other.execute_component("quick", "PAY", {"to": "quick"}))
            wr.release(held)
            slow.result()

    task.run(code)
    ids = {record["id"] for record in task.store.records.values()}
    assert ids == {record["id"] for record in wr.executions}
    assert task.run(pay("slow", "quick")) == receipts("slow", "quick")
    assert sorted(paid(wr)) == ["quick", "slow"]


class GatheringStore(Store):
    """Holds its first write until a number of threads want to write too."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = threading.Event()

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Store a value, after the threads have gathered."""
        assert self.may_write.wait(60)
        super().set(key, value, retention=retention)


@needs_store
def test_what_threads_write_together() -> None:
    """What threads write while another one writes takes two calls for each page; a failure concerns only its group."""
    store = GatheringStore()
    records = KeyedRecords(store)
    keys = [str(number) for number in range(2 * PAGE)]
    context = Task().context(store)
    fences = {key: keyed_fence_of(context, "component PAY", records, key) for key in [*keys, "late", "later"]}
    for fence in fences.values():
        fence.request = "ab" * 32
        assert fence.earlier() is None
    store.calls.clear()

    def write_all(write: Callable[[str], Any], several: list[str]) -> list[Any]:
        with ThreadPoolExecutor(len(several)) as pool:
            store.may_write.clear()
            first = pool.submit(write, several[0])
            until(lambda: bool(store.calls), "the first to write", 60, 0.001)
            others = [pool.submit(write, key) for key in several[1:]]
            until(lambda: len(records._gathered) == len(others), "the others to wait", 60, 0.001)
            store.may_write.set()
            return [future.exception() for future in (first, *others)]

    assert not any(write_all(lambda key: fences[key].intend(), keys))
    assert len(store.calls) == 3 + 2 * 2 + 1  # that of the first, those of the others; and the pages are counted
    assert {record["id"] for record in store.records.values()} == {None}
    store.calls.clear()
    assert not any(write_all(lambda key: fences[key].adopt(f"e-{key}"), keys))
    assert len(store.calls) == 2 + 2 * 2
    assert {key: record["id"] for key, record in store.records.items()} == {key: f"e-{key}" for key in keys}
    store.calls.clear()
    store.fail_at, store.error = 3, ConnectionError("down")
    last = write_all(lambda key: fences[key].intend(), ["late", "later"])
    assert [str(error) for error in last] in (["None", "down"], ["down", "None"])
    assert set(records.keys()) - set(keys) == set(store.records) - set(keys)


@needs_store
@pytest.mark.parametrize("is_one_late", [False, True])
def test_threads_that_are_expected(is_one_late: bool) -> None:
    """Threads that are known to write wait for each other, but not for long; one that ends is not waited for."""
    store = Store()
    records = KeyedRecords(store, patience=0.01 if is_one_late else 600)
    assert not records.keys()
    store.calls.clear()
    with ThreadPoolExecutor(PAGE) as pool:
        records.expect(PAGE + is_one_late)
        assert all(pool.map(lambda number: records.intend(str(number), {"id": None}, since=None), range(PAGE)))
    assert len(store.records) == PAGE
    if is_one_late:
        return
    assert len(store.calls) == 2 + 1  # the page is read and written, and counted
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(records.set, "0", {"id": "e-1"})
        until(lambda: bool(records._gathered), "the thread to wait", 60, 0.001)
        records.expect(1)
        writing.result(timeout=60)
    records.expect(2)
    records.amend("1", None)  # as after a refusal
    assert len(store.records) == PAGE - 1


@needs_store
@pytest.mark.parametrize("value", [None, "7", "[]", '"x"'])
def test_broken_page(task: Task, wr: Emulator, value: str | None) -> None:
    """A page that is missing or is no object submits nothing, until a person decides."""
    task.run(pay("alice"))
    if value is None:
        del task.store.values["whiterabbit_once_1"]
    else:
        task.store.values["whiterabbit_once_1"] = value
    with pytest.raises(exc.WhiteRabbitProtocolError, match="whiterabbit_once_1"):
        task.run(pay("alice"))
    assert paid(wr) == ["alice"]
    task.store.values["whiterabbit_once_1"] = "{}"
    task.run(pay("alice"))
    assert paid(wr) == ["alice"] * 2


@needs_store
def test_broken_record(task: Task, wr: Emulator) -> None:
    """A record that can't be read submits nothing, and the message says where it is."""
    task.run(pay("alice"))
    task.store.change("alice", 7)
    with pytest.raises(exc.WhiteRabbitProtocolError, match="the member 'alice' of a key whiterabbit_once_…"):
        task.run(pay("alice"))
    assert paid(wr) == ["alice"]


@needs_store
def test_lost_count(task: Task, wr: Emulator) -> None:
    """Without the count of the pages, the pages are found all the same."""
    task.run(pay(*ORDERS))
    del task.store.values["whiterabbit_once"]
    task.run(pay(*ORDERS))
    assert paid(wr) == list(ORDERS)


# --- threads


@needs_store
def test_threads(task: Task, wr: Emulator) -> None:
    """Many threads submit at a time; threads with the same key submit once and get the same execution."""
    keys = [str(number % 20) for number in range(60)]

    def code(once: Once) -> list[str]:
        with ThreadPoolExecutor(12) as pool:
            return list(pool.map(lambda key: once.execute_component(key, "PAY", {"to": key}).id, keys))

    ids = task.run(code)
    assert len(set(ids)) == 20
    assert all(ids[number] == ids[number % 20] for number in range(60))
    assert sorted(paid(wr)) == sorted(set(keys))
    assert {key: record["id"] for key, record in task.store.records.items()} == dict(zip(keys, ids, strict=True))


def test_threads_do_not_wait_for_each_other(task: Task, wr: Emulator, held: effects.Fault) -> None:
    """A submission that takes long delays no other key, only threads with the same key."""

    def code(once: Once) -> set[str]:
        def same() -> str:
            return once.execute_component("slow", "PAY", {"to": "slow"}).id

        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(same)
            wr.wait_for_request(kind="submit")
            second = pool.submit(same)
            assert once.execute_component("quick", "PAY", {"to": "quick"}).id
            wr.release(held)
            return {first.result(), second.result()}

    assert len(task.run(code)) == 1
    assert sorted(paid(wr)) == ["quick", "slow"]


# --- secrets


@needs_store
def test_secrets(task: Task, wr: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest is of the names of secrets: a secret that was replaced makes no other request."""
    name = secret(variable="token")
    for value in ("old value", "new value"):
        monkeypatch.setenv("AIRFLOW_VAR_TOKEN", value)
        task.run(lambda once: once.execute_component("a", "PAY", {"to": name}, allowed_secrets=[name]))
    assert paid(wr) == ["old value"]
    with pytest.raises(exc.WhiteRabbitInputError, match="names the variable"):
        task.run(lambda once: once.execute_component("b", "PAY", {"to": name}))


def test_hook_is_closed(wr: Emulator) -> None:
    """A hook in a ``with`` closes its connections, and works on afterwards."""
    with quick_hook() as hook:
        identity = hook.execute_component("PAY", {"to": "a"}).id
        hook.get_execution(identity)
    assert hook.get_execution(identity).id == identity
    hook.close()
    WhiteRabbitHook().close()  # without a connection to close
