"""Fixtures: the callback receiver on a real socket, with the Airflow database of the test session."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests
import uvicorn

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
    """Create connections in Airflow: two with a valid secret, three without one, and one of another type."""
    for name, extra in (
        ("whiterabbit_default", {"callback_secret": SECRET}),
        ("other/one", {"callback_secret": OTHER_SECRET}),
        ("secretless", {}),
        ("empty", {"callback_secret": ""}),
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

    names = ("whiterabbit_default", "other/one", "secretless", "empty", "number", "foreign", "missing")
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
    """The assets, their events and their DAGs in Airflow's database."""

    def add_assets(self, *new_assets: Any) -> None:
        """Add active assets, as the DAG processor does for a DAG that uses them."""
        from airflow.models.asset import AssetActive, AssetModel
        from airflow.utils.session import create_session

        with create_session() as session:
            for asset in new_assets:
                session.add(AssetModel(name=asset.name, uri=asset.uri, group="asset", extra={}))
                session.flush()
                session.add(AssetActive(name=asset.name, uri=asset.uri))

    def schedule(self, asset: Any, *, paused: bool = False, plain: bool = True) -> None:
        """Add a DAG that is scheduled on an asset; `add_assets` has added the asset.

        :param plain: whether the DAG is scheduled on the asset itself, not on its partitions.
        """
        from airflow.models.asset import AssetModel, DagScheduleAssetReference
        from airflow.models.dag import DagModel
        from airflow.models.dagbundle import DagBundleModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        partitioned = {"timetable_partitioned": True} if not plain else {}
        with create_session() as session:
            session.merge(DagBundleModel(name="tests"))
            session.flush()
            dag_id = f"dag_{uuid.uuid4()}"
            session.add(DagModel(dag_id=dag_id, bundle_name="tests", is_paused=paused, is_stale=False, **partitioned))
            session.flush()
            asset_id = session.scalar(select(AssetModel.id).where(AssetModel.name == asset.name))
            session.add(DagScheduleAssetReference(dag_id=dag_id, asset_id=asset_id))

    def unpause(self) -> None:
        """Unpause all DAGs."""
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session
        from sqlalchemy import update

        with create_session() as session:
            session.execute(update(DagModel).values(is_paused=False))

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
        from airflow.models.asset import (
            AssetActive,
            AssetDagRunQueue,
            AssetEvent,
            AssetModel,
            DagScheduleAssetReference,
        )
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session
        from sqlalchemy import delete

        with create_session() as session:
            for model in (AssetDagRunQueue, DagScheduleAssetReference, AssetEvent, AssetActive, AssetModel):
                session.execute(delete(model))
            session.execute(delete(DagModel).where(DagModel.bundle_name == "tests"))


@pytest.fixture
def database(airflow_database: None) -> Iterator[AssetDatabase]:
    """Return Airflow's database without assets, and clear it afterwards."""
    database = AssetDatabase()
    database.clear()
    yield database
    database.clear()
