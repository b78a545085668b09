"""Events as the stream hands them out, and the parsers of their bodies. Rows are left to `rows`, tables to `table_map`.

Formats: MySQL `libs/mysql/binlog/event/control_events.h`, `statement_events.h`, `rows_event.h`.
"""

from __future__ import annotations

import re
import struct
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from airflow_provider_tungsten.replicator.binlog import charsets
from airflow_provider_tungsten.replicator.binlog.constants import EventType, event_name
from airflow_provider_tungsten.replicator.binlog.gtid import GtidSet, read_varlen
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from airflow_provider_tungsten.replicator.thl.event import Kind


class Event(NamedTuple):
    """An event of the log.

    :param type: see `constants.EventType`; other numbers occur.
    :param timestamp: seconds since 1970 UTC at which the statement began.
    :param file: binlog file the offsets belong to.
    :param start: 64-bit offset of the event's first byte in ``file``.
    :param end: 64-bit offset behind its last byte; equal to ``start`` for events that stand in no file (artificial
        ROTATE, a FORMAT_DESCRIPTION sent again, heartbeats). Events of a compressed transaction have the offsets of
        the TRANSACTION_PAYLOAD they came in.
    :param body: without header and checksum. Of rows, of compressed transactions and of whatever is large it is any readable
        memory, good while the event is taken in.
    """

    type: int
    flags: int
    timestamp: int
    server_id: int
    file: str
    start: int
    end: int
    body: bytes

    @property
    def place(self) -> str:
        """``file:start, QUERY (2)``, for messages."""
        return f"{self.file}:{self.start}, {event_name(self.type)}"


class FormatDescription(NamedTuple):
    """:param checksum: 0 none, 1 CRC32; of all events of the file."""

    binlog_version: int
    server_version: str
    checksum: int


class Rotate(NamedTuple):
    position: int
    file: str


class Gtid(NamedTuple):
    """Opens a transaction.

    :param source_id: UUID of the server that committed it first, '' for an anonymous one.
    :param gno: its number there; 0 for an anonymous one.
    :param tag: '' without.
    :param commit_ts: commit time at the server that committed it first, microseconds since 1970 UTC; 0 unknown.
    :param immediate_commit_ts: commit time at the server whose log this is; 0 unknown.
    :param length: bytes of the whole transaction in the log; 0 unknown.
    """

    source_id: str
    gno: int
    tag: str
    commit_ts: int
    immediate_commit_ts: int
    length: int

    def __str__(self) -> str:
        if not self.gno:
            return ""
        return f"{self.source_id}:{self.tag}:{self.gno}" if self.tag else f"{self.source_id}:{self.gno}"

    @property
    def void(self) -> bool:
        """False: as :class:`~.mariadb.MariadbGtid` has it."""
        return False

    def add_to(self, executed: object) -> None:
        """Puts it into the set, where there is one and it has a number."""
        if self.gno and isinstance(executed, GtidSet):
            executed.add(self.source_id, self.gno, self.tag)


class Query(NamedTuple):
    """:param sql: decoded by the client's character set; bytes that are wrong in it stand as backslash escapes.
    :param variables: status variables, as they stand.
    :param cut: ``sql`` is the beginning of a statement that is too long to be read.
    """

    thread_id: int
    schema: str
    sql: str
    error_code: int
    variables: bytes = b""
    cut: bool = False


class XaPrepare(NamedTuple):
    """:param xid: format id, global id and branch qualifier as MySQL prints them: ``X'61',X'',1``."""

    one_phase: bool
    xid: str


class XaStatement(NamedTuple):
    """:param verb: START, END, COMMIT or ROLLBACK; ``xid`` as :class:`XaPrepare` has it."""

    verb: str
    xid: str


class Rows(NamedTuple):
    """A rows event's frame.

    :param table_id: of the TABLE_MAP in front of it.
    :param stmt_end: the statement's last event; table ids are forgotten behind it.
    :param columns: of the table map; ``full_image``: whether every image holds all of them.
    :param payload_offset: where in the body the row images begin; they reach to its end.
    """

    table_id: int
    stmt_end: bool
    kind: Kind
    columns: int
    payload_offset: int
    full_image: bool


