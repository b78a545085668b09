"""Events of the log as `thl list` shows them: Tungsten's lines, tab-separated headers, JSON. SQL is another module's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from typing import Any

import typer

from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.large_text import expanded
from airflow_provider_tungsten.replicator.binlog.rows import RowReader, Texts, ValueRefused
from airflow_provider_tungsten.replicator.cli import output, values
from airflow_provider_tungsten.replicator.errors import DataError
from airflow_provider_tungsten.replicator.thl.event import ROW_KINDS, Kind, ThlEvent

MOST_CHARACTERS = 1000
# A table has 4,096 columns at most: with values of no more than that what is held of an update's row is little.
_LARGE_EVENT = 4 * 1024 * 1024
_LARGE_VALUE = 4096
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    ord(char): text for char, text in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))
}
Row = tuple[Texts | None, Texts | None]


def time_of(microseconds: int) -> str:
    """``2014-07-31 14:29:17.000000``, UTC."""
    return f"{_EPOCH + timedelta(microseconds=microseconds):%Y-%m-%d %H:%M:%S.%f}"


@lru_cache(maxsize=256)
def _reader(definition: str) -> RowReader:
    return RowReader(TableDefinition.from_json(definition))


def is_large(event: ThlEvent) -> bool:
    """Whether what is made of it may be too much to be held: then it is shown in pieces."""
    if event.payload is None or not event.definition:
        return False
    return len(event.payload) > _LARGE_EVENT or _reader(event.definition).inflates


def rows_of(event: ThlEvent, *, large: bool, most: int | None = None) -> Iterator[Row]:
    """Of every row its image before and after the change, as canonical texts; None where the change has none.

    :param large: the event is, so that large texts are :class:`LargeText`.
    :param most: characters that are wanted of a text, as :class:`RowReader` has it.
    :raises ValueRefused: bytes that are no text in their column's character set; so do the pieces of a large text.
    :raises CorruptLogError: images that do not fit the table's definition.
    """
    if event.kind not in ROW_KINDS or not event.definition:
        return iter(())
    reader = _reader(event.definition)
    return reader.changes(event.payload or b"", event.kind, most=most, large=_LARGE_VALUE if large else None)


def texts_of(row: Row) -> Iterator[str | None]:
    return chain.from_iterable(filter(None, row))


def refused(event: ThlEvent, error: ValueRefused) -> DataError:
    """What a refused value of an event is told as."""
    table = f"{event.schema_name}.{event.table_name}"
    return DataError(f"seqno {event.seqno}, {table}: {error}; -headers shows the event without its rows")


def columns_of(event: ThlEvent) -> tuple[Column, ...]:
    """Columns of the event's table as they were logged; none where it is about no table's rows."""
    return TableDefinition.from_json(event.definition).columns if event.definition else ()


def type_of(column: Column) -> str:
    """The type as MySQL writes it, e.g. ``varchar(20)``, ``decimal(10,2) unsigned``."""
    text = column.type
    if column.type == "decimal":
        text += f"({column.length},{column.scale})"
    elif column.type in ("enum", "set"):
        text += "(" + ",".join("'" + member.replace("'", "''") + "'" for member in column.members) + ")"
    elif column.scale:
        text += f"({column.scale})"
    elif column.length is not None and column.type in _WITH_LENGTH:
        text += f"({column.length})"
    return text + (" unsigned" if column.unsigned else "")


_WITH_LENGTH = frozenset({"char", "varchar", "binary", "varbinary", "bit", "vector"})


# Text


def lines(event: ThlEvent, service: str, *, specs: bool, large: bool) -> Iterator[str]:
    """The event in Tungsten's shape; ``specs``: columns with their types."""
    last = " (last frag)" if event.last_frag else ""
    yield f"SEQ# = {event.seqno} / FRAG# = {event.fragno}{last}"
    yield f"- TIME = {time_of(event.commit_ts)}"
    yield f"- EPOCH# = {event.epoch_number}"
    yield f"- EVENTID = {event.event_id}"
    yield f"- SOURCEID = {event.source_id}"
    if event.gtid:
        yield f"- GTID = {event.gtid}"
    yield f"- METADATA = [{';'.join(f'{name}={value}' for name, value in metadata(event, service).items())}]"
    yield f"- TYPE = {event.kind}"
    if event.options:
        yield f"- OPTIONS = [{', '.join(f'{name} = {shown(value)}' for name, value in event.options.items())}]"
    if event.kind in ROW_KINDS:
        yield "- SQL(0) ="
        yield from _row_lines(event, specs, large)
    elif event.payload:
        yield f"- SCHEMA = {(event.options or {}).get('schema', event.schema_name)}"
        yield f"- SQL(0) = {statement(event)}"


