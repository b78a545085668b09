"""The log by columns, as one applier sees it: running sums over its transactions, and a mark on the few that are more than
rows. Where a micro-batch ends is the cutter's."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_tungsten.replicator.batch.tables import AppliedTables
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from airflow_provider_tungsten.replicator.thl.columns import (
    Texts,
    gathered,
    numbered_labels,
    to_events,
    view,
)
from airflow_provider_tungsten.replicator.thl.event import ROW_KINDS, Kind, ThlEvent

_NUMBERS = ("seqno", "last_frag", "epoch_number", "watermark", "rows", "payload_bytes")
_LABELS = ("kind", "schema_name", "table_name", "definition")
COLUMNS = (*_NUMBERS, *_LABELS, "event_id", "options")
_ALONE = frozenset({Kind.DDL, Kind.TRUNCATE, Kind.GAP})
_ZERO = pa.array([0], pa.int64())

_REFUSED = {
    "moves_rows": "a statement that removes or moves rows without row events",
    "rewrites": "a statement that rewrites existing values without row events",
    "dml": "a change of rows in statement format",
    "unknown": "a statement that could not be understood",
}


@dataclass(slots=True)
class Mark:
    """What sums do not tell of a transaction.

    :param parts: a batch that began at this seqno or before ends in front of it.
    :param statement: ``truncate`` or ``ddl``: it must be the only one of its batch.
    :param gap: options of a gap record.
    :param refusal: what the applier cannot carry out; ``with_rows``: what it cannot if there are rows, too.
    """

    parts: int = -1
    statement: str = ""
    gap: dict[str, str] | None = None
    refusal: UnsupportedError | None = None
    with_rows: UnsupportedError | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Adjacent transactions, at least one; places among them count from 0.

    :param first: seqno of the one at place 0.
    :param transactions: with rows for this applier, how many lie before a place; one more than there are places.
    :param rows, image_bytes: of these, likewise.
    :param epochs, watermarks, event_ids: by place.
    :param marks: by place.
    """

    first: int
    transactions: memoryview
    rows: memoryview
    image_bytes: memoryview
    epochs: memoryview
    watermarks: memoryview
    event_ids: pa.Array
    marks: dict[int, Mark]

    def known_watermark(self, place: int) -> int:
        """The first at or behind a place that is known; 0: none is."""
        known = bisect_right(self.watermarks, 0, place)
        return self.watermarks[known] if known < len(self.watermarks) else 0

    def stretches(self) -> Iterator[tuple[int, int, Mark]]:
        """Begin and end of each stretch of places that only sums can cut, and the mark of its first place."""
        bounds = {0, *self.marks, len(self.epochs)}
        bounds.update(place + 1 for place, mark in self.marks.items() if mark.statement)
        for begin, end in pairwise(sorted(bounds)):
            yield begin, end, self.marks.get(begin) or Mark()


def statement_tables(event: ThlEvent) -> list[tuple[str, str]]:
    """The tables that a ddl or truncate event touches; '' stands for every table of its schema."""
    options = event.options or {}
    tables = [(schema, table) for schema, table in json.loads(options.get("tables", "[]"))]
    return tables or [(event.schema_name or options.get("schema", ""), event.table_name)]


def included_statement(event: ThlEvent, tables: AppliedTables) -> str | None:
    """What a ddl or truncate event means for this applier: ``truncate``, ``ddl``, or None for nothing.

    :raises UnsupportedError: it touches an included table in a way that is not carried out.
    """
    effect = "truncate" if event.kind == Kind.TRUNCATE else (event.options or {}).get("effect", "unknown")
    touched = [name for name in statement_tables(event) if tables.touches(*name)]
    if effect == "none" or not touched:
        return None
    if effect == "truncate":
        return "truncate"
    if effect in ("create", "schema"):
        return "ddl"
    schema, table = touched[0]
    place = f" ({event.event_id})" if event.event_id else ""
    raise UnsupportedError(
        f"seqno {event.seqno}{place}: {_REFUSED.get(effect, _REFUSED['unknown'])} touches {schema}.{table} and is "
        f"not carried out at the target: exclude {schema}.{table or '*'} in the applier's rules, which works at once (the live "
        "table stays as it is), and load the table anew where it must go on being replicated. Where the target's rows are what the "
        f"statement leaves at the source, `tungsten skip --seqno {event.seqno}` passes over it"
    )