_KINDS: dict[int, Kind] = {
    EventType.WRITE_ROWS_V1: Kind.INSERT,
    EventType.WRITE_ROWS: Kind.INSERT,
    EventType.UPDATE_ROWS_V1: Kind.UPDATE,
    EventType.UPDATE_ROWS: Kind.UPDATE,
    EventType.DELETE_ROWS_V1: Kind.DELETE,
    EventType.DELETE_ROWS: Kind.DELETE,
}
_ROWS_V1 = frozenset({EventType.WRITE_ROWS_V1, EventType.UPDATE_ROWS_V1, EventType.DELETE_ROWS_V1})
_STMT_END = 0x01
# Table id (6 bytes), flags, and in version 2 the length of extra data, itself included.
_ROWS_HEAD = struct.Struct("<IHHH")
_HEADER_LENGTH = 19
# `FN_REFLEN` in MySQL's `include/my_io.h`, less one.
_LONGEST_FILE = 511
_LONGEST_SHORT = 1 << 16
# Of a statement, in bytes: longer ones are judged by their beginning.
_LONGEST_STATEMENT = 4 << 20
_BEGINNING = 1 << 16
_MOST_COLUMNS = 4096  # of MySQL and of MariaDB (`MAX_FIELDS`)
_POST_HEADERS: dict[int, int] = {EventType.TABLE_MAP: 8}
_POST_HEADERS.update(dict.fromkeys(_ROWS_V1, 8))
_POST_HEADERS.update(dict.fromkeys(set(_KINDS) - _ROWS_V1, 10))


def short(body: bytes, name: str) -> bytes:
    """The body of an event of a kind that is never large.

    :raises CorruptLogError: it is.
    """
    if len(body) > _LONGEST_SHORT:
        raise CorruptLogError(f"a {name} event of {len(body)} bytes: more than any server writes")
    return bytes(body)


