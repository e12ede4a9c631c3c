"""Measures everything, or what is named: ``python -m benchmarks [--smoke] [waits latency …]``."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path
from typing import cast

from benchmarks.report import ROOT, Measure, write

MEASURES = ("waits", "system", "latency", "calls", "parsing", "signing", "outputs")
NOT_SMOKED = frozenset({"system", "latency"})
"""They start an Airflow, which takes longer than the others; named, they are smoked with a few waits of each way."""


def main() -> int:
    """Measure, and write JSON, tables and plots; smoking, into a temporary folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(MEASURES)} (all)")
    parser.add_argument("--smoke", action="store_true", help="only show that it can be measured, in less than a minute")
    given = parser.parse_args()
    if unknown := set(given.names) - set(MEASURES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    names = given.names or [name for name in MEASURES if not (given.smoke and name in NOT_SMOKED)]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            started = time.monotonic()
            measure = cast(Measure, importlib.import_module(f"benchmarks.{name}"))
            data = measure.measure(given.smoke)
            text = write(name, measure, data, Path(folder) if given.smoke else ROOT, judged=not given.smoke)
            print(f"## {measure.TITLE} ({time.monotonic() - started:.0f} s)\n\n{text}\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