def coloured(lines: Iterator[str]) -> Iterator[str]:
    """The same, what begins an event and what its rows are in colour."""
    for line in lines:
        if line.startswith("SEQ# "):
            yield typer.style(line, fg="cyan", bold=True)
        elif line.startswith(" - "):
            yield typer.style(line, fg="yellow")
        else:
            yield line


def _row_lines(event: ThlEvent, specs: bool, large: bool) -> Iterator[str]:
    yield f" - ACTION = {event.kind.upper()}"
    yield f" - SCHEMA = {event.schema_name}"
    yield f" - TABLE = {event.table_name}"
    names = [
        _spec(number, column) if specs else f"{number}: {column.name}"
        for number, column in enumerate(columns_of(event), 1)
    ]
    for number, (before, after) in enumerate(rows_of(event, large=large, most=MOST_CHARACTERS)):
        yield f" - ROW# = {number}"
        for label, image in (("COL", after), ("KEY", before)):
            if image is not None:
                for name, value in zip(names, image, strict=True):
                    yield f"  - {label}({name}) = {'NULL' if value is None else shown(value)}"


def _spec(number: int, column: Column) -> str:
    blob = str(column.type.endswith(("blob", "text"))).lower()
    return (
        f"index={number} name={column.name} type={column.code} [{column.type.upper()}] length={column.length or 0} "
        f"unsigned={str(column.unsigned).lower()} blob={blob} desc={type_of(column)}"
    )


def metadata(event: ThlEvent, service: str) -> dict[str, str]:
    """What Tungsten calls the event's metadata."""
    found = {"dbms_type": "mysql", "service": service, "shard": event.shard_id}
    if event.kind == Kind.HEARTBEAT:
        found["heartbeat"] = (event.options or {}).get("heartbeat", "")
    return found


def statement(event: ThlEvent) -> str:
    return bytes(event.payload or b"").decode()


def shown(value: str) -> str:
    """A value for a person's eyes: control characters as escapes, what is very long cut."""
    if len(value) > MOST_CHARACTERS:
        value = value[:MOST_CHARACTERS] + "<...>"
    return value if value.isprintable() else value.translate(_ESCAPES)


def header_line(event: ThlEvent) -> str:
    """Tab-separated: seqno, epoch, fragno, whether it is the last fragment, time, event id, source id, kind, table."""
    table = f"{event.schema_name}.{event.table_name}" if event.table_name else ""
    fields: Sequence[Any] = (
        event.seqno,
        event.epoch_number,
        event.fragno,
        str(event.last_frag).lower(),
        time_of(event.commit_ts),
        event.event_id,
        event.source_id,
        event.kind,
        table,
    )
    return "\t".join(map(str, fields))


# JSON


def as_object(event: ThlEvent, service: str, *, headers: bool, specs: bool) -> dict[str, Any]:
    """The event as JSON has it: Tungsten's names for the header, whole values for the rows."""
    found = _without_rows(event, service, headers=headers, specs=specs)
    if not headers and event.kind in ROW_KINDS:
        columns = columns_of(event)
        found["rows"] = [_row_object(columns, row) for row in rows_of(event, large=False)]
    return found


def json_pieces(event: ThlEvent, service: str, *, specs: bool) -> Iterator[str]:
    """The same of a large event, as a line."""
    yield output.json_line(_without_rows(event, service, headers=False, specs=specs))[:-1] + ', "rows": ['
    columns = columns_of(event)
    for number, row in enumerate(rows_of(event, large=True)):
        text = output.json_line(_row_object(columns, row))
        yield from expanded(f", {text}" if number else text, texts_of(row), _escaped)
    yield "]}\n"


def _escaped(piece: str) -> str:
    return output.json_line(piece)[1:-1]


def _without_rows(event: ThlEvent, service: str, *, headers: bool, specs: bool) -> dict[str, Any]:
    """They come last."""
    found: dict[str, Any] = {
        "seqno": event.seqno,
        "epoch": event.epoch_number,
        "frag": event.fragno,
        "lastFrag": event.last_frag,
        "time": time_of(event.commit_ts),
        "eventId": event.event_id,
        "sourceId": event.source_id,
        "gtid": event.gtid,
        "metadata": metadata(event, service),
        "type": event.kind,
        "schema": event.schema_name,
        "table": event.table_name,
    }
    if headers:
        return found
    found["options"] = event.options or {}
    if event.kind not in ROW_KINDS:
        return found | {"sql": statement(event)} if event.payload else found
    if specs:
        found["columns"] = [
            {"index": number, "name": column.name, "type": type_of(column)} | _charset(column)
            for number, column in enumerate(columns_of(event), 1)
        ]
    return found


def _charset(column: Column) -> dict[str, str]:
    return {"charset": column.charset} if column.charset else {}


def _row_object(columns: Sequence[Column], row: Row) -> dict[str, Any]:
    before, after = row
    return {
        name: {column.name: values.plain(column, value) for column, value in zip(columns, image, strict=True)}
        for name, image in (("key", before), ("row", after))
        if image is not None
    }
