"""One row of the THL: an event of a committed transaction, or a record about the log itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer


class Kind(StrEnum):
    """What a THL event is."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    DDL = "ddl"
    TRUNCATE = "truncate"
    HEARTBEAT = "heartbeat"
    START = "start"
    POSITION = "position"
    GAP = "gap"
    CONTINUED = "continued"


ROW_KINDS = frozenset({Kind.INSERT, Kind.UPDATE, Kind.DELETE})
RECORD_KINDS = frozenset({Kind.START, Kind.POSITION, Kind.GAP, Kind.HEARTBEAT})


class ThlEvent(NamedTuple):
    """A row of a segment, in the order of the segment's columns.

    Times are microseconds since 1970 UTC. ``payload`` holds adjacent row images of one table and operation exactly as
    in the binlog (update: before and after image in turn, every image a null bitmap and the fields of all columns of
    ``definition``), or a statement's text in UTF-8. ``rows`` counts rows (an update's pair is one).
    ``payload_bytes`` is the payload's length: whoever writes a segment fills it, whoever scans has it without reading
    the payload.

    In a segment a large event of rows lies in pieces (see :mod:`~.thl.pieces`); whoever reads the log meets it whole, its
    ``payload`` a paged ``SpooledBuffer``, which they page out as they go.
    """

    seqno: int
    fragno: int
    last_frag: bool
    epoch_number: int
    source_id: str
    event_id: str
    gtid: str
    commit_ts: int
    watermark: int
    extracted_ts: int
    kind: str
    schema_name: str
    table_name: str
    shard_id: str
    rows: int
    definition: str | None
    payload: bytes | memoryview | SpooledBuffer | None
    options: dict[str, str] | None
    payload_bytes: int = 0


@dataclass(frozen=True)
class Resume:
    """Where reading goes on, and how the source is known again; kept in every segment's footer.

    :param server_uuid: of the server that was read.
    :param file: binlog file, e.g. ``mysql-bin.000002``.
    :param position: 64-bit offset behind the last event that was taken in.
    :param file_created: when that file was begun, as its FORMAT_DESCRIPTION says, seconds; 0 where it was not met yet.
        A file of the same name in another history has another.
    :param gtid_executed: GTID set up to there, tags included; '' where the server has no GTIDs.
    :param transaction_start: offset of the first event of the last transaction read in ``file``; None where none was
        read since the file began (or since the first start).
    :param transaction_gtid: its GTID, '' without.
    :param transaction_ts: its commit time, microseconds.
    :param watermark: running maximum of commit times, microseconds; 0 at the beginning.
    :param xa: XA transactions that are prepared and undecided: XID → object in ``xa/`` that holds their rows, '' for one
        that was prepared before the log began.
    :param catalog: name of the object beside the segments that holds the definitions of all tables at that place; ''
        where the log itself is to name columns.
    """

    server_uuid: str
    file: str
    position: int
    gtid_executed: str = ""
    transaction_start: int | None = None
    transaction_gtid: str = ""
    transaction_ts: int = 0
    watermark: int = 0
    file_created: int = 0
    xa: dict[str, str] = field(default_factory=dict)
    catalog: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def event_id(self) -> str:
        """The restart point in Tungsten's notation, without a session."""
        return event_id(self.file, self.position)


def event_id(file: str, position: int, session: int | None = None) -> str:
    """``mysql-bin.000002:0000000000134613;27``; the session is the thread that committed, -1 where unknown."""
    return f"{file}:{position:016d};{-1 if session is None else session}"


def parse_event_id(text: str) -> tuple[str, int]:
    """File and position of an event id; the session part may be missing.

    :raises ValueError: not an event id.
    """
    head, _, _ = text.partition(";")
    file, colon, position = head.rpartition(":")
    if not colon or not file or not position.isdigit():
        raise ValueError(f"not an event id (file:position;session): {text!r}")
    return file, int(position)
