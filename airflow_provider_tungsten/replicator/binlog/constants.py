"""Numbers of the binary log's format, and the one list of events that may be passed over.

Source: MySQL `libs/mysql/binlog/event/binlog_event.h` (``Log_event_type``) and `include/field_types.h`; MariaDB
`sql/log_event.h`.

mysql-replication's constants are not used: they lack TRANSACTION_PAYLOAD, GTID_TAGGED and HEARTBEAT_V2, MariaDB's compressed events, and the
column types VECTOR and TYPED_ARRAY, and a number that is not known here must stop reading.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class EventType(IntEnum):
    """Event types of MySQL 5.1 to 9.7 and MariaDB 10.5 to 11; any other number is unknown."""

    UNKNOWN = 0
    START_V3 = 1
    QUERY = 2
    STOP = 3
    ROTATE = 4
    INTVAR = 5
    LOAD = 6
    SLAVE = 7
    CREATE_FILE = 8
    APPEND_BLOCK = 9
    EXEC_LOAD = 10
    DELETE_FILE = 11
    NEW_LOAD = 12
    RAND = 13
    USER_VAR = 14
    FORMAT_DESCRIPTION = 15
    XID = 16
    BEGIN_LOAD_QUERY = 17
    EXECUTE_LOAD_QUERY = 18
    TABLE_MAP = 19
    PRE_GA_WRITE_ROWS = 20
    PRE_GA_UPDATE_ROWS = 21
    PRE_GA_DELETE_ROWS = 22
    WRITE_ROWS_V1 = 23
    UPDATE_ROWS_V1 = 24
    DELETE_ROWS_V1 = 25
    INCIDENT = 26
    HEARTBEAT = 27
    IGNORABLE = 28
    ROWS_QUERY = 29
    WRITE_ROWS = 30
    UPDATE_ROWS = 31
    DELETE_ROWS = 32
    GTID = 33
    ANONYMOUS_GTID = 34
    PREVIOUS_GTIDS = 35
    TRANSACTION_CONTEXT = 36
    VIEW_CHANGE = 37
    XA_PREPARE = 38
    PARTIAL_UPDATE_ROWS = 39
    TRANSACTION_PAYLOAD = 40
    HEARTBEAT_V2 = 41
    GTID_TAGGED = 42
    ANNOTATE_ROWS = 160
    BINLOG_CHECKPOINT = 161
    MARIADB_GTID = 162
    GTID_LIST = 163
    START_ENCRYPTION = 164
    QUERY_COMPRESSED = 165
    WRITE_ROWS_COMPRESSED_V1 = 166
    UPDATE_ROWS_COMPRESSED_V1 = 167
    DELETE_ROWS_COMPRESSED_V1 = 168
    WRITE_ROWS_COMPRESSED = 169
    UPDATE_ROWS_COMPRESSED = 170
    DELETE_ROWS_COMPRESSED = 171


class EventFlag(IntFlag):
    """Bits of an event header's flags (``LOG_EVENT_…_F``)."""

    IN_USE = 0x01
    ARTIFICIAL = 0x20
    IGNORABLE = 0x80


class ColumnType(IntEnum):
    """Column type codes of table maps (``enum_field_types``); the compressed ones are MariaDB's."""

    TINY = 1
    SHORT = 2
    LONG = 3
    FLOAT = 4
    DOUBLE = 5
    TIMESTAMP = 7
    LONGLONG = 8
    INT24 = 9
    DATE = 10
    TIME = 11
    DATETIME = 12
    YEAR = 13
    VARCHAR = 15
    BIT = 16
    TIMESTAMP2 = 17
    DATETIME2 = 18
    TIME2 = 19
    TYPED_ARRAY = 20
    BLOB_COMPRESSED = 140
    VARCHAR_COMPRESSED = 141
    VECTOR = 242
    JSON = 245
    NEWDECIMAL = 246
    ENUM = 247
    SET = 248
    BLOB = 252
    VAR_STRING = 253
    STRING = 254
    GEOMETRY = 255


ROWS_EVENTS = frozenset(
    {
        EventType.WRITE_ROWS_V1,
        EventType.UPDATE_ROWS_V1,
        EventType.DELETE_ROWS_V1,
        EventType.WRITE_ROWS,
        EventType.UPDATE_ROWS,
        EventType.DELETE_ROWS,
    }
)
GTID_EVENTS = frozenset(
    {EventType.GTID, EventType.ANONYMOUS_GTID, EventType.GTID_TAGGED, EventType.MARIADB_GTID}
)

SKIPPABLE: dict[int, str] = {
    EventType.STOP: "the server shut down; what follows is in the next file",
    EventType.HEARTBEAT: "the source is alive and has nothing to send",
    EventType.HEARTBEAT_V2: "the source is alive and has nothing to send",
    EventType.PREVIOUS_GTIDS: "repeats what earlier files held",
    EventType.IGNORABLE: "a placeholder that MySQL made to be ignored",
    EventType.ROWS_QUERY: "the statement's text, for people; its rows follow",
    EventType.BEGIN_LOAD_QUERY: "data of the LOAD DATA statement behind it; that statement is judged itself",
    EventType.APPEND_BLOCK: "data of the LOAD DATA statement behind it; that statement is judged itself",
    EventType.DELETE_FILE: "a LOAD DATA statement that failed: its data are thrown away",
    EventType.INTVAR: "an argument of the statement behind it; that statement is judged itself",
    EventType.RAND: "an argument of the statement behind it; that statement is judged itself",
    EventType.USER_VAR: "an argument of the statement behind it; that statement is judged itself",
    EventType.VIEW_CHANGE: "membership of a replication group changed; holds no data of tables",
    EventType.ANNOTATE_ROWS: "the statement's text, for people; its rows follow",
    EventType.BINLOG_CHECKPOINT: "tells MariaDB which files its own crash recovery needs",
    EventType.GTID_LIST: "repeats what earlier files held",
    EventType.START_ENCRYPTION: "the file is encrypted where it lies; over the wire it comes in plain",
    EventType.TRANSACTION_CONTEXT: "write set of a replication group's transaction; its rows follow",
}


def is_skippable(event_type: int, flags: int) -> bool:
    """Whether an event may be passed over: it is listed, or it is unknown and MySQL marks it ignorable.

    A known type that is not listed never is, whatever its flags: someone must handle it or stop.
    """
    if event_type in SKIPPABLE:
        return True
    return event_type not in _KNOWN and bool(flags & EventFlag.IGNORABLE)


def event_name(event_type: int) -> str:
    """``WRITE_ROWS (30)``, for messages."""
    try:
        return f"{EventType(event_type).name} ({event_type})"
    except ValueError:
        return f"unknown event type {event_type}"


_KNOWN = frozenset(EventType)
