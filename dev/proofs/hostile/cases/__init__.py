"""The misbehaviours, by the standards that they violate or make use of."""

from dev.proofs.hostile.case import Case
from dev.proofs.hostile.cases import (
    compression,
    events,
    framing,
    heads,
    http2_connections,
    http2_frames,
    http2_headers,
    json_texts,
    records,
    statuses,
    streams,
)

GROUPS: dict[str, tuple[Case, ...]] = {
    "The head of an answer": heads.CASES,
    "The length and the connection": framing.CASES,
    "Status codes": statuses.CASES,
    "Compression": compression.CASES,
    "JSON": json_texts.CASES,
    "Records": records.CASES,
    "The event stream's grammar": events.CASES,
    "Event streams": streams.CASES,
    "HTTP/2: connections": http2_connections.CASES,
    "HTTP/2: frames": http2_frames.CASES,
    "HTTP/2: header fields": http2_headers.CASES,
}
"""The cases of each table."""

CASES = tuple(case for cases in GROUPS.values() for case in cases)
