"""Events of the log as SQL that MySQL takes: what `thl list -sql` shows."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from airflow_provider_tungsten.replicator.binlog.definition import GEOMETRY_TYPES, Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.large_text import LargeText, are_equal, expanded
from airflow_provider_tungsten.replicator.cli import listing, values
from airflow_provider_tungsten.replicator.thl.event import ROW_KINDS, ThlEvent

_SRID = 0x20000000
# One after the other.
_ESCAPES = (("\\", "\\\\"), ("'", "''"), ("\0", "\\0"), ("\n", "\\n"), ("\r", "\\r"), ("\x1a", "\\Z"))


def as_sql(event: ThlEvent) -> str:
    """Statements, each with its semicolon, below a comment with the seqno. Times are UTC."""
    return "\n".join((_head(event), *_statements(event))) + "\n"


def sql_pieces(event: ThlEvent) -> Iterator[str]:
    """The same of a large event."""
    yield _head(event) + "\n"
    definition = TableDefinition.from_json(event.definition or "")
    for row in listing.rows_of(event, large=True):
        yield from expanded(_change(definition, *row) + "\n", listing.texts_of(row), _escaped)


def _head(event: ThlEvent) -> str:
    return f"/* SEQ# = {event.seqno}, {event.kind} */"


def _statements(event: ThlEvent) -> Iterator[str]:
    if event.kind in ROW_KINDS and event.definition:
        definition = TableDefinition.from_json(event.definition)
        for row in listing.rows_of(event, large=False):
            yield _change(definition, *row)
    elif event.payload:
        if schema := (event.options or {}).get("schema", event.schema_name):
            yield f"USE {_name(schema)};"
        yield listing.statement(event) + ";"


def _escaped(text: str) -> str:
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text


def _change(
    definition: TableDefinition, before: Sequence[str | None] | None, after: Sequence[str | None] | None
) -> str:
    table = f"{_name(definition.schema)}.{_name(definition.table)}"
    if before is None:
        names = ", ".join(_name(column.name) for column in definition.columns)
        return f"INSERT INTO {table} ({names}) VALUES ({', '.join(_literals(definition, after))});"
    where = _where(definition, before)
    if after is None:
        return f"DELETE FROM {table} WHERE {where};"
    pairs = zip(definition.columns, before, after, _literals(definition, after), strict=True)
    changed = [
        f"{_name(column.name)} = {text}" for column, old, new, text in pairs if not are_equal(old, new)
    ]
    if not changed:  # but in columns that the log does not have
        return f"/* nothing of {table} */"
    return f"UPDATE {table} SET {', '.join(changed)} WHERE {where};"


def _where(definition: TableDefinition, image: Sequence[str | None]) -> str:
    key = definition.primary_key or tuple(column.name for column in definition.columns)
    literals = dict(
        zip((column.name for column in definition.columns), _literals(definition, image), strict=True)
    )
    terms = " AND ".join(
        f"{_name(name)} {'IS' if literals[name] == 'NULL' else '='} {literals[name]}" for name in key
    )
    return terms if definition.primary_key else terms + " LIMIT 1"


def _literals(definition: TableDefinition, image: Sequence[str | None] | None) -> list[str]:
    return [literal(column, value) for column, value in zip(definition.columns, image or (), strict=True)]


def literal(column: Column, value: str | None) -> str:
    """A canonical text as MySQL takes it."""
    if value is None:
        return "NULL"
    if column.type in values.REALS:
        return value if "e" in value else value + "e0"  # -0 is 0, -0e0 is not
    if column.type in values.NUMBERS:
        return value
    if column.type in values.BINARY:
        return f"X'{value}'"
    if column.type in GEOMETRY_TYPES:
        return _geometry(value)
    if column.type == "vector":
        # As its bytes: STRING_TO_VECTOR refuses the smallest numbers.
        return f"X'{array('f', values.floats(value)).tobytes().hex()}'"
    return "'" + _escaped(value) + "'"


def _geometry(ewkb: str) -> str:
    """EWKB, little-endian: a byte, the type with a flag for the SRID, the SRID; else as WKB has it."""
    head, rest = ewkb.cut(18) if isinstance(ewkb, LargeText) else (ewkb[:18], ewkb[18:])
    kind = int.from_bytes(bytes.fromhex(head[2:10]), "little")
    if not kind & _SRID:
        return f"ST_GeomFromWKB(X'{ewkb}')"
    srid = int.from_bytes(bytes.fromhex(head[10:18]), "little")
    wkb = head[:2] + (kind & ~_SRID).to_bytes(4, "little").hex() + rest
    return f"ST_GeomFromWKB(X'{wkb}', {srid}, 'axis-order=long-lat')"


def _name(text: str) -> str:
    return "`" + text.replace("`", "``") + "`"
