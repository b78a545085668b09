"""A table of the catalog, and what CREATE and ALTER TABLE make of it. Reading statements is :mod:`.statement`'s."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from airflow_provider_tungsten.replicator.filters.tokens import NotUnderstoodError
from airflow_provider_tungsten.replicator.schema.column import (
    UNKNOWN,
    ColumnSpec,
    converted,
    resized,
    with_charset,
)
from airflow_provider_tungsten.replicator.schema.declaration import FIRST, Declaration, Key, Part
from airflow_provider_tungsten.replicator.schema.statement import DEFAULT, AlterTable, CreateTable

_GENERATED_KEY = "my_row_id"


@dataclass(frozen=True)
class TableSchema:
    """:param columns: in the order of the row image; without those that MySQL hides behind functional keys.
    :param keys: in MySQL's own order: the primary key, then unique ones, first those that take no NULL.
    :param charset: of columns that name none; ``UNKNOWN`` where nothing told it.
    """

    columns: tuple[ColumnSpec, ...]
    keys: tuple[Key, ...]
    charset: str

    @cached_property
    def primary_key(self) -> tuple[str, ...]:
        """As table maps with all names tell it: where there is no primary key, MySQL takes the first unique key whose
        columns are whole, stored and never NULL (`sql/dd_table_share.cc`)."""
        columns = {column.name.lower(): column for column in self.columns}
        for key in self.keys[:1]:
            parts = [(columns.get(part.column.lower()), part) for part in key.parts]
            names = tuple(column.name for column, _ in parts if column is not None)
            if key.kind == "primary" or (key.kind == "unique" and _identifies(parts)):
                return names
        return ()

    @cached_property
    def has_generated_key(self) -> bool:
        """Whether the server takes the first column for one that it made itself (`sql_generate_invisible_primary_key`):
        it then stays in front of columns that are put FIRST."""
        column = self.columns[0]
        return (
            column.name.lower() == _GENERATED_KEY
            and (column.type, column.unsigned, column.invisible) == ("bigint", True, True)
            and column.auto_increment
            and self.primary_key == (column.name,)
            and self.keys[0].kind == "primary"
        )

    @cached_property
    def json(self) -> str:
        """The same table always gives the same text."""
        columns = [
            {name: value for name, value in asdict(column).items() if value not in (None, False, (), 0)}
            | {"nullable": column.nullable}
            | ({} if column.charset is None else {"charset": column.charset})
            for column in self.columns
        ]
        body = {"columns": columns, "keys": self.keys, "charset": self.charset}
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True)

    @staticmethod
    def from_json(body: dict[str, Any]) -> TableSchema:
        """:raises KeyError, TypeError, ValueError: what :attr:`json` did not write."""
        columns = tuple(
            ColumnSpec(**{**column, "members": tuple(column.get("members", ()))})
            for column in body["columns"]
        )
        keys = tuple(
            Key(name, kind, tuple(Part(*part) for part in parts)) for name, kind, parts in body["keys"]
        )
        return TableSchema(columns, keys, body["charset"])


def _identifies(parts: Sequence[tuple[ColumnSpec | None, Part]]) -> bool:
    return all(
        column is not None and not column.nullable and not column.virtual and not _is_prefix(column, part)
        for column, part in parts
    )


def _is_prefix(column: ColumnSpec, part: Part) -> bool:
    if not part.prefix:
        return False
    whole = column.length or column.octets
    return part.prefix < whole


def created(statement: CreateTable, charset: str) -> TableSchema:
    """:param charset: the database's.
    :raises NotUnderstoodError: no columns, or a character set that is not known.
    """
    if not statement.columns:
        raise NotUnderstoodError("a table without columns")
    charset = charset if statement.charset in ("", DEFAULT) else statement.charset
    columns = [_settled(declaration, charset) for declaration in statement.columns]
    inline = [key for declaration in statement.columns for key in declaration.keys]
    return _table(columns, _named([], inline + statement.keys), charset)


def altered(table: TableSchema, statement: AlterTable, default_charset: str) -> TableSchema:
    """:param default_charset: of the database that the session is in.
    :raises NotUnderstoodError: it names a column that is not there, or a character set that is not known."""
    charset = statement.convert or statement.charset
    charset = default_charset if charset == DEFAULT else charset or table.charset
    columns = _Columns(table, statement, charset, bool(statement.convert))
    keys = _kept_keys(table.keys, statement, columns.names)
    added = [key for change in statement.changes for key in change.declaration.keys]
    return _table(columns.result, _named(keys, added + statement.keys), charset)


def _settled(declaration: Declaration, charset: str) -> ColumnSpec:
    """The column with its own character set, or else the table's."""
    spec = declaration.spec
    return with_charset(spec, spec.charset or charset)


