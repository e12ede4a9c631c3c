"""A server that speaks HTTP/2. Without the library h2, which is an extra, these tests are left out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dev.harness.http2_server import Http2Server

collect_ignore_glob = [] if find_spec("h2") else ["test_*.py"]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Http2Server]:
    """Run a server that speaks HTTP/2 and HTTP/1.1."""
    from dev.harness.http2_server import http2_server

    async with http2_server(tmp_path) as server:
        yield server
