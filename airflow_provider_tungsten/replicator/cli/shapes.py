"""What a change looks like in an export: one table's rows with their own columns, or the changes of all tables in one form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import pyarrow as pa

from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.large_text import LargeText
from airflow_provider_tungsten.replicator.cli import listing, values
from airflow_provider_tungsten.replicator.errors import DataError
from airflow_provider_tungsten.replicator.thl.event import ROW_KINDS, Kind, ThlEvent

_UTC = pa.timestamp("us", tz="UTC")
_MAP = pa.map_(pa.large_string(), pa.large_string())
_HEADER = {
    "tungsten_opcode": pa.string(),
    "tungsten_seqno": pa.int64(),
    "tungsten_fragno": pa.int32(),
    "tungsten_commit_timestamp": _UTC,
    "tungsten_event_id": pa.string(),
}
_CHANGE = {
    "seqno": pa.int64(),
    "fragno": pa.int32(),
    "row": pa.int32(),
    "epoch_number": pa.int64(),
    "source_id": pa.string(),
    "event_id": pa.string(),
    "gtid": pa.string(),
    "commit_ts": _UTC,
    "kind": pa.string(),
    "schema_name": pa.string(),
    "table_name": pa.string(),
    "key": _MAP,
    "values": _MAP,
    "statement": pa.large_string(),
}
Record = tuple[Any, ...]


def texts_of(record: Record) -> Iterator[str | None]:
    """All of its texts, those in maps, too."""
    for value in record:
        if isinstance(value, list):
            yield from (text for _, text in value)
        elif isinstance(value, str):
            yield value


class Shape(Protocol):
    """Fields that all records of a file have."""

    schema: pa.Schema

    def records(self, event: ThlEvent, *, large: bool) -> Iterator[Record]:
        """Of an event, values as the log has them: texts, times in microseconds.

        :param large: as :func:`.listing.rows_of` has it.
        """

    def table(self, records: Sequence[Record]) -> pa.Table:
        """:raises DataError: a value that its column's type does not have."""

    def large_table(self, record: Record) -> tuple[pa.Table, list[SpooledBuffer]]:
        """Of a record with :class:`LargeText` in it; and what its columns lie in.

        :raises DataError: likewise.
        """

    def as_json(self, record: Record) -> dict[str, Any]: ...


class Changes:
    """The changes of all tables, a record a row, a statement, or a record of the log's own; values are texts by column."""

    schema = pa.schema(_CHANGE.items())

    def records(self, event: ThlEvent, *, large: bool) -> Iterator[Record]:
        statement = None
        rows: Iterable[listing.Row] = listing.rows_of(event, large=large)
        if event.kind not in ROW_KINDS:
            rows = [(None, None)]
            statement = listing.statement(event) if event.payload else None
        columns = listing.columns_of(event)
        for number, images in enumerate(rows):
            pairs = [
                None if image is None else list(zip((column.name for column in columns), image, strict=True))
                for image in images
            ]
            yield (
                event.seqno,
                event.fragno,
                number,
                event.epoch_number,
                event.source_id,
                event.event_id,
                event.gtid,
                event.commit_ts,
                str(event.kind),
                event.schema_name,
                event.table_name,
                *pairs,
                statement,
            )

    def table(self, records: Sequence[Record]) -> pa.Table:
        return pa.table(list(map(list, zip(*records, strict=True))), schema=self.schema)

    def large_table(self, record: Record) -> tuple[pa.Table, list[SpooledBuffer]]:
        columns, buffers = [], []
        for field, value in zip(self.schema, record, strict=True):
            if field.type != _MAP or value is None:
                columns.append(pa.array([value], field.type))
                continue
            names, texts = zip(*value, strict=True)
            items, buffer = values.spooled(pa.large_string(), texts)
            columns.append(
                pa.MapArray.from_arrays([0, len(names)], pa.array(names, pa.large_string()), items)
            )
            buffers.append(buffer)
        return pa.table(columns, schema=self.schema), buffers

    def as_json(self, record: Record) -> dict[str, Any]:
        found = dict(zip(_CHANGE, record, strict=True))
        found["commit_ts"] = listing.time_of(found["commit_ts"])
        for name in ("key", "values"):
            found[name] = found[name] and dict(found[name])
        return found


class Rows:
    """The rows of one table, each with its own columns' types behind the header.

    ``tungsten_opcode``: I; D; of an update UD, the row before it, and UI, the row after it.
    """

    def __init__(self, definition: TableDefinition) -> None:
        self.definition = definition
        columns = [(column.name, values.arrow_type(column)) for column in definition.columns]
        self.schema = pa.schema([*_HEADER.items(), *columns])

    def records(self, event: ThlEvent, *, large: bool) -> Iterator[Record]:
        update = "U" if event.kind == Kind.UPDATE else ""
        for before, after in listing.rows_of(event, large=large):
            for opcode, image in (("D", before), ("I", after)):
                if image is not None:
                    yield update + opcode, event.seqno, event.fragno, event.commit_ts, event.event_id, *image

    def table(self, records: Sequence[Record]) -> pa.Table:
        found = list(map(list, zip(*records, strict=True)))
        header = [pa.array(texts, type_) for texts, type_ in zip(found, _HEADER.values(), strict=False)]
        body = []
        for column, texts in zip(self.definition.columns, found[len(header) :], strict=True):
            try:
                body.append(values.to_arrow(column, texts))
            except ValueError as error:
                raise self._refused(len(header) + len(body), records) from error
        return pa.table([*header, *body], schema=self.schema)

    def large_table(self, record: Record) -> tuple[pa.Table, list[SpooledBuffer]]:
        large = {place: text for place, text in enumerate(record) if isinstance(text, LargeText)}
        small = tuple(None if place in large else value for place, value in enumerate(record))
        table, buffers = self.table([small]), []
        for place, text in large.items():
            column, buffer = values.spooled(self.schema.field(place).type, [text])
            table = table.set_column(place, self.schema.field(place), column)
            buffers.append(buffer)
        return table, buffers

    def _refused(self, place: int, records: Sequence[Record]) -> DataError:
        column = self.definition.columns[place - len(_HEADER)]
        seqno = next(record[1] for record in records if not _fits(column, record[place]))
        return DataError(
            f"{self.definition.name}.{column.name} holds at seqno {seqno} what Arrow's {values.arrow_type(column)} does not "
            "have, like a zero date; --format jsonl writes it as text"
        )

    def as_json(self, record: Record) -> dict[str, Any]:
        found = dict(zip(_HEADER, record, strict=False))
        found["tungsten_commit_timestamp"] = listing.time_of(found["tungsten_commit_timestamp"])
        columns = zip(self.definition.columns, record[len(_HEADER) :], strict=True)
        return found | {column.name: values.plain(column, text) for column, text in columns}


def _fits(column: Any, text: str | None) -> bool:
    try:
        values.to_arrow(column, [text])
    except ValueError:
        return False
    return True
