"""What only MariaDB writes: its GTIDs and positions, and compressed events, which become the plain ones they stand for.

Formats: MariaDB `sql/log_event.cc` (``Gtid_log_event``, ``Gtid_list_log_event``, ``binlog_buf_compress``,
``query_event_uncompress``, ``row_log_event_uncompress``). Whole transactions are the assembler's business.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple, cast

from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer, steps
from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.events import Event, packed_integer, short, xid_text
from airflow_provider_tungsten.replicator.binlog.gtid import GtidSet
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError

_STANDALONE = 0x01
_GROUP_COMMIT_ID = 0x02
_DDL = 0x20
_PREPARED_XA = 0x40
_COMPLETED_XA = 0x80
# Of the extra flags; only a DDL statement's are looked at: what stands in their place behind an XID is not defined.
_START_ALTER = 0x02
_ROLLBACK_ALTER = 0x08

_GTID_HEAD = struct.Struct("<QIB")
_LIST_ITEM = struct.Struct("<IIQ")
_LIST_COUNT = 0x0FFFFFFF
_POSITION = re.compile(r"^(\d{1,10})-(\d{1,10})-(\d{1,20})$")
# The most that MariaDB takes for a statement or a row (max_allowed_packet), and zlib's best ratio.
_LARGEST = 1 << 30
_BEST_RATIO = 1040
_STEP = 1 << 14
_SMALL = 1 << 20


class MariadbGtid(NamedTuple):
    """Opens an event group; there is no BEGIN behind it.

    :param standalone: one statement (DDL), which ends the group; else it ends with XID, COMMIT, ROLLBACK or XA PREPARE.
    :param void: a statement that changes nothing: the start of an ALTER TABLE that is logged in two phases, of which the
        second decides (``binlog_alter_two_phase``), or its failure.
    :param xid: of the XA transaction that the group prepares or completes, as :class:`~.events.XaPrepare` has it; ''.
    """

    domain: int
    server_id: int
    seq_no: int
    standalone: bool
    void: bool
    prepared: bool
    completed: bool
    xid: str

    def __str__(self) -> str:
        return f"{self.domain}-{self.server_id}-{self.seq_no}"

    @property
    def commit_ts(self) -> int:
        """0: not known any better than the header of the last event has it."""
        return 0

    @property
    def immediate_commit_ts(self) -> int:
        """0, likewise."""
        return 0

    def add_to(self, executed: GtidSet | MariadbPosition) -> None:
        """Makes it the newest of its domain, where MariaDB's GTIDs are counted."""
        if isinstance(executed, MariadbPosition):
            executed.add(self.domain, self.server_id, self.seq_no)


def parse_mariadb_gtid(event: Event) -> MariadbGtid:
    """:raises CorruptLogError: cut short."""
    body = short(event.body, "MariaDB GTID")
    if len(body) < _GTID_HEAD.size:
        raise CorruptLogError("a MariaDB GTID event is cut short")
    seq_no, domain, flags = _GTID_HEAD.unpack_from(body)
    at = _GTID_HEAD.size + (8 if flags & _GROUP_COMMIT_ID else 0)
    xid = ""
    if flags & (_PREPARED_XA | _COMPLETED_XA):
        xid, at = _xid(body, at)
    extra = body[at] if flags & _DDL and at < len(body) else 0
    return MariadbGtid(
        domain,
        event.server_id,
        seq_no,
        standalone=bool(flags & _STANDALONE),
        void=bool(extra & (_START_ALTER | _ROLLBACK_ALTER)),
        prepared=bool(flags & _PREPARED_XA),
        completed=bool(flags & _COMPLETED_XA),
        xid=xid,
    )


def _xid(body: bytes, at: int) -> tuple[str, int]:
    if at + 6 > len(body):
        raise CorruptLogError("a MariaDB GTID event is cut short")
    format_id, global_length, branch_length = struct.unpack_from("<iBB", body, at)
    middle = at + 6 + global_length
    end = middle + branch_length
    if global_length > 64 or branch_length > 64 or end > len(body):
        raise CorruptLogError("a MariaDB GTID event is cut short")
    return xid_text(format_id, body[at + 6 : middle], body[middle:end]), end


