"""Searching for secrets in everything that Airflow writes: its files, and every row of its database."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy.engine import Connection

ENOUGH = 16
"""How many characters from the beginning of a secret are a find."""

# The connections, encrypted.
STORE = {("connection", "password"), ("connection", "extra")}


def forms(secret: str) -> set[bytes]:
    """Return the beginnings of what a secret looks like: as it is, quoted for URLs, in hex, and in base64.

    In base64 it may be a part of something longer, as in the header for a user and a password.
    """
    raw = secret.encode()
    found = {raw, quote(secret, safe="").encode(), raw.hex().encode(), raw.hex().upper().encode()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before, mixed in ((0, 0), (1, 2), (2, 3)):  # bytes before it, and characters that hold some of those
            found.add(encode(b"\0" * before + raw)[mixed:])
    return {form[:ENOUGH] for form in found}


def of_private_key(secret: str) -> set[bytes]:
    """Return the forms of an Ed25519 key, whose text is base64 of a header that is no secret and of 32 bytes."""
    seed = base64.b64decode(secret)[-32:]
    inner = base64.b64encode(seed), base64.urlsafe_b64encode(seed), seed.hex().encode(), seed
    return forms(secret) | {form[:ENOUGH] for form in inner} | {secret.encode()[-ENOUGH:]}


def in_files(folder: Path, needles: set[bytes]) -> list[str]:
    """Return the files below a folder that contain one of the needles."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [str(file.relative_to(folder)) for file in files if _holds(file.read_bytes(), needles)]


def in_database(
    connection: Connection, needles: set[bytes], fernet_key: str, sealed: Collection[tuple[str, str]] = STORE
) -> list[str]:
    """Return where in a database one of the needles is, as ``table.column``.

    :param fernet_key: decrypts what is encrypted, such as the arguments of triggers.
    :param sealed: table and column of what may hold secrets if it is encrypted.
    """
    fernet = Fernet(fernet_key)
    found = set()
    for table, column, value in rows(connection):
        plain = value
        if (table, column) not in sealed:
            with suppress(InvalidToken):
                plain += fernet.decrypt(value)
        if _holds(plain, needles):
            found.add(f"{table}.{column}")
    return sorted(found)


def rows(connection: Connection) -> Iterator[tuple[str, str, bytes]]:
    """Yield table, column and bytes of every value in a database."""
    quoted = connection.dialect.identifier_preparer.quote
    for table in sqlalchemy.inspect(connection).get_table_names():
        for row in connection.exec_driver_sql(f"SELECT * FROM {quoted(table)}").mappings():  # noqa: S608
            for column, value in row.items():
                yield table, column, _bytes(value)


def _bytes(value: Any) -> bytes:
    """Return a value as the driver gives it: some decode JSON by themselves."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return (value if isinstance(value, str) else json.dumps(value, default=str)).encode()


def _holds(text: bytes, needles: set[bytes]) -> bool:
    return any(needle in text for needle in needles)
