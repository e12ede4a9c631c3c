"""Install the package with the packages of each Airflow's release day: ``python -m dev.scripts.installable``.

For each release of Airflow, this program resolves and installs all packages as of the day of the release, imports every
module and runs tests. It writes the resolved versions into docs/installation.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from dev.scripts.installable.environment import Environment
from dev.scripts.installable.releases import RELEASES, Release
from dev.scripts.installable.table import write_page


def check(release: Release, uv: Path, *, tested: bool) -> dict[str, str]:
    """Check one release, print the result, and return the resolved version of each package.

    :param tested: whether to run the tests too.
    :raises SystemExit: if a step fails.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="installable-") as folder:
        environment = Environment(uv, release, Path(folder))
        print(f"Airflow {release.airflow} with the packages of {release.day}: ", end="", flush=True)
        versions = environment.resolve()
        environment.install(tools=tested)
        print(f"{len(versions)} packages, {environment.import_all()}", end="", flush=True)
        if tested:
            print(f", {environment.test()}", end="")
        print(f"; {time.monotonic() - start:.0f} s", flush=True)
    return versions


def main() -> int:
    """Check the releases that the command line names, or all of them and then write the table."""
    parser = argparse.ArgumentParser(prog="python -m dev.scripts.installable", description=__doc__)
    parser.add_argument("--uv", type=Path, required=True, help="path of uv")
    parser.add_argument("--no-tests", action="store_true", help="only resolve, install and import; write no table")
    parser.add_argument("releases", nargs="*", help="versions of Airflow; all if none is named")
    options = parser.parse_args()
    chosen = [release for release in RELEASES if release.airflow in options.releases or not options.releases]
    tested = not options.no_tests
    resolved = {release: check(release, options.uv.absolute(), tested=tested) for release in chosen}
    if tested and not options.releases:
        write_page(resolved)
    return 0


if __name__ == "__main__":
    sys.exit(main())
