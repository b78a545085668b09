"""Binlog events of one small table, made by hand: what a server would have to be hurt for to send it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.framing import Event

FILE = "mysql-bin.000001"
UUID = "7de2b7b6-e54d-11f1-9ea3-02fc00000001"
SECONDS = 1_700_000_000
# Of MySQL 9.7.4, for CREATE TABLE a.t (id INT PRIMARY KEY, v VARCHAR(20)): a TABLE_MAP, and rows events up to the images.
TABLE_MAP = bytes.fromhex(
    "7100000000000100016100017400 02 030f 02 5000 02 01 01 00 02 03 fcff00 04 05 02 6964 01 76 08 01 00 0c 01 c0"
)
ROWS = bytes.fromhex("7100000000000100 0200 02 ff")
ONE_ROW = bytes.fromhex("00 01000000 01 78")


class Events:
    """Makes events that follow each other in a file."""

    def __init__(self, position: int = 157) -> None:
        self.position = position
        self._numbers = count(1)

    def event(self, kind: int, body: bytes = b"", *, flags: int = 0, file: str = FILE) -> Event:
        start = self.position
        self.position += 19 + len(body) + 4
        return Event(kind, flags, SECONDS, 1, file, start, self.position, body)

    def gtid(self, number: int | None = None) -> Event:
        number = number or next(self._numbers)
        source = bytes.fromhex(UUID.replace("-", ""))
        return self.event(EventType.GTID, b"\0" + source + number.to_bytes(8, "little") + bytes(17))

    def server(self, version: str = "9.7.4") -> Event:
        """The FORMAT_DESCRIPTION of a server of that version."""
        body = b"\x04\0" + version.encode().ljust(50, b"\0") + bytes(4) + b"\x13" + bytes(41) + b"\x01"
        return self.event(EventType.FORMAT_DESCRIPTION, body)

    def query(self, sql: str, *, thread: int = 12, schema: str = "a") -> Event:
        head = thread.to_bytes(4, "little") + bytes(4) + bytes([len(schema)]) + bytes(4)
        return self.event(EventType.QUERY, head + schema.encode() + b"\0" + sql.encode())

    def rows(self, images: bytes = ONE_ROW, kind: int = EventType.WRITE_ROWS) -> Event:
        return self.event(kind, ROWS + images)

    def begin(self) -> Iterator[Event]:
        yield self.gtid()
        yield self.query("BEGIN")

    def one_row(self) -> Iterator[Event]:
        yield self.event(EventType.TABLE_MAP, TABLE_MAP)
        yield self.rows()

    def mariadb_gtid(self, seq_no: int, flags: int = 0x0C, more: bytes = b"") -> Event:
        """Of domain 0, server 1; by default one that opens a transaction."""
        return self.event(
            EventType.MARIADB_GTID, seq_no.to_bytes(8, "little") + bytes(4) + bytes([flags]) + more
        )

    def transaction(self) -> list[Event]:
        return [*self.begin(), *self.one_row(), self.event(EventType.XID, bytes(8))]

    def rotate(self, file: str) -> Event:
        return self.event(EventType.ROTATE, (4).to_bytes(8, "little") + file.encode())
