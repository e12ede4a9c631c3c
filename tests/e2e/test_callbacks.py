"""Callbacks of the emulator to two real API servers on PostgreSQL, over good and bad connections."""

from __future__ import annotations

import contextlib
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.emulator.world.settings import CallbackSignature
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.courier import Courier, Delivery, Plan
from dev.harness.modules import MODULES
from dev.harness.polling import until
from dev.harness.postgres import Postgres
from tests.e2e import PARSE_ONCE, ROOT
from tests.e2e.floods import MB, Dribblers, fuzz, upload
from tests.receiver.deliveries import signed
from tests.versions import HAS_LOCKED_QUEUE, needs_receiver, needs_run_each

pytestmark = [pytest.mark.e2e, needs_receiver]

SECRET = "whsec_e2e_callbacks"
OTHER_SECRET = "whsec_e2e_of_another"
NEW_SECRET = "whsec_e2e_of_tomorrow"
CALLBACK_PATH = "/whiterabbit/callbacks/whiterabbit_default"
SERVERS = ("api-server", "api-server-2")


@pytest.fixture(scope="module")
def wr() -> Iterator[Emulator]:
    """Run an emulator for all tests of this module."""
    with Emulator(components=MODULES) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def airflow(wr: Emulator, courier: Courier) -> Iterator[AirflowHome]:
    """Run Airflow with two API servers on PostgreSQL, with the DAGs unpaused and their assets known."""
    connection = wr.connection
    connection["extra"] |= {"callback_secret": SECRET}
    other = {"conn_type": "whiterabbit", "extra": {"callback_secret": OTHER_SECRET}}
    twin = {"conn_type": "whiterabbit", "extra": {"callback_secret": [OTHER_SECRET, SECRET]}}
    environ = PARSE_ONCE | {
        "AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(connection),
        "AIRFLOW_CONN_OTHER": json.dumps(other),
        "AIRFLOW_CONN_TWIN": json.dumps(twin),
        "AIRFLOW__WHITERABBIT__CALLBACK_CONNECTIONS": "whiterabbit_default,other,twin,rotated",
        "AIRFLOW__WHITERABBIT__CALLBACK_BASE_URL": courier.url,
        "AIRFLOW__WHITERABBIT__CALLBACK_BODY_TIMEOUT": "5",
    }
    folders = [ROOT / "example_dags", ROOT / "tests" / "e2e" / "callback_dags"]
    try:
        server = Postgres().__enter__()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with ExitStack() as stack:
        stack.push(server.__exit__)
        home = stack.enter_context(AirflowHome(folders, database=server.url, environ=environ))
        home.start("api-server-2")
        for name in SERVERS:
            until(lambda name=name: is_up(home.url_of(name)), f"{name} to receive", 120)
        courier.set_targets([home.url_of(name) for name in SERVERS])
        home.api.call("POST", "/connections", rotated(SECRET))
        for dag_id in ("e2e_each", "e2e_each_named", "e2e_rotated", "e2e_together", "whiterabbit_confirmed"):
            until(lambda dag_id=dag_id: home.api.call("GET", f"/dags/{dag_id}"), f"{dag_id} to be parsed", 60)
            pause(home, dag_id, False)
        until(lambda: len(known_assets(home)) >= 9, "the assets to be known", 60)
        yield home


def rotated(callback_secret: str | list[str]) -> dict[str, str]:
    """Return the connection `rotated`, as Airflow's API takes it."""
    extra = json.dumps({"callback_secret": callback_secret})
    return {"connection_id": "rotated", "conn_type": "whiterabbit", "extra": extra}


def pause(airflow: AirflowHome, dag_id: str, paused: bool) -> None:
    """Pause or unpause a DAG."""
    airflow.api.call("PATCH", f"/dags/{dag_id}", {"is_paused": paused}, update_mask="is_paused")


def is_up(url: str) -> bool:
    """Whether the receiver of an API server answers."""
    try:
        return requests.get(f"{url}/whiterabbit/health", timeout=60).ok
    except requests.RequestException:
        return False