def spans(
    log: Iterable[pa.RecordBatch], tables: AppliedTables, skipped: Sequence[int] = ()
) -> Iterator[Span]:
    """All whole transactions of the log, in spans of some tens of thousands of events.

    :param log: ``COLUMNS`` of adjacent events, beginning with a transaction.
    :param skipped: seqnos that hold nothing for this applier, whatever is in them.
    """
    reader = _Reader(tables)
    texts = {name: Texts() for name in _LABELS}
    for columns in gathered(log):
        if (span := reader.read(_Events(columns, texts, tables, skipped))) is not None:
            yield span


class _Events:
    """Columns of the log, and which of their events hold rows for an applier.

    :ivar labels: what different events there are: kind, schema, table and definition.
    :ivar numbers: of each event's label; null: it is skipped.
    :ivar are_rows: by label, whether it is that of rows of an included table; ``refusals``: why such rows are refused.
    """

    def __init__(
        self,
        columns: pa.RecordBatch,
        texts: Mapping[str, Texts],
        tables: AppliedTables,
        skipped: Sequence[int],
    ) -> None:
        """:param texts: of ``_LABELS``, in that order; one for all batches."""
        if any(columns.column(name).null_count for name in _NUMBERS):
            raise CorruptLogError(
                f"an event of the log at or behind seqno {columns.column('seqno')[0]} lacks one of "
                f"{', '.join(_NUMBERS)}; restore it from a copy"
            )
        self.columns = columns
        self.seqnos = view(columns.column("seqno"), "q")
        taken = None
        if skipped:
            taken = pc.invert(pc.is_in(columns.column("seqno"), pa.array(skipped, pa.int64())))
        self.labels, self.numbers = numbered_labels(columns, texts, taken)
        self.are_rows = [kind in ROW_KINDS and tables.includes(*table) for kind, *table, _ in self.labels]
        self.refusals: dict[int, UnsupportedError] = {}
        for number, (*_, definition) in enumerate(self.labels):
            if self.are_rows[number]:
                try:
                    tables.applied(definition)
                except UnsupportedError as error:
                    self.refusals[number] = error

    def having(self, wanted: list[bool]) -> pa.Array:
        """:param wanted: by label; :returns: by event."""
        return pa.array(wanted, pa.bool_()).take(self.numbers).fill_null(False)


