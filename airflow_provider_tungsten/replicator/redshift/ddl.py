"""Names and tables on the target: what is created, and what must be there. Pure functions to SQL text; :mod:`.load` runs it.

No key is declared: Redshift does not enforce keys but trusts them when it plans, and refuses to widen a key column.
No column is NOT NULL: Redshift cannot take it back when the source does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.errors import ConfigurationError, TargetError
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier
from airflow_provider_tungsten.replicator.redshift.types import RedshiftType, catalog_type, redshift_type

MAX_IDENTIFIER_BYTES = 127  # Amazon Redshift Database Developer Guide, "Names and identifiers"
COMMIT_TABLE = "trep_commit_seqno"

_NOTE = "replicated from "

_HEADER_TYPES = {
    "opcode": RedshiftType("VARCHAR", 2),
    "seqno": RedshiftType("BIGINT"),
    "row_id": RedshiftType("BIGINT"),
    "primary_key": RedshiftType("VARCHAR", 65535),
    "commit_timestamp": RedshiftType("TIMESTAMP"),
    "service": RedshiftType("VARCHAR", 128),
    "event_id": RedshiftType("VARCHAR", 256),
    "gtid": RedshiftType("VARCHAR", 128),
}

SCHEMA_EXISTS = "SELECT COUNT(*) FROM pg_namespace WHERE LOWER(nspname) = LOWER(%s)"
COLUMNS = (
    "SELECT column_name, data_type, character_maximum_length, numeric_precision, numeric_scale, is_nullable, "
    "column_default FROM svv_columns WHERE LOWER(table_schema) = LOWER(%s) AND LOWER(table_name) = LOWER(%s) "
    "ORDER BY ordinal_position"
)
STAGE_NOTES = (
    "SELECT d.description FROM pg_description d JOIN pg_class c ON c.oid = d.objoid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE d.objsubid = 0 AND LOWER(n.nspname) = LOWER(%s)"
)


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class Relation(NamedTuple):
    """A table on the target; one without a schema is temporary."""

    schema: str
    table: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.schema else self.table

    @property
    def sql(self) -> str:
        return f"{quote(self.schema)}.{quote(self.table)}" if self.schema else quote(self.table)

    @property
    def folded(self) -> tuple[str, str]:
        """As Redshift knows it: it folds names to lower case, quoted or not."""
        return self.schema.lower(), self.table.lower()


class Header(NamedTuple):
    """The columns in front of a staged row's own: their names as in the manifest, in its order."""

    names: tuple[str, ...]

    def name(self, kind: str) -> str:
        """The name, prefix included, of the header column ``opcode``, ``seqno``, ``row_id`` …"""
        return next(name for name in self.names if name.endswith(kind))

    @property
    def columns(self) -> list[tuple[str, RedshiftType]]:
        return [
            (name, next(kind for suffix, kind in _HEADER_TYPES.items() if name.endswith(suffix)))
            for name in self.names
        ]


class FoundColumn(NamedTuple):
    """A column that is there."""

    name: str
    type: RedshiftType
    nullable: bool
    has_default: bool


def found_columns(rows: Sequence[tuple[Any, ...]]) -> list[FoundColumn]:
    """:param rows: what :data:`COLUMNS` gave."""
    return [
        FoundColumn(
            name,
            catalog_type(data_type, length, precision, scale),
            nullable.upper() == "YES",
            bool(default),
        )
        for name, data_type, length, precision, scale, nullable, default in rows
    ]