def known_assets(airflow: AirflowHome) -> list[str]:
    """Return the names of the active assets of this provider."""
    listed = airflow.api.call("GET", "/assets", limit=100, only_active=True)["assets"]
    return [asset["name"] for asset in listed if asset["name"].startswith("whiterabbit/")]


@pytest.fixture(autouse=True)
def _reset(wr: Emulator, courier: Courier) -> None:
    """Forward deliveries unchanged, and reset the emulator's settings, before each test."""
    courier.plan = lambda delivery: [delivery]
    courier.answers.clear()
    wr.settings.callback_signature = "timed"
    wr.settings.callback_attempts = 3


@pytest.fixture(scope="module")
def client(wr: Emulator) -> Client:
    """Return a client of the emulator."""
    return Client(ClientSettings(wr.url, wr.api_key, wr.api_secret))


def submit(
    client: Client, courier: Courier, module: str, count: int = 1, path: str = CALLBACK_PATH, secret: str = SECRET
) -> list[str]:
    """Submit executions with the callback that `callback=True` asks for; return their ids."""
    request = api.execute_component(module, callback_url=courier.url + path, callback_secret=secret)
    return [client.submit(request)["id"] for _ in range(count)]


def runs(airflow: AirflowHome, dag_id: str) -> dict[str, list[str]]:
    """Return the states of a DAG's runs by their partition keys."""
    states: dict[str, list[str]] = {}
    dag_runs = airflow.api.call("GET", f"/dags/{dag_id}/dagRuns", limit=100, order_by="-run_after")["dag_runs"]
    for run in dag_runs:
        states.setdefault(run["partition_key"], []).append(run["state"])
    return states


def events(airflow: AirflowHome) -> int:
    """Return the number of asset events."""
    return int(airflow.api.call("GET", "/assets/events", limit=1)["total_entries"])


def wait_for_runs(airflow: AirflowHome, dag_id: str, ids: list[str], timeout: float = 120) -> None:
    """Wait until each execution has exactly one run, which has succeeded."""

    def succeeded() -> bool:
        states = runs(airflow, dag_id)
        return all(states.get(execution_id) == ["success"] for execution_id in ids)

    until(succeeded, f"{dag_id} to have run for {len(ids)} executions", timeout)


@needs_run_each
def test_the_whole_way(airflow: AirflowHome, wr: Emulator) -> None:
    """A DAG submits an execution with callback=True; when it has ended, another DAG runs and reads its output."""
    wr.script("WAIT_FOR_EVM_TRANSACTION", output={"receipt": {"hash": "0x5c50"}}, after=0.5)
    run = airflow.run("whiterabbit_submit_and_go")
    assert run.wait(120) == "success", airflow.explain(run)
    execution_id = run.xcom("submit", key="execution_id")
    wr.wait_for_delivery(execution_id, timeout=120)
    assert wr.execution(execution_id)["callback"]["lastError"] is None
    wait_for_runs(airflow, "whiterabbit_confirmed", [execution_id])
    (listed,) = airflow.api.call("GET", "/dags/whiterabbit_confirmed/dagRuns")["dag_runs"]
    confirmed = DagRun(airflow.api, "whiterabbit_confirmed", listed["dag_run_id"])
    assert confirmed.xcom("settle") == {"receipt": {"hash": "0x5c50"}}


