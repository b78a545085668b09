"""A feed into the local Redshift through the real driver, for the tests of the applier."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from airflow_provider_tungsten.replicator.batch.apply import LoadResult, apply_batches
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.redshift.load import Target
from airflow_provider_tungsten.replicator.storage import open_storage
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.integration.batches import Feed, Row
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3

_numbers = itertools.count(1)
ID = Column("id", "int", 3, nullable=False)
NAME = Column("name", "varchar", 15, length=20, charset="utf8mb4")
ITEMS = TableDefinition("shop", "items", (ID, NAME), ("id",))
ORDERS = TableDefinition("shop", "orders", (ID, NAME), ("id",))


class Shop(Feed):
    """A feed whose schemas on the shared Redshift are its own."""

    def __init__(self, redshift: Redshift, s3: S3, bucket: str, **settings: Any) -> None:
        number = next(_numbers)
        self.schema = f"t{number}_shop"
        self.staging = f"tungsten_{number}"
        self.redshift = redshift
        names = {"target_schema": f"t{number}_{{schema}}", "staging_schema": self.staging}
        super().__init__(open_storage(f"s3://{bucket}/all", s3_client=s3.client()), **names, **settings)

    def load(self, connect: Callable[[], Any] | None = None, through: int = 10**9) -> LoadResult:
        log = Log(self.storage.sub("thl"), "shop")
        connect = connect or self.redshift.connect
        target = Target(connect, "shop", "redshift", self.applier, self.store)
        return apply_batches(target, log, self, self.store, through=through)

    def lose_the_end_of_the_log(self) -> None:
        """Its newest segment."""
        thl = self.storage.sub("thl")
        *_, newest = thl.list("shop/thl-")
        thl.delete(newest.key)
        self.log = Log(thl, "shop")

    def rows(self, table: str = "items", columns: str = "*") -> list[tuple[Any, ...]]:
        rows = self.redshift.execute(f'SELECT {columns} FROM "{self.schema}"."{table}" ORDER BY 1')
        return list(rows)

    def seqno(self) -> int:
        [(seqno,)] = self.redshift.execute(f"SELECT seqno FROM {self.staging}.trep_commit_seqno")
        return int(seqno)


def items(*rows: Row) -> dict[TableDefinition, list[Row]]:
    return {ITEMS: list(rows)}


class Spied:
    """Connections that call ``before(statement)`` before each statement; COMMIT is one."""

    def __init__(self, connect: Callable[[], Any], before: Callable[[str], None]) -> None:
        self._connect = connect
        self._before = before

    def __call__(self) -> Any:
        connection = self._connect()
        execute = connection.execute

        def spied(cursor: Any, operation: str, arguments: Any) -> Any:
            self._before(operation)
            return execute(cursor, operation, arguments)

        connection.execute = spied
        return connection
