"""Time limits and pauses, in seconds, of a wait for an execution or workflow run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Time limits and pauses, in seconds, of waits and retries. The defaults are for production.

    :param silence: a stream that sends no byte for so long is dead: three missed pings of 15 s (*Status & Streaming*).
    :param late_head: the record is read after so long although the stream's response has not begun: some servers send
        its head with the first event or ping.
    :param stable_after: a stream that lived for so long was stable: the next failure counts as the first one again.
    :param recheck_after: the record is read after so long although the stream lives: the server may have lost the end.
    :param retry_stream_after: a stream that was refused is asked for again after so long.
    :param min_poll_interval: a shorter `poll_interval` is raised to this, or many waits would poll without a pause.
    :param max_retry_after: a longer ``Retry-After`` is cut to this.
    :param final_read: the last read of the record, at the deadline, may take so long.
    :param first_pause: upper bound of the first pause after a failure; it doubles with each further one.
    :param connection_patience: a trigger tries for so long to read its Airflow connection.
    :param progress_interval: progress with the same status is logged again no sooner than this.
    :param alive_interval: a wait without news logs after so long that it goes on.
    :param tally_interval: a wait for many executions logs after so long how many have ended, if more have.
    :param trouble_interval: the same kind of failure is logged again no sooner than this.
    """

    silence: float = 45.0
    late_head: float = 2.0
    stable_after: float = 20.0
    recheck_after: float = 900.0
    retry_stream_after: float = 600.0
    min_poll_interval: float = 1.0
    max_retry_after: float = 300.0
    final_read: float = 5.0
    first_pause: float = 0.5
    connection_patience: float = 120.0
    progress_interval: float = 5.0
    alive_interval: float = 300.0
    tally_interval: float = 30.0
    trouble_interval: float = 900.0


DEFAULT_TIMING = Timing()
"""The times of a wait in life; one object for all waits."""
