"""The pytest fixture `whiterabbit_emulator` gives a test a running emulator of White Rabbit::

pytest_plugins = ["airflow_provider_whiterabbit.emulator.pytest"]


def test_swap(whiterabbit_emulator, monkeypatch):
    monkeypatch.setenv(*whiterabbit_emulator.environ.popitem())
    whiterabbit_emulator.component("SWAP")
    whiterabbit_emulator.script("SWAP", output={"hash": "0x1"}, polls=3)
    ...
"""  # noqa: D400

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_whiterabbit.emulator import Emulator


@pytest.fixture(scope="session")
def _whiterabbit_server() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def whiterabbit_emulator(_whiterabbit_server: Emulator) -> Emulator:
    """Return the emulated White Rabbit server of the test session, which is reset before each test.

    After a test that stopped the server, it starts again on the same port.
    """
    if not _whiterabbit_server.is_running:
        _whiterabbit_server.start_server()
    _whiterabbit_server.reset()
    return _whiterabbit_server
