"""The component catalogue."""

from __future__ import annotations

import pytest
import requests

from tests.emulator.api_client import CATALOGUE


def test_a_component_can_be_added(wr):
    """`add_component` adds a complete definition, and refuses an incomplete one."""
    first, *_ = requests.get(wr.url + CATALOGUE, timeout=60).json()
    assert first["module"] == "RANDOM_UUID"
    wr.add_component({**first, "module": "MINE"})
    modules = [definition["module"] for definition in requests.get(wr.url + CATALOGUE, timeout=60).json()]
    assert modules.count("MINE") == 1
    with pytest.raises(ValueError, match="lacks"):
        wr.add_component({"module": "X"})