@dataclass(frozen=True)
class Names:
    """Where an applier's tables lie on the target."""

    service: str
    target_schema: str
    staging_schema: str
    staging_prefix: str

    @classmethod
    def of(cls, service: str, applier: RedshiftApplier) -> Names:
        """:raises ConfigurationError: a template asks for what there is not."""
        staging = _fill("staging_schema", applier.staging_schema, service=service)
        _fill("target_schema", applier.target_schema, service=service, schema="")
        return cls(service, applier.target_schema, staging, applier.staging_prefix)

    @property
    def commit_table(self) -> Relation:
        return Relation(self.staging_schema, COMMIT_TABLE)

    def live(self, source_schema: str, table: str) -> Relation:
        """:raises TargetError: a name that Redshift would cut."""
        schema = _fill("target_schema", self.target_schema, service=self.service, schema=source_schema)
        for name in (schema, table):
            if len(name.encode()) > MAX_IDENTIFIER_BYTES:
                raise TargetError(
                    f"{source_schema}.{table}: the name {name!r} has more than the {MAX_IDENTIFIER_BYTES} bytes that "
                    f"Redshift takes; exclude the table or set another target_schema"
                )
        return Relation(schema, table)

    def stage(self, source_schema: str, table: str) -> Relation:
        """``<prefix><schema>_<table>`` of the live table, since another applier may fill another one from the same source; with a
        hash behind it where that could mean another table too."""
        live = self.live(source_schema, table)
        name = f"{self.staging_prefix}{live.schema}_{table}"
        if "_" in live.schema or name != name.lower() or len(name.encode()) > MAX_IDENTIFIER_BYTES:
            suffix = "_" + hashlib.sha256(json.dumps(live, ensure_ascii=False).encode()).hexdigest()[:12]
            room = MAX_IDENTIFIER_BYTES - len(suffix)
            name = name.encode()[:room].decode(errors="ignore") + suffix
        return Relation(self.staging_schema, name)


def _fill(setting: str, template: str, **values: str) -> str:
    try:
        return template.format(**values)
    except (KeyError, IndexError, ValueError) as error:
        allowed = ", ".join("{" + name + "}" for name in values)
        raise ConfigurationError(f"{setting}: {template!r} may hold {allowed} only ({error!r})") from None


def live_columns(definition: TableDefinition) -> list[tuple[str, RedshiftType]]:
    """:raises UnsupportedError: a type without a place in Redshift."""
    return [(column.name, redshift_type(column, definition.name)) for column in definition.columns]


def stage_columns(header: Header, definition: TableDefinition) -> list[tuple[str, RedshiftType]]:
    """
    :raises TargetError: two columns that Redshift would take for one.
    :raises UnsupportedError: a type without a place in Redshift.
    """
    columns = header.columns + [(name, kind.staged) for name, kind in live_columns(definition)]
    seen: dict[str, str] = {}
    for name, _ in columns:
        other = seen.setdefault(name.lower(), name)
        if other != name or [column for column, _ in columns].count(name) > 1:
            raise TargetError(
                f"{definition.name}: the columns {other!r} and {name!r} of the staging table are one to Redshift, which "
                f"folds names to lower case; exclude one of them or set another csv.header_prefix"
            )
    return columns


def create_schema(schema: str) -> str:
    return f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}"


def create_table(
    relation: Relation, columns: Sequence[tuple[str, RedshiftType]], *, lines: bool = False
) -> str:
    """:param lines: a column a line, for a person."""
    begin, between, end = ("\n  ", ",\n  ", "\n") if lines else ("", ", ", "")
    body = between.join(f"{quote(name)} {kind.sql}" for name, kind in columns)
    return f"CREATE TABLE {relation.sql} ({begin}{body}{end}) DISTSTYLE AUTO SORTKEY AUTO"


def drop_table(relation: Relation) -> str:
    return f"DROP TABLE {relation.sql}"


def note_source(stage: Relation, definition: TableDefinition, live: Relation) -> str:
    """Writes down with a staging table which table it serves, so that a second one for the same target is noticed."""
    note = json.dumps([*_source(definition), live.schema, live.table], ensure_ascii=False)
    return f"COMMENT ON TABLE {stage.sql} IS {literal(_NOTE + note)}"


def _source(definition: TableDefinition) -> Relation:
    """The table's name at the source, whatever filters made of it."""
    return Relation(*(definition.origin or (definition.schema, definition.table)))


