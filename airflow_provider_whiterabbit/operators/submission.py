"""What an operator keeps of its submission: the record in Airflow's task state store, with a digest of the request."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.exceptions import WhiteRabbitUncertainSubmissionError

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.wire.messages import Request

KEY = "whiterabbit_submission"
"""Key of a submission's record in Airflow's task state store."""

ANSWER_KEY = "whiterabbit_answer"
"""Key of the answer of a person who settled the doubt of a failed task.

The record has a key of its own: a person's late answer must never overwrite what a task has submitted meanwhile.
"""

COUNT_KEY = "whiterabbit_once"
"""Key of the number of pages of records, ``{"pages": …}``, of a task that submits under keys of its own."""

UNKNOWN_TIME = "an unknown time"

_NOT_ASKED = ("waitForMs", "callbackSecret", "callbackHeaders")
"""Fields of a request that may change while it stays the same request: they say how, not what is executed."""

_ROUNDS = 10_000

_KEY_OF_INPUT = re.compile(r"inputs\[([0-9]{1,9})\]")


class Way(Enum):
    """The ways in which a task submits. Each has its records in another place: see `KEY`, `key_of` and `page_key`."""

    ONE = "as an operator of one input"
    MANY = "as an operator of many inputs"
    CODE = "under a key"


class Kind(StrEnum):
    """The kinds of doubt about a submission, as messages and records name them."""

    UNCERTAIN = "uncertain"
    OTHER_REQUEST = "other request"
    GONE = "gone"
    PERHAPS_CLEARED = "perhaps cleared"


@dataclass(frozen=True, slots=True)
class Submission:
    """What is known of a task's earlier submission to White Rabbit, such as the id and the time.

    :param target_id: id of the execution or run; None if it is not known whether the submission arrived.
    :param max_tries: Airflow's `max_tries` at that time. A clear changes it, a retry does not. None if a person wrote
        the record.
    :param try_number: the number of the try that submitted, or was the last to wait for it.
    :param clear_number: Airflow's count of the clears in the DAG run at that time.
    :param at: when it was submitted.
    :param made: when or by whom, as part of a sentence.
    :param request: the digest of what was asked; None if it is not known.
    :param subject: names what was submitted, as ``component PAY``; empty if it is not known.
    :param replaces: the submission that this one replaces, ``{"id": …, "at": …}``; empty if there is none.
    :param doubt: the kind of the doubt about it; empty if there is none.
    :param asked: the digest of what the try that had the doubt asked for; None if it is not known.
    :param answer: how a person settled the doubt: ``{"choice": …, "id": …, "by": …, "at": …}``.
    :param settled: the answer that led to this submission.
    """

    target_id: str | None
    max_tries: int | None = None
    try_number: int | None = None
    clear_number: int | None = None
    at: str = UNKNOWN_TIME
    made: str = ""
    request: str | None = None
    subject: str = ""
    replaces: dict[str, Any] = field(default_factory=dict)
    doubt: str = ""
    asked: str | None = None
    answer: dict[str, Any] = field(default_factory=dict)
    settled: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_stored(cls, stored: Any) -> Submission:
        """Parse a record: this version's, that of an earlier version, or an id or ``{"id": …}`` that a person stored.

        :raises ValueError: if the record has another form.
        """
        if isinstance(stored, str) and stored.strip():
            return cls(stored.strip())
        if not isinstance(stored, dict) or not isinstance(stored.get("id"), str | None):
            raise ValueError(f"The stored submission record cannot be read: {stored!r:.200}.")

        def value_of(name: str, kind: type) -> Any:
            value = stored.get(name)
            return _cleaned(value) if isinstance(value, kind) and not isinstance(value, bool) else None

        target_id = (stored.get("id") or "").strip() or None
        at = clean(str(stored.get("at") or UNKNOWN_TIME), 100)
        edited = is_edited(stored)
        return cls(
            target_id=target_id,
            max_tries=None if edited else value_of("max_tries", int),
            try_number=value_of("try_number", int),
            clear_number=value_of("clear_number", int),
            at=at,
            made=f"made at {at}",
            request=None if edited else value_of("request", str),
            subject=(value_of("subject", str) or "")[:200],
            replaces=value_of("replaces", dict) or {},
            doubt=value_of("doubt", str) or "",
            asked=value_of("asked", str),
            answer={} if edited else value_of("answer", dict) or {},  # the id is a person's later word
            settled=value_of("settled", dict) or {},
        )

    def check_is_new(self, target_id: str) -> None:
        """Check that White Rabbit's answer has not the id of what was to be replaced.

        :raises WhiteRabbitUncertainSubmissionError: if it has, so that the submission may have run, or not.
        """
        if target_id == self.replaces.get("id"):
            raise WhiteRabbitUncertainSubmissionError(
                f"White Rabbit's answer has the id {target_id}, which is the id of the submission that was replaced"
            )


def _cleaned(value: Any) -> Any:
    """Return a stored value, which a person or another program may have written, with texts that are fit for a log."""
    if isinstance(value, dict):
        return {name: _cleaned(member) for name, member in value.items()}
    return clean(value) if isinstance(value, str) else value


def page_key(number: int) -> str:
    """Return the key of a page of records of a task that submits under keys of its own; pages are counted from 0."""
    return f"{COUNT_KEY}_{number + 1}"


def answer_key(key: str = "") -> str:
    """Return the key of the answer of a person about the submission under a key; empty for an operator's submission."""
    return f"{ANSWER_KEY}_{hashlib.sha256(key.encode()).hexdigest()[:32]}" if key else ANSWER_KEY


