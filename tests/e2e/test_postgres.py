"""The private PostgreSQL server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy
from cryptography.fernet import Fernet
from sqlalchemy.pool import NullPool

from dev.harness import postgres
from dev.harness.airflow_api import until
from dev.harness.postgres import Mode, Postgres
from tests.e2e import ROOT
from tests.e2e.leaks import forms, in_database
from tests.e2e.processes import living_in

pytestmark = pytest.mark.e2e

OWNER = """
import time
from dev.harness.postgres import Postgres
with Postgres() as server:
    print(server.folder, flush=True)
    time.sleep(1000)
"""


@pytest.fixture(autouse=True)
def _installed() -> None:
    try:
        postgres.programs()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def server() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


def query(server: Postgres, text: str) -> list[tuple[object, ...]]:
    engine = sqlalchemy.create_engine(server.url, poolclass=NullPool)
    with engine.begin() as connection:
        result = connection.exec_driver_sql(text)
        return [tuple(row) for row in result] if result.returns_rows else []


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
def test_stopped_server_keeps_what_it_had(server: Postgres, mode: Mode) -> None:
    """While it is stopped nobody gets in, not even who was; then it is there again, at the same address."""
    query(server, "CREATE TABLE kept AS SELECT 1 AS number")
    client = psycopg2.connect(host=str(server.folder), user="airflow", dbname="airflow")
    server.stop(mode)
    server.stop(mode)
    with pytest.raises(psycopg2.DatabaseError), client.cursor() as cursor:
        cursor.execute("SELECT 1")
    with pytest.raises(sqlalchemy.exc.OperationalError):
        query(server, "SELECT 1")
    server.start()
    assert query(server, "SELECT number FROM kept") == [(1,)]


def test_nothing_is_left() -> None:
    """No process and no file, though someone was still connected."""
    with Postgres() as server:
        client = psycopg2.connect(host=str(server.folder), user="airflow", dbname="airflow")
        assert len(living_in(server.folder)) > 1
    assert living_in(server.folder) == []
    assert not server.folder.exists()
    client.close()


def test_killed_owner_takes_the_server_along() -> None:
    """The guard ends it when the owner could not."""
    with subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        folder = Path(owner.stdout.readline().strip())
        owner.kill()
    until(lambda: not living_in(folder) and not folder.exists(), "the guard to tidy up", 30)


def test_server_that_does_not_start_tells_why(server: Postgres) -> None:
    """What it printed is in the error."""
    server.stop()
    (server.folder / "data" / "postgresql.conf").write_text("no_such_option = 1\n")
    with pytest.raises(RuntimeError, match="no_such_option"):
        server.start()


def test_missing_server_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the packages."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(postgres, "_PLACES", ())
    with pytest.raises(FileNotFoundError, match="apt install postgresql"), Postgres():
        pass


def test_search_for_secrets_knows_its_types(server: Postgres) -> None:
    """Bytes and JSON, which the driver decodes, are searched as well."""
    query(server, "CREATE TABLE planted (bytes bytea, json jsonb, nothing text)")
    engine = sqlalchemy.create_engine(server.url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(
            sqlalchemy.text('INSERT INTO planted VALUES (:bytes, \'{"deep": ["a planted secret!"]}\', NULL)'),
            {"bytes": b"\x00a planted secret!"},
        )
        found = in_database(connection, forms("a planted secret!"), Fernet.generate_key().decode())
    assert found == ["planted.bytes", "planted.json"]
