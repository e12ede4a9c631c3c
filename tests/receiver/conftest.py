"""Fixtures: the callback receiver on a real socket, with the Airflow database of the test session."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests
import uvicorn

from airflow_provider_whiterabbit import assets
from tests.receiver.deliveries import CONNECTION, OTHER_SECRET, SECRET, signed


@dataclass(frozen=True)
class RunningReceiver:
    """A running web server with a callback receiver."""

    url: str
    address: tuple[str, int]
    app: Any

    def post(
        self, body: bytes | dict[str, Any], headers: dict[str, str] | None = None, connection: str = CONNECTION
    ) -> requests.Response:
        """Deliver a callback, with a valid signature unless `headers` are given."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = signed(data) if headers is None else headers
        return requests.post(f"{self.url}/callbacks/{connection}", data=data, headers=headers, timeout=60)


StartReceiver = Callable[..., RunningReceiver]
"""A function that starts a receiver; see the fixture `start_receiver`."""


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Create connections in Airflow: three with valid secrets, three without one, and one of another type."""
    for name, extra in (
        ("whiterabbit_default", {"callback_secret": SECRET}),
        ("other/one", {"callback_secret": OTHER_SECRET}),
        ("secretless", {}),
        ("empty", {"callback_secret": ""}),
        ("twin", {"callback_secret": [OTHER_SECRET, SECRET]}),
        ("number", {"callback_secret": 7}),
    ):
        connection = {"conn_type": "whiterabbit", "extra": {"api_key": "ws_1", **extra}}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
    foreign = {"conn_type": "http", "extra": {"callback_secret": SECRET}}
    monkeypatch.setenv("AIRFLOW_CONN_FOREIGN", json.dumps(foreign))


@pytest.fixture
def start_receiver(connections: None) -> Iterator[StartReceiver]:
    """Return a function that starts a receiver.

    Its arguments are the members of `ReceiverSettings`, and `injected`: parameters of `Receiver` by name.
    """
    from fastapi import FastAPI
    from starlette.middleware.base import BaseHTTPMiddleware

    from airflow_provider_whiterabbit.receiver.app import Receiver, create_app
    from airflow_provider_whiterabbit.receiver.settings import URL_PREFIX, ReceiverSettings

    names = ("whiterabbit_default", "other/one", "secretless", "empty", "twin", "number", "foreign", "missing")
    stops: list[Callable[[], None]] = []

    async def dispatch(request: Any, call_next: Any) -> Any:  # Airflow's server has middleware of this kind too
        return await call_next(request)

    def start(injected: Mapping[str, Any] | None = None, **settings: Any) -> RunningReceiver:
        receiver_settings = replace(ReceiverSettings(connections=frozenset(names)), **settings)
        app = create_app(Receiver(receiver_settings, **(injected or {})))
        root = FastAPI()
        root.mount(URL_PREFIX, app)
        root.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
        sock = socket.create_server(("127.0.0.1", 0), backlog=2048)
        server = uvicorn.Server(uvicorn.Config(root, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([sock])), daemon=True)
        thread.start()

        def stop() -> None:
            server.should_exit = True
            thread.join()

        stops.append(stop)
        address = sock.getsockname()
        return RunningReceiver(f"http://127.0.0.1:{address[1]}{URL_PREFIX}", address, app)

    yield start
    for stop in stops:
        stop()


@pytest.fixture
def receiver(start_receiver: StartReceiver) -> RunningReceiver:
    """Start a receiver with the default settings."""
    return start_receiver()


class AssetDatabase:
    """The assets, their events and the DAGs that are scheduled on them, in Airflow's database."""

    def add_assets(self, *new_assets: Any) -> None:
        """Add active assets that no DAG is scheduled on, as the DAG processor does for inlets and outlets."""
        from airflow.models.asset import AssetActive, AssetModel
        from airflow.utils.session import create_session

        with create_session() as session:
            for asset in new_assets:
                session.add(AssetModel(name=asset.name, uri=asset.uri, group="asset", extra={}))
                session.flush()
                session.add(AssetActive(name=asset.name, uri=asset.uri))

    def schedule(self, asset: Any, *, paused: bool = False, plain: bool = False, dag_id: str = "") -> str:
        """Add a DAG that is scheduled on an asset, as the DAG processor does, and return its id.

        :param plain: whether the DAG is scheduled on the asset itself, not on its partitions.
        :param dag_id: id of a DAG to change; by default a new one.
        """
        return self.add_dag([asset] if plain else assets.each(asset), paused=paused, dag_id=dag_id)

    def add_dag(self, schedule: Any, *, paused: bool = False, dag_id: str = "") -> str:
        """Add a DAG with any schedule, as the DAG processor does, and return its id; see `schedule`."""
        from airflow.models.dagbundle import DagBundleModel
        from airflow.sdk import DAG
        from airflow.utils.session import create_session

        try:
            from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
        except ImportError:  # before Airflow 3.2
            from airflow.models.dagbag import DagBag, sync_bag_to_db  # type: ignore[no-redef]

        dag = DAG(dag_id or f"dag_{uuid.uuid4()}", schedule=schedule, is_paused_upon_creation=paused)
        with create_session() as session:
            session.merge(DagBundleModel(name="tests"))
        bag = DagBag(os.devnull)
        bag.bag_dag(dag)
        sync_bag_to_db(bag, "tests", None)
        return dag.dag_id

    def break_file(self, dag_id: str, *, swept: bool = False) -> None:
        """Change a DAG as Airflow does when the DAG's file has an import error; a deleted file has the same effect.

        :param swept: whether the scheduler has deactivated the assets that no DAG uses.
        """
        from airflow.models.asset import AssetActive, remove_references_to_deleted_dags
        from airflow.utils.session import create_session
        from sqlalchemy import delete

        self.change_dag(dag_id, is_stale=True, has_import_errors=True)
        with create_session() as session:
            remove_references_to_deleted_dags(session)
            if swept:
                session.execute(delete(AssetActive))

    def delete(self, dag_id: str) -> None:
        """Delete a DAG, as a user does in Airflow's UI."""
        from airflow.api.common.delete_dag import delete_dag

        delete_dag(dag_id)

    def pause(self, dag_id: str, paused: bool = True) -> None:
        """Pause or unpause a DAG."""
        self.change_dag(dag_id, is_paused=paused)

    def change_active(self, asset: Any, active: bool) -> None:
        """Activate or deactivate an asset, as the scheduler does."""
        from airflow.models.asset import AssetActive
        from airflow.utils.session import create_session
        from sqlalchemy import delete

        with create_session() as session:
            session.execute(delete(AssetActive).where(AssetActive.name == asset.name))
            if active:
                session.add(AssetActive(name=asset.name, uri=asset.uri))

    def change_dag(self, dag_id: str, **values: Any) -> None:
        """Change columns of a DAG."""
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session
        from sqlalchemy import update

        with create_session() as session:
            session.execute(update(DagModel).where(DagModel.dag_id == dag_id).values(**values))

    def events(self) -> list[dict[str, Any]]:
        """Return all asset events, oldest first: name of the asset, partition key and extra."""
        from airflow.models.asset import AssetEvent, AssetModel
        from airflow.utils.session import create_session
        from sqlalchemy import null, select

        key = getattr(AssetEvent, "partition_key", null())  # new in Airflow 3.2
        rows = (
            select(AssetModel.name, key, AssetEvent.extra)
            .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
            .order_by(AssetEvent.id)
        )
        with create_session() as session:
            return [{"asset": row[0], "key": row[1], "extra": row[2]} for row in session.execute(rows)]

    def queued(self) -> set[str]:
        """Return the ids of the DAGs whose runs Airflow has queued."""
        from airflow.models import asset
        from airflow.utils.session import create_session
        from sqlalchemy import select

        tables = [asset.AssetDagRunQueue, getattr(asset, "AssetPartitionDagRun", asset.AssetDagRunQueue)]
        with create_session() as session:
            return {dag_id for table in tables for dag_id in session.scalars(select(table.target_dag_id))}

    def forge(self, asset: Any, extra: dict[str, Any], source_task_id: str | None = None) -> None:
        """Add an event of an asset, as somebody else than the receiver would."""
        from airflow.models.asset import AssetEvent, AssetModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            asset_id = session.scalar(select(AssetModel.id).where(AssetModel.name == asset.name))
            session.add(AssetEvent(asset_id=asset_id, extra=extra, source_task_id=source_task_id))

    def clear(self) -> None:
        """Remove all assets, their events, and the DAGs of `schedule`."""
        from airflow.models import asset
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session
        from sqlalchemy import delete

        names = ("PartitionedAssetKeyLog", "AssetPartitionDagRun", "AssetDagRunQueue", "DagScheduleAssetReference")
        models = [getattr(asset, name) for name in names if hasattr(asset, name)]
        with create_session() as session:
            for model in (*models, asset.AssetEvent, asset.AssetActive, asset.AssetModel):
                session.execute(delete(model))
            for dag in session.query(DagModel).where(DagModel.bundle_name == "tests"):
                session.delete(dag)


@pytest.fixture
def database(airflow_database: None) -> Iterator[AssetDatabase]:
    """Return Airflow's database without assets, and clear it afterwards."""
    database = AssetDatabase()
    database.clear()
    yield database
    database.clear()