class _Reader:
    """What has to be remembered from one row group to the next."""

    def __init__(self, tables: AppliedTables) -> None:
        self._tables = tables
        # Row events, rows and bytes of the transaction that the last row group left open.
        self._begun = [0, 0, 0]
        self._epoch: int | None = None
        # Of each table the definition that was met last, and the seqno it was met under.
        self._definitions: dict[tuple[str, ...], tuple[str, int]] = {}
        self._marks: dict[int, Mark] = {}

    def read(self, events: _Events) -> Span | None:
        """:returns: None where no transaction ends."""
        column, first = events.columns.column, events.seqnos[0]
        rows = events.having(events.are_rows)
        counts = rows.cast(pa.int64())
        counted = [counts, *(pc.multiply(column(name), counts) for name in ("rows", "payload_bytes"))]
        sums = [pc.cumulative_sum(each, begun) for each, begun in zip(counted, self._begun, strict=True)]
        ends = pc.indices_nonzero(column("last_frag"))
        totals = [pa.concat_arrays([_ZERO, each.take(ends)]) for each in sums]
        self._begun = [each[-1].as_py() - total[-1].as_py() for each, total in zip(sums, totals, strict=True)]
        self._compare_definitions(events, pc.indices_nonzero(rows))
        self._take_others(events, view(sums[0], "q"), view(totals[0], "q"))
        if not len(ends):
            return None
        epochs = column("epoch_number").take(ends)
        self._compare_epochs(first, epochs)
        transactions = pc.cumulative_sum(_changes(totals[0]).cast(pa.int64()))
        return Span(
            first,
            transactions=view(pa.concat_arrays([_ZERO, transactions]), "q"),
            rows=view(totals[1], "q"),
            image_bytes=view(totals[2], "q"),
            epochs=view(epochs, "q"),
            watermarks=view(column("watermark").take(ends), "q"),
            event_ids=column("event_id").take(ends),
            marks={
                seqno - first: self._marks.pop(seqno) for seqno in [*self._marks] if seqno < first + len(ends)
            },
        )

    def _part(self, seqno: int, before: int | None = None) -> Mark:
        """``seqno`` begins a batch, at least if the batch at work holds ``before``."""
        mark = self._marks.setdefault(seqno, Mark())
        mark.parts = max(mark.parts, seqno - 1 if before is None else before)
        return mark

    def _refuse(self, seqno: int, error: UnsupportedError) -> None:
        mark = self._marks.setdefault(seqno, Mark())
        mark.refusal = mark.refusal or error

    def _compare_epochs(self, first: int, epochs: pa.Array) -> None:
        before = epochs[0].as_py() if self._epoch is None else self._epoch
        for place in view(pc.indices_nonzero(_changes(pa.concat_arrays([pa.array([before]), epochs]))), "Q"):
            self._part(first + place)
        self._epoch = epochs[-1].as_py()

    def _compare_definitions(self, events: _Events, places: pa.Array) -> None:
        """Where a table's definition is not the one before, a batch that holds rows of both cannot be.

        :param places: of events with rows.
        """
        if not len(places):
            return
        known: dict[tuple[str, ...], int] = {}
        tables, definitions = (
            pa.array([known.setdefault(label[1:end], len(known)) for label in events.labels], pa.int64())
            for end in (3, 4)
        )
        # Stable: the events of a table stay in the order of the log.
        places = places.take(pc.array_sort_indices(tables.take(events.numbers.take(places))))
        numbers = events.numbers.take(places)
        others = view(pc.indices_nonzero(_changes(definitions.take(numbers))), "Q")
        seqnos = view(events.columns.column("seqno").take(places), "q")
        numbers = view(numbers, "i")
        begin = 0
        for end in (*others, len(places) - 1):
            label, seqno = events.labels[numbers[begin]], seqnos[begin]
            name, definition = label[1:3], label[3]
            last, last_seqno = self._definitions.get(name, (definition, -1))
            if definition != last:
                self._part(seqno, last_seqno)
                if seqno == last_seqno:
                    self._refuse(seqno, _mixed(seqno, *name))
            self._definitions[name] = definition, seqnos[end]
            begin = end + 1

    def _take_others(self, events: _Events, sums: memoryview, totals: memoryview) -> None:
        """What is to be known of statements, gaps and tables that are refused.

        :param sums: row events of the transaction and those before it in ``events``, up to each event; ``totals``: in front
            of each transaction.
        """
        alone = [
            kind in _ALONE or number in events.refusals for number, (kind, *_) in enumerate(events.labels)
        ]
        places = pc.indices_nonzero(events.having(alone))
        if not len(places):
            return
        found = to_events(pa.Table.from_batches([events.columns.take(places)]))
        for event, place in zip(found, places.to_pylist(), strict=True):
            if event.kind == Kind.GAP:
                self._part(event.seqno).gap = event.options or {}
            elif event.kind in ROW_KINDS:
                error = events.refusals[events.numbers[place].as_py()]
                self._refuse(event.seqno, UnsupportedError(f"seqno {event.seqno}: {error}"))
            else:
                self._take_statement(event, bool(sums[place] - totals[event.seqno - events.seqnos[0]]))

    def _take_statement(self, event: ThlEvent, has_rows: bool) -> None:
        """:param has_rows: the transaction has some before it."""
        try:
            effect = included_statement(event, self._tables)
        except UnsupportedError as error:
            self._refuse(event.seqno, error)
            return
        if effect is None:
            return
        mixed = _mixed(event.seqno, event.schema_name, event.table_name)
        mark = self._part(event.seqno)
        if has_rows or mark.statement:
            self._refuse(event.seqno, mixed)
        mark.statement = effect
        if effect == "truncate":
            mark.with_rows = mixed


def _changes(values: pa.Array) -> pa.Array:
    """Of each value but the first, whether it is another than the one before."""
    return pc.not_equal(values.slice(1), values.slice(0, max(len(values) - 1, 0)))


def _mixed(seqno: int, schema: str, table: str) -> UnsupportedError:
    """MySQL commits before such a statement (only CREATE TABLE … SELECT holds rows, behind it), so none is expected."""
    return UnsupportedError(
        f"seqno {seqno}: {schema}.{table} is changed or emptied by a statement in the middle of a transaction; "
        "exclude the table in the applier's rules, which works at once, and load it anew"
    )
