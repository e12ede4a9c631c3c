"""Run all benchmarks, or the named ones: ``python -m benchmarks [--smoke | --render] [waits latency …]``."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path
from typing import cast

from benchmarks.report import ROOT, Benchmark, is_current, read, render, summarize, write

BENCHMARKS = (
    "waits",
    "sizing",
    "system",
    "many",
    "latency",
    "calls",
    "parsing",
    "signing",
    "outputs",
    "runs",
    "callbacks",
    "growth",
)
NOT_SMOKED = frozenset({"system", "many", "latency", "callbacks", "growth"})
"""Benchmarks that ``--smoke`` skips because they start an Airflow. A smoke run measures them only if they are named."""


def main() -> int:
    """Run the benchmarks and write JSON, tables and plots; a smoke run writes them into a temporary folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run the benchmarks of this provider.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"benchmarks to run: {', '.join(BENCHMARKS)} (all)")
    parser.add_argument("--smoke", action="store_true", help="only check in under a minute that the benchmarks run")
    parser.add_argument("--render", action="store_true", help="measure nothing; write the page from the stored results")
    options = parser.parse_args()
    if options.smoke and options.render:
        parser.error("a smoke run stores no results, so there is nothing to render")
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"unknown benchmark: {', '.join(sorted(unknown))}")
    names = options.names or [name for name in BENCHMARKS if not (options.smoke and name in NOT_SMOKED)]
    with tempfile.TemporaryDirectory() as smoke_folder:
        for name in names:
            started = time.monotonic()
            benchmark = cast(Benchmark, importlib.import_module(f"benchmarks.{name}"))
            root = Path(smoke_folder) if options.smoke else ROOT
            if options.render:
                if not is_current(benchmark, result := read(name)):
                    print(f"## {benchmark.TITLE}: not rendered, because no result of this version is stored\n")
                    continue
                text = render(name, benchmark, result, root, judged=True)
            else:
                text = write(name, benchmark, benchmark.measure(options.smoke), root, judged=not options.smoke)
            print(f"## {benchmark.TITLE} ({time.monotonic() - started:.0f} s)\n\n{text}\n", flush=True)
        if not options.smoke:
            summarize(ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