@needs_run_each
def test_fifty_at_once_and_each_three_times(
    airflow: AirflowHome, wr: Emulator, courier: Courier, client: Client
) -> None:
    """If each callback arrives three times at once at two servers, fifty executions still get fifty runs."""
    wr.settings.callback_attempts = 10
    wr.script("BULK", manual=True)
    ids = submit(client, courier, "BULK", 50)
    before = events(airflow)
    courier.plan = lambda delivery: [delivery] * 3
    started = time.monotonic()
    for number, execution_id in enumerate(ids):
        wr.fail(execution_id, "no") if number % 5 == 4 else wr.complete(execution_id)
    for execution_id in ids:
        wr.wait_for_delivery(execution_id, timeout=120)
    delivered = time.monotonic() - started
    assert all(wr.execution(execution_id)["callback"]["deliveredAt"] for execution_id in ids)
    wait_for_runs(airflow, "e2e_each", ids)
    ran = time.monotonic() - started
    statuses = [status for _, status, _ in courier.answers]
    results = Counter(text for _, _, text in courier.answers)
    print(f"50 executions: {len(statuses)} deliveries in {delivered:.1f} s, 50 runs after {ran:.1f} s; {dict(results)}")
    assert results['{"result":"emitted"}'] == 50
    assert set(statuses) <= {200, 503}
    assert events(airflow) == before + 50


@needs_run_each
def test_a_paused_dag(airflow: AirflowHome, wr: Emulator, courier: Courier, client: Client) -> None:
    """The receiver refuses callbacks while the DAG is paused, and accepts their replays once it is unpaused."""
    wr.script("PAUSED", output={"n": 1})
    pause(airflow, "e2e_each_named", True)
    ids = submit(client, courier, "PAUSED", 2, f"{CALLBACK_PATH}?name=e2e+name")
    for execution_id in ids:
        wr.wait_for_delivery(execution_id, timeout=120)
        assert wr.execution(execution_id)["callback"]["lastError"] == "HTTP 503"
    pause(airflow, "e2e_each_named", False)
    for execution_id in ids:
        client.call(api.redeliver_callback(execution_id))
    wait_for_runs(airflow, "e2e_each_named", ids)


@pytest.mark.long
@needs_run_each
def test_names_and_restarts(airflow: AirflowHome, wr: Emulator, courier: Courier, client: Client) -> None:
    """Executions with a name get runs too, and a restarted server recognises repeats from before its restart."""
    wr.script("NAMED", output={"n": 1})
    ids = submit(client, courier, "NAMED", 2, f"{CALLBACK_PATH}?name=e2e+name")
    wait_for_runs(airflow, "e2e_each_named", ids)
    before = events(airflow)
    airflow.kill("api-server-2")
    airflow.start("api-server-2")
    until(lambda: is_up(airflow.url_of("api-server-2")), "api-server-2 to receive", 120)
    courier.answers.clear()
    for execution_id in ids * 2:
        client.call(api.redeliver_callback(execution_id))
    for execution_id in ids:
        wr.wait_for_delivery(execution_id, count=3, timeout=120)
    assert [text for _, _, text in courier.answers] == ['{"result":"repeated"}'] * 4
    assert events(airflow) == before
    assert all(len(states) == 1 for states in runs(airflow, "e2e_each_named").values())


def test_together(airflow: AirflowHome, wr: Emulator, courier: Courier, client: Client) -> None:
    """The runs of a DAG that is scheduled on the asset itself find every execution once, also the last ones.

    The documentation names the limit of Airflow's scheduler before 3.2.
    """
    wr.script("BATCH", output={"n": 1})
    ids: list[str] = []

    def ids_of_runs() -> list[str]:
        """Return the execution ids that all runs have found."""
        dag_runs = airflow.api.call("GET", "/dags/e2e_together/dagRuns", limit=100)["dag_runs"]
        results = [DagRun(airflow.api, "e2e_together", run["dag_run_id"]).xcom("ids") for run in dag_runs]
        return [execution_id for result in results if result for execution_id in result]

    def all_found() -> bool:
        """Whether the runs have found all executions so far."""
        return set(ids) <= set(ids_of_runs())

    for _ in range(3):  # each time, some executions end while a run waits for the scheduler
        ids += submit(client, courier, "BATCH", 10)
        for patience in () if HAS_LOCKED_QUEUE else (20, 20, 20):
            with contextlib.suppress(TimeoutError):
                until(all_found, "every execution to be in a run", patience)
                break
            ids += submit(client, courier, "BATCH")  # the last one may have to wait for it
        until(all_found, "every execution to be in a run", 120)
    assert sorted(ids_of_runs()) == sorted(ids)


