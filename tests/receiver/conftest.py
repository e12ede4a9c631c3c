"""The receiver on a real socket, over Airflow's database of the session, and a White Rabbit that signs on its own."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests
import uvicorn

from tests.receiver.deliveries import CONNECTION, OTHER_SECRET, SECRET, signed


@dataclass(frozen=True)
class Served:
    """A receiver that is being served."""

    url: str
    address: tuple[str, int]
    app: Any

    def post(
        self, body: bytes | dict[str, Any], headers: dict[str, str] | None = None, connection: str = CONNECTION
    ) -> requests.Response:
        """Deliver something, signed rightly unless there are headers."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = signed(data) if headers is None else headers
        return requests.post(f"{self.url}/callbacks/{connection}", data=data, headers=headers, timeout=60)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give Airflow two connections with secrets, one without, and one of another kind."""
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
def serve(connections: None) -> Iterator[Callable[..., Served]]:
    """Serve receivers with settings of one's own."""
    from fastapi import FastAPI
    from starlette.middleware.base import BaseHTTPMiddleware

    from airflow_provider_whiterabbit.receiver.app import create_app
    from airflow_provider_whiterabbit.receiver.settings import PREFIX, ReceiverSettings

    names = ("whiterabbit_default", "other/one", "secretless", "empty", "number", "foreign", "missing")
    stops: list[Callable[[], None]] = []

    async def dispatch(request: Any, call_next: Any) -> Any:  # Airflow's server has middleware of this kind too
        return await call_next(request)

    def start(**settings: Any) -> Served:
        app = create_app(replace(ReceiverSettings(connections=frozenset(names)), **settings))
        root = FastAPI()
        root.mount(PREFIX, app)
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
        return Served(f"http://127.0.0.1:{address[1]}{PREFIX}", address, app)

    yield start
    for stop in stops:
        stop()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()


class Database:
    """Airflow's database, as far as it is about assets."""

    def listen(self, *found: Any) -> None:
        """Make assets known, as the DAG processor does for a DAG that is scheduled on them."""
        from airflow.models.asset import AssetActive, AssetModel
        from airflow.utils.session import create_session

        with create_session() as session:
            for asset in found:
                session.add(AssetModel(name=asset.name, uri=asset.uri, group="asset", extra={}))
                session.flush()
                session.add(AssetActive(name=asset.name, uri=asset.uri))

    def schedule(self, asset: Any, *, paused: bool = False, plain: bool = True) -> None:
        """Make a DAG known that is scheduled on an asset that is known."""
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
        """Return the events that there are, oldest first: name of the asset, key and extra."""
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

    def forget(self) -> None:
        """Remove all assets and events."""
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
def database(airflow_database: None) -> Iterator[Database]:
    database = Database()
    database.forget()
    yield database
    database.forget()
