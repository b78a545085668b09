"""What broken input is given to, and what must hold where it is accepted. Each takes the dice and says what came of it.

A refusal is any :class:`TungstenError`; every other exception is a fault. Acceptance is checked:

- **stream**, **packets**: the reader stands behind the last byte, every GTID in the bytes is in its executed set, and the row images
  in the log are as many bytes as those in the rows events, counted here by their frames alone. So nothing was passed
  over. (Not counted where transactions are rolled back, repeated or XA, or where rows are rewritten.)
- **rows**: as many CSV rows as the layout counts, each with every column; all of the payload is taken apart and put
  together again; the batch step takes the same bytes. In any dialect, output and header the lines read back are what
  `RowReader` and a model of the transforms say, and a run of events gives the lines of its events (`tests.fuzz.lines`).
- **partial**: what is made whole is rows, as above.
- **bodies**: a table map's definition survives its JSON, a GTID set its text and its binary form.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable

from airflow_provider_tungsten.replicator.assembler import Assembler, Limits
from airflow_provider_tungsten.replicator.binlog.constants import GTID_EVENTS, ROWS_EVENTS, EventType
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.events import (
    Event,
    packed_integer,
    parse_execute_load,
    parse_format_description,
    parse_gtid,
    parse_previous_gtids,
    parse_query,
    parse_rotate,
    parse_rows,
    parse_xa_prepare,
)
from airflow_provider_tungsten.replicator.binlog.framing import EventStream, payload_events
from airflow_provider_tungsten.replicator.binlog.gtid import GtidSet
from airflow_provider_tungsten.replicator.binlog.mariadb import (
    COMPRESSED_EVENTS,
    MariadbPosition,
    decompressed,
    parse_mariadb_gtid,
)
from airflow_provider_tungsten.replicator.binlog.partial import PartialUpdates
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder, RowLayout, unsupported_columns
from airflow_provider_tungsten.replicator.binlog.table_map import TableMaps, table_name
from airflow_provider_tungsten.replicator.errors import TungstenError
from airflow_provider_tungsten.replicator.filters.tables import HEARTBEAT_TABLE, TableFilter
from airflow_provider_tungsten.replicator.records import Origin
from airflow_provider_tungsten.replicator.storage import LocalStorage
from airflow_provider_tungsten.replicator.thl import columns
from airflow_provider_tungsten.replicator.thl.event import ROW_KINDS, Resume, ThlEvent
from airflow_provider_tungsten.replicator.xa import XaStore
from tests.fuzz.lines import check_lines
from tests.fuzz.material import HEADER, Material
from tests.fuzz.mutations import broken_stream, in_packets, mutated
from tests.unit.replicator.binlog import partial_rows

Target = Callable[[Material, random.Random], bool]


class _EveryTable(TableFilter):
    SYSTEM_SCHEMAS = frozenset()


_FILTER = _EveryTable()
_NEVER = Limits(10**9, 10**12, "", 0)
_FILE = "log.000001"
_UNCOUNTED = (b"ROLLBACK", b"XA ", b"SAVEPOINT")


def broken_streams(material: Material, dice: random.Random) -> bool:
    data = broken_stream(material.transaction(dice), material.transaction(dice), dice)
    stream = EventStream(_FILE, 4, verify_checksum=dice.random() < 0.9, framing="file")
    return _taken_in(stream, data, _pieces(data, dice, slice(9, 13), 0), check=True)


def broken_packets(material: Material, dice: random.Random) -> bool:
    data = broken_stream(material.transaction(dice), material.transaction(dice), dice)
    packets = in_packets(data, dice)
    # What ends a dump may come of broken packets: then nobody knows how much there was.
    whole = dice.random() < 0.5
    stream = EventStream(_FILE, 4, verify_checksum=dice.random() < 0.9)
    pieces = _pieces(packets if whole else mutated(packets, dice), dice, slice(0, 3), 4)
    return _taken_in(stream, data, pieces, check=whole)


def _taken_in(stream: EventStream, data: bytes, pieces: list[bytes], *, check: bool) -> bool:
    xa = XaStore(LocalStorage("/nowhere"), {}, token="fuzz", memory=1 << 30)
    assembler = Assembler(
        Resume("", _FILE, 4), Origin("fuzz", 0, 1), _FILTER, _NEVER, xa, spool_bytes=1 << 20, heartbeats="a"
    )
    accepted = True
    try:
        for piece in pieces:
            for _ in assembler.feed(stream, piece):
                pass
    except TungstenError:
        accepted = False
    # Behind an error, too, what was whole before it is there.
    events = [event for table in assembler.drain() for event in columns.to_events(table)]
    rows = sum(event.rows for event in events)
    assert rows == assembler.rows, f"{rows} rows are kept, {assembler.rows} were counted"
    if accepted and check:
        _check_stream(data, stream, assembler, events)
    for event in events:
        if event.kind in ROW_KINDS:
            _encode(event)
    return accepted


def _pieces(data: bytes, dice: random.Random, frame: slice, head: int) -> list[bytes]:
    """One or a few; or each event in memory of its own, behind which nothing is to be read.

    :param frame: where an event or a packet has its length, which goes without a head of so many bytes.
    """
    cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.choice((0, 0, 0, 1, 3))))
    if dice.random() < 0.3:
        cuts, at = [], 0
        while at < len(data):
            cuts.append(at)
            at += max(1, head + int.from_bytes(data[at + frame.start : at + frame.stop], "little"))
    return [data[at:to] for at, to in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _check_stream(data: bytes, stream: EventStream, assembler: Assembler, events: list[ThlEvent]) -> None:
    walk = _Walk(data)
    if stream.file == _FILE:
        taken = stream.position - 4 + walk.unplaced
        assert taken == walk.end, f"{taken} of {walk.end} bytes were taken in"
    if walk.countable:
        kept = sum(len(event.payload or b"") for event in events if event.kind in ROW_KINDS)
        assert kept == walk.image_bytes, f"{kept} bytes of row images are kept, {walk.image_bytes} were there"
        executed = assembler.resume.gtid_executed
        for gtid in walk.gtids:
            assert GtidSet.parse(executed).has(*gtid), "a GTID was lost"


class _Walk:
    """Goes over a stream by its events' lengths and counts what must not get lost.

    Attributes: ``end`` (of the last whole event); ``unplaced``: bytes of what a server sends but writes into
    no file (a file that holds it is refused when its end is reached); ``image_bytes``, ``gtids``; ``countable``: whether these tell anything.
    """

    def __init__(self, data: bytes) -> None:
        self.end = self.image_bytes = self.unplaced = 0
        self.gtids: list[tuple[str, int, str]] = []
        self.countable = True
        checksum, open_transaction, begun = 0, False, False
        while self.end + HEADER.size <= len(data):
            _, kind, _, length, _, _ = HEADER.unpack_from(data, self.end)
            if self.end + length > len(data):
                break
            event = data[self.end : self.end + length]
            self.end += length
            if kind == EventType.FORMAT_DESCRIPTION:
                has = event[HEADER.size :][-5:][:1] == b"\1"
                checksum = 4 if has else 0
                self.unplaced += length if self.end > length else 0
                continue
            if kind in (EventType.HEARTBEAT, EventType.HEARTBEAT_V2):
                self.unplaced += length
            body = event[HEADER.size : length - checksum]
            if kind == EventType.MARIADB_GTID:
                open_transaction, begun = True, not body[12] & 1
            elif kind in GTID_EVENTS:
                gtid = parse_gtid(kind, body)
                if (key := (gtid.source_id, gtid.gno, gtid.tag)) in self.gtids:
                    self.countable = False
                if gtid.gno:
                    self.gtids.append(key)
                open_transaction, begun = True, False
            elif kind in ROWS_EVENTS:
                self._count(kind, body)
            elif kind == EventType.QUERY:
                sql = body[14 + int.from_bytes(body[11:13], "little") + body[8] :]
                if any(word in sql.upper() for word in _UNCOUNTED):
                    self.countable = False
                begun = sql == b"BEGIN" or (begun and sql != b"COMMIT")
                open_transaction = open_transaction and begun
            elif kind == EventType.XID:
                open_transaction = begun = False
            elif kind == EventType.TABLE_MAP and HEARTBEAT_TABLE.encode() in body or kind in _REWRITTEN:
                self.countable = False
        if open_transaction:
            self.countable = False

    def _count(self, kind: int, body: bytes) -> None:
        at = 8
        if kind >= EventType.WRITE_ROWS:
            at += int.from_bytes(body[8:10], "little")
        columns, at = packed_integer(body, at)
        images = 2 if kind in (EventType.UPDATE_ROWS, EventType.UPDATE_ROWS_V1) else 1
        self.image_bytes += len(body) - at - images * ((columns + 7) // 8)


_REWRITTEN = frozenset(
    {
        EventType.PARTIAL_UPDATE_ROWS,
        EventType.TRANSACTION_PAYLOAD,
        EventType.XA_PREPARE,
        *range(160, 172),
    }
)


def _encode(event: ThlEvent) -> None:
    """What the batch step would make of it."""
    assert event.definition is not None
    assert event.payload is not None
    _check_rows(TableDefinition.from_json(event.definition), event.kind, event.payload, event.rows)


def _check_rows(
    definition: TableDefinition,
    kind: str,
    payload: bytes,
    expected: int | None = None,
    dice: random.Random | None = None,
) -> None:
    """:param dice: which lines are tried besides those of the default."""
    images = 2 if kind == "update" else 1
    layout = RowLayout(definition)
    count = layout.count(payload, images)
    assert expected is None or count == expected, f"{count} rows, not {expected}"
    assert count * images <= len(payload)
    whole = layout.drop(payload, count * images, [True] * len(definition.columns))
    assert len(whole) == len(payload)  # bits of a null bitmap that belong to no column may differ
    assert layout.drop(whole, count * images, [True] * len(definition.columns)) == whole
    hidden = {text.rpartition(" (")[0].rpartition(".")[2] for text in unsupported_columns(definition)}
    if hidden:
        keep = [column.name not in hidden for column in definition.columns]
        payload = layout.drop(payload, count * images, keep)
        definition = definition.without(hidden)
    if dice:
        check_lines(definition, kind, payload, dice)
    try:
        encoded = CsvEncoder(
            definition, ["opcode", "row_id"], max_text_bytes=None, refuse_nul=False, refuse_zero_dates=False
        ).encode(payload, kind, seqno=1, row_id=1, commit_ts=0)
    except TungstenError:
        return
    text = encoded.csv.decode()
    rows = [*csv.reader(io.StringIO(text, newline=""))]
    assert len(rows) == count * images == sum(encoded.opcodes.values())
    assert all(len(row) == 2 + len(definition.columns) for row in rows)


def broken_images(material: Material, dice: random.Random) -> bool:
    images = dice.choice(material.images)
    try:
        _check_rows(images.definition, images.kind, mutated(images.payload, dice), dice=dice)
    except TungstenError:
        return False
    return True


def broken_bodies(material: Material, dice: random.Random) -> bool:
    event = material.event(dice)
    try:
        _parse(event._replace(body=mutated(event.body, dice)))
    except TungstenError:
        return False
    return True


def _parse(event: Event) -> None:
    body = event.body
    if event.type == EventType.TABLE_MAP:
        table_name(body)
        definition = TableMaps().definition(body)
        assert TableDefinition.from_json(definition.json) == definition
        RowLayout(definition)
    elif event.type == EventType.MARIADB_GTID:
        parse_mariadb_gtid(event)
    elif event.type in GTID_EVENTS:
        gtid = parse_gtid(event.type, body)
        if gtid.gno > 0:
            GtidSet().add(gtid.source_id, gtid.gno, gtid.tag)
    elif event.type == EventType.PREVIOUS_GTIDS:
        gtids = parse_previous_gtids(body)
        assert GtidSet.decode(gtids.encode()) == gtids
    elif event.type == EventType.TRANSACTION_PAYLOAD:
        for inner in payload_events(event):
            _parse(inner)
    elif event.type in COMPRESSED_EVENTS:
        _parse(decompressed(event))
    elif event.type == EventType.GTID_LIST:
        position = MariadbPosition.decode(body)
        assert MariadbPosition.parse(str(position)) == position
    elif event.type in ROWS_EVENTS:
        parse_rows(event)
    elif parser := _PARSERS.get(event.type):
        parser(body)


_PARSERS: dict[int, Callable[[bytes], object]] = {
    EventType.QUERY: parse_query,
    EventType.ROTATE: parse_rotate,
    EventType.FORMAT_DESCRIPTION: parse_format_description,
    EventType.XA_PREPARE: parse_xa_prepare,
    EventType.EXECUTE_LOAD_QUERY: parse_execute_load,
}


def broken_partial_rows(_: Material, dice: random.Random) -> bool:
    """Rows of partial JSON updates, and the documents and diffs inside them: made whole, or refused."""
    rows = dice.choice((partial_rows.ROW, partial_rows.TWO_ROWS))
    try:
        whole = PartialUpdates(partial_rows.TABLE).whole_event(partial_rows.event(mutated(rows, dice)))
    except TungstenError:
        return False
    frame = parse_rows(whole)
    try:
        _check_rows(partial_rows.TABLE, frame.kind, whole.body[frame.payload_offset :])
    except TungstenError:
        return False
    return True


TARGETS: dict[str, tuple[Target, int]] = {
    "streams": (broken_streams, 35),
    "packets": (broken_packets, 15),
    "bodies": (broken_bodies, 20),
    "rows": (broken_images, 20),
    "partial": (broken_partial_rows, 10),
}
"""Name → target and its share of the events, in percent."""
