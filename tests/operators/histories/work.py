"""What the tasks of a history submit, payments by the component PAY, and what White Rabbit has of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.operators.base import WhiteRabbitSubmitOperator
from tests.operators.remotes import component_operator

MODULE = "PAY"

UNKNOWN = "00000000-0000-0000-0000-000000000000"
"""An id that White Rabbit does not know."""


@dataclass(frozen=True)
class Execution:
    """An execution at White Rabbit."""

    id: str
    module: str
    status: str

    @property
    def ended(self) -> bool:
        """Whether the execution has ended."""
        return self.status in ("COMPLETED", "FAILED")


class Work:
    """Payments at the emulator, which end when the history ends them; two executions are of nobody in the history."""

    def __init__(self, wr: Emulator) -> None:
        self.wr = wr
        wr.reset()
        wr.create_execution(MODULE, {"to": "dave"})
        for module in (MODULE, "OTHER"):
            wr.component(module)
            wr.script(module, manual=True)
        wr.create_execution("OTHER", {"to": "dave"})

    def operator(self, payee: str, **options: Any) -> WhiteRabbitSubmitOperator:
        """Return an operator that pays; its request is the payee."""
        return component_operator(MODULE, input={"to": payee}, deferrable=True, **options)

    def end(self, identity: str, status: str) -> None:
        """End an execution; its output repeats its input."""
        if status == "COMPLETED":
            self.wr.complete(identity)
        else:
            self.wr.fail(identity, {"message": "no funds"})

    def read(self, identity: str | None) -> Execution | None:
        """Return an execution; None if White Rabbit does not know the id."""
        return self.executions.get(identity or "")

    @property
    def executions(self) -> dict[str, Execution]:
        """All executions by their ids, oldest first."""
        return {each["id"]: Execution(each["id"], each["module"], each["status"]) for each in self.wr.executions}

    @property
    def submitted(self) -> list[str]:
        """The payees of all submissions that have reached White Rabbit, oldest first."""
        return [entry.json["input"]["to"] for entry in self.wr.requests(kind="submit")]