@needs_run_each
def test_out_of_order_and_late(airflow: AirflowHome, wr: Emulator, courier: Courier, client: Client) -> None:
    """Callbacks that arrive late and in another order cause one event for each execution."""
    wr.script("BULK", manual=True)
    ids = submit(client, courier, "BULK", 6)
    held: list[Delivery] = []
    courier.plan = lambda delivery: held.append(delivery) or []  # keep the delivery; White Rabbit tries again
    for execution_id in ids:
        wr.complete(execution_id)
    for execution_id in ids:
        wr.wait_for_delivery(execution_id, timeout=120)
    assert len(held) == 18
    courier.plan = lambda delivery: [delivery]
    assert [courier.forward(delivery) for delivery in reversed(held)] == [200] * 18
    wait_for_runs(airflow, "e2e_each", ids)
    results = [text for _, _, text in courier.answers]
    assert results == ['{"result":"emitted"}'] * 6 + ['{"result":"repeated"}'] * 12


@needs_run_each
def test_a_lost_delivery_is_recovered(airflow: AirflowHome, wr: Emulator, courier: Courier) -> None:
    """The maintenance DAG of the examples finds an execution with a lost callback, and replays the callback."""
    wr.script("WAIT_FOR_EVM_TRANSACTION", output={"receipt": {"hash": "0x77"}})
    courier.plan = lambda delivery: []
    run = airflow.run("whiterabbit_submit_and_go")
    assert run.wait(120) == "success", airflow.explain(run)
    lost = run.xcom("submit", key="execution_id")
    wr.wait_for_delivery(lost, timeout=120)
    assert wr.execution(lost)["callback"]["deliveredAt"] is None
    courier.plan = lambda delivery: [delivery]
    # Unpausing the DAG also starts a scheduled run, which may find the lost callback first.
    recovery = airflow.run("whiterabbit_recover_callbacks")
    assert recovery.wait(120) == "success", airflow.explain(recovery)
    ids = [run["dag_run_id"] for run in airflow.api.call("GET", f"/dags/{recovery.dag_id}/dagRuns")["dag_runs"]]
    recoveries = [DagRun(airflow.api, recovery.dag_id, run_id) for run_id in ids]
    assert [run.wait(120) for run in recoveries] == ["success"] * len(recoveries)
    replays = [run.xcom("replay") for run in recoveries]
    assert {execution_id for replay in replays for execution_id in replay["replayed"]} == {lost}
    delivered = {execution_id for replay in replays for execution_id in replay["delivered"]}
    assert delivered - {lost} == set(runs(airflow, "whiterabbit_confirmed")) - {lost}
    wait_for_runs(airflow, "whiterabbit_confirmed", [lost])


# --- forged callbacks and floods


def flipped(delivery: Delivery) -> Delivery:
    """Return a delivery with one bit of its body changed."""
    body = bytearray(delivery.body)
    body[random.Random(len(body)).randrange(len(body))] ^= 1  # noqa: S311
    return replace(delivery, body=bytes(body))


def unsigned(delivery: Delivery) -> Delivery:
    """Return a delivery without its signature headers."""
    headers = {name: value for name, value in delivery.headers.items() if "signature" not in name}
    return replace(delivery, headers=headers)


def resigned(secret: str = SECRET, age: float = 0.0) -> Callable[[Delivery], Delivery]:
    """Return a function that signs a delivery again.

    :param age: seconds since the signature's time.
    """

    def sign(delivery: Delivery) -> Delivery:
        bare = unsigned(delivery)
        return replace(bare, headers=bare.headers | signed(bare.body, secret, age=age))

    return sign


