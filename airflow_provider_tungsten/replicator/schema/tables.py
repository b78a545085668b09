"""The catalog as reading goes on: it follows each statement, and stays nameable as of the last commit."""

from __future__ import annotations

from functools import cached_property

from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.events import Query
from airflow_provider_tungsten.replicator.binlog.table_map import BareTable
from airflow_provider_tungsten.replicator.schema.catalog import Catalog
from airflow_provider_tungsten.replicator.schema.session import Session
from airflow_provider_tungsten.replicator.schema.store import name_of, read_catalog, write_catalog
from airflow_provider_tungsten.replicator.storage import Storage

Version = tuple[int, int, int]


class _Kept:
    """A catalog that changes no more, and its name once somebody asks."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    @cached_property
    def name(self) -> str:
        return name_of(self.catalog)


class Tables:
    """What is known of the source's tables, at the place up to which the log was read.

    :param catalog: at the place where reading begins.
    :param storage: the log's folder, where the catalogs lie that its resume points name.
    """

    def __init__(self, catalog: Catalog, storage: Storage, *, token: str) -> None:
        self._catalog = catalog
        self._version: Version | None = None
        self._storage = storage
        self._token = token
        self._kept = _Kept(catalog.copy())
        self._written = self._kept
        self._changed = False

    def begin(self, version: Version | None) -> None:
        """Reading begins, again perhaps, behind the last commit.

        :param version: of the server that writes the log; None: unknown.
        """
        self._version = version
        self._catalog = self._kept.catalog.copy()
        self._changed = False

    def complete(self, bare: BareTable) -> TableDefinition:
        """:raises UnsupportedError: see :meth:`Catalog.complete`."""
        return self._catalog.complete(bare)

    def apply(self, query: Query, place: str) -> bool:
        """Takes in a statement at ``file:position``, and tells whether it changed a definition."""
        changed = self._catalog.apply(query.sql, Session.of(query, self._version), place)
        self._changed |= changed
        return changed

    def commit(self) -> None:
        """The transaction that held the statements is whole."""
        if self._changed:
            self._kept = _Kept(self._catalog.copy())
            self._changed = False

    @property
    def name(self) -> str:
        """Of the catalog's object, as of the last commit."""
        return self._kept.name

    def keep(self) -> None:
        """Writes the catalog as of the last commit, which a resume point is about to name."""
        if self._written is not self._kept:
            write_catalog(self._storage, self._kept.catalog, token=self._token)
            self._written = self._kept


def open_tables(storage: Storage, name: str, *, token: str) -> Tables | None:
    """The definitions that a resume point names; None where it names none.

    :raises CorruptLogError: see :func:`read_catalog`.
    """
    catalog = read_catalog(storage, name)
    return None if catalog is None else Tables(catalog, storage, token=token)
