"""Callbacks of the emulator to two real API servers on PostgreSQL, over good and bad connections."""

from __future__ import annotations

import json
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until
from dev.harness.postgres import Postgres
from tests.e2e import ROOT
from tests.e2e.courier import Courier, Delivery, Plan
from tests.receiver.deliveries import record_of, signed
from tests.versions import needs_receiver, needs_run_each

pytestmark = [pytest.mark.e2e, needs_receiver]

SECRET = "whsec_e2e_callbacks"
OTHER_SECRET = "whsec_e2e_of_another"
CALLBACK_PATH = "/whiterabbit/callbacks/whiterabbit_default"
SERVERS = ("api-server", "api-server-2")
MB = 1024 * 1024


@pytest.fixture(scope="module")
def wr() -> Iterator[Emulator]:
    """Run an emulator for all tests of this module."""
    with Emulator() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def courier() -> Iterator[Courier]:
    """Run a courier for all tests of this module."""
    with Courier() as courier:
        yield courier


@pytest.fixture(scope="module")
def airflow(wr: Emulator, courier: Courier) -> Iterator[AirflowHome]:
    """Run Airflow with two API servers on PostgreSQL, with the DAGs unpaused and their assets known."""
    connection = wr.connection
    connection["extra"] |= {"callback_secret": SECRET}
    other = {"conn_type": "whiterabbit", "extra": {"callback_secret": OTHER_SECRET}}
    environ = {
        "AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(connection),
        "AIRFLOW_CONN_OTHER": json.dumps(other),
        "AIRFLOW__WHITERABBIT__CALLBACK_CONNECTIONS": "whiterabbit_default,other",
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
        for dag_id in ("e2e_each", "e2e_each_named", "e2e_together", "whiterabbit_swapped"):
            until(lambda dag_id=dag_id: home.api.call("GET", f"/dags/{dag_id}"), f"{dag_id} to be parsed", 60)
            pause(home, dag_id, False)
        until(lambda: len(known_assets(home)) >= 7, "the assets to be known", 60)
        yield home


def pause(airflow: AirflowHome, dag_id: str, paused: bool) -> None:
    """Pause or unpause a DAG."""
    airflow.api.call("PATCH", f"/dags/{dag_id}", {"is_paused": paused}, update_mask="is_paused")


def is_up(url: str) -> bool:
    """Whether the receiver of an API server answers."""
    try:
        return requests.get(f"{url}/whiterabbit/health", timeout=5).json()["status"] == "healthy"
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
    wr.settings.legacy_callback_signature = False
    wr.settings.callback_attempts = 3


@pytest.fixture(scope="module")
def client(wr: Emulator) -> Client:
    """Return a client of the emulator."""
    return Client(ClientSettings(wr.url, wr.api_key, wr.api_secret))


def submit(client: Client, courier: Courier, module: str, count: int = 1, query: str = "") -> list[str]:
    """Submit executions with the callback that `callback=True` asks for; return their ids."""
    url = courier.url + CALLBACK_PATH + query
    request = api.execute_component(module, callback_url=url, callback_secret=SECRET)
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
    wr.script("DEMO_TOKEN_SWAP", output={"receipt": {"hash": "0x5c50"}}, after=0.5)
    run = airflow.run("whiterabbit_submit_and_go")
    assert run.wait(120) == "success", airflow.explain(run)
    execution_id = run.xcom("submit", key="execution_id")
    wr.wait_for_delivery(execution_id, timeout=30)
    assert wr.execution(execution_id)["callback"]["lastError"] is None
    wait_for_runs(airflow, "whiterabbit_swapped", [execution_id])
    (listed,) = airflow.api.call("GET", "/dags/whiterabbit_swapped/dagRuns")["dag_runs"]
    swapped = DagRun(airflow.api, "whiterabbit_swapped", listed["dag_run_id"])
    assert swapped.xcom("settle") == {"receipt": {"hash": "0x5c50"}}


@needs_run_each
@pytest.mark.parametrize("legacy", [False, True], ids=["timed", "raw"])
def test_fifty_at_once_and_each_three_times(
    airflow: AirflowHome, wr: Emulator, courier: Courier, client: Client, legacy: bool
) -> None:
    """If each callback arrives three times at once at two servers, fifty executions still get fifty runs."""
    wr.settings.legacy_callback_signature = legacy
    wr.settings.callback_attempts = 10
    wr.script("BULK", manual=True)
    ids = submit(client, courier, "BULK", 50)
    before = events(airflow)
    courier.plan = lambda delivery: [delivery] * 3
    started = time.monotonic()
    for number, execution_id in enumerate(ids):
        wr.fail(execution_id, "no") if number % 5 == 4 else wr.complete(execution_id)
    for execution_id in ids:
        wr.wait_for_delivery(execution_id, timeout=60)
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
    ids = submit(client, courier, "PAUSED", 2, "?name=e2e+name")
    for execution_id in ids:
        wr.wait_for_delivery(execution_id, timeout=30)
        assert wr.execution(execution_id)["callback"]["lastError"] == "HTTP 503"
    pause(airflow, "e2e_each_named", False)
    for execution_id in ids:
        client.call(api.redeliver_callback(execution_id))
    wait_for_runs(airflow, "e2e_each_named", ids)


@needs_run_each
def test_names_and_restarts(airflow: AirflowHome, wr: Emulator, courier: Courier, client: Client) -> None:
    """Executions with a name get runs too, and a restarted server recognises repeats from before its restart."""
    wr.script("NAMED", output={"n": 1})
    ids = submit(client, courier, "NAMED", 2, "?name=e2e+name")
    wait_for_runs(airflow, "e2e_each_named", ids)
    before = events(airflow)
    airflow.kill("api-server-2")
    airflow.start("api-server-2")
    until(lambda: is_up(airflow.url_of("api-server-2")), "api-server-2 to receive", 120)
    courier.answers.clear()
    for execution_id in ids * 2:
        client.call(api.redeliver_callback(execution_id))
    for execution_id in ids:
        wr.wait_for_delivery(execution_id, count=3, timeout=30)
    assert [text for _, _, text in courier.answers] == ['{"result":"repeated"}'] * 4
    assert events(airflow) == before
    assert all(len(states) == 1 for states in runs(airflow, "e2e_each_named").values())


def test_together(airflow: AirflowHome, wr: Emulator, courier: Courier, client: Client) -> None:
    """The runs of a DAG that is scheduled on the asset itself find every execution, each once.

    Airflow may assign executions that end while a run starts to the next run, so the test submits more of them.
    """
    wr.script("BATCH", output={"n": 1})
    ids = submit(client, courier, "BATCH", 10)

    def ids_of_runs() -> list[str]:
        """Return the execution ids that all runs have found."""
        dag_runs = airflow.api.call("GET", "/dags/e2e_together/dagRuns", limit=100)["dag_runs"]
        results = [DagRun(airflow.api, "e2e_together", run["dag_run_id"]).xcom("ids") for run in dag_runs]
        return [execution_id for result in results if result for execution_id in result]

    def all_found() -> bool:
        """Whether the runs have found all executions; if not, submit one more to cause a run."""
        if set(ids) <= set(ids_of_runs()):
            return True
        submit(client, courier, "BATCH")
        return False

    until(all_found, "every execution to be in a run", 120, interval=5)
    results = ids_of_runs()
    assert len(results) == len(set(results))


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
        wr.wait_for_delivery(execution_id, timeout=30)
    assert len(held) == 18
    courier.plan = lambda delivery: [delivery]
    assert [courier.forward(delivery) for delivery in reversed(held)] == [200] * 18
    wait_for_runs(airflow, "e2e_each", ids)
    results = [text for _, _, text in courier.answers]
    assert results == ['{"result":"emitted"}'] * 6 + ['{"result":"repeated"}'] * 12


@needs_run_each
def test_a_lost_delivery_is_recovered(airflow: AirflowHome, wr: Emulator, courier: Courier) -> None:
    """The maintenance DAG of the examples finds an execution with a lost callback, and replays the callback."""
    wr.script("DEMO_TOKEN_SWAP", output={"receipt": {"hash": "0x77"}})
    courier.plan = lambda delivery: []
    run = airflow.run("whiterabbit_submit_and_go")
    assert run.wait(120) == "success", airflow.explain(run)
    lost = run.xcom("submit", key="execution_id")
    wr.wait_for_delivery(lost, timeout=30)
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
    assert delivered - {lost} == set(runs(airflow, "whiterabbit_swapped")) - {lost}
    wait_for_runs(airflow, "whiterabbit_swapped", [lost])


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


TAMPERING: dict[str, Callable[[Delivery], Delivery]] = {
    "a byte changed": flipped,
    "no signature": unsigned,
    "stale": resigned(age=301),
    "another connection's secret": resigned(OTHER_SECRET),
    "at another connection": lambda delivery: replace(delivery, path="/whiterabbit/callbacks/other"),
    "time changed": lambda delivery: replace(
        delivery, headers=delivery.headers | {"x-signature-timestamp": "2026-11-24T00:00:00Z"}
    ),
}


@needs_run_each
@pytest.mark.parametrize("tampering", TAMPERING.values(), ids=TAMPERING.keys())
def test_tampering(
    airflow: AirflowHome,
    wr: Emulator,
    courier: Courier,
    client: Client,
    tampering: Callable[[Delivery], Delivery],
) -> None:
    """The receiver answers 401 to each forged delivery and emits no event, and accepts the real one afterwards."""
    wr.script("BULK", output={"n": 1})
    before = events(airflow)
    plan: Plan = lambda delivery: [tampering(delivery)]  # noqa: E731
    courier.plan = plan
    (execution_id,) = submit(client, courier, "BULK")
    wr.wait_for_delivery(execution_id, timeout=30)
    assert wr.execution(execution_id)["callback"]["lastError"] == "HTTP 401"
    assert [status for _, status, _ in courier.answers] == [401] * 3
    assert events(airflow) == before
    courier.plan = lambda delivery: [delivery]
    client.call(api.redeliver_callback(execution_id))
    wait_for_runs(airflow, "e2e_each", [execution_id])


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
    wr.wait_for_delivery(execution_id, timeout=30)
    assert sorted(text for _, _, text in courier.answers) == ['{"result":"emitted"}'] + ['{"result":"repeated"}'] * 4
    wait_for_runs(airflow, "e2e_each", [execution_id])
    assert events(airflow) == before + 1


def memory(airflow: AirflowHome) -> float:
    """Return the resident memory of the larger of the two servers, in MB."""
    sizes = [sum(process.memory_info().rss for process in airflow.processes(name)) for name in SERVERS]
    return max(sizes) / MB


def test_floods(airflow: AirflowHome) -> None:
    """Bodies of 100 MB, sixty slow senders and ten thousand random bodies cause no event, and Airflow stays healthy."""
    before, size = events(airflow), memory(airflow)
    url = urlsplit(airflow.url)
    assert url.hostname
    assert url.port
    address = (url.hostname, url.port)
    sizes = [size]
    statuses = [upload(address, 100, lambda: sizes.append(memory(airflow))) for _ in range(4)]
    print(f"4 bodies of 100 MB: memory {size:.0f} -> {sizes[-1]:.0f} MB, at most {max(sizes):.0f}")
    assert statuses == [413] * 4
    assert max(sizes) < size + 30
    dribblers = Dribblers(address, 60)
    waits = []
    for _ in range(10):
        started = time.monotonic()
        assert requests.get(f"{airflow.url}/api/v2/monitor/health", timeout=10).ok
        assert requests.get(f"{airflow.url}/whiterabbit/health", timeout=10).ok
        waits.append(time.monotonic() - started)
    statuses = dribblers.end()
    print(f"60 slow senders: {Counter(statuses)}; meanwhile both health routes took up to {max(waits):.2f} s")
    assert statuses == [408] * 60
    started = time.monotonic()
    random_statuses = fuzz(airflow.url + CALLBACK_PATH, 10_000)
    print(f"10,000 random bodies in {time.monotonic() - started:.0f} s: {random_statuses}")
    print(f"memory {size:.0f} -> {memory(airflow):.0f} MB")
    assert set(random_statuses) == {401}
    assert events(airflow) == before
    assert memory(airflow) < size + 150
    assert is_up(airflow.url)


def upload(address: tuple[str, int], megabytes: int, meanwhile: Callable[[], None]) -> int:
    """Upload a large body, with a signature that only the body can show to be wrong, and return the status.

    :param meanwhile: called before each megabyte.
    """

    def chunks() -> Iterator[bytes]:
        for _ in range(megabytes):
            meanwhile()
            yield b" " * MB

    headers = signed(b"") | {"content-length": str(megabytes * MB)}
    connection = HTTPConnection(*address, timeout=60)
    connection.request("POST", CALLBACK_PATH, chunks(), headers)
    status = connection.getresponse().status
    connection.close()
    return status


class Dribblers:
    """Senders that send their bodies one byte at a time."""

    def __init__(self, address: tuple[str, int], count: int) -> None:
        headers = "\r\n".join(f"{name}: {value}" for name, value in signed(b"").items())
        head = f"POST {CALLBACK_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n{headers}\r\n\r\n"
        self._stop = threading.Event()
        self._sockets = [socket.create_connection(address, 30) for _ in range(count)]
        for sock in self._sockets:
            sock.sendall(head.encode())
        self._thread = threading.Thread(target=self._dribble)
        self._thread.start()

    def _dribble(self) -> None:
        while not self._stop.wait(0.1):
            for sock in self._sockets:
                try:
                    sock.sendall(b" ")
                except OSError:  # the server closed the connection
                    continue

    def end(self) -> list[int]:
        """Wait for the answer to each sender, and return their statuses."""
        try:
            return [int(sock.recv(65536).split(b" ", 2)[1]) for sock in self._sockets]
        finally:
            self._stop.set()
            self._thread.join()
            for sock in self._sockets:
                sock.close()


def fuzz(url: str, count: int) -> Counter[int]:
    """Send random bodies with signatures of other bodies, and return how often each status was the answer."""
    original = json.dumps(record_of("BULK")).encode()
    signatures = [signed(original, SECRET), signed(original, SECRET, form="raw"), signed(original, "guess"), {}]
    local = threading.local()

    def send(seed: int) -> int:
        generator = random.Random(seed)  # noqa: S311
        body = bytearray(original)
        match generator.randrange(3):
            case 0:
                body[generator.randrange(len(body))] ^= 1 << generator.randrange(8)
            case 1:
                del body[generator.randrange(len(body)) :]
            case _:
                body = bytearray(generator.randbytes(generator.randrange(3000)))
        if not hasattr(local, "session"):
            local.session = requests.Session()
        answer = local.session.post(url, data=bytes(body), headers=generator.choice(signatures), timeout=60)
        return int(answer.status_code)

    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(send, range(count)))


def test_logs_hold_no_secrets(airflow: AirflowHome) -> None:
    """Neither the output of the servers nor the logs of the tasks contain a secret or a signature."""
    files = [*(airflow.home / "output").glob("*.log"), *airflow.api.logs.rglob("*.log*")]
    assert files
    for file in files:
        text = file.read_text(errors="replace")
        for secret in (SECRET, OTHER_SECRET):
            assert secret not in text, file
        assert not re.search(r"sha256=[0-9a-f]{64}|hmac-sha256-v1=[0-9a-f]{64}", text), file
