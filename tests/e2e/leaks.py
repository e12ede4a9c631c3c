"""Searches for secrets in everything that Airflow writes: its files and every row of its database."""

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

PREFIX_LENGTH = 16
"""A text that contains this many characters from the beginning of a secret counts as a leak."""

ENCRYPTED_COLUMNS = {("connection", "password"), ("connection", "extra"), ("variable", "val")}
"""Tables and columns where Airflow keeps connections and variables, encrypted."""


def forms(secret: str) -> set[bytes]:
    """Return the beginnings of all forms of a secret: as it is, quoted for URLs, in hex, and in base64.

    The base64 may encode a longer text that contains the secret, such as the HTTP header with a user and a password.
    """
    raw = secret.encode()
    encoded = {raw, quote(secret, safe="").encode(), raw.hex().encode(), raw.hex().upper().encode()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        # Bytes before the secret, modulo 3, and the number of characters of base64 that hold some of these bytes.
        for bytes_before, mixed_characters in ((0, 0), (1, 2), (2, 3)):
            encoded.add(encode(b"\0" * bytes_before + raw)[mixed_characters:])
    return {form[:PREFIX_LENGTH] for form in encoded}


def of_private_key(secret: str) -> set[bytes]:
    """Return the forms of an Ed25519 private key; its text is base64 of a public header and of 32 secret bytes."""
    seed = base64.b64decode(secret)[-32:]
    seed_forms = base64.b64encode(seed), base64.urlsafe_b64encode(seed), seed.hex().encode(), seed
    return forms(secret) | {form[:PREFIX_LENGTH] for form in seed_forms} | {secret.encode()[-PREFIX_LENGTH:]}


def in_files(folder: Path, needles: set[bytes]) -> list[str]:
    """Return the files below a folder that contain one of the needles."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [str(file.relative_to(folder)) for file in files if _holds(file.read_bytes(), needles)]


def in_database(
    connection: Connection,
    needles: set[bytes],
    fernet_key: str,
    allowed: Collection[tuple[str, str]] = ENCRYPTED_COLUMNS,
) -> list[str]:
    """Return the places in a database that contain one of the needles, as ``table.column``.

    :param fernet_key: Airflow's key, which decrypts encrypted values such as the arguments of triggers.
    :param allowed: table and column of encrypted values that may hold secrets, so they are not decrypted.
    """
    fernet = Fernet(fernet_key)
    places = set()
    for table, column, value in rows(connection):
        plain = value
        if (table, column) not in allowed:
            with suppress(InvalidToken):
                plain += fernet.decrypt(value)
        if _holds(plain, needles):
            places.add(f"{table}.{column}")
    return sorted(places)


def rows(connection: Connection) -> Iterator[tuple[str, str, bytes]]:
    """Yield the table, the column and the bytes of every value in a database."""
    quoted = connection.dialect.identifier_preparer.quote
    for table in sqlalchemy.inspect(connection).get_table_names():
        for row in connection.exec_driver_sql(f"SELECT * FROM {quoted(table)}").mappings():  # noqa: S608
            for column, value in row.items():
                yield table, column, _bytes(value)


def _bytes(value: Any) -> bytes:
    """Return the bytes of a value from a database driver; some drivers decode JSON, which is encoded again here."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return (value if isinstance(value, str) else json.dumps(value, default=str)).encode()


def _holds(text: bytes, needles: set[bytes]) -> bool:
    return any(needle in text for needle in needles)
