"""The command line: ``generate`` writes a module of typed operators, ``check`` compares it with a newer catalogue."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from airflow_provider_whiterabbit.client import catalogue
from airflow_provider_whiterabbit.components import sources, usage
from airflow_provider_whiterabbit.components.changes import Change, changes
from airflow_provider_whiterabbit.components.module import HEAD, module_of
from airflow_provider_whiterabbit.components.names import stems
from airflow_provider_whiterabbit.components.schemas import Component, components_of, digest
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.printing import print_line, printing_errors

_IN_PLACE = (errno.EACCES, errno.EPERM, errno.EBUSY)
"""The errors of a folder in which no file can be made or replaced; a file in it can be, such as one that is mounted."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the commands.

    :raises SystemExit: with status 1 if ``check`` found a change that breaks, or something failed, and with status 2 if
        argparse refused an argument.
    """
    options = argument_parser().parse_args(arguments)
    with printing_errors():
        breaks = options.run(options)
    if breaks:
        raise SystemExit(1)


def argument_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_whiterabbit.components",
        description="Typed operators for the components of White Rabbit's catalogue.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    generate = _command(commands, "generate", "write a Python module with types and operators of all components")
    generate.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="the module, such as components.py"
    )
    generate.add_argument("--only", nargs="+", metavar="MODULE", help="the components that are wanted (default: all)")
    generate.set_defaults(run=_generate)
    check = _command(commands, "check", "tell what a newer catalogue changes; exit with 1 if it breaks a DAG file")
    check.add_argument("--generated", type=Path, required=True, metavar="FILE", help="the module that generate wrote")
    check.add_argument("dags", type=Path, nargs="+", metavar="PATH", help="a DAG file, or a folder with DAG files")
    check.set_defaults(run=_check)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--conn-id", help="read the catalogue with this Airflow connection")
    source.add_argument("--url", help="read it from this base URL without credentials, such as an emulator's")
    source.add_argument("--file", type=Path, help="read it from a file with the JSON of GET /v1/system/components")
    return parser


def _catalogue(options: argparse.Namespace) -> sources.Catalogue:
    if options.conn_id is not None:
        return sources.from_connection(options.conn_id)
    return sources.from_url(options.url) if options.url is not None else sources.from_file(options.file)


def _generate(options: argparse.Namespace) -> bool:
    definitions = _catalogue(options)
    components, left_out = components_of(definitions)
    for module in left_out:
        print_line(f"left out: {module!r:.200} can't be the name of a module", error=True)
    chosen = [component for component in components if component.module in options.only] if options.only else components
    for module in options.only or ():
        catalogue.find(definitions, module)  # says what is wrong with the name
    all_stems = stems(component.module for component in components)
    written = _write(options.output, module_of(chosen, all_stems, digest(definitions)))
    print_line(f"{options.output} has {len(chosen)} components, {'written' if written else 'unchanged'}")
    return False


def _write(path: Path, text: str) -> bool:
    """Write a generated module, and return whether it is another one than before."""
    if path.is_dir():
        raise WhiteRabbitInputError(f"{path} is a folder. Name the file to write")
    before = usage.read(path) if path.is_file() else None  # not a pipe, which has no end
    if before == text:
        return False
    if before and not before.startswith(HEAD):
        raise WhiteRabbitInputError(f"{path} exists, and no earlier command has generated it. Name another file")
    try:
        _replace(path, text)
    except OSError as error:
        reason = error.strerror if path.parent.is_dir() else f"the folder {path.parent} does not exist"
        raise WhiteRabbitInputError(f"{path} can't be written: {reason or error}") from None
    return True


def _replace(path: Path, text: str) -> None:
    """Write a file so that Airflow, which may parse DAG files at this moment, reads the old text or the new one."""
    target = path.resolve()  # the file behind a symbolic link
    if target.exists() and not target.is_file():
        target.write_text(text, encoding="utf-8")
        return
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is read-only")
    new = target.with_name(f".{target.name}.{os.getpid()}.new")  # not a name that ends in .py
    try:
        new.write_text(text, encoding="utf-8", newline="\n")
        if target.exists():
            shutil.copymode(target, new)
        new.replace(target)
    except OSError as error:
        if error.errno not in _IN_PLACE:
            raise
        target.write_text(text, encoding="utf-8", newline="\n")
    finally:
        with contextlib.suppress(OSError):
            new.unlink()


def _check(options: argparse.Namespace) -> bool:
    known = usage.generated(options.generated)
    components = components_of(_catalogue(options))[0]
    by_module = {component.module: component for component in components}
    new_stems = stems(by_module)
    users = {stem: sorted(paths) for stem, paths in _users(options, known).items()}
    found = [(stem, change) for stem in users for change in _changes(stem, known[stem], by_module, new_stems)]
    for stem, change in found:
        files = f" ({', '.join(map(str, users[stem]))})" if change.breaks else ""
        print_line(f"{'breaks ' if change.breaks else 'changes'} {known[stem]['module']} {change.text}{files}")
    breaking = sum(change.breaks for _, change in found)
    print_line(f"{len(users)} components used: {breaking} changes break, {len(found) - breaking} do not")
    return breaking > 0


def _users(options: argparse.Namespace, known: Mapping[str, usage.Known]) -> dict[str, list[Path]]:
    """Return the DAG files that use each of the generated classes that any file uses."""
    own = options.generated.resolve()
    files = [file for path in options.dags for file in _files(path) if file.resolve() != own]
    used = {file: usage.used_in(file, known) for file in dict.fromkeys(files)}
    return {stem: users for stem in known if (users := [file for file, stems_in in used.items() if stem in stems_in])}


def _files(path: Path) -> list[Path]:
    """Return the Python files at a path; as Airflow does, follow symbolic links to folders."""
    if not path.is_dir():
        return [path]
    found, seen = [], set()
    for folder, folders, names in os.walk(path, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            folders.clear()  # a link that leads back
            continue
        seen.add(real)
        found += [Path(folder, name) for name in names if name.endswith(".py")]
    return sorted(found)


def _changes(
    stem: str, known: usage.Known, by_module: Mapping[str, Component], new_stems: Mapping[str, str]
) -> Iterator[Change]:
    module = known["module"]
    if module not in by_module:
        yield Change("can't be executed on its own any more", breaks=True)
        return
    if new_stems[module] != stem:
        yield Change(f"the class {stem}Operator is called {new_stems[module]}Operator now", breaks=True)
    yield from changes(known, by_module[module].schemas)
