"""Tests of the private PostgreSQL server that other tests and proofs use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg2
import pytest
import sqlalchemy
from cryptography.fernet import Fernet
from sqlalchemy.pool import NullPool

from dev.harness.polling import until
from dev.harness.postgres import Mode, Postgres, programs
from tests.e2e import ROOT
from tests.e2e.leaks import forms, in_database
from tests.e2e.processes import living_in

pytestmark = [pytest.mark.e2e]

OWNER = """
import time
from dev.harness.postgres import Postgres
with Postgres() as server:
    print(server.folder, flush=True)
    time.sleep(1000)
"""


@pytest.fixture(autouse=True)
def _skip_without_postgres() -> None:
    """Skip the test if PostgreSQL's server is not installed."""
    try:
        programs()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def server() -> Iterator[Postgres]:
    """Run a PostgreSQL server for one test."""
    with Postgres() as server:
        yield server


def query(server: Postgres, text: str) -> list[tuple[object, ...]]:
    """Run one SQL statement on a connection of its own; return its rows, if it has any."""
    engine = sqlalchemy.create_engine(server.url, poolclass=NullPool)
    with engine.begin() as connection:
        result = connection.exec_driver_sql(text)
        return [tuple(row) for row in result] if result.returns_rows else []


def test_options() -> None:
    """The server has the options that it was given, and keeps the others."""
    with Postgres({"work_mem": "5MB"}) as server:
        assert [query(server, f"SHOW {name}") for name in ("work_mem", "max_connections")] == [[("5MB",)], [("300",)]]


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
def test_stopped_server_keeps_its_data(server: Postgres, mode: Mode) -> None:
    """A stopped server drops old and new clients; after a restart it has the same data at the same address."""
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


def test_frozen_server(server: Postgres) -> None:
    """A frozen server answers nobody, and after the thaw it answers those who still wait."""
    query(server, "SELECT 1")
    server.freeze()
    with ThreadPoolExecutor() as pool:
        try:
            answer = pool.submit(query, server, "SELECT 1")
            statuses = {process.status() for process in living_in(server.folder)}
            # The process of the first query may have ended, which the frozen server does not notice.
            assert statuses - {psutil.STATUS_ZOMBIE} == {psutil.STATUS_STOPPED}
        finally:
            server.thaw()  # before the pool waits for the query
        assert answer.result(60) == [(1,)]


def test_no_process_and_no_file_is_left() -> None:
    """After the context no process and no file is left, although a client was still connected."""
    with Postgres() as server:
        client = psycopg2.connect(host=str(server.folder), user="airflow", dbname="airflow")
        assert len(living_in(server.folder)) > 1
    assert living_in(server.folder) == []
    assert not server.folder.exists()
    client.close()


def test_server_ends_with_its_killed_owner() -> None:
    """If the process that runs the context is killed, its guard process ends the server and removes the files."""
    with subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        folder = Path(owner.stdout.readline().strip())
        owner.kill()
    until(lambda: not living_in(folder) and not folder.exists(), "the guard to clean up", 30)


def test_server_that_does_not_start_raises_its_output(server: Postgres) -> None:
    """If the server does not start, the error holds what the server printed."""
    server.stop()
    (server.folder / "data" / "postgresql.conf").write_text("no_such_option = 1\n")
    with pytest.raises(RuntimeError, match="no_such_option"):
        server.start()


def test_missing_server_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """If PostgreSQL is not installed, the error names the packages to install."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="apt install postgresql"):
        programs(())


def test_search_for_secrets_reads_bytes_and_json(server: Postgres) -> None:
    """The search for secrets finds text in columns of bytes and of JSON, which the driver decodes."""
    query(server, "CREATE TABLE planted (bytes bytea, json jsonb, nothing text)")
    engine = sqlalchemy.create_engine(server.url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(
            sqlalchemy.text('INSERT INTO planted VALUES (:bytes, \'{"deep": ["a planted secret!"]}\', NULL)'),
            {"bytes": b"\x00a planted secret!"},
        )
        found = in_database(connection, forms("a planted secret!"), Fernet.generate_key().decode())
    assert found == ["planted.bytes", "planted.json"]
