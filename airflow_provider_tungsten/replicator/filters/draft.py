"""A table on its way through the filters: what its columns are called, are made of and become, step by step.

The steps are :mod:`.structure`'s and :mod:`.values`'s; what comes out is a definition for the target and an `Output` for rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.output import (
    DropOnValue,
    HeaderValue,
    Output,
    OutputColumn,
    Transform,
)
from airflow_provider_tungsten.replicator.errors import UnsupportedError
from airflow_provider_tungsten.replicator.filters.names import matches, speaks_of
from airflow_provider_tungsten.replicator.filters.python import RowStep

# What may give two values of a key one text.
_NOT_FOR_KEYS = {
    "null": "NULL",
    "constant": "one value for all rows",
    "keep_last": "one value for several",
    "truncate": "one value for several",
    "zero_date_null": "NULL",
}


@dataclass
class Field:
    """A column of the target's table.

    :param column: as the target will have it.
    :param index: among the logged columns; None: a filter made it.
    :param value: what a filter that made it fills it with: a constant, or what the header knows of a row.
    """

    column: Column
    index: int | None = None
    value: str | HeaderValue = ""
    transforms: tuple[Transform, ...] = ()

    @property
    def name(self) -> str:
        return self.column.name

    def become(self, column: Column, transform: Transform) -> None:
        """Another step for its values."""
        self.column = column
        self.transforms += (transform,)

    def rename(self, name: str) -> None:
        self.column = replace(self.column, name=name)


@dataclass
class Draft:
    """:param fields: in the target's order, those that filters made in front and behind included.
    :param key: the fields of the key, in its order.
    :param lost_key: names of key columns that a filter left out.
    :param skip: kinds (``insert``, ``update``, ``delete``) that are not written.
    :param dropped: INSERTs that are not written.
    :param rows: Python filters of rows, in order.
    """

    logged: TableDefinition
    schema: str
    table: str
    fields: list[Field]
    key: list[Field]
    lost_key: list[str] = field(default_factory=list)
    skip: set[str] = field(default_factory=set)
    dropped: list[DropOnValue] = field(default_factory=list)
    rows: list[RowStep] = field(default_factory=list)

    @classmethod
    def of(cls, logged: TableDefinition) -> Draft:
        fields = [Field(column, index) for index, column in enumerate(logged.columns)]
        by_name = {each.name: each for each in fields}
        return cls(
            logged, logged.schema, logged.table, fields, [by_name[name] for name in logged.primary_key]
        )

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.table}"

    def named(self, name: str) -> Field | None:
        return next((each for each in self.fields if each.name == name), None)

    def logged_type(self, each: Field) -> str:
        return "" if each.index is None else self.logged.columns[each.index].type

    def is_key(self, each: Field) -> bool:
        return any(each is other for other in self.key)

    def columns_spoken_of(self, patterns: Iterable[str]) -> list[str]:
        """Of ``schema.table.column`` patterns what they say of this table's columns."""
        spoken = (pattern for pattern in patterns if speaks_of(pattern, self.schema, self.table))
        return [pattern.rpartition(".")[2] for pattern in spoken]

    def matching(self, patterns: Iterable[str]) -> Iterator[Field]:
        """Logged columns that any of the ``schema.table.column`` patterns speaks of.

        :raises UnsupportedError: see :meth:`logged_fields`.
        """
        return self.logged_fields(self.columns_spoken_of(patterns))

    def logged_fields(self, columns: Collection[str]) -> Iterator[Field]:
        """Logged columns that match any of the patterns.

        :raises UnsupportedError: one of them names a column that a filter made, to which nothing would happen.
        """
        for each in self.fields:
            if each.index is None and each.name in columns:
                raise UnsupportedError(
                    f"{self.logged.name}: a filter names {each.name}, which another one adds and fills by itself; take the name "
                    "out, or leave the column out (filter dropcolumn)"
                )
        return (
            each
            for each in self.fields
            if each.index is not None and any(matches(column, each.name) for column in columns)
        )

    def drop(self, unwanted: Iterable[Field]) -> None:
        gone = {id(each) for each in unwanted}
        lost = [each.name for each in self.key if id(each) in gone]
        if lost:
            self.key, self.lost_key = [], self.lost_key + lost
        self.fields = [each for each in self.fields if id(each) not in gone]

    def definition(self) -> TableDefinition:
        """The table at the target.

        :raises UnsupportedError: two columns of one name, no column at all, or a key whose values are not kept apart.
        """
        if self._is_untouched():
            return self.logged
        seen: dict[str, Field] = {}
        for each in self.fields:
            other = seen.setdefault(each.name.lower(), each)
            if other is not each:
                raise UnsupportedError(
                    f"{self.logged.name}: filters give one name to two columns, {self._origin(other)} and "
                    f"{self._origin(each)}: {each.name}"
                )
        if not self.fields:
            raise UnsupportedError(
                f"{self.logged.name}: filters leave no column of it; leave the table out: filter replicate, ignore: {self.name}"
            )
        for each in self.key:
            self._check_key(each)
        source = self.logged.schema, self.logged.table
        return TableDefinition(
            self.schema,
            self.table,
            tuple(each.column for each in self.fields),
            tuple(each.name for each in self.key),
            None if (self.schema, self.table) == source else source,
        )

    def output(self) -> Output:
        """What becomes of the rows."""
        if self._is_as_logged():
            return Output(skip=frozenset(self.skip), rules=tuple(self.dropped))
        kept = {each.index: each for each in self.fields if each.index is not None}
        columns = tuple(
            OutputColumn(True, kept[index].transforms) if index in kept else OutputColumn(False)
            for index in range(len(self.logged.columns))
        )
        first = next((at for at, each in enumerate(self.fields) if each.index is not None), len(self.fields))
        added = [(at, each) for at, each in enumerate(self.fields) if each.index is None]
        return Output(
            columns,
            tuple(each.value for at, each in added if at < first),
            tuple(each.value for at, each in added if at > first),
            frozenset(self.skip),
            tuple(self.dropped),
        )

    def _is_as_logged(self) -> bool:
        """Whether no filter touches a value or column of it, as is so with most tables."""
        return len(self.fields) == len(self.logged.columns) and not any(
            each.transforms or each.index != at for at, each in enumerate(self.fields)
        )

    def _is_untouched(self) -> bool:
        """Whether it is the logged table, name and key and all."""
        logged = self.logged
        return (
            self._is_as_logged()
            and (self.schema, self.table) == (logged.schema, logged.table)
            and tuple(each.name for each in self.key) == logged.primary_key
            and all(each.column is column for each, column in zip(self.fields, logged.columns, strict=True))
            and len(self.fields) > 0
        )

    def _origin(self, each: Field) -> str:
        return "one that a filter adds" if each.index is None else self.logged.columns[each.index].name

    def _check_key(self, each: Field) -> None:
        for transform in each.transforms:
            if (why := _NOT_FOR_KEYS.get(transform.kind)) is not None:
                raise UnsupportedError(
                    f"{self.logged.name}: a filter makes {why} of {self._origin(each)}, which is part of the key, so that rows "
                    "could not be told apart: leave the column alone, or give the table another key (filter custompkey)"
                )
