"""Which requests get the effect of a fault, and which faults are refused."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_whiterabbit.emulator import effects
from tests.emulator.api_client import COMPONENTS, EXECUTIONS
from tests.emulator.effects.received import RECORD, STATUSES, in_json, receive_record, receive_stream


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(("skip", "times"), [(0, 1), (2, 1), (0, None)], ids=["first", "third", "every"])
def test_skip_and_times(wr, client, add, completed_id, status, skip, times):
    """The first request, the third, or every one is answered with the status."""
    add(effects.Answer(status), kind="record", skip=skip, times=times)
    statuses = [client.get(RECORD.format(completed_id)).status_code for _ in range(4)]
    assert [number for number, seen in enumerate(statuses) if seen == status] == (
        [skip] if times else list(range(skip, 4))
    )


def test_path_method_and_kind(wr, client, completed_id):
    """A fault applies to the requests that its path, method and kind match, until the faults are cleared."""

    def read_status() -> int:
        return client.get(RECORD.format(completed_id)).status_code

    fault = wr.fault(effects.Answer(500), path="*/executions/*", skip=1, times=2)
    assert [read_status() for _ in range(4)] == [200, 500, 500, 200]
    assert fault.hits == 2
    wr.fault(effects.Answer(501), kind="record", times=None)
    wr.fault(effects.Answer(502), method="POST", times=None)
    assert [read_status() for _ in range(3)] == [501] * 3
    assert client.post("/v1/sdk/workflows/demo").status_code == 502
    wr.clear_faults()
    assert read_status() == 200


def test_an_effect_for_streams_ignores_other_requests(wr, client):
    """Without a kind, an effect for streams applies to the first stream, and does not count other requests."""
    fault = wr.fault(effects.Drop("terminal"))
    assert receive_record(wr, client).json["status"] == "COMPLETED"
    assert fault.hits == 0
    assert receive_stream(wr, client).statuses == STATUSES[:2]
    assert fault.hits == 1


def test_a_later_fault_changes_the_answer_of_an_earlier_one(wr, client, completed_id):
    """A fault that is added later works on the answer that an earlier fault sends."""
    wr.fault(effects.Answer(500, "abcdef"))
    wr.fault(effects.Truncate(2))
    response = client.get(RECORD.format(completed_id))
    assert (response.status_code, response.text) == (500, "abcd")


def test_a_later_fault_counts_the_events_of_an_earlier_one(wr, client, add):
    """A fault that is added later counts the events that earlier faults send, even if they send them in pieces."""
    add(effects.Drop(1), kind="stream")
    add(effects.Alter({"status": "PAUSED"}, 1), kind="stream")
    add(effects.Split(), kind="stream")
    add(effects.Close(events=1), kind="stream")
    received = receive_stream(wr, client)
    assert (received.statuses, received.error) == (["PAUSED"], "")


def test_an_unknown_kind_is_refused(wr):
    """A kind that does not exist raises ValueError with the kinds that exist."""
    with pytest.raises(ValueError, match="kind must be one of submit"):
        wr.fault(effects.Answer(500), kind="submission")


@pytest.mark.parametrize(
    ("effect", "kind"),
    [
        (effects.Drop(3), "record"),
        (effects.Close(), "submit"),
        (effects.Reset("body", events=1), "record"),
        (effects.Alter({}, 1), "record"),
        (effects.Truncate(), "stream"),
        (effects.Answer(500, process=True), "run_stream"),
    ],
    ids=repr,
)
def test_an_unsupported_kind_is_refused(wr, effect, kind):
    """A kind that the effect does not support is refused with the kinds that it supports, in Python and over HTTP."""
    with pytest.raises(ValueError, match=f"does not support kind='{kind}', only "):
        wr.fault(effect, kind=kind)
    refusal = requests.post(f"{wr.url}/_emulator/faults", json=in_json(effect, kind=kind), timeout=60)
    assert (refusal.status_code, "does not support" in refusal.text) == (422, True)


@pytest.mark.parametrize("sizes", [(), (0,)])
def test_impossible_sizes_are_refused(sizes):
    """`Split` needs at least one size, and every size must be 1 or more."""
    with pytest.raises(ValueError, match="sizes"):
        effects.Split(sizes)


@pytest.mark.parametrize(
    "body",
    [
        {"effect": "drop", "event": 0},
        {"effect": "drop", "event": "last"},
        {"effect": "swap", "event": 0},
        {"effect": "swap", "event": "terminal"},
        {"effect": "postpone", "seconds": -1},
        {"effect": "delay", "seconds": "long"},
        {"effect": "delay", "seconds": -1},
        {"effect": "reset", "when": "later"},
        {"effect": "reset", "events": 1},
        {"effect": "close", "extra": -1},
        {"effect": "inject", "data": 5},
        {"effect": "linger", "ping_interval": 0},
        {"effect": "split", "interval": -1},
        {"effect": "truncate", "drop": 0},
        {"effect": "enlarge", "size": -1},
        {"effect": "alter", "changes": 5},
        {"effect": "answer", "status": 999},
        {"effect": "answer", "status": 100},
        {"effect": "answer", "status": 429, "retry_after": 1, "retry_at": 1},
        {"effect": "answer", "status": 500, "skip": -1},
        {"effect": "answer", "status": 500, "times": "often"},
        {"effect": "events", "change": "x"},
    ],
    ids=repr,
)
def test_impossible_parameters_are_refused(wr, body):
    """Over HTTP, an effect with an impossible parameter is answered with 422."""
    assert requests.post(f"{wr.url}/_emulator/faults", json=body, timeout=60).status_code == 422


def test_a_fault_for_a_module(wr, client):
    """A fault for a module applies to its submissions, records, streams and callbacks, in Python and over HTTP."""
    options = {"callbackUrl": "https://localhost:1/x", "waitForMs": 10_000}
    ids = {module: client.submit(module, **options)["id"] for module in ("PAY", "SWAP")}
    wr.fault(effects.Answer(503), module="PAY", times=2)
    client.control("faults", {"effect": "answer", "status": 502, "module": "PAY", "skip": 1, "times": None})
    for path, status in (("", 503), ("/replay-callback", 502), ("/stream", 502)):
        send = client.post if "replay" in path else client.get
        answers = {module: send(f"{EXECUTIONS}/{ids[module]}{path}") for module in ("SWAP", "PAY")}
        assert (answers["SWAP"].status_code, answers["PAY"].status_code) == (200, status)
    assert client.submit("SWAP")["module"] == "SWAP"
    assert client.post(COMPONENTS, '{"module":"PAY","input":{},"config":{}}').status_code == 502
    assert client.get(f"{EXECUTIONS}/none").status_code == 404
    assert [entry.kind for entry in wr.requests(module="PAY")] == ["submit", "record", "replay", "stream", "submit"]


def test_a_fault_for_chosen_requests(wr, client):
    """A fault with `where` applies to the requests that its function chooses, and counts only those."""
    fault = wr.fault(
        effects.Answer(503), kind="submit", where=lambda request: request.json["input"].get("amount") == "0", skip=1
    )
    body = '{"module":"PAY","input":{"amount":"%s"},"config":{}}'
    statuses = [client.post(COMPONENTS, body % amount).status_code for amount in (0, 1, 0, 0)]
    assert statuses == [200, 200, 503, 200]
    assert fault.hits == 1


def test_a_function_that_raises(wr, client):
    """If the function `where` raises, the answer to the request is 500 and says what was raised."""
    wr.fault(effects.Answer(503), where=lambda request: request.json["input"], times=None)
    answer = client.get(f"{EXECUTIONS}/none")
    assert answer.status_code == 500
    assert "'where' of a simulated fault raised TypeError" in answer.json()["errors"][0]["message"]
    assert wr.journal[-1].status == 500