def without_time(delivery: Delivery) -> Delivery:
    """Return a delivery with a signature that looks like one of a form without a time."""
    return replace(delivery, headers={k: v for k, v in delivery.headers.items() if k != "x-signature-timestamp"})


def at(connection: str) -> Callable[[Delivery], Delivery]:
    """Return a function that sends a delivery to the URL of another connection."""
    return lambda delivery: replace(delivery, path=f"/whiterabbit/callbacks/{connection}")


TAMPERING: dict[str, tuple[int, Callable[[Delivery], Delivery]]] = {
    "a byte changed": (401, flipped),
    "no signature": (401, unsigned),
    "stale": (401, resigned(age=301)),
    "another connection's secret": (401, resigned(OTHER_SECRET)),
    "at another connection": (401, at("other")),
    "at another connection with the same secret": (400, at("twin")),
    "time changed": (
        401,
        lambda delivery: replace(
            delivery, headers=delivery.headers | {"x-signature-timestamp": "2026-11-24T00:00:00Z"}
        ),
    ),
    "time removed": (401, without_time),
}


@needs_run_each
@pytest.mark.parametrize(("status", "tampering"), TAMPERING.values(), ids=TAMPERING.keys())
def test_tampering(
    airflow: AirflowHome,
    wr: Emulator,
    courier: Courier,
    client: Client,
    status: int,
    tampering: Callable[[Delivery], Delivery],
) -> None:
    """The receiver refuses each forged delivery and emits no event, and accepts the real one afterwards."""
    wr.script("BULK", output={"n": 1})
    before = events(airflow)
    plan: Plan = lambda delivery: [tampering(delivery)]  # noqa: E731
    courier.plan = plan
    (execution_id,) = submit(client, courier, "BULK")
    wr.wait_for_delivery(execution_id, timeout=120)
    assert wr.execution(execution_id)["callback"]["lastError"] == f"HTTP {status}"
    assert [answer for _, answer, _ in courier.answers] == [status] * 3
    assert events(airflow) == before
    courier.plan = lambda delivery: [delivery]
    client.call(api.redeliver_callback(execution_id))
    wait_for_runs(airflow, "e2e_each", [execution_id])


@needs_run_each
@pytest.mark.parametrize(("form", "is_accepted"), [("both", True), ("wr", False), ("body", False)])
def test_forms(
    airflow: AirflowHome, wr: Emulator, courier: Courier, client: Client, form: CallbackSignature, is_accepted: bool
) -> None:
    """A delivery with signatures of both kinds is accepted by the one with a time; the others alone are refused."""
    wr.settings.callback_signature = form
    wr.settings.callback_attempts = 1
    wr.script("BULK", output={"n": 1})
    (execution_id,) = submit(client, courier, "BULK")
    wr.wait_for_delivery(execution_id, timeout=120)
    assert wr.execution(execution_id)["callback"]["lastError"] == (None if is_accepted else "HTTP 401")


@needs_run_each
def test_rotation(airflow: AirflowHome, wr: Emulator, courier: Courier, client: Client) -> None:
    """Running servers accept an execution of the old secret and one of the new secret, once both are in the list."""
    wr.script("BULK", manual=True)
    wr.settings.callback_attempts = 1
    path = "/whiterabbit/callbacks/rotated"
    (old,) = submit(client, courier, "BULK", path=path)
    (new,) = submit(client, courier, "BULK", path=path, secret=NEW_SECRET)
    wr.complete(new)
    wr.wait_for_delivery(new, timeout=120)
    assert wr.execution(new)["callback"]["lastError"] == "HTTP 401"
    airflow.api.call("PATCH", "/connections/rotated", rotated([SECRET, NEW_SECRET]))

    def is_known() -> bool:
        """Ask for the callback again, and return whether it was delivered."""
        client.call(api.redeliver_callback(new))
        return wr.execution(new)["callback"]["deliveredAt"] is not None

    until(is_known, "a server to read the new secret", 60, interval=1)
    wr.complete(old)
    wait_for_runs(airflow, "e2e_rotated", [old, new])


