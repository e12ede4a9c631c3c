"""The proof `dev.proofs.callbacks` finds each run that is missing or too many; `make chaos` runs it on an Airflow."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import requests

from dev.harness.courier import Delivery
from dev.proofs.callbacks import post as post_module
from dev.proofs.callbacks.ledger import Runs
from dev.proofs.callbacks.listening import LISTENING, MODULES, NAME, dags_of
from dev.proofs.callbacks.outcome import problems_of, wrong_answers
from dev.proofs.callbacks.plan import FAILING, Planned, executions, steps
from dev.proofs.callbacks.post import Post, accepted, answers
from dev.proofs.callbacks.testbed import Submitted

ALONE = Submitted("one", Planned("CHAOS_EACH", 0, None, False, 1.0, None))
NAMED = Submitted("two", Planned("CHAOS_PAIR", 1, NAME, False, 2.0, None))
ALL: Runs = Counter(
    [
        ("one", "chaos_each"),
        ("two", "chaos_named"),
        ("two", "chaos_pair_each"),
        ("two", "chaos_pair_together"),
    ]
)


def problems(runs: Runs, answered: set[str] | None = None) -> list[str]:
    """Return the problems of these runs of the two executions."""
    return list(problems_of([ALONE, NAMED], runs, lambda execution: execution.id, answered))


def test_all_is_well() -> None:
    """Each run once is no problem, and neither is a missing run of an execution that was not answered with 200."""
    assert problems(ALL) == []
    assert problems(ALL - Counter([("one", "chaos_each")]), {"two"}) == []


@pytest.mark.parametrize("answered", [None, {"two"}])
def test_a_missing_run(answered: set[str] | None) -> None:
    """A missing run of an execution that was answered with 200, or of any execution in the end, is a problem."""
    runs = ALL - Counter([("two", "chaos_pair_together")])
    assert problems(runs, answered) == ["chaos_pair_together has no run of execution two"]


def test_a_second_run() -> None:
    """A second run is a problem, also of an execution that was not answered with 200."""
    runs = ALL + Counter([("one", "chaos_each")])
    assert problems(runs, set()) == ["chaos_each has 2 runs of execution one"]


def test_a_run_that_nobody_wants() -> None:
    """A run of a DAG that is not scheduled on the execution's assets is a problem, and so is one of a stranger."""
    runs = ALL + Counter([("one", "chaos_named"), ("three", "chaos_each")])
    assert problems(runs) == [
        "chaos_named has a run of execution one, which nobody wants",
        "chaos_each has a run of execution three, which nobody wants",
    ]


def test_answers_that_must_not_be() -> None:
    """Any status but 200 and 503 is a problem."""
    counts = Counter({"200": 5, "503": 4, "none": 3, "emitted": 5, "401": 1, "500": 2})
    assert list(wrong_answers(counts)) == ["1 callbacks were answered with 401", "2 callbacks were answered with 500"]


def test_a_seed_is_a_plan() -> None:
    """The same seed gives the same plan, and another seed another one."""
    assert executions(7, 50, 60) == executions(7, 50, 60) != executions(8, 50, 60)
    for part in FAILING:
        assert list(steps(7, part, 600)) == list(steps(7, part, 600)) != list(steps(8, part, 600))


@pytest.mark.parametrize("seconds", [60, 600])
@pytest.mark.parametrize("part", FAILING)
def test_each_part_fails_and_is_mended(part: str, seconds: float) -> None:
    """Within any run, each part fails at least once, one failure after the other, and is mended at the end."""
    plan = list(steps(7, part, seconds))
    assert plan
    assert [step.begins for step in plan] == [True, False] * (len(plan) // 2)
    assert [step.at for step in plan] == sorted(step.at for step in plan)
    assert plan[-1].at <= seconds


def test_a_dag_that_fails_is_alone_on_its_asset() -> None:
    """Airflow gives an event only to live DAGs, so a DAG that is paused or broken shares its asset with none."""
    shared = Counter(listening.asset for listening in LISTENING)
    assert all(shared[listening.asset] == 1 for listening in LISTENING if listening.fails)
    assert max(shared.values()) == 2
    assert all(dags_of(module, None) for module in MODULES)


@pytest.fixture
def receiver() -> Iterator[str]:
    """Run a server that answers as the receiver does; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"result":"emitted"}')

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_post(receiver: str) -> None:
    """The post repeats some deliveries at its twin and loses some answers, and knows what the receiver has answered."""
    with Post("a seed") as post, Post("another") as twin:
        post.twin = twin
        post.set_targets([receiver])
        twin.set_targets([receiver])
        ids = [f"id-{number}" for number in range(100)]
        statuses = Counter(
            requests.post(f"{post.url}/x", data=json.dumps({"id": identity}), timeout=60).status_code
            for identity in ids
        )
        assert statuses == {200: 100 - post.lost, post_module.GATEWAY_TIMEOUT: post.lost}
        assert post.lost > 0
        assert len(twin.answers) == post.repeated > 0
        assert accepted([post, twin]) == set(ids)
        counts = answers([post, twin])
        assert counts == {"200": 100 + post.repeated, "emitted": 100 + post.repeated, "none": 0}
        assert post.is_idle


def test_a_post_to_nobody() -> None:
    """A delivery that nothing answers counts as unanswered, and White Rabbit gets an error."""
    with Post("a seed") as post:
        post.set_targets(["http://127.0.0.1:9"])
        assert post.send(Delivery("/x", {}, b'{"id": "one"}')) == post_module.BAD_GATEWAY
        assert answers([post])["none"] == 1
        assert accepted([post]) == set()
