"""The blocking and the asynchronous transport have the same parts under the same names in the same order."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from types import ModuleType

import pytest

from airflow_provider_whiterabbit.client.transport import aio, aio_io, aio_stream, sync, sync_io


def names_in_order(body: Iterable[ast.stmt]) -> list[str]:
    """Return the names that these statements define, in the order of the source, ``__aenter__`` as ``__enter__``."""
    names = []
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(statement.name)
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            names.append(statement.target.id)
        elif isinstance(statement, ast.Assign):
            names += [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return [name.replace("__aenter__", "__enter__").replace("__aexit__", "__exit__") for name in names]


def names_of_module(module: ModuleType) -> list[str]:
    """Return the names that a module defines, in the order of its source."""
    return names_in_order(ast.parse(inspect.getsource(module)).body)


def names_of_class(cls: type) -> list[str]:
    """Return the names that a class defines, in the order of its source."""
    [definition] = ast.parse(inspect.getsource(cls)).body
    assert isinstance(definition, ast.ClassDef)
    return names_in_order(definition.body)


@pytest.mark.parametrize(
    ("blocking", "asynchronous", "shared"),
    [
        (names_of_module(sync), names_of_module(aio), {"T"}),
        (names_of_module(sync_io), names_of_module(aio_io), {"transport_errors", "read_whole"}),
        (
            names_of_class(sync.Client),
            names_of_class(aio.AsyncClient),
            {"__init__", "__enter__", "__exit__", "send", "read_once", "wait", "run"},
        ),
        (names_of_class(sync_io.EventStream), names_of_class(aio_stream.EventStream), {"__init__", "read", "close"}),
    ],
    ids=["modules of the clients", "modules of connections", "clients", "streams"],
)
def test_shared_names_have_the_same_order(blocking: list[str], asynchronous: list[str], shared: set[str]) -> None:
    """The names that both transports define stand in the same order in both sources."""
    assert [name for name in blocking if name in asynchronous] == [name for name in asynchronous if name in blocking]
    assert shared <= set(blocking) & set(asynchronous)
