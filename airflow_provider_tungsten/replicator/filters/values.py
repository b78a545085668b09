"""Filters that change values: what each does to a column's values and to its type. The work itself is compiled (`_transforms`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column
from airflow_provider_tungsten.replicator.binlog.output import DropOnValue, Transform
from airflow_provider_tungsten.replicator.errors import UnsupportedError
from airflow_provider_tungsten.replicator.filters import settings
from airflow_provider_tungsten.replicator.filters.draft import Draft
from airflow_provider_tungsten.replicator.filters.names import speaks_of
from airflow_provider_tungsten.replicator.filters.python import RowCallable, RowStep, imported
from airflow_provider_tungsten.replicator.filters.salt import salt
from airflow_provider_tungsten.replicator.filters.structure import apply

TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
BINARIES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_DATES = frozenset({"date", "datetime", "timestamp"})
_NUMBERS = {"enum": ("smallint", ColumnType.SHORT), "set": ("bigint", ColumnType.LONGLONG)}
_SHA256_DIGITS = 64
_CASTS = {
    "smallint": ColumnType.SHORT,
    "int": ColumnType.LONG,
    "bigint": ColumnType.LONGLONG,
    "double": ColumnType.DOUBLE,
    "date": ColumnType.DATE,
}


def varchar(column: Column, length: int, charset: str = "utf8mb4") -> Column:
    """The column as VARCHAR of so many characters, of one byte each where ``charset`` is ascii."""
    meta = length * (1 if charset == "ascii" else 4)
    return Column(
        column.name,
        "varchar",
        ColumnType.VARCHAR,
        meta,
        charset=charset,
        length=length,
        nullable=column.nullable,
    )


@apply.register
def _zerodate2null(each: settings.ZeroDate2Null, draft: Draft) -> None:
    for found in draft.matching(each.columns):
        if draft.logged_type(found) not in _DATES or draft.is_key(found):
            continue
        if found.transforms:
            raise UnsupportedError(
                f"{draft.logged.name}: filter {each.filter} comes behind one that changes the values of {found.name}; put it in "
                "front of that"
            )
        found.become(replace(found.column, nullable=True), Transform("zero_date_null"))


@apply.register
def _enumtostring(each: settings.EnumToString, draft: Draft) -> None:
    _numbers(draft, each, "enum")


@apply.register
def _settostring(each: settings.SetToString, draft: Draft) -> None:
    _numbers(draft, each, "set")


def _numbers(draft: Draft, each: settings.EnumToString | settings.SetToString, kind: str) -> None:
    """The number is in the log and the label is not: no filter of values can have come before."""
    for found in draft.matching(each.columns) if each.keep_numbers else ():
        if draft.logged_type(found) != kind:
            continue
        if found.transforms or draft.rows:
            raise UnsupportedError(
                f"{draft.logged.name}: filter {each.filter} comes behind one that saw {found.name} as a label; put it in front"
            )
        draft.dropped = [
            _by_number(rule, draft.logged.columns[rule.column]) if rule.column == found.index else rule
            for rule in draft.dropped
        ]
        type_, code = _NUMBERS[kind]
        number = Column(found.name, type_, code, unsigned=True, nullable=found.column.nullable)
        found.become(number, Transform("number"))


def _by_number(rule: DropOnValue, column: Column) -> DropOnValue:
    """The same rule where an ENUM or SET is read as its number."""
    return replace(rule, texts=tuple(_numbers_of(rule.texts, column)))


def _numbers_of(labels: Iterable[str], column: Column) -> Iterator[str]:
    for label in labels:
        if not label:
            yield "0"
        chosen = label.split(",") if column.type == "set" else [label]
        places = [place for place, member in enumerate(column.members) if member in chosen]
        if [column.members[place] for place in places] == chosen:
            yield str(sum(1 << place for place in places) if column.type == "set" else places[0] + 1)


@apply.register
def _mask(each: settings.Mask, draft: Draft) -> None:
    for found in draft.matching(each.columns):
        column = found.column
        if each.to_null:
            found.become(replace(column, nullable=True), Transform("null"))
        elif each.constant is not None:
            found.become(_with_room(column, each.constant), Transform("constant", each.constant))
        elif each.keep_last is not None:
            kept = varchar(column, each.keep_last, "utf8mb4" if _is_wide(column) else "ascii")
            found.become(kept, Transform("keep_last", count=each.keep_last))
        elif each.sha256 is not None:
            unit = "hexadecimal" if column.type in BINARIES else "characters"
            hashed = varchar(column, _SHA256_DIGITS, "ascii")
            found.become(hashed, Transform("sha256", unit=unit, salt=salt(each.sha256)))


def _is_wide(column: Column) -> bool:
    """Whether a value's text may hold more than ASCII."""
    return column.charset != "ascii" and (column.type in TEXTS or column.type in ("enum", "set", "json"))


