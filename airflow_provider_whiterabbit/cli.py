"""The commands that this provider adds to Airflow's command line. Each `airflow` command loads this module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_whiterabbit.doubts.arguments import ARGUMENTS, DESCRIPTION, HELP

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand


def get_commands() -> list[CLICommand]:
    """Return the commands for Airflow's command line (Airflow 3.2 and newer)."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

    doubts = ActionCommand(
        name="doubts",
        help=HELP,
        description=DESCRIPTION,
        func=lazy_load_command("airflow_provider_whiterabbit.doubts.command.run"),
        args=[Arg((name,), **options) for name, options in ARGUMENTS.items()],  # type: ignore[no-untyped-call]
    )
    return [GroupCommand(name="whiterabbit", help="Commands of the White Rabbit provider", subcommands=[doubts])]