def server_version(text: str) -> tuple[int, int, int]:
    """``5.1.34sp1`` → (5, 1, 34), ``26.7`` → (26, 7, 0), ``5.5.5-10.11.6-MariaDB`` → (10, 11, 6).

    What cannot be read is (0, 0, 0).
    """
    # Before 11.0 MariaDB puts the version of a MySQL in front where older clients look.
    match = re.match(r"(?:5\.5\.5-(?=\d+\.\d+\.\d+-))?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else (0, 0, 0)


def parse_format_description(body: bytes) -> FormatDescription:
    """:raises CorruptLogError, UnsupportedError: not a binlog of version 4 as MySQL 5.1 and later write it."""
    if len(body) < 57:
        raise CorruptLogError("a FORMAT_DESCRIPTION event is cut short")
    version = int.from_bytes(body[:2], "little")
    text = body[2:52].split(b"\0", 1)[0].decode("ascii", "backslashreplace")
    if version != 4 or body[56] != _HEADER_LENGTH:
        raise UnsupportedError(
            f"binlog version {version} with headers of {body[56]} bytes (server {text}): only version 4 of "
            "MySQL 5.1 and later is understood; start at a file of a newer server"
        )
    for event_type, length in _POST_HEADERS.items():
        # 0: a type that the server knows of but never writes.
        if len(body) > 56 + event_type and body[56 + event_type] not in (0, length):
            raise UnsupportedError(
                f"server {text} writes {event_name(event_type)} with a frame of {body[56 + event_type]} bytes, "
                f"not {length}; start at a file of a newer server"
            )
    checksum = body[-1] if has_checksum_field(body) else 0
    if checksum not in (0, 1):
        raise UnsupportedError(f"checksum algorithm {checksum} of server {text} is unknown")
    return FormatDescription(version, text, checksum)


def has_checksum_field(body: bytes) -> bool:
    """Whether a FORMAT_DESCRIPTION names a checksum algorithm (and carries a checksum itself): since MySQL 5.6.1."""
    return server_version(body[2:52].split(b"\0", 1)[0].decode("latin-1")) >= (5, 6, 1)


def parse_rotate(body: bytes) -> Rotate:
    """:raises CorruptLogError: cut short, or with a name that is too long for any file."""
    beginning = bytes(body[: 8 + _LONGEST_FILE])
    if len(body) < 9:
        raise CorruptLogError("a ROTATE event is cut short")
    file = beginning[8:].decode("utf-8", "backslashreplace")
    if len(body) > 8 + _LONGEST_FILE or len(file.encode()) > _LONGEST_FILE:
        raise CorruptLogError(f"a ROTATE event names a file by more than {_LONGEST_FILE} bytes")
    return Rotate(int.from_bytes(beginning[:8], "little"), file)


@lru_cache(maxsize=256)
def _uuid(raw: bytes) -> str:
    return str(UUID(bytes=raw))


# Flags, source, gno, logical clock (42 bytes in all), then 7 bytes of commit time and one of what follows.
_GTID = struct.Struct("<x16sq17xQ")
_GTID_5_6 = struct.Struct("<x16sq")
_TIME_MASK = (1 << 55) - 1


def parse_gtid(event_type: int, body: bytes) -> Gtid:
    """Body of GTID, ANONYMOUS_GTID or GTID_TAGGED.

    :raises CorruptLogError: cut short.
    """
    body = short(body, "GTID")
    if event_type == EventType.GTID_TAGGED:
        return _parse_tagged_gtid(body)
    if len(body) < _GTID.size:
        if len(body) < _GTID_5_6.size:
            raise CorruptLogError("a GTID event is cut short")
        raw, gno = _GTID_5_6.unpack_from(body)
        immediate = original = length = 0
    else:
        raw, gno, word = _GTID.unpack_from(body)
        immediate = original = word & _TIME_MASK
        at = 49
        # The top bit of the time tells that the original commit's follows.
        if word >> 55 & 1:
            original = int.from_bytes(body[at : at + 7], "little")
            at += 7
        length = packed_integer(body, at)[0]
    if event_type == EventType.ANONYMOUS_GTID:
        return Gtid("", 0, "", original, immediate, length)
    if gno < 1:
        raise CorruptLogError(f"a GTID event has the impossible number {gno}")
    return Gtid(_uuid(raw), gno, "", original, immediate, length)


def _zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


_TAG = re.compile(r"[a-z_][a-z0-9_]{0,31}")


def _parse_tagged_gtid(body: bytes) -> Gtid:
    """MySQL's serialization library: version, size, last field to be understood, then fields by number.

    Fields: 0 flags, 1 UUID (16 numbers), 2 gno, 3 tag, 4 and 5 logical clock, 6 and 7 immediate and original commit
    time, 8 length, 9 and 10 server versions, 11 commit group ticket (`Gtid_event::define_fields`).
    """
    version, at = read_varlen(body, 0)
    size, at = read_varlen(body, at)
    last_needed, at = read_varlen(body, at)
    if version != 1 or last_needed > 11:
        raise UnsupportedError(f"a GTID_TAGGED event of format version {version} is not understood")
    if size != len(body):
        raise CorruptLogError("a GTID_TAGGED event is not as long as it says")
    values: dict[int, int] = {}
    raw, tag = b"", ""
    while at < len(body):
        field, at = read_varlen(body, at)
        if field == 1:
            numbers = []
            for _ in range(16):
                number, at = read_varlen(body, at)
                numbers.append(number & 0xFF)
            raw = bytes(numbers)
        elif field == 3:
            length, at = read_varlen(body, at)
            tag = body[at : at + length].decode("ascii", "backslashreplace")
            at += length
        elif field <= 11:
            values[field], at = read_varlen(body, at)
        else:
            break  # behind the last field that must be understood
    if at > len(body) or len(raw) != 16 or 2 not in values:
        raise CorruptLogError("a GTID_TAGGED event is cut short")
    if tag and not _TAG.fullmatch(tag):
        raise CorruptLogError("a GTID_TAGGED event has a tag that is none")
    gno = _zigzag(values[2])
    if gno < 1:
        raise CorruptLogError(f"a GTID_TAGGED event has the impossible number {gno}")
    immediate = values.get(6, 0)
    return Gtid(_uuid(raw), gno, tag, values.get(7, immediate), immediate, values.get(8, 0))


def parse_previous_gtids(body: bytes) -> GtidSet:
    """:raises CorruptLogError: cut short."""
    return GtidSet.decode(body)


_QUERY_HEAD = struct.Struct("<IIBHH")


def _query_parts(body: bytes, head: int = 13) -> tuple[int, int, bytes, bytes, bytes]:
    """:param head: bytes in front of the variables."""
    if len(body) < head:
        raise CorruptLogError("a QUERY event is cut short")
    thread_id, _, schema_length, error_code, variables_length = _QUERY_HEAD.unpack_from(body)
    schema_at = head + variables_length
    sql_at = schema_at + schema_length + 1
    if sql_at > len(body) or body[sql_at - 1] != 0:
        raise CorruptLogError("a QUERY event's lengths do not fit what it holds")
    variables, schema = bytes(body[head:schema_at]), bytes(body[schema_at : sql_at - 1])
    return thread_id, error_code, variables, schema, body[sql_at:]


def is_begin(body: bytes) -> bool:
    """Whether a QUERY event says just ``BEGIN``.

    :raises CorruptLogError: cut short.
    """
    return _query_parts(body)[4] == b"BEGIN"


def is_commit(body: bytes) -> bool:
    """Whether a QUERY event says just ``COMMIT`` (the end of a transaction on non-transactional tables).

    :raises CorruptLogError: cut short.
    """
    return _query_parts(body)[4] == b"COMMIT"


def parse_query(body: bytes) -> Query:
    """:raises CorruptLogError: cut short."""
    return _query(*_query_parts(body))


def _query(thread_id: int, error_code: int, variables: bytes, schema: bytes, sql: bytes) -> Query:
    collation = _client_collation(variables)
    charset = charsets.charset_name(collation) if collation is not None else None
    # Bytes that are wrong in the client's character set can only stand in a comment or a literal: MySQL itself
    # refuses them in a name. They must not stop the log.
    cut = len(sql) > _LONGEST_STATEMENT
    raw = bytes(sql[:_BEGINNING] if cut else sql).rstrip(b"\0")
    text = charsets.decode(raw, None if _is_the_servers_own(raw) else charset, escape=True)
    return Query(thread_id, schema.decode("utf-8", "backslashreplace"), text, error_code, variables, cut)


_GENERATED_KEY = b"(\n  `my_row_id` bigint unsigned NOT NULL AUTO_INCREMENT /*!80023 INVISIBLE */"


def _is_the_servers_own(sql: bytes) -> bool:
    """A table made by a SELECT, or with a key that the server adds: MySQL logs a statement that it wrote itself, in UTF-8
    whatever the client speaks."""
    if not sql.startswith(b"CREATE TABLE `"):
        return False
    try:
        sql.decode()
    except UnicodeDecodeError:
        return False  # a client repeats what a server wrote
    return sql.endswith(b"START TRANSACTION") or _GENERATED_KEY in sql


# Code of a status variable → bytes of its value (`Query_event::Query_event_post_header`). Those in front of the
# character set, in the order in which MySQL writes them; catalog (6) has its length in front.
_STATUS_LENGTHS = {0: 4, 1: 8, 3: 4}
_STATUS_CATALOG = 6
_STATUS_CHARSET = 4


def _client_collation(variables: bytes) -> int | None:
    at = 0
    while at < len(variables):
        code = variables[at]
        at += 1
        if code == _STATUS_CHARSET:
            return int.from_bytes(variables[at : at + 2], "little") if at + 6 <= len(variables) else None
        if code == _STATUS_CATALOG:
            at += 1 + (variables[at] if at < len(variables) else 0)
        elif code in _STATUS_LENGTHS:
            at += _STATUS_LENGTHS[code]
        else:
            return (
                None  # a variable of unknown length: what stands behind it cannot be read, the statement can
            )
    return None


def parse_execute_load(body: bytes) -> Query:
    """Body of EXECUTE_LOAD_QUERY: a QUERY's with 13 bytes more in front of the variables.

    :raises CorruptLogError: cut short.
    """
    return _query(*_query_parts(body, 26))


_XA_STATEMENT = re.compile(
    r"XA\s+(START|END|COMMIT|ROLLBACK)\s+(X'[0-9A-F]*',X'[0-9A-F]*',-?\d+)\s*", re.IGNORECASE
)


def parse_xa_statement(sql: str) -> XaStatement:
    """The statements that MySQL itself writes about an XA transaction.

    :raises UnsupportedError: any other.
    """
    match = _XA_STATEMENT.fullmatch(sql)
    if match is None:
        raise UnsupportedError(f"{' '.join(sql.split(None, 2)[:2])} in a form that is not understood")
    return XaStatement(match[1].upper(), match[2].lower().replace("x'", "X'"))


def parse_xa_prepare(body: bytes) -> XaPrepare:
    """:raises CorruptLogError: cut short."""
    body = short(body, "XA_PREPARE")
    if len(body) < 13:
        raise CorruptLogError("an XA_PREPARE event is cut short")
    one_phase, format_id, global_length, branch_length = struct.unpack_from("<?iii", body)
    if (
        not (0 <= global_length <= 64 and 0 <= branch_length <= 64)
        or len(body) < 13 + global_length + branch_length
    ):
        raise CorruptLogError("an XA_PREPARE event is cut short")
    middle = 13 + global_length
    return XaPrepare(one_phase, xid_text(format_id, body[13:middle], body[middle : middle + branch_length]))


def xid_text(format_id: int, global_id: bytes, branch: bytes) -> str:
    """An XID as MySQL prints it: ``X'61',X'',1``."""
    return f"X'{global_id.hex()}',X'{branch.hex()}',{format_id}"


def packed_integer(body: bytes, at: int) -> tuple[int, int]:
    """Length-encoded integer (`net_field_length`) and the offset behind it."""
    if at >= len(body):
        raise CorruptLogError("an event is cut short")
    first = body[at]
    if first < 251:
        return first, at + 1
    width = {252: 2, 253: 3, 254: 8}.get(first)
    if width is None or at + 1 + width > len(body):
        raise CorruptLogError("an event is cut short")
    return int.from_bytes(body[at + 1 : at + 1 + width], "little"), at + 1 + width


def parse_rows(event: Event) -> Rows:
    """The frame of a rows event, versions 1 and 2.

    :raises UnsupportedError: partial JSON updates, or not a rows event.
    :raises CorruptLogError: cut short.
    """
    kind = _KINDS.get(event.type)
    if kind is None:
        raise UnsupportedError(_not_rows(event))
    body = event.body
    if len(body) < 10:
        raise CorruptLogError(f"{event.place}: it is cut short")
    low, high, flags, extra = _ROWS_HEAD.unpack_from(body)
    at = 8
    if event.type not in _ROWS_V1:
        if extra < 2:
            raise CorruptLogError(f"{event.place}: its extra data are cut short")
        at += extra
    columns, at = packed_integer(body, at)
    if columns > _MOST_COLUMNS:
        raise CorruptLogError(
            f"{event.place}: it says that its rows have {columns} columns: more than any table"
        )
    width = (columns + 7) >> 3
    payload = at + (2 * width if kind is Kind.UPDATE else width)
    if payload > len(body):
        raise CorruptLogError(f"{event.place}: it is cut short")
    full = _all_set(body[at : at + width], columns) and _all_set(body[at + width : payload], columns)
    return Rows(low | high << 32, bool(flags & _STMT_END), kind, columns, payload, full)


def _all_set(bits: bytes, columns: int) -> bool:
    """Whether a bitmap has all columns, whatever stands behind them in its last byte; none is no bitmap."""
    if bits == b"\xff" * len(bits):
        return True
    wanted = (1 << columns) - 1
    return int.from_bytes(bits, "little") & wanted == wanted


def _not_rows(event: Event) -> str:
    if event.type == EventType.PARTIAL_UPDATE_ROWS:
        return f"{event.place}: it holds JSON diffs, which are to be applied first (see `partial`)"
    return f"{event.place}: it is not a rows event that is understood"