class MariadbPosition:
    """The last GTID of every replication domain, which is how MariaDB says what was executed: ``0-1-55,1-2-7``."""

    def __init__(self, gtids: Iterable[tuple[int, int, int]] = ()) -> None:
        self._last: dict[int, tuple[int, int]] = {}
        for domain, server_id, seq_no in gtids:
            self.add(domain, server_id, seq_no)

    @classmethod
    def parse(cls, text: str) -> MariadbPosition:
        """Reads ``0-1-55,1-2-7``; '' is the beginning.

        :raises ValueError: not a MariaDB GTID position.
        """
        result = cls()
        for part in re.sub(r"\s+", "", text).split(","):
            if part:
                match = _POSITION.match(part)
                if match is None or int(match[1]) in result._last:
                    raise ValueError(
                        f"not a MariaDB GTID position: {part!r}; write domain-server-sequence, once a domain"
                    )
                result.add(int(match[1]), int(match[2]), int(match[3]))
        return result

    @classmethod
    def decode(cls, body: bytes) -> MariadbPosition:
        """Body of GTID_LIST: every server's last GTID, the newest of a domain last.

        :raises CorruptLogError: not as long as it says.
        """
        if len(body) < 4:
            raise CorruptLogError("a GTID_LIST event is cut short")
        count = int.from_bytes(body[:4], "little") & _LIST_COUNT
        # An empty list is padded with two bytes.
        if len(body) < 4 + count * _LIST_ITEM.size or (count and len(body) > 4 + count * _LIST_ITEM.size):
            raise CorruptLogError("a GTID_LIST event is not as long as it says")
        return cls(_LIST_ITEM.iter_unpack(body[4 : 4 + count * _LIST_ITEM.size]))

    def add(self, domain: int, server_id: int, seq_no: int) -> None:
        """The domain's newest GTID."""
        self._last[domain] = (server_id, seq_no)

    def contains(self, other: MariadbPosition) -> bool:
        """Whether a server that is here has passed ``other``: in no domain of it is this one behind."""
        return all(
            domain in self._last and self._last[domain][1] >= seq_no
            for domain, (_, seq_no) in other._last.items()
        )

    def __str__(self) -> str:
        return ",".join(f"{domain}-{server}-{seq}" for domain, (server, seq) in sorted(self._last.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MariadbPosition) and self._last == other._last

    def __bool__(self) -> bool:
        return bool(self._last)


# Compressed event → the event it stands for, and the bytes in front of the column count of a rows event.
_COMPRESSED = {
    EventType.QUERY_COMPRESSED: (EventType.QUERY, 0),
    EventType.WRITE_ROWS_COMPRESSED_V1: (EventType.WRITE_ROWS_V1, 8),
    EventType.UPDATE_ROWS_COMPRESSED_V1: (EventType.UPDATE_ROWS_V1, 8),
    EventType.DELETE_ROWS_COMPRESSED_V1: (EventType.DELETE_ROWS_V1, 8),
    EventType.WRITE_ROWS_COMPRESSED: (EventType.WRITE_ROWS, 10),
    EventType.UPDATE_ROWS_COMPRESSED: (EventType.UPDATE_ROWS, 10),
    EventType.DELETE_ROWS_COMPRESSED: (EventType.DELETE_ROWS, 10),
}
COMPRESSED_EVENTS = frozenset(_COMPRESSED)
_UPDATES = frozenset({EventType.UPDATE_ROWS_COMPRESSED_V1, EventType.UPDATE_ROWS_COMPRESSED})


def decompressed(event: Event) -> Event:
    """The plain event that a compressed one stands for, at the same place.

    :raises UnsupportedError: another algorithm than zlib, or more than MariaDB itself would take.
    :raises CorruptLogError: cut short, or not what it says.
    """
    plain, head = _COMPRESSED[EventType(event.type)]
    body = memoryview(event.body)
    at = _rows_head(event, head) if head else _query_head(event)
    if at >= len(body):
        raise CorruptLogError(f"{event.place}: it is cut short")
    whole = SpooledBuffer()
    whole.append(body[:at])
    _inflate(event, body[at:], whole)
    small = len(whole) <= _SMALL
    return event._replace(type=plain, body=bytes(whole) if small else cast(bytes, memoryview(whole)))


def _query_head(event: Event) -> int:
    body = event.body
    if len(body) < 13:
        raise CorruptLogError(f"{event.place}: it is cut short")
    return 13 + int.from_bytes(body[11:13], "little") + body[8] + 1


def _rows_head(event: Event, head: int) -> int:
    body = event.body
    at = head + (int.from_bytes(body[8:10], "little") - 2 if head == 10 else 0)
    if at < head:
        raise CorruptLogError(f"{event.place}: its extra data are cut short")
    columns, at = packed_integer(body, at)
    return at + ((columns + 7) >> 3) * (2 if event.type in _UPDATES else 1)


def _inflate(event: Event, data: memoryview, out: SpooledBuffer) -> None:
    """One byte of 0x80, algorithm and width; so many bytes of length, big-endian; the zlib stream, which goes behind ``out``."""
    width = data[0] & 0x07
    if data[0] & 0xF8 != 0x80 or not 1 <= width <= 4:
        raise UnsupportedError(
            f"{event.place}: it is compressed in the unknown way 0x{data[0]:02x}; "
            "SET GLOBAL log_bin_compress=OFF and start behind this place"
        )
    size = int.from_bytes(data[1 : 1 + width], "big")
    packed = data[1 + width :]
    if size > _LARGEST or size > len(packed) * _BEST_RATIO:
        raise CorruptLogError(f"{event.place}: it of {len(packed)} bytes says that it holds {size}")
    stream = zlib.decompressobj()
    # One byte more than is due shows that there is more; the output grows no further than that.
    end = len(out) + size
    try:
        for step in steps(packed, _STEP):
            if stream.eof or len(out) > end:
                raise _not_what_it_says(event)
            out.append(stream.decompress(step, end + 1 - len(out)))
    except zlib.error as error:
        raise CorruptLogError(f"{event.place}: it cannot be decompressed: {error}") from None
    if len(out) != end or not stream.eof or stream.unused_data:
        raise _not_what_it_says(event)


def _not_what_it_says(event: Event) -> CorruptLogError:
    return CorruptLogError(f"{event.place}: it does not hold what it says")
