"""Logs made by hand, of what the corpus' servers did not write: MariaDB's compressed events and columns, XA, partial updates,
heartbeats, what is rare, and table maps with every kind of metadata."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import zstandard

from airflow_provider_tungsten.replicator.binlog.constants import ColumnType, EventType
from airflow_provider_tungsten.replicator.binlog.framing import Event
from tests.fuzz.material import MAGIC
from tests.unit.replicator.binlog import partial_rows
from tests.unit.replicator.events import ONE_ROW, ROWS, TABLE_MAP, UUID, Events
from tests.unit.replicator.streams import bare, on_the_wire, payload

_SOURCE = bytes.fromhex(UUID.replace("-", ""))
_XID = "X'61',X'62',1"
_PREPARE = b"\0" + b"".join(number.to_bytes(4, "little") for number in (1, 1, 1)) + b"ab"
_MARIADB_XID = (1).to_bytes(4, "little") + b"\1\1ab"
_PREPARED, _COMPLETED, _STANDALONE, _TRANSACTIONAL = 0x40, 0x80, 1, 0x0C


def logs() -> list[bytes]:
    """As they lie in files."""
    made = (_mysql, _rare, _xa, _columns, _mariadb)
    return [MAGIC + on_the_wire(log(Events(4))) for log in made]


def _transaction(made: Events, *events: Event) -> Iterator[Event]:
    yield from made.begin()
    yield from events
    yield made.event(EventType.XID, bytes(8))


def _mysql(made: Events) -> Iterator[Event]:
    """Compressed transactions, one of them inside another, and partial updates."""
    yield made.server()
    inside = Events(0)
    plain = bare([inside.query("BEGIN"), *inside.one_row(), inside.event(EventType.XID, bytes(8))])
    nested = bare(
        [inside.event(EventType.TRANSACTION_PAYLOAD, payload(zstandard.compress(plain), len(plain)))]
    )
    for packed, size, compression in (
        (zstandard.compress(plain), len(plain), 0),
        (plain, len(plain), 255),
        (zstandard.compress(nested), len(nested), 0),
        (nested, len(nested), 255),
    ):
        yield made.gtid()
        yield made.event(EventType.TRANSACTION_PAYLOAD, payload(packed, size, compression))
    yield from made.begin()
    names = [column.name for column in partial_rows.TABLE.columns]
    types = bytes((ColumnType.LONG, ColumnType.JSON, ColumnType.JSON))
    metadata = ((1, b"\0"), (4, _texts(names)), (8, b"\0"))
    yield made.event(EventType.TABLE_MAP, _table_map(9, "things", types, b"\4\4", metadata))
    for rows in (partial_rows.ROW, partial_rows.TWO_ROWS):
        yield made.event(EventType.PARTIAL_UPDATE_ROWS, partial_rows.event(rows).body)
    yield made.event(EventType.XID, bytes(8))


def _rare(made: Events) -> Iterator[Event]:
    yield made.server()
    interval = b"".join(number.to_bytes(8, "little") for number in (1, 1, 6))
    yield made.event(EventType.PREVIOUS_GTIDS, (1).to_bytes(8, "little") + _SOURCE + interval)
    yield made.event(EventType.TRANSACTION_CONTEXT, bytes(20))
    v1 = [
        made.event(kind, ROWS[:8] + b"\2\xff" + ONE_ROW)
        for kind in (EventType.WRITE_ROWS_V1, EventType.DELETE_ROWS_V1)
    ]
    both = (
        made.event(EventType.UPDATE_ROWS_V1, ROWS[:8] + b"\2\xff\xff" + 2 * ONE_ROW),
        made.event(EventType.UPDATE_ROWS, ROWS + b"\xff" + 2 * ONE_ROW),
    )
    # What is marked as ignorable, known or not, and what is not marked.
    unknown = [made.event(kind, b"x", flags=0x80) for kind in (EventType.IGNORABLE, 99)]
    table = made.event(EventType.TABLE_MAP, TABLE_MAP)
    yield from _transaction(made, made.event(EventType.ROWS_QUERY, b"\1x"), table, *v1, *both, *unknown)
    yield from _transaction(
        made, *made.one_row(), made.query("SAVEPOINT a"), *made.one_row(), made.query("ROLLBACK TO a")
    )
    shape = bytes.fromhex("03 03110f 03 060002 00")
    table = made.event(EventType.TABLE_MAP, (5).to_bytes(6, "little") + b"\1\0" + _names("heartbeat") + shape)
    row = (5).to_bytes(6, "little") + b"\1\0\2\0\3\xff" + bytes(12) + b"\4\0beat"
    yield from _transaction(made, table, made.event(EventType.WRITE_ROWS, row))
    for kind, body in (
        (EventType.HEARTBEAT, b"mysql-bin.000001"),
        (EventType.HEARTBEAT_V2, b"\1\x10mysql-bin.000001\2\2\xfe\1\0"),
        (EventType.VIEW_CHANGE, bytes(52)),
    ):
        yield made.event(kind, body)
    load = (
        made.event(EventType.BEGIN_LOAD_QUERY, bytes(4) + b"1,2"),
        made.event(EventType.APPEND_BLOCK, bytes(4) + b"3,4"),
        made.event(EventType.DELETE_FILE, bytes(4)),
        made.event(EventType.INTVAR, b"\2" + bytes(8)),
        made.event(EventType.RAND, bytes(16)),
        made.event(EventType.USER_VAR, b"\1\0\0\0a\1"),
    )
    yield from _transaction(made, *load)
    query = made.query("LOAD DATA INFILE 'x' INTO TABLE t").body
    yield from _transaction(
        made, made.event(EventType.EXECUTE_LOAD_QUERY, query[:13] + bytes(13) + query[13:])
    )
    yield made.gtid()
    yield made.query("CREATE TABLE a.u (id INT PRIMARY KEY)")
    yield made.event(EventType.INCIDENT, b"\1\0\4lost")
    yield made.event(EventType.STOP)
    yield made.rotate("mysql-bin.000002")


def _xa(made: Events) -> Iterator[Event]:
    yield made.server()
    for verb in ("COMMIT", "ROLLBACK"):
        yield made.gtid()
        yield made.query(f"XA START {_XID}")
        yield from made.one_row()
        yield made.query(f"XA END {_XID}")
        yield made.event(EventType.XA_PREPARE, _PREPARE)
        yield made.gtid()
        yield made.query(f"XA {verb} {_XID}")
    yield made.gtid()
    yield made.query(f"XA START {_XID}")
    yield from made.one_row()
    yield made.query(f"XA END {_XID}")
    yield made.event(EventType.XA_PREPARE, b"\1" + _PREPARE[1:])


_TYPES = (
    (ColumnType.TINY, b"", b"\xff"),
    (ColumnType.NEWDECIMAL, b"\5\2", b"\x80\1\2"),
    (ColumnType.YEAR, b"", b"\x7c"),
    (ColumnType.FLOAT, b"\4", bytes(4)),
    (ColumnType.DOUBLE, b"\x08", b"\0\0\0\0\0\0\xf8\x3f"),
    (ColumnType.VARCHAR, b"\x28\0", b"\3a,b"),
    (ColumnType.BLOB, b"\2", b"\2\0\xc3\xa9"),
    (ColumnType.VECTOR, b"\4", b"\x08\0\0\0\0\0\x80\x3f\0\0\0\x40"),
    (ColumnType.STRING, b"\xf7\1", b"\2"),
    (ColumnType.STRING, b"\xf8\1", b"\3"),
    (ColumnType.GEOMETRY, b"\4", b"\x19\0\0\0\xe6\x10\0\0\1\1\0\0\0" + bytes(16)),
    (ColumnType.JSON, b"\4", b'\5\0\0\0\x0c\3a"b'),
    (ColumnType.BIT, b"\1\1", b"\1\xff"),
    (ColumnType.TIMESTAMP2, b"\6", b"\x65\0\0\0\1\2\3"),
    (ColumnType.DATETIME2, b"\3", b"\x99\xb2\xc2\0\0\0\1"),
    (ColumnType.TIME2, b"\0", b"\x80\x10\x20"),
    (ColumnType.DATE, b"", b"\x21\xd0\x0f"),
)


def _columns(made: Events) -> Iterator[Event]:
    """Every kind of metadata, character sets and keys both ways."""
    yield made.server()
    types, metas, values = (
        b"".join(parts) for parts in zip(*((bytes([a]), b, c) for a, b, c in _TYPES), strict=True)
    )
    names = [f"c{number}" for number in range(len(types))]
    members = b"\2" + _texts(["a", "b"])
    common = (
        (1, b"\x80"),
        (4, _texts(names)),
        (5, members),
        (6, members),
        (7, b"\1"),
        (12, b"\xff\x7f\x80"),
        (13, b"\2"),
    )
    default = ((2, b"\xfc\xff\0\1\x08"), (8, b"\0\5"), (10, b"\xfc\xff\0\0\x08"))
    each = ((3, b"\x2d\x08\x3f"), (9, b"\5\2"), (11, b"\x2d\x08"))
    image = bytes(3) + values
    for number, metadata in ((7, common + default), (8, common + each)):
        head = number.to_bytes(6, "little") + b"\1\0\2\0" + bytes([len(types)])
        table = made.event(EventType.TABLE_MAP, _table_map(number, "every", types, metas, metadata))
        insert = made.event(EventType.WRITE_ROWS, head + b"\xff\xff\1" + image + b"\xff\xff\1")
        update = made.event(EventType.UPDATE_ROWS, head + 2 * b"\xff\xff\1" + image + image[:-1] + b"\1")
        yield from _transaction(made, table, insert, update)


def _mariadb(made: Events) -> Iterator[Event]:
    yield made.server("5.5.5-10.11.6-MariaDB-log")
    yield made.event(EventType.GTID_LIST, b"\1\0\0\0" + bytes(4) + b"\1\0\0\0" + (7).to_bytes(8, "little"))
    yield made.event(EventType.BINLOG_CHECKPOINT, b"\x12\0\0\0mariadb-bin.000001")
    yield made.event(EventType.START_ENCRYPTION, bytes(17))
    yield made.mariadb_gtid(8)
    yield made.event(EventType.ANNOTATE_ROWS, b"INSERT")
    yield made.event(EventType.TABLE_MAP, TABLE_MAP)
    for kind in range(EventType.WRITE_ROWS_COMPRESSED_V1, EventType.DELETE_ROWS_COMPRESSED + 1):
        head = ROWS[:10] if kind >= EventType.WRITE_ROWS_COMPRESSED else ROWS[:8]
        images = 2 if kind in (EventType.UPDATE_ROWS_COMPRESSED_V1, EventType.UPDATE_ROWS_COMPRESSED) else 1
        yield made.event(kind, head + b"\2" + b"\xff" * images + compressed(images * ONE_ROW))
    yield made.event(EventType.XID, bytes(8))
    yield made.mariadb_gtid(9, _STANDALONE | 0x08)
    query = made.query("").body
    yield made.event(EventType.QUERY_COMPRESSED, query + compressed(b"DROP TABLE a.t"))
    yield made.mariadb_gtid(10, _TRANSACTIONAL | _PREPARED, _MARIADB_XID)
    yield from made.one_row()
    yield made.event(EventType.XA_PREPARE, _PREPARE)
    yield made.mariadb_gtid(11, _STANDALONE | _TRANSACTIONAL | _COMPLETED, _MARIADB_XID)
    yield made.query(f"XA COMMIT {_XID}")
    yield made.mariadb_gtid(12)
    types = bytes((ColumnType.BLOB_COMPRESSED, ColumnType.VARCHAR_COMPRESSED, ColumnType.VARCHAR_COMPRESSED))
    metadata = ((3, b"\x2d\x3f\x08"), (4, _texts(["t", "b", "v"])))
    yield made.event(EventType.TABLE_MAP, _table_map(6, "packed", types, b"\2\x65\0\x65\0", metadata))
    values = [b"\x84\0\0\0\x14" + zlib.compress(b"text" * 5), b"\0plain", b""]
    image = (
        b"\0"
        + len(values[0]).to_bytes(2, "little")
        + b"".join(value if at == 0 else bytes([len(value)]) + value for at, value in enumerate(values))
    )
    yield made.event(EventType.WRITE_ROWS_V1, (6).to_bytes(6, "little") + b"\1\0\3\xff" + image + b"\7")
    yield made.event(EventType.XID, bytes(8))


def _texts(texts: Sequence[str]) -> bytes:
    return b"".join(bytes([len(text)]) + text.encode() for text in texts)


def _names(table: str) -> bytes:
    """Of schema a."""
    return _texts(["a"]) + b"\0" + _texts([table]) + b"\0"


def _table_map(
    number: int, table: str, types: bytes, metas: bytes, metadata: Sequence[tuple[int, bytes]]
) -> bytes:
    """All columns may be NULL."""
    nulls = ((1 << len(types)) - 1).to_bytes((len(types) + 7) // 8, "little")
    head = number.to_bytes(6, "little") + b"\1\0" + _names(table) + bytes([len(types)]) + types
    rest = b"".join(bytes([kind, len(value)]) + value for kind, value in metadata)
    return head + bytes([len(metas)]) + metas + nulls + rest


def compressed(data: bytes) -> bytes:
    """As MariaDB has it in events: how, its length in front, and what zlib makes of it."""
    return b"\x84" + len(data).to_bytes(4, "big") + zlib.compress(data)
