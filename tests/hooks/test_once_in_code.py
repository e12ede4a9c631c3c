"""`WhiteRabbitHook.once` submits each key at most once, also if the code of a task catches errors or forks."""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import AirflowFailException
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.once import Once
from tests.emulator.test_forks import in_child
from tests.hooks.tries import Killed, Store, Task, paid, pay, quick_hook, receipts
from tests.versions import needs_store

T = TypeVar("T")


@pytest.fixture(autouse=True)
def wr(whiterabbit_emulator: Emulator, emulator_connection: None) -> Emulator:
    """Return the emulator with a component that pays."""
    whiterabbit_emulator.script("PAY", output=lambda inputs, _config: {"paid": inputs["to"]})
    return whiterabbit_emulator


@pytest.fixture(params=[pytest.param(True, marks=needs_store, id="store"), pytest.param(False, id="no store")])
def task(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Task:
    """Return a task instance of an Airflow with, and of one without a task state store."""
    monkeypatch.setattr("tests.hooks.tries.HAS_STORE", request.param)
    return Task()


def again_and_again(errors: list[BaseException]) -> Callable[[Once], None]:
    """Return code that pays alice until no error comes, three times at most; it catches all errors."""

    def code(once: Once) -> None:
        for _ in range(3):
            try:
                once.execute_component("alice", "PAY", {"to": "alice"})
            except BaseException as error:
                errors.append(error)
            else:
                return

    return code


def test_code_that_goes_on_after_a_lost_answer(task: Task, wr: Emulator) -> None:
    """A key whose submission is uncertain is not submitted again in the same try."""
    wr.fault(effects.Reset("answer"), kind="submit")
    errors: list[BaseException] = []
    task.run(again_and_again(errors))
    assert paid(wr) == ["alice"]
    assert [type(error) for error in errors] == [AirflowFailException] * 3


def test_code_that_goes_on_after_a_timeout(task: Task, wr: Emulator) -> None:
    """Neither is one whose POST was interrupted by the exception of a signal's handler, such as Airflow's timeout."""
    held = wr.fault(effects.Hold(before=True), kind="submit")

    def interrupt(*_: Any) -> None:
        raise Killed

    def send() -> None:
        wr.wait_for_request(kind="submit", timeout=60)
        signal.pthread_kill(main, signal.SIGUSR1)

    main = threading.main_thread().ident
    assert main is not None
    before = signal.signal(signal.SIGUSR1, interrupt)
    sending = threading.Thread(target=send)
    errors: list[BaseException] = []
    try:
        sending.start()
        task.run(again_and_again(errors))
    finally:
        sending.join()
        signal.signal(signal.SIGUSR1, before)
        wr.release(held)
    assert [type(error) for error in errors] == [Killed, AirflowFailException, AirflowFailException]
    assert paid(wr) == ["alice"]


class Supervised(Store):
    """A store that a worker asks through its supervisor: the next answer goes to the next call, whose ever it is."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: deque[Any] = deque()
        self.is_down = False

    def _call(self, name: str, action: Callable[[], T]) -> T:
        self.calls.append(name)
        self.answers.append(ConnectionError("the API server is down") if self.is_down else action())
        if len(self.calls) - 1 == self.fail_at:
            raise self.error
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return cast("T", answer)


@needs_store
def test_code_that_goes_on_after_an_interrupted_call_of_the_store(wr: Emulator) -> None:
    """The answer to an interrupted call is not taken for that to another one, such as that an intent was stored."""
    store = Supervised()
    task = Task(store=store)

    def code(once: Once) -> None:
        once.execute_component("alice", "PAY", {"to": "alice"})
        store.fail_at = len(store.calls)
        with pytest.raises(Killed):
            once.execute_component("bob", "PAY", {"to": "bob"})
        store.is_down = True
        with pytest.raises(exc.WhiteRabbitError, match="was interrupted in this try"):
            once.execute_component("bob", "PAY", {"to": "bob"})

    task.run(code)
    assert paid(wr) == ["alice"]
    store.answers.clear()
    store.is_down, store.fail_at = False, None
    assert task.run(pay("alice", "bob")) == receipts("alice", "bob")
    assert paid(wr) == ["alice", "bob"]


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
@pytest.mark.parametrize("is_new", [False, True], ids=["inherited object", "new object"])
def test_forked_process(task: Task, wr: Emulator, is_new: bool) -> None:
    """A process that the code of a task forks submits nothing, because it can't know what the task submits."""

    def code(once: Once) -> object:
        def submit() -> str:
            return (quick_hook().once() if is_new else once).execute_component("alice", "PAY", {"to": "alice"}).id

        refusal = in_child(submit)
        once.execute_component("alice", "PAY", {"to": "alice"})
        return refusal

    assert "A task submits in its own process" in str(task.run(code))
    assert paid(wr) == ["alice"]


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_task_of_a_forked_process(task: Task, wr: Emulator) -> None:
    """A process that was forked before its task began submits, as each process that runs a task of Airflow."""
    assert in_child(lambda: task.run(pay("alice"))) == receipts("alice")
    assert paid(wr) == ["alice"]
