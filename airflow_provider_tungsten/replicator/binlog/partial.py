"""PARTIAL_UPDATE_ROWS events to the UPDATE_ROWS events that would have been logged without
``binlog_row_value_options=PARTIAL_JSON``, so that nothing behind knows of partial values. See `json_diff` for the values.
"""

from __future__ import annotations

from typing import cast

from airflow_provider_tungsten.replicator.binlog import _partial
from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer
from airflow_provider_tungsten.replicator.binlog.constants import EventType
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.events import Event, parse_rows
from airflow_provider_tungsten.replicator.binlog.rows import fields, names

_SMALL = 1 << 20


class PartialUpdates(_partial.PartialUpdates):
    """The partial updates of one table."""

    def __init__(self, definition: TableDefinition) -> None:
        super().__init__(definition.name, names(definition), fields(definition))
        self._columns = len(definition.columns)

    def whole_event(self, event: Event) -> Event:
        """The event as UPDATE_ROWS, with whole images; its place is the same.

        An event whose images lack columns is left to whoever refuses such: it keeps its body.

        :raises CorruptLogError: rows that do not fit the table, or diffs that do not fit the value before.
        :raises UnsupportedError: options that are not known.
        """
        event = event._replace(type=EventType.UPDATE_ROWS)
        rows = parse_rows(event)
        if not rows.full_image or rows.columns != self._columns:
            return event
        body = memoryview(event.body)
        whole = SpooledBuffer()
        whole.append(body[: rows.payload_offset])
        self.whole(whole, body[rows.payload_offset :])
        small = len(whole) <= _SMALL
        return event._replace(body=bytes(whole) if small else cast(bytes, memoryview(whole)))
