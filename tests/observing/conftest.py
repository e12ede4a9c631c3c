"""Fixtures of the receiver, whose metrics are tested here."""

from tests.receiver.conftest import connections, database, receiver, start_receiver

__all__ = ["connections", "database", "receiver", "start_receiver"]