class _Columns:
    """What ALTER TABLE makes of the columns, the way MySQL's `mysql_prepare_alter_table` goes about it.

    Attributes: ``result``; ``names``: of the old columns, folded, and what each is called now (None: dropped).
    """

    def __init__(self, table: TableSchema, statement: AlterTable, charset: str, convert: bool) -> None:
        self._charset = charset
        self._convert = convert
        self._has_generated_key = table.has_generated_key
        self.result: list[ColumnSpec] = []
        self.names: dict[str, str | None] = {}
        columns = {column.name.lower(): column for column in table.columns}
        dropped = {name.lower() for name in statement.dropped}
        renamed = {old.lower(): new for old, new in statement.renamed}
        changed = {
            change.old.lower(): change.declaration for change in statement.changes if change.old is not None
        }
        for column in table.columns:
            folded = column.name.lower()
            if folded in dropped:
                dropped.discard(folded)
                self.names[folded] = None
            else:
                self._keep(column, changed.pop(folded, None), renamed.pop(folded, None))
        if missing := [*dropped, *renamed, *changed]:
            raise NotUnderstoodError(f"column {missing[0]} is not known")
        for old, declaration in statement.changes:
            if old is None:
                self._place(self._settled(declaration, None), declaration.position)
            elif declaration.position is not None:
                spec = self._settled(declaration, columns[old.lower()])
                self.result.remove(spec)
                self._place(spec, declaration.position)
        visibility = statement.visibility
        self.result = [
            replace(column, invisible=not visibility.get(column.name.lower(), not column.invisible))
            for column in self.result
        ]

    def _settled(self, declaration: Declaration, before: ColumnSpec | None) -> ColumnSpec:
        """:param before: the column that becomes this one."""
        if not self._convert:
            return _settled(declaration, self._charset)
        spec = declaration.spec
        if spec.charset not in (None, "binary"):
            spec = replace(spec, charset=self._charset)  # another one that is named here does not count
        spec = with_charset(spec, spec.charset or self._charset)
        return spec if before is None or declaration.spec.length else resized(spec, before)

    def _keep(self, column: ColumnSpec, changed: Declaration | None, new_name: str | None) -> None:
        if changed is not None:
            self.names[column.name.lower()] = changed.spec.name
            self.result.append(self._settled(changed, column))
            return
        self.names[column.name.lower()] = name = new_name or column.name
        kept = converted(column, self._charset) if self._convert else column
        self.result.append(replace(kept, name=name))

    def _place(self, spec: ColumnSpec, position: str | None) -> None:
        if position is None:
            self.result.append(spec)
        elif position == FIRST:
            first = self.result[0].name.lower() if self.result else ""
            self.result.insert(1 if self._has_generated_key and first == _GENERATED_KEY else 0, spec)
        else:
            names = [column.name.lower() for column in self.result]
            if position.lower() not in names:
                raise NotUnderstoodError(f"column {position} is not known")
            self.result.insert(names.index(position.lower()) + 1, spec)


def _kept_keys(keys: Iterable[Key], statement: AlterTable, names: dict[str, str | None]) -> list[Key]:
    """The old keys that stay, on what is left of their columns."""
    dropped = {name.lower() for name in statement.dropped_keys}
    renamed = {old.lower(): new for old, new in statement.renamed_keys}
    kept = []
    for key in keys:
        folded = key.name.lower()
        if folded in dropped:
            continue
        parts = [Part(names.get(part.column.lower(), part.column) or "", part.prefix) for part in key.parts]
        left = tuple(
            part for part, before in zip(parts, key.parts, strict=True) if part.column or not before.column
        )
        if left:
            kept.append(Key(renamed.get(folded, key.name), key.kind, left))
    return kept


def _named(keys: list[Key], added: Iterable[Key]) -> list[Key]:
    """`keys` and the new ones behind them, which get a name where they have none (`make_unique_key_name`)."""
    named = list(keys)
    for key in added:
        name = key.name
        if not name:
            taken = {other.name.lower() for other in named}
            base = key.parts[0].column or "functional_index"
            candidates = [base, *(f"{base}_{number}" for number in range(2, 100))]
            name = next((item for item in candidates if item.lower() not in taken | {"primary"}), base)
        named.append(key._replace(name=name))
    return named


def _table(columns: list[ColumnSpec], keys: list[Key], charset: str) -> TableSchema:
    """Columns of the primary key are never NULL; keys are put in MySQL's order (`sort_keys`)."""
    primary = {part.column.lower() for key in keys if key.kind == "primary" for part in key.parts}
    columns = [
        replace(column, nullable=False) if column.name.lower() in primary else column for column in columns
    ]
    by_name = {column.name.lower(): column for column in columns}

    def order(key: Key) -> tuple[bool, ...]:
        parts = [(by_name.get(part.column.lower()), part) for part in key.parts]
        if key.kind == "primary":
            return (False,)
        return (
            True,
            key.kind != "unique",
            any(column is None or column.nullable for column, _ in parts),
            any(column is not None and _is_prefix(column, part) for column, part in parts),
            any(column is None or column.virtual for column, _ in parts),
        )

    for column in columns:
        column.described()  # a character set that is not known is told now, with the statement
    return TableSchema(tuple(columns), tuple(sorted(keys, key=order)), charset or UNKNOWN)
