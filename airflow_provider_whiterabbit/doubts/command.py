"""The command line of `airflow whiterabbit doubts`: lists the doubts of a DAG run, or settles them."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_whiterabbit.doubts import answers
from airflow_provider_whiterabbit.doubts.airflow_api import TOKEN_VARIABLE, AirflowApi, RunApi
from airflow_provider_whiterabbit.doubts.arguments import ARGUMENTS, DESCRIPTION
from airflow_provider_whiterabbit.doubts.finding import Doubt, find
from airflow_provider_whiterabbit.doubts.settling import clear_downstream, settle
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.printing import print_line, printing_errors

_HEADINGS = ("task", "map index", "key", "kind", "state", "id", "at")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command as a module.

    :raises SystemExit: with status 1 if something was refused or failed, and with status 2 if argparse refused an
        argument.
    """
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_whiterabbit.doubts", description=DESCRIPTION)
    for name, options in ARGUMENTS.items():
        parser.add_argument(name, **options)
    run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Run the command with its parsed arguments.

    :raises SystemExit: with status 1 if something was refused or failed.
    """
    with printing_errors():
        refused = _run(options)
    if refused:
        raise SystemExit(1)


def _run(options: argparse.Namespace) -> int:
    """List or settle the doubts; return how many answers were refused."""
    if sum(option is not None for option in (options.output, options.answers, options.all)) > 1:
        raise WhiteRabbitInputError("Give one of --output, --answers and --all")
    if options.task_id == "":
        raise WhiteRabbitInputError("Give --task-id a task id: an empty one would mean all tasks")
    if options.answers is not None and (options.task_id or options.kind):
        raise WhiteRabbitInputError("Give --answers without --task-id and --kind: the file says which doubts are meant")
    entries = None if options.answers is None else answers.read(Path(options.answers))
    api = AirflowApi(options.url or _base_url(), os.environ.get(TOKEN_VARIABLE, ""))
    dag_run = RunApi(api, options.dag_id, options.run_id)
    doubts = find(dag_run, options.task_id, options.kind)
    if options.all is not None:
        entries = answers.alike(doubts, options.all)
    if entries is not None:
        return _settle(dag_run, answers.plan(entries, doubts))
    if options.output is not None:
        _write(doubts, Path(options.output))
    else:
        _list(doubts)
    return 0


def _settle(dag_run: RunApi, plan: answers.Plan) -> int:
    """Send the answers, and print what became of each; return how many were refused."""
    for reason in plan.refused:
        print_line(f"refused: {reason}", error=True)
    settled, refused = 0, len(plan.refused)
    try:
        for answer, refusal in settle(dag_run, plan.answers):
            name = answers.name_of(*answer.doubt.place)
            if refusal is None:
                settled += 1
                print_line(f"settled: {name}: {answer.choice}")
            else:
                refused += 1
                print_line(f"refused: {name}: {refusal}", error=True)
        # Also if nothing was settled: an earlier command may have been killed before.
        for place in clear_downstream(dag_run):
            print_line(f"not cleared: {answers.name_of(*place)} has submitted before; clear it yourself", error=True)
    finally:
        print_line(f"{settled} settled, {plan.skipped} skipped, {refused} refused")
    return refused


def _list(doubts: Sequence[Doubt]) -> None:
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for doubt in doubts:
        listed = doubt.listed
        cells = (doubt.task_id, doubt.map_index, doubt.key, doubt.kind, doubt.state, listed["id"], listed["at"])
        rows.append(tuple("-" if cell in (None, "") else str(cell) for cell in cells))
    if not any(doubt.key for doubt in doubts):
        rows = [row[:2] + row[3:] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows if doubts else ():
        print_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print_line("1 doubt" if len(doubts) == 1 else f"{len(doubts)} doubts")


def _write(doubts: Sequence[Doubt], path: Path) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump([doubt.listed for doubt in doubts], file, indent=1)
            file.write("\n")
    except OSError as error:
        raise WhiteRabbitInputError(f"{path} can't be written: {error}. Name a new file.") from None
    count = "1 doubt is" if len(doubts) == 1 else f"{len(doubts)} doubts are"
    print_line(f"{count} in {path}. Fill in the answers, then pass the file with --answers.")


def _base_url() -> str:
    from airflow_provider_whiterabbit.compat import conf

    url = conf.get("api", "base_url", fallback="") or ""
    if not url:
        raise WhiteRabbitInputError("Give the address of Airflow's API server with --url: [api] base_url is not set")
    return str(url)