def key_of(index: int) -> str:
    """Return the key under which the submission of an input is recorded, which is also its name in messages."""
    return f"inputs[{index}]"


def index_of(key: str) -> int | None:
    """Return the index of the input whose submission is recorded under a key; None if the key is another's."""
    match = _KEY_OF_INPUT.fullmatch(key)
    return int(match[1]) if match else None


def is_key(key: str) -> bool:
    """Return whether the submission of an input is recorded under a key."""
    return index_of(key) is not None


def records_in(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the records of submissions in a task state store, by key; that of an operator has the empty key.

    :param stored: all values of the store by their keys.
    """
    records = {"": stored[KEY]} if KEY in stored else {}
    for name, page in stored.items():
        if name.startswith(f"{COUNT_KEY}_") and isinstance(page, dict):
            records |= page
    return records


def owners_in(records: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys of submissions by the ids of what was submitted, from the records of a task by key.

    If several records have one id, the id belongs to the one that the provider has stored: a person may have put it
    into another by mistake.
    """
    owners: dict[str, str] = {}
    for is_by_hand in (False, True):
        for key, record in records.items():
            target_id = record.get("id") if isinstance(record, dict) else record
            if not isinstance(target_id, str) or not target_id.strip() or _is_by_hand(record) is not is_by_hand:
                continue
            if not (isinstance(record, dict) and record.get("doubt") == Kind.GONE):  # it is not the right id then
                owners.setdefault(target_id.strip(), key)
    return owners


def _is_by_hand(record: Any) -> bool:
    """Return whether a person has written the id in a record."""
    return not isinstance(record, dict) or "stored" not in record or is_edited(record)


def is_edited(record: dict[str, Any]) -> bool:
    """Return whether a person has filled in another id than the one that the provider has stored."""
    return "stored" in record and record["stored"] != record.get("id")


def addressed(record: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer in the form in which it is stored with `ANSWER_KEY`: with what the answer is about.

    :param record: the record of the submission that has the doubt.
    """
    return {**answer, "for": _mark(record)}


def answer_to(record: Any, stored: Any) -> dict[str, Any]:
    """Return the answer stored with `ANSWER_KEY`, if it is about a record of a submission as it is; {} if not."""
    if not isinstance(record, dict) or not isinstance(stored, dict) or stored.get("for") != _mark(record):
        return {}
    return {name: _cleaned(value) for name, value in stored.items() if name != "for"}


def _mark(record: dict[str, Any]) -> dict[str, Any]:
    """Return the members of a record that change when the task submits, takes a submission, or asks for another one."""
    return {name: record.get(name) for name in ("id", "at", "asked")}


def digest(request: Request, conn_id: str, ti: Any, key: str = "") -> str:
    """Return the digest of what a task asks of White Rabbit, 64 hexadecimal digits.

    Two tries of a task instance have the same digest exactly if they ask for the same: the same component or workflow,
    input, config, attempts and callback URL, through a connection of the same id. The order of an object's members does
    not matter.

    The digest is stored beside the submission's id. Inputs can be short and secret, so the digest is PBKDF2 (RFC 8018)
    with HMAC-SHA256 and the identity of the task instance as salt: equal inputs of two task instances have different
    digests, and no precomputed table fits. Whoever can read the store can still try out inputs, at some milliseconds
    each on one core and much faster on a GPU. So the store deserves the protection that rendered inputs have.

    :param ti: Airflow's task instance.
    :param key: the key under which the task submits; empty for an operator, which submits once. It is part of the salt.
    """
    asked = {name: value for name, value in json.loads(request.body or b"{}").items() if name not in _NOT_ASKED}
    message = json.dumps([request.path, asked, conn_id], sort_keys=True)
    salt = json.dumps([ti.dag_id, ti.run_id, ti.task_id, ti.map_index, *([key] if key else [])])
    return hashlib.pbkdf2_hmac("sha256", message.encode(), salt.encode(), _ROUNDS).hex()