def _with_room(column: Column, constant: str) -> Column:
    """A column of text as it is, if the constant fits."""
    holds = column.charset == "utf8mb4" or constant.isascii()
    if column.type in ("char", "varchar") and holds and len(constant) <= (column.length or 0):
        return column
    if column.type in TEXTS and len(constant.encode()) <= (column.length or 0):
        return column
    return varchar(column, max(len(constant), 1))


@apply.register
def _cast(each: settings.Cast, draft: Draft) -> None:
    name, _, arguments = each.type.rstrip(")").partition("(")
    numbers = [int(number) for number in arguments.split(",") if number]
    for found in draft.matching(each.columns):
        found.become(_as_type(found.column, name, numbers), Transform("cast", each.type))


def _as_type(column: Column, name: str, numbers: list[int]) -> Column:
    if name == "varchar":
        return varchar(column, numbers[0], "utf8mb4" if _is_wide(column) else "ascii")
    if name == "boolean":
        return Column(column.name, "bit", ColumnType.BIT, 1, length=1, nullable=column.nullable)
    if name == "decimal":
        precision, scale = numbers
        return Column(
            column.name,
            "decimal",
            ColumnType.NEWDECIMAL,
            precision | scale << 8,
            length=precision,
            scale=scale,
            nullable=column.nullable,
        )
    if name == "datetime":
        digits = numbers[0] if numbers else 0
        return Column(
            column.name, "datetime", ColumnType.DATETIME2, digits, scale=digits, nullable=column.nullable
        )
    meta = 8 if name == "double" else 0
    return Column(column.name, name, _CASTS[name], meta, nullable=column.nullable)


@apply.register
def _truncatetext(each: settings.TruncateText, draft: Draft) -> None:
    for found in draft.matching(each.columns):
        column = found.column
        if column.type not in TEXTS or draft.is_key(found):
            continue
        length = each.length
        if each.unit == "characters" and column.type in ("char", "varchar"):
            length = min(length, column.length or length)
        cut = varchar(column, length, "utf8mb4" if _is_wide(column) else "ascii")
        found.become(cut, Transform("truncate", count=each.length, unit=each.unit))


@apply.register
def _python(each: settings.Python, draft: Draft) -> None:
    call = imported(each.callable)
    for found in draft.matching(each.columns):
        found.become(replace(found.column, nullable=True), Transform("python", each.callable, call=call))
    if any(speaks_of(pattern, draft.schema, draft.table) for pattern in each.tables):
        _add_row_step(each, draft, call)


def _add_row_step(each: settings.Python, draft: Draft, call: RowCallable) -> None:
    changed = [
        found.name for found in draft.fields if any(step.kind != "number" for step in found.transforms)
    ]
    if changed or draft.dropped:
        what = f"one that changes the values of {', '.join(changed)}" if changed else "droponvalue"
        raise UnsupportedError(
            f"{draft.logged.name}: the Python filter of rows {each.callable} comes behind {what}; put it in front of that"
        )
    columns = tuple((found.index, found.name) for found in draft.fields if found.index is not None)
    draft.rows.append(RowStep(each.callable, call, draft.schema, draft.table, columns))
