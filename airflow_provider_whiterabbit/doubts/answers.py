"""Reads the answers that are to settle doubts, and checks all of them before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.doubts.finding import Doubt
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.operators.doubt import Choice
from airflow_provider_whiterabbit.operators.question import OPTIONS


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that settles a doubt.

    :param target_id: the id of the execution or workflow run for the choice ``there``; None for the others.
    """

    doubt: Doubt
    choice: Choice
    target_id: str | None = None


@dataclass(slots=True)
class Plan:
    """What is to be done about the entries of a file of answers.

    :param answers: the answers to send.
    :param skipped: how many entries have no answer.
    :param refused: why an entry does not match a doubt; nothing is sent for it.
    """

    answers: list[Answer] = field(default_factory=list)
    skipped: int = 0
    refused: list[str] = field(default_factory=list)


def name_of(task_id: str, map_index: int, key: str = "") -> str:
    """Return how messages name a task instance, or its submission under a key."""
    name = f"{task_id} [{map_index}]" if map_index >= 0 else task_id
    return f"{name}, key {key!r}" if key else name


def read(path: Path) -> list[Any]:
    """Return the entries of a file of answers.

    :raises WhiteRabbitInputError: if the file can't be read, or is not a JSON array.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WhiteRabbitInputError(f"{path} can't be read: {error}") from None
    if not isinstance(entries, list):
        raise WhiteRabbitInputError(f"{path} must hold a JSON array, as --output writes it")
    return entries


def alike(doubts: Iterable[Doubt], choice: str) -> list[Any]:
    """Return the entries of a file that gives all doubts one answer.

    A failed task that a person stopped, or for which a person named the id, keeps that answer.
    """
    return [
        doubt.listed | {"answer": None if doubt.answer.get("choice") in ("stop", "there") else choice}
        for doubt in doubts
    ]


def plan(entries: list[Any], doubts: Iterable[Doubt]) -> Plan:
    """Check the entries of a file of answers against the doubts of a DAG run.

    :raises WhiteRabbitInputError: if an entry is wrong; the message names every wrong entry.
    """
    found = {doubt.place: doubt for doubt in doubts}
    planned, problems = Plan(), []
    places: set[tuple[str, int, str]] = set()
    named: set[str] = set()
    for number, entry in enumerate(entries, start=1):
        try:
            place = _place(entry)
            if place in places:
                raise WhiteRabbitInputError(f"{name_of(*place)} has another entry already; keep one of them.")
            places.add(place)
            if entry["answer"] == "there" and str(entry.get("id")) in named:
                raise WhiteRabbitInputError(f"{name_of(*place)}: another entry has the id {entry['id']!r} already.")
            named |= {str(entry.get("id"))} if entry["answer"] == "there" else set()
            _add(entry, place, found.get(place), planned)
        except WhiteRabbitInputError as error:
            problems.append(f"Entry {number}: {error}")
    if problems:
        raise WhiteRabbitInputError("\n".join([*problems, "Nothing was sent."]))
    return planned


def _add(entry: Mapping[str, Any], place: tuple[str, int, str], doubt: Doubt | None, planned: Plan) -> None:
    """Check one entry, and add it to the plan."""
    name, choice = name_of(*place), entry["answer"]
    if choice is None:
        planned.skipped += 1
        return
    if not isinstance(choice, str) or choice not in OPTIONS:
        raise WhiteRabbitInputError(f"{name}: answer {', '.join(OPTIONS)} or null, not {choice!r:.100}.")
    target_id = checks.identifier(entry.get("id"), f"{name}: id") if choice == "there" else None
    listed = {"request": None if doubt is None else doubt.listed["request"], **entry}  # a file may lack it
    compared = ["kind", "at", "request"] if choice == "there" else ["kind", "at", "request", "id"]
    if doubt is None:
        planned.refused.append(f"{name}: there is no such doubt (any more). List the doubts again.")
    elif changed := [member for member in compared if listed.get(member) != doubt.listed[member]]:
        planned.refused.append(f"{name}: the doubt is another one now ({', '.join(changed)}). List the doubts again.")
    elif choice not in doubt.choices:
        raise WhiteRabbitInputError(
            f"{name}: {choice!r} does not settle a doubt of the kind {doubt.kind!r}. Answer "
            f"{', '.join(doubt.choices)}; with --all, use --kind."
        )
    else:
        planned.answers.append(Answer(doubt, choice, target_id))


def _place(entry: Any) -> tuple[str, int, str]:
    """Return the task id, map index and key of an entry, which must have the members that --output writes."""
    if isinstance(entry, Mapping) and "answer" in entry:
        task_id, map_index, key = entry.get("task_id"), entry.get("map_index"), entry.get("key", "")
        if isinstance(task_id, str) and type(map_index) is int and isinstance(key, str):
            return task_id, map_index, key
    raise WhiteRabbitInputError(f"task_id, map_index and answer must be as --output writes them, not {entry!r:.200}")
