"""Which tables and columns an applier takes, what its filters make of them, and whether it can take them: checked while
planning and again while writing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from airflow_provider_tungsten.replicator.batch.settings import ApplierSettings
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.output import Output
from airflow_provider_tungsten.replicator.binlog.rows import check_supported
from airflow_provider_tungsten.replicator.errors import UnsupportedError
from airflow_provider_tungsten.replicator.filters import files, pipeline
from airflow_provider_tungsten.replicator.filters.names import Names, Table
from airflow_provider_tungsten.replicator.filters.python import RowStep
from airflow_provider_tungsten.replicator.filters.settings import Filters, Python


@dataclass(frozen=True)
class AppliedTable:
    """A table as this applier sees it.

    :param logged: as the log has it.
    :param definition: as the target has it: renamed, cut, with other types and another key.
    :param key: columns of the target's key: indices of logged ones, texts of those that filters add.
    :param output: what becomes of its rows.
    :param rows: Python filters of rows, which come before that.
    """

    logged: TableDefinition
    definition: TableDefinition
    key: tuple[int | str, ...]
    output: Output
    rows: tuple[RowStep, ...]


class AppliedTables:
    """The applier's table and column rules, and the service's and its own filters, on the definitions met in the log.

    :raises ConfigurationError: a file that a filter names is malformed.
    """

    def __init__(self, applier: ApplierSettings, filters: Filters = ()) -> None:
        self._filters = files.complete((*filters, *applier.filters))
        self._names = Names(self._filters)
        self._filter = applier.table_filter(self._names)
        self._needs_keys = applier.needs_keys
        self.run_python = any(isinstance(each, Python) for each in self._filters)
        """Whether somebody's own code is called for rows or values."""
        self.includes = self._filter.includes
        self.touches = self._filter.touches
        self._taken: dict[Table, Table] = {}
        self.applied = lru_cache(maxsize=4096)(self._applied)

    def target(self, schema: str, table: str) -> Table:
        """The name at the target of an included table."""
        name = self._names.target(schema, table)
        assert name is not None
        return name

    def own_rows(self, schema: str, table: str) -> dict[str, str]:
        """Columns and values at the target that tell an included table's rows from those of other schemas in the same table."""
        return pipeline.own_rows(self._filters, schema, table)

    def _applied(self, definition: str) -> AppliedTable:
        """The table behind a definition's JSON.

        :raises UnsupportedError: no key, a key without one of its columns, a column type that is not supported, or filters that
            cannot be applied.
        """
        logged = TableDefinition.from_json(definition)
        columns = [column.name for column in logged.columns]
        hidden = self._filter.excluded_columns(logged.schema, logged.table, columns)
        draft = pipeline.apply(self._filters, logged, hidden)
        ways_out = f"exclude {logged.name} in the applier's rules (works at once, also for what the THL already holds)"
        if not draft.key and draft.lost_key:
            raise UnsupportedError(
                f"{logged.name}: exclude_columns or a filter takes away {', '.join(sorted(set(draft.lost_key)))} of the primary key, "
                f"without which its changes cannot be merged: keep the column, give another key (filter custompkey), or {ways_out}"
            )
        if not draft.key and self._needs_keys:
            raise UnsupportedError(
                f"{logged.name} has no primary key, so its changes cannot be merged: give it one (filter custompkey), {ways_out}, "
                "or add a primary key at the source for the changes to come and exclude the table until a batch begins behind them"
            )
        self._take_name((draft.schema, draft.table), (logged.schema, logged.table))
        kept = {each.index for each in draft.fields}
        left_out = {name for index, name in enumerate(columns) if index not in kept}
        check_supported(logged.without(left_out) if left_out else logged)
        key = tuple(str(each.value) if each.index is None else each.index for each in draft.key)
        return AppliedTable(logged, draft.definition(), key, draft.output(), tuple(draft.rows))

    def _take_name(self, name: Table, source: Table) -> None:
        other = self._taken.setdefault(name, source)
        if other != source:
            raise UnsupportedError(
                f"{'.'.join(source)} and {'.'.join(other)} both become {'.'.join(name)}: give one of them another name in filter "
                "rename, or exclude it in the applier's rules"
            )
