"""Asks a person about a doubt, in Airflow's UI under *Required Actions*, and reads the answer (Airflow 3.3+).

The task parks itself in the state ``awaiting_input``, in which it holds no worker, no triggerer and no pool slot. The
answer resumes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.compat import redact
from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError
from airflow_provider_whiterabbit.masking import masked
from airflow_provider_whiterabbit.operators.doubt import CHOICES, Choice, Doubt, Kind

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import Context

OPTIONS: dict[Choice, str] = {
    "there": "It is there",
    "earlier": "Take the earlier one",
    "submit": "Submit now",
    "stop": "Stop",
}
"""The options of the question, by the choice that each of them means."""

SUBJECT = "White Rabbit: "
"""How the subject of each question begins."""

_SUBJECTS: dict[Kind, str] = {
    Kind.UNCERTAIN: "did the submission of {} arrive?",
    Kind.OTHER_REQUEST: "this task submitted another request before {}",
    Kind.GONE: "the earlier submission of {} is unknown",
    Kind.PERHAPS_CLEARED: "was this task cleared to submit {} anew?",
}

_EXPLANATIONS: dict[Choice, str] = {
    "there": "the task waits for the {noun} whose id you enter in the field *{field}*. If the id can't be right, this "
    "question appears again (reload the page), and the log of the task says why",
    "earlier": "the task waits for the earlier {noun} and takes its output, although the task may ask for another one",
    "submit": "the task submits now, also if an earlier submission runs or has run",
    "stop": "the task fails without retries",
}

_MAX_SHOWN = 2_000

_MAX_TEXT = 200

_MAX_SUBJECT = 500

_MAX_BODY = 10_000


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked.

    :param noun: what is submitted: ``execution`` or ``workflow run``.
    :param field: name of the field in which a person enters an id.
    :param subject: names what is submitted, as ``component PAY``.
    :param facts: more lines by their headings, such as the connection.
    :param values: the arguments of the submission; secrets in them are masked as Airflow masks rendered templates.
    :param link: the earlier submission in White Rabbit's dashboard; None if there is no link.
    """

    doubt: Doubt
    noun: str
    field: str
    subject: str
    facts: Mapping[str, Any]
    values: Mapping[str, Any]
    link: str | None

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The choices that a person has."""
        return CHOICES[self.doubt.kind]

    @property
    def _title(self) -> str:
        return f"Id of the {self.noun}"

    @property
    def body(self) -> str:
        """The question in Markdown. JSON strings can't end the block of code that shows the values."""
        lines = [_literal(self.doubt.text), ""]
        lines += [f"- **{heading}**: {_literal(str(value))}" for heading, value in self.facts.items()]
        if self.link:
            lines.append(f"- **In White Rabbit's dashboard**: [{self.noun}](<{self.link}>)")
        if self.values:
            # Masked before it is cut: Airflow knows secrets only whole.
            shown = _readable_json({name: _shortened(redact(value, name)) for name, value in self.values.items()})
            cut = "\n…" if len(shown) > _MAX_SHOWN else ""
            lines += [
                "",
                f"What this task asks for ({_literal(self.subject)}):",
                "",
                f"```json\n{shown[:_MAX_SHOWN]}{cut}\n```",
            ]
        lines += ["", "What happens after each answer:", ""]
        for choice in self.choices:
            explanation = _EXPLANATIONS[choice].format(noun=self.noun, field=self._title)
            lines.append(f"- *{OPTIONS[choice]}*: {explanation}.")
        return "\n".join(lines)

    def ask(self, context: Context, method_name: str, assigned_users: list[dict[str, str]] | None) -> NoReturn:
        """Put the question, and park the task until somebody answers; Airflow then calls the method.

        :param assigned_users: the users who may answer, ``{"id": …, "name": …}``; None for all whom Airflow permits.
        :raises TaskAwaitingInput: always.
        """
        from airflow.sdk import Param
        from airflow.sdk.exceptions import TaskAwaitingInput
        from airflow.sdk.execution_time.hitl import upsert_hitl_detail

        fields = {}
        if "there" in self.choices:
            # A field that must be filled in would disable the other answers.
            fields = {self.field: Param(None, type=["null", "string"], title=self._title).serialize()}
        ti: Any = context["ti"]
        upsert_hitl_detail(
            ti_id=ti.id,
            options=[OPTIONS[choice] for choice in self.choices],
            # Servers' texts may repeat secrets that Airflow knows.
            subject=clean(masked(SUBJECT + _SUBJECTS[self.doubt.kind].format(self.subject)), _MAX_SUBJECT),
            body=clean(masked(self.body), _MAX_BODY),
            params=fields,
            assigned_users=assigned_users,  # type: ignore[arg-type]  # a TypedDict
        )
        raise TaskAwaitingInput(method_name=method_name)


def _literal(text: str) -> str:
    """Return text for Markdown that shows it as it is: texts of servers must not add links to a question."""
    line = " ".join(masked(text).split())
    unlinked = re.sub(r"(?i)(www)(?=\.)|(?<=:)(?=//)|(?<=@)", "\\1\u200b", line)
    return re.sub(r"([\\`*_\[\]<>#|~!&])", r"\\\1", unlinked)


def _shortened(value: Any) -> Any:
    """Return a JSON value whose long strings are cut, so that a long member does not hide the others."""
    if isinstance(value, Mapping):
        return {str(name)[:_MAX_TEXT]: _shortened(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}… ({len(text)} characters)"


def _readable_json(value: Any) -> str:
    """Return indented JSON that escapes only what a page doesn't show, such as characters that reverse the text."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def obstacle() -> str | None:
    """Return why this Airflow can't park a task until a person answers; None if it can (Airflow 3.3+)."""
    try:
        from airflow.sdk.exceptions import TaskAwaitingInput  # noqa: F401
        from airflow.sdk.execution_time import task_runner
    except ImportError:
        return "Airflow is older than 3.3"
    if type(getattr(task_runner, "SUPERVISOR_COMMS", None)).__name__ == "InProcessSupervisorComms":
        return "dag.test() would wait for an answer without end"
    return None


def answer_in(event: Any, field: str) -> dict[str, Any]:
    """Return the answer in the event with which Airflow resumes a task: ``{"choice": …, "id": …, "by": …, "at": …}``.

    :param field: name of the field in which a person enters an id.
    :raises WhiteRabbitProtocolError: if there is none.
    """
    chosen = event.get("chosen_options") if isinstance(event, Mapping) else None
    choice = next((choice for choice, option in OPTIONS.items() if chosen == [option]), None)
    if choice is None:
        raise WhiteRabbitProtocolError(f"The answer can't be read: {event!r:.200}. Clear this task to be asked again.")
    user, at, fields = (event.get(name) for name in ("responded_by_user", "responded_at", "params_input"))
    named = fields.get(field) if isinstance(fields, Mapping) else None
    answer: dict[str, Any] = {
        "choice": choice,
        "by": clean(str((user.get("name") or user.get("id")) if isinstance(user, Mapping) else user or "somebody")),
        "at": at.isoformat() if isinstance(at, datetime) else str(at),
    }
    if choice == "there":
        answer["id"] = clean(named.strip()) if isinstance(named, str) else None
    return answer