def check_sole_source(notes: Sequence[str], definition: TableDefinition, live: Relation) -> None:
    """
    :param notes: comments on the tables of the staging schema.
    :raises TargetError: another source table goes to the same target table.
    """
    for note in notes:
        if not note.startswith(_NOTE):
            continue
        schema, table, live_schema, live_table = json.loads(note.removeprefix(_NOTE))
        source = _source(definition)
        if Relation(live_schema, live_table).folded == live.folded and Relation(schema, table) != source:
            raise TargetError(
                f"{source} and {schema}.{table} would both go to {live}, since Redshift folds names to lower case "
                f"and target_schema decides the schema; exclude one of them or set another target_schema "
                f"(and drop the staging table of one that is no longer replicated)"
            )


def misfits(live: Relation, definition: TableDefinition, found: Sequence[FoundColumn]) -> list[str]:
    """What keeps the table that is there from taking the source's rows: one line each, with the statement that mends it."""
    there = {column.name.lower(): column for column in found}
    others = there.keys() - {column.name.lower() for column in definition.columns}
    findings = []
    for source, (name, needed) in zip(definition.columns, live_columns(definition), strict=True):
        column = there.pop(name.lower(), None)
        where = f"{live}.{name}"
        if column is None:
            findings.append(
                f"{where} is missing, and rows that are there already hold the source's DEFAULT, which their log does not tell: "
                f"add it to the statement where there is one{_renamed(sorted(others))}; run: {_add_column(live, name, needed)}"
            )
        elif not column.type.holds(needed):
            findings.append(
                f"{where} is {column.type.sql}, {needed.sql} is needed; run: {_change_type(live, name, column, needed)}"
            )
        elif source.nullable and not column.nullable:
            findings.append(
                f"{where} is NOT NULL, the source's column may be NULL; run: {_replace_column(live, name, needed)}"
            )
    findings += [
        f"{live}.{column.name} is NOT NULL without a default, and the source has no such column; "
        f"run: ALTER TABLE {live.sql} DROP COLUMN {quote(column.name)}"
        for column in there.values()
        if not column.nullable and not column.has_default
    ]
    return findings


def _renamed(others: Sequence[str]) -> str:
    """What to look at where the live table has columns that the source's has not."""
    if not others:
        return ""
    return (
        f"; if the source only renamed one of {', '.join(others)}, rename it here too instead (RENAME COLUMN)"
    )


def stage_fits(needed: Sequence[tuple[str, RedshiftType]], found: Sequence[FoundColumn]) -> bool:
    """Whether the staging table has these columns and no other."""
    there = {column.name.lower(): column.type for column in found}
    wanted = {name.lower(): kind for name, kind in needed}
    return there.keys() == wanted.keys() and all(
        kind.name == there[name].name and there[name].holds(kind) for name, kind in wanted.items()
    )


def _add_column(live: Relation, name: str, kind: RedshiftType) -> str:
    return f"ALTER TABLE {live.sql} ADD COLUMN {quote(name)} {kind.sql}"


def _change_type(live: Relation, name: str, column: FoundColumn, needed: RedshiftType) -> str:
    if column.type.name == needed.name == "VARCHAR":
        return f"ALTER TABLE {live.sql} ALTER COLUMN {quote(name)} TYPE {needed.sql}"
    return _replace_column(live, name, needed)


def _replace_column(live: Relation, name: str, needed: RedshiftType) -> str:
    new = f"{name}__new"
    return "; ".join(
        (
            _add_column(live, new, needed),
            f"UPDATE {live.sql} SET {quote(new)} = {quote(name)}::{needed.sql}",
            f"ALTER TABLE {live.sql} DROP COLUMN {quote(name)}",
            f"ALTER TABLE {live.sql} RENAME COLUMN {quote(new)} TO {quote(name)}",
        )
    )
