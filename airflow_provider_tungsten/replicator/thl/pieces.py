"""Large events of rows, which lie in a segment in pieces: a Parquet writer or reader holds a value several times.

The first piece is the event's record; its ``payload_bytes`` are those of all pieces. Records of kind ``continued`` follow, of the
same transaction, table and definition, without rows, each with the next piece. Who reads the log meets the event as one record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer, steps
from airflow_provider_tungsten.replicator.errors import CorruptLogError
from airflow_provider_tungsten.replicator.spool import Fragment
from airflow_provider_tungsten.replicator.thl import columns
from airflow_provider_tungsten.replicator.thl.event import ROW_KINDS, Kind, ThlEvent

PIECE_BYTES = 1024 * 1024
_MOST_BYTES = 0x7FFFFFFF  # of a payload as Arrow has it
_SAME = ("seqno", "schema_name", "table_name", "definition")


class Joined(NamedTuple):
    """Whole events as columns of ``SCHEMA``, all or some.

    :param spooled: what the payload of the only event lies in, where it is large: whoever reads it pages it out as they go.
    """

    columns: pa.RecordBatch
    spooled: SpooledBuffer | None = None


def in_pieces(fragment: Fragment) -> Iterator[Fragment]:
    """Of what is too large for one record those that hold it; a statement, which is not read by columns, stays in one."""
    kind, table, _, payload, _, _ = fragment
    if kind not in ROW_KINDS or len(payload) <= columns.GROUP_BYTES:
        yield fragment
        return
    pieces = map(bytes, steps(payload, PIECE_BYTES))
    yield fragment._replace(payload=next(pieces), whole=len(payload))
    for piece in pieces:
        yield Fragment(Kind.CONTINUED, table, 0, piece)


def joined(batches: Iterable[pa.RecordBatch], place: str) -> Iterator[Joined]:
    """Batches with every event whole: one that lies in pieces is a batch of its own, and fragments behind it count on as if it
    were one record. To be let go of before the next is asked for, or two take their room.

    :param batches: of whole transactions, with the columns that :class:`_Whole` looks at and any others. ``place``: where they lie,
        for messages.
    :raises CorruptLogError: pieces that do not make up an event.
    """
    whole: _Whole | None = None
    counted = _Counted()
    for batch in batches:
        lengths = pc.binary_length(batch.column("payload")).fill_null(0)
        continued = columns.are_continued(batch.column("kind"))
        odd = pc.or_(continued, pc.not_equal(batch.column("payload_bytes"), lengths).fill_null(True))
        start = 0
        for number in pc.indices_nonzero(odd).to_pylist():
            if number > start:
                _check_ended(whole)
                yield Joined(counted.shifted(batch.slice(start, number - start)))
            start = number + 1
            row = batch.slice(number, 1)
            if not continued[number].as_py():
                _check_ended(whole)
                whole = _Whole(row, place)
                continue
            if whole is None:
                raise _corrupt(place, row, "a piece continues no event")
            whole.add(row)
            if whole.is_complete:
                event, pieces = whole.taken()
                whole = None
                yield event._replace(columns=counted.shifted(event.columns))
                counted.add(event.columns, pieces)
                del event  # or it would take its room beside the next
        if start < len(batch):
            _check_ended(whole)
            yield Joined(counted.shifted(batch.slice(start)))
        del batch
    _check_ended(whole)


def joined_events(events: Iterable[ThlEvent], place: str) -> Iterator[ThlEvent]:
    """The same for events without their payloads.

    :raises CorruptLogError: a piece that continues no event.
    """
    event: ThlEvent | None = None
    pieces = 0
    for record in events:
        if record.kind != Kind.CONTINUED:
            if event is not None:
                yield event
                pieces = pieces if event.seqno == record.seqno else 0
            event = record._replace(fragno=record.fragno - pieces) if pieces else record
        elif event is None or _key(event) != _key(record):
            raise CorruptLogError(f"{place}: seqno {record.seqno}: a piece continues no event; {_MEND}")
        else:
            event = event._replace(last_frag=record.last_frag)
            pieces += 1
    if event is not None:
        yield event


_MEND = "restore it from a copy"


def _key(event: ThlEvent) -> tuple[Any, ...]:
    return tuple(getattr(event, name) for name in _SAME)


class _Whole:
    """An event whose pieces come one after the other."""

    def __init__(self, first: pa.RecordBatch, place: str) -> None:
        self._place = place
        self._first = first
        self._last = first
        self._pieces = 0
        size = _value(first, "payload_bytes")
        if _value(first, "kind") not in ROW_KINDS or not isinstance(size, int):
            raise _corrupt(place, first, "its payload is not as long as it says")
        piece = _payload(first)
        if not len(piece) < size <= _MOST_BYTES:
            raise _corrupt(place, first, f"an event of {size} bytes begins with {len(piece)}")
        self._size = size
        self._spooled = SpooledBuffer()
        self._spooled.append(piece)

    def add(self, record: pa.RecordBatch) -> None:
        expected = _value(self._last, "fragno") + 1
        same = all(_value(self._first, name) == _value(record, name) for name in _SAME)
        if not same or _value(record, "fragno") != expected or _value(self._last, "last_frag"):
            raise _corrupt(
                self._place, self._first, f"its piece {self._pieces + 1} is missing or out of order"
            )
        piece = _payload(record)
        if not 0 < len(piece) <= self._size - len(self._spooled):
            raise _corrupt(self._place, self._first, f"its pieces are more than its {self._size} bytes")
        self._pieces += 1
        self._last = record
        self._spooled.append(piece)

    @property
    def is_complete(self) -> bool:
        return len(self._spooled) == self._size

    def taken(self) -> tuple[Joined, int]:
        """The event, and how many records it had more than one."""
        self._spooled.page_out()
        pa.default_memory_pool().release_unused()  # what reading the pieces took
        changed = {"payload": columns.one_payload(self._spooled), "last_frag": self._last.column("last_frag")}
        arrays = [changed.get(name, self._first.column(name)) for name in self._first.schema.names]
        event = pa.RecordBatch.from_arrays(arrays, schema=self._first.schema)
        return Joined(event, self._spooled if self._spooled.is_paged else None), self._pieces

    def refuse(self) -> CorruptLogError:
        return _corrupt(
            self._place,
            self._first,
            f"it ends after {len(self._spooled)} of its {self._size} bytes: pieces are missing",
        )


class _Counted:
    """Numbers the fragments behind an event in pieces."""

    def __init__(self) -> None:
        self._seqno = -1
        self._pieces = 0

    def add(self, event: pa.RecordBatch, pieces: int) -> None:
        seqno = _value(event, "seqno")
        self._pieces = pieces + (self._pieces if seqno == self._seqno else 0)
        self._seqno = seqno

    def shifted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self._pieces or _value(batch, "seqno") != self._seqno:
            return batch
        fragno = batch.column("fragno")
        behind = pc.equal(batch.column("seqno"), self._seqno)
        less = pc.subtract(fragno, pa.scalar(self._pieces, pa.int32()))
        return batch.set_column(
            batch.schema.get_field_index("fragno"),
            batch.schema.field("fragno"),
            pc.if_else(behind, less, fragno),
        )


def _value(record: pa.RecordBatch, name: str) -> Any:
    return record.column(name)[0].as_py()


def _payload(record: pa.RecordBatch) -> memoryview:
    return columns.contents(record.column("payload").fill_null(b""))[1]


def _check_ended(whole: _Whole | None) -> None:
    if whole is not None:
        raise whole.refuse()


def _corrupt(place: str, record: pa.RecordBatch, what: str) -> CorruptLogError:
    table = f"{_value(record, 'schema_name')}.{_value(record, 'table_name')}"
    return CorruptLogError(f"{place}: seqno {_value(record, 'seqno')}, {table}: {what}; {_MEND}")
