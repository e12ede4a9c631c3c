"""The modules that the tests and DAGs of this repository have invented; the emulator refuses undeclared ones."""

from __future__ import annotations

MODULES = (
    *("A", "ACTIVE", "ADD", "AWAY", "B", "BATCH", "BULK", "COMPLETED", "DEADLOCK", "DEPLOY", "DOUBTED", "E2E", "ECHO"),
    *("ENDLESS", "END_COMPLETED", "END_FAILED", "FAILED", "FIRST", "FLAKY", "HUGE", "LATE", "M", "MANUAL", "MINE"),
    *("NAMED", "NATIVE", "NEVER", "NOTHING", "ONCE", "OTHER", "PAIR", "PATIENT", "PAUSED", "PAY", "PAYOUT", "PAYROLL"),
    *("POLLED", "QUICK", "QUOTE", "REFUND", "REFUSE", "REPORT", "SECOND", "SECRETS", "SECRETS_DEFERRED"),
    *("SECRETS_FAILED", "SECRETS_UNCERTAIN", "SECRET_INPUTS", "SECRET_INPUTS_DEFERRED", "SECRET_INPUTS_FAILED", "SLOW"),
    *("SWAP", "TASKS", "TRANSFER", "TRUE", "WAIT", "X", "Y"),
)