@needs_run_each
def test_a_changed_record_of_the_same_execution(
    airflow: AirflowHome, wr: Emulator, courier: Courier, client: Client
) -> None:
    """A second record of the same execution is a repeat, whatever it says, even with a valid signature."""
    wr.script("BULK", output={"n": 1})
    changes = [{"status": "FAILED", "error": "x"}, {"module": "BATCH"}, {"output": {"n": 2}}, {"totalUsage": 9}]

    def changed(delivery: Delivery) -> list[Delivery]:
        assert courier.send(delivery) == 200
        bodies = [json.dumps(json.loads(delivery.body) | change).encode() for change in changes]
        return [resigned()(replace(delivery, body=body)) for body in bodies]

    before = events(airflow)
    courier.plan = changed
    (execution_id,) = submit(client, courier, "BULK")
    wr.wait_for_delivery(execution_id, timeout=120)
    assert sorted(text for _, _, text in courier.answers) == ['{"result":"emitted"}'] + ['{"result":"repeated"}'] * 4
    wait_for_runs(airflow, "e2e_each", [execution_id])
    assert events(airflow) == before + 1


def memory(airflow: AirflowHome) -> float:
    """Return the resident memory of the larger of the two servers, in MB."""
    sizes = [sum(process.memory_info().rss for process in airflow.processes(name)) for name in SERVERS]
    return max(sizes) / MB


@pytest.mark.long
def test_floods(airflow: AirflowHome) -> None:
    """Bodies of 100 MB, sixty slow senders and ten thousand random bodies cause no event, and Airflow stays healthy."""
    before, size = events(airflow), memory(airflow)
    url = urlsplit(airflow.url)
    assert url.hostname
    assert url.port
    address = (url.hostname, url.port)
    sizes = [size]
    statuses = [upload(address, CALLBACK_PATH, 100, lambda: sizes.append(memory(airflow))) for _ in range(4)]
    print(f"4 bodies of 100 MB: memory {size:.0f} -> {sizes[-1]:.0f} MB, at most {max(sizes):.0f}")
    assert statuses == [413] * 4
    assert max(sizes) < size + 30
    dribblers = Dribblers(address, CALLBACK_PATH, 60)
    waits = []
    answered = []
    for _ in range(10):
        started = time.monotonic()
        assert requests.get(f"{airflow.url}/api/v2/monitor/health", timeout=60).ok
        assert requests.get(f"{airflow.url}/whiterabbit/health", timeout=60).ok
        waits.append(time.monotonic() - started)
        answered.append(dribblers.answered())
    assert answered.count(0) >= 5  # the routes did not wait until slow senders had an answer
    statuses = dribblers.end()
    print(f"60 slow senders: {Counter(statuses)}; meanwhile both health routes took up to {max(waits):.2f} s")
    assert set(statuses) <= {408, 503}  # 503 where this machine was too busy to tell who was slow
    started = time.monotonic()
    random_statuses = fuzz(airflow.url + CALLBACK_PATH, SECRET, 10_000)
    print(f"10,000 random bodies in {time.monotonic() - started:.0f} s: {random_statuses}")
    print(f"memory {size:.0f} -> {memory(airflow):.0f} MB")
    assert set(random_statuses) == {401}
    assert events(airflow) == before
    assert memory(airflow) < size + 150
    assert is_up(airflow.url)


def test_logs_hold_no_secrets(airflow: AirflowHome) -> None:
    """Neither the output of the servers nor the logs of the tasks contain a secret or a signature."""
    files = [*(airflow.home / "output").glob("*.log"), *airflow.api.logs.rglob("*.log*")]
    assert files
    for file in files:
        text = file.read_text(errors="replace")
        for secret in (SECRET, OTHER_SECRET, NEW_SECRET):
            assert secret not in text, file
        assert not re.search(r"sha256=[0-9a-f]{64}|hmac-sha256-v1=[0-9a-f]{64}", text), file
