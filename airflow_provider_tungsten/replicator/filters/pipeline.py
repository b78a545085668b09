"""A service's filters, in their order, over one table: the way in for whoever plans, writes or examines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from typing import Any

from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.filters import settings, structure, values
from airflow_provider_tungsten.replicator.filters.draft import Draft, Field
from airflow_provider_tungsten.replicator.filters.salt import salt
from airflow_provider_tungsten.replicator.filters.settings import Filters

__all__ = ["apply", "fingerprint", "values"]


def apply(filters: Filters, logged: TableDefinition, hidden: Collection[str] = ()) -> Draft:
    """The table behind all filters.

    :param filters: complete ones, see :mod:`.files`.
    :param hidden: columns that are left out before the first filter.
    :raises UnsupportedError: a filter cannot be applied to this table.
    :raises ConfigurationError: a salt or a callable is not there.
    """
    draft = Draft.of(logged)
    draft.drop([each for each in draft.fields if each.name in hidden])
    for each in filters:
        structure.apply(each, draft)
    return draft


def own_rows(filters: Filters, schema: str, table: str) -> dict[str, str]:
    """What tells the table's rows from those of other schemas in one table of the target: columns of the key that filters made,
    and the values they have.

    :param filters: complete ones, see :mod:`.files`.
    """
    unknown = Field(Column("", "int", ColumnType.LONG), 0)
    draft = Draft(TableDefinition(schema, table, ()), schema, table, [], [unknown])
    for each in filters:
        if isinstance(each, settings.CustomPkey):
            for entry in each.definitions:
                if (entry.schema_, entry.table) == (draft.schema, draft.table):
                    draft.key = [unknown, *(found for found in draft.fields if found.name in entry.columns)]
        elif isinstance(
            each, settings.Rename | settings.CaseTransform | settings.DropColumn | settings.RowAddDbName
        ):
            structure.apply(each, draft)
    return {found.name: str(found.value) for found in draft.key if found is not unknown}


def fingerprint(filters: Filters) -> str:
    """Of all that filters do to names and bytes; '' without filters. A salt is in it by its hash.

    :param filters: complete ones.
    :raises ConfigurationError: a salt is not there.
    """
    if not filters:
        return ""
    bodies: Sequence[Any] = [each.model_dump(mode="json") for each in filters]
    salts = [
        hashlib.sha256(b"salt of a mask:" + salt(each.sha256)).hexdigest()
        for each in filters
        if isinstance(each, settings.Mask) and each.sha256 is not None
    ]
    return hashlib.sha256(json.dumps([bodies, salts], sort_keys=True).encode()).hexdigest()
