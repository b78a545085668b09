"""A batch's statements for one table: COPY into its staging table, then delete and insert in the live one.

Pure functions to SQL text that Redshift understands; :mod:`.load` runs them in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.errors import UnsupportedError
from airflow_provider_tungsten.replicator.redshift.ddl import Header, Relation, literal, quote
from airflow_provider_tungsten.replicator.redshift.types import RedshiftType, redshift_type

COPIED_ROWS = "SELECT pg_last_copy_count()"

_COMPRESSION = {"zstd": " ZSTD", "gzip": " GZIP", "bzip2": " BZIP2", "none": ""}
# D is a delete; UD is the old row of an update.
_LIVE_OPCODES = "('I', 'UI', 'U')"


def copy(
    stage: Relation,
    header: Header,
    definition: TableDefinition,
    manifest_url: str,
    *,
    iam_role: str,
    compression: str,
    null: str,
    region: str | None,
    cut: bool = False,
) -> str:
    """COPY of one table's files, named by the COPY manifest at ``manifest_url``.

    :param cut: cut texts to what their column holds.
    """
    columns = ", ".join(quote(name) for name in (*header.names, *(c.name for c in definition.columns)))
    role = "default" if iam_role == "default" else literal(iam_role)
    return (
        f"COPY {stage.sql} ({columns}) FROM {literal(manifest_url)} IAM_ROLE {role} "
        f"FORMAT CSV{_COMPRESSION[compression]} MANIFEST NULL AS {literal(null)} "
        f"DATEFORMAT 'auto' TIMEFORMAT 'auto' COMPUPDATE OFF STATUPDATE OFF"
        + (f" REGION {literal(region)}" if region else "")
        + (" TRUNCATECOLUMNS" if cut else "")
    )


def empty(relation: Relation, own: Mapping[str, str] | None = None) -> str:
    """DELETE, since TRUNCATE commits.

    :param own: columns and values of the rows that go; none: all do.
    """
    condition = " AND ".join(f"{quote(name)} = {literal(value)}" for name, value in (own or {}).items())
    return f"DELETE FROM {relation.sql}" + (f" WHERE {condition}" if condition else "")


# COPY makes NULL of the empty value of a VARBYTE column. Where such a column may be NULL too, and its values are too long to
# wait as text, the same files are copied a second time with their values cut to a few characters: that tells which it was.

PROBE = Relation("", "tungsten_probe")
_PROBE_TYPE = RedshiftType("VARCHAR", 16)  # no sentinel is longer


def doubtful(definition: TableDefinition) -> list[Column]:
    """Columns whose NULL in the staging table may be an empty value."""
    return [
        column
        for column in definition.columns
        if column.nullable and redshift_type(column, definition.name).staged.name == "VARBYTE"
    ]


def count_nulls(stage: Relation, columns: Sequence[Column]) -> str:
    condition = " OR ".join(f"{quote(column.name)} IS NULL" for column in columns)
    return f"SELECT COUNT(*) FROM {stage.sql} WHERE {condition}"


def create_probe(header: Header, definition: TableDefinition) -> str:
    columns = [
        *header.columns,
        *((column.name, _PROBE_TYPE) for column in definition.columns),
    ]
    body = ", ".join(f"{quote(name)} {kind.sql}" for name, kind in columns)
    return f"CREATE TEMP TABLE {PROBE.sql} ({body})"


def restore_empty(stage: Relation, header: Header, column: Column) -> str:
    """Puts the empty value back where the probe has it."""
    name, seqno, row_id = quote(column.name), quote(header.name("seqno")), quote(header.name("row_id"))
    return (
        f"UPDATE {stage.sql} SET {name} = FROM_HEX('') FROM {PROBE.sql} AS p "
        f"WHERE {stage.sql}.{seqno} = p.{seqno} AND {stage.sql}.{row_id} = p.{row_id} AND OCTET_LENGTH(p.{name}) = 0"
    )


def delete_staged(live: Relation, stage: Relation, definition: TableDefinition) -> str:
    """Deletes every key that is staged, whatever its operation: a batch that comes twice does no harm.

    :raises UnsupportedError: the table has no primary key.
    """
    match = " AND ".join(_same(live, column, definition) for column in _key(definition))
    return f"DELETE FROM {live.sql} USING {stage.sql} AS s WHERE {match}"


def insert_last(live: Relation, stage: Relation, header: Header, definition: TableDefinition) -> str:
    """Inserts the last row of every staged key, if that is no delete.

    The last rows are found on key, seqno and row id alone: a sort that carries wide rows fails on Redshift.

    :raises UnsupportedError: the table has no primary key.
    """
    opcode, seqno, row_id = (quote(header.name(kind)) for kind in ("opcode", "seqno", "row_id"))
    columns = ", ".join(quote(column.name) for column in definition.columns)
    values = ", ".join(_value(column, definition) for column in definition.columns)
    partition = ", ".join(
        term for column in _key(definition) for term in _partition_terms(column, definition)
    )
    return (
        f"INSERT INTO {live.sql} ({columns}) SELECT {values} FROM {stage.sql} AS s JOIN "
        f"(SELECT {opcode}, {seqno}, {row_id}, ROW_NUMBER() OVER "
        f"(PARTITION BY {partition} ORDER BY {seqno} DESC, {row_id} DESC) AS place FROM {stage.sql}) AS w "
        f"ON s.{seqno} = w.{seqno} AND s.{row_id} = w.{row_id} "
        f"WHERE w.place = 1 AND w.{opcode} IN {_LIVE_OPCODES}"
    )


def _key(definition: TableDefinition) -> list[Column]:
    if not definition.primary_key:
        raise UnsupportedError(
            f"{definition.name} has no primary key, by which its rows could be merged; "
            f"give it one at the source, or exclude it: exclude: [{definition.name}]"
        )
    by_name = {column.name: column for column in definition.columns}
    return [by_name[name] for name in definition.primary_key]


def _same(live: Relation, column: Column, definition: TableDefinition) -> str:
    """Equal by value, and by length too: Redshift ignores trailing blanks when it compares."""
    there, here = f"{live.sql}.{quote(column.name)}", _value(column, definition)
    if redshift_type(column, definition.name).name in ("VARCHAR", "VARBYTE"):
        return f"{there} = {here} AND OCTET_LENGTH({there}) = OCTET_LENGTH({here})"
    return f"{there} = {here}"


def _partition_terms(column: Column, definition: TableDefinition) -> list[str]:
    name = quote(column.name)
    if redshift_type(column, definition.name).name == "VARCHAR":
        return [name, f"OCTET_LENGTH({name})"]
    return [name]


def _value(column: Column, definition: TableDefinition) -> str:
    """The staged value as the live column holds it."""
    staged = f"s.{quote(column.name)}"
    kind = redshift_type(column, definition.name)
    if kind.staged != kind:
        return f"FROM_HEX({staged})"
    if kind.name == "VARBYTE" and not column.nullable:
        return f"COALESCE({staged}, FROM_HEX(''))"
    return staged
