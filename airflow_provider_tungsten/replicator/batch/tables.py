"""Which tables and columns an applier takes, and whether it can: checked while planning and again while writing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from airflow_provider_tungsten.replicator.batch.settings import ApplierSettings
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.rows import check_supported
from airflow_provider_tungsten.replicator.errors import UnsupportedError


@dataclass(frozen=True)
class AppliedTable:
    """A table as this applier sees it.

    :param logged: as the log has it.
    :param definition: without the excluded columns.
    :param keep: per column of ``logged`` whether it stays; None where all do.
    """

    logged: TableDefinition
    definition: TableDefinition
    keep: tuple[bool, ...] | None


class AppliedTables:
    """The applier's table and column rules, applied to the definitions met in the log."""

    def __init__(self, applier: ApplierSettings) -> None:
        self._filter = applier.table_filter()
        self.includes = self._filter.includes
        self.touches = self._filter.touches
        self.applied = lru_cache(maxsize=4096)(self._applied)

    def _applied(self, definition: str) -> AppliedTable:
        """The table behind a definition's JSON.

        :raises UnsupportedError: no primary key, an excluded column in it, or a column type that is not supported.
        """
        logged = TableDefinition.from_json(definition)
        hidden = self._filter.excluded_columns(
            logged.schema, logged.table, (column.name for column in logged.columns)
        )
        ways_out = f"exclude {logged.name} in the applier's rules (works at once, also for what the THL already holds)"
        if not logged.primary_key:
            raise UnsupportedError(
                f"{logged.name} has no primary key, so its changes cannot be merged: {ways_out}, or add a primary key at "
                "the source for the changes to come and exclude the table until a batch begins behind them"
            )
        if hidden.intersection(logged.primary_key):
            raise UnsupportedError(
                f"{logged.name}: exclude_columns takes away {', '.join(sorted(hidden.intersection(logged.primary_key)))} of "
                f"the primary key, without which its changes cannot be merged: keep the column, or {ways_out}"
            )
        applied = logged.without(hidden) if hidden else logged
        check_supported(applied)
        keep = tuple(column.name not in hidden for column in logged.columns) if hidden else None
        return AppliedTable(logged, applied, keep)
