"""The flows that White Rabbit documents run against the emulator, in a language that shares no code with it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from tests.versions import needs_node

SCRIPT = Path(__file__).with_name("documented_flows.mjs")
FLOWS = re.findall(r'^  async "([^"]+)"\(\) \{$', SCRIPT.read_text(), re.MULTILINE)


@needs_node
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("signed", {}),
        ("unsigned", {"require_signature": False}),
        ("unsigned-streams", {"unsigned_streams": True}),
    ],
)
def test_documented_flows(mode: str, options: dict[str, Any]) -> None:
    """Node.js executes components and workflows, streams them, verifies a callback, and sees the documented errors."""
    with Emulator(allowed_workflows=["flow"], ping_interval=0.05, **options) as wr:
        for module in ("SLOW", "BROKEN"):
            wr.component(module)
        wr.stream_options(ping="alternating")
        wr.script("SLOW", output={"done": True}, after=0.3)
        wr.script("BROKEN", error={"message": "no funds"})
        wr.script_workflow("flow", [{"module": "RANDOM_UUID"}, {"module": "SLOW", "output": 1, "after": 0.2}])
        command = ["node", str(SCRIPT), wr.url, wr.api_key, wr.api_secret, mode]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == FLOWS
    assert len(FLOWS) > 10
