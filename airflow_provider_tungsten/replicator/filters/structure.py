"""Filters that decide which columns there are, what they are called and which rows are written: no value is touched."""

from __future__ import annotations

import zlib
from functools import singledispatch

from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column
from airflow_provider_tungsten.replicator.binlog.output import DropOnValue, HeaderValue
from airflow_provider_tungsten.replicator.errors import UnsupportedError
from airflow_provider_tungsten.replicator.filters import names, settings
from airflow_provider_tungsten.replicator.filters.draft import Draft, Field
from airflow_provider_tungsten.replicator.filters.names import matches, speaks_of

_CHANGES: tuple[settings.Change, ...] = ("INSERT", "UPDATE", "DELETE")
_MAX_SCHEMA_NAME = 64  # characters; MySQL Reference Manual, "Identifier Length Limits"


@singledispatch
def apply(each: object, draft: Draft) -> None:
    """One filter's step.

    :raises UnsupportedError: it cannot be done to this table.
    """
    raise NotImplementedError(type(each).__name__)


@apply.register
def _replicate(each: settings.Replicate, draft: Draft) -> None:
    """Tables that do not take part never get here: see `names.Names`."""


@apply.register
def _nocreatedbifnotexists(each: settings.NoCreateDbIfNotExists, draft: Draft) -> None:
    """No target is given statements on databases."""


@apply.register
def _replicatecolumns(each: settings.ReplicateColumns, draft: Draft) -> None:
    draft.drop(list(draft.matching(each.ignore)))
    wanted = draft.columns_spoken_of(each.do)
    if wanted:
        draft.drop(
            [
                found
                for found in draft.fields
                if found.index is not None and not any(matches(column, found.name) for column in wanted)
            ]
        )


@apply.register
def _dropcolumn(each: settings.DropColumn, draft: Draft) -> None:
    for entry in each.definitions:
        if matches(entry.schema_, draft.schema) and matches(entry.table, draft.table):
            draft.drop(
                [
                    found
                    for found in draft.fields
                    if any(matches(pattern, found.name) for pattern in entry.columns)
                ]
            )


@apply.register
def _rename(each: settings.Rename, draft: Draft) -> None:
    requests = names.requests(each.definitions)
    for found in draft.fields:
        found.rename(requests.column(draft.schema, draft.table, found.name))
    draft.schema, draft.table = requests.table(draft.schema, draft.table)


@apply.register
def _casetransform(each: settings.CaseTransform, draft: Draft) -> None:
    for found in draft.fields:
        found.rename(names.cased(each, found.name))
    draft.schema, draft.table = names.step(each, draft.schema, draft.table)


@apply.register
def _skipeventbytype(each: settings.SkipEventByType, draft: Draft) -> None:
    default = each.default
    own = each.definitions.get(draft.schema, {}).get(draft.table, {})
    for change in _CHANGES:
        general = default if isinstance(default, str) else default.get(change, "allow")
        if own.get(change, general) == "deny":
            draft.skip.add(change.lower())


@apply.register
def _droponvalue(each: settings.DropOnValueFilter, draft: Draft) -> None:
    for entry in each.definitions:
        if not (matches(entry.schema_, draft.schema) and matches(entry.table, draft.table)):
            continue
        for found in draft.logged_fields([entry.column]):
            assert found.index is not None
            if found.transforms:
                raise UnsupportedError(
                    f"{draft.logged.name}: filter droponvalue looks at {found.name} behind a filter that changes its values; "
                    "put droponvalue in front of that"
                )
            draft.dropped.append(DropOnValue(found.index, entry.values))


@apply.register
def _custompkey(each: settings.CustomPkey, draft: Draft) -> None:
    for entry in each.definitions:
        if (entry.schema_, entry.table) != (draft.schema, draft.table):
            continue
        key = [draft.named(name) for name in entry.columns]
        lacking = [name for name, found in zip(entry.columns, key, strict=True) if found is None]
        if lacking:
            raise UnsupportedError(
                f"{draft.logged.name}: filter custompkey names {', '.join(lacking)}, which {draft.name} does not have there; it has: "
                + ", ".join(found.name for found in draft.fields)
            )
        if useless := [
            found.name for found in key if found is not None and isinstance(found.value, HeaderValue)
        ]:
            raise UnsupportedError(
                f"{draft.logged.name}: filter custompkey names {', '.join(useless)}, which another filter fills anew with every change: "
                "rows would never be found again; name columns of the source"
            )
        if all(found is not None and found.index is None for found in key):
            raise UnsupportedError(
                f"{draft.logged.name}: filter custompkey names {', '.join(entry.columns)} alone, which is one value for all rows: name "
                "columns of the source, too"
            )
        draft.key, draft.lost_key = [found for found in key if found is not None], []


@apply.register
def _rowadddbname(each: settings.RowAddDbName, draft: Draft) -> None:
    if not any(speaks_of(pattern, draft.schema, draft.table) for pattern in each.tables):
        return
    schema = draft.logged.schema
    length = _MAX_SCHEMA_NAME
    column = Column(
        each.fieldname,
        "varchar",
        ColumnType.VARCHAR,
        4 * length,
        charset="utf8mb4",
        length=length,
        nullable=False,
    )
    name = Field(column, value=schema)
    draft.fields.append(name)
    if each.adddbhash:
        number = Column(each.fieldhashname, "int", ColumnType.LONG, unsigned=True, nullable=False)
        draft.fields.append(Field(number, value=str(zlib.crc32(schema.encode()))))
    if each.addkey and draft.key:
        draft.key.append(name)


@apply.register
def _customcdc(each: settings.CustomCdc, draft: Draft) -> None:
    if not any(speaks_of(pattern, draft.schema, draft.table) for pattern in each.tables):
        return
    columns = {
        HeaderValue.OPERATION: Column(
            each.op_type, "char", ColumnType.STRING, 1, charset="ascii", length=1, nullable=False
        ),
        HeaderValue.COMMIT_TIMESTAMP: Column(
            each.timestamp, "datetime", ColumnType.DATETIME2, 6, scale=6, nullable=False
        ),
        HeaderValue.SEQNO: Column(each.sequence_number, "bigint", ColumnType.LONGLONG, nullable=False),
    }
    added = [Field(column, value=value) for value, column in columns.items()]
    draft.fields = added + draft.fields if each.cdc_columns_at_front else draft.fields + added
