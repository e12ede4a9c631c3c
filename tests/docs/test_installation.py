"""The page on installation shows what `make installable` has resolved."""

from __future__ import annotations

from dev.scripts.installable.releases import RELEASES
from dev.scripts.installable.table import BEGIN, END, PAGE, minimums
from tests.test_versions import ROWS, padded


def table() -> dict[str, list[str]]:
    """Return the rows of the table that `make installable` has written, by their first cells."""
    lines = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: rest for first, *rest in cells}


def test_releases() -> None:
    """`make installable` tries the first release and the tested, newest patch of each supported Airflow."""
    expected = [name for minor, patch in ROWS["Tested version"].items() for name in (f"{minor}.0", patch)]
    assert [release.airflow for release in RELEASES] == expected


def test_table() -> None:
    """The page shows what `make installable` has resolved, and no version is below the lowest that is allowed."""
    lowest = minimums()
    rows = table()
    assert [name.removeprefix("apache-airflow-providers-") for name in lowest] == rows.pop("Airflow")[1:]
    assert rows.pop("---")
    assert rows.pop("lowest")[1:] == list(lowest.values())
    assert {name: cells[0] for name, cells in rows.items()} == {release.airflow: release.day for release in RELEASES}
    for _, *versions in rows.values():
        for version, minimum in zip(versions, lowest.values(), strict=True):
            assert padded(version) >= padded(minimum)
