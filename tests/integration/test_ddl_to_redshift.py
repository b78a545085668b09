"""A table that changes on the source, brought to Redshift: what goes by itself, and what an error says to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_tungsten.replicator.batch.apply import apply_batches
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.errors import TargetError, UnsupportedError
from airflow_provider_tungsten.replicator.redshift.load import Target
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier
from airflow_provider_tungsten.replicator.storage import open_storage
from tests.integration.extraction import Extraction
from tests.stack.mysql import MySQL
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3
from tests.unit.replicator.batch.logs import Logbook

TABLE = "or.der \"$'1` ünï"


class Replicated:
    """One table from MySQL to Redshift."""

    def __init__(
        self, mysql: MySQL, database: str, redshift: Redshift, storage: str, s3: S3, folder: Path
    ) -> None:
        self._mysql, self._redshift, self._database = mysql, redshift, database
        self._extraction = Extraction(mysql, folder, include=[f"{database}.*"])
        names = {"target_schema": f"changed_{database}", "staging_schema": f"tungsten_changed_{database}"}
        self._book = Logbook(
            open_storage(storage, s3_client=s3.client()), files={"url": f"{storage}/files"}, **names
        )
        self._target = f'"changed_{database}"."{TABLE.replace(chr(34), chr(34) * 2)}"'
        self._extraction.run()
        self._book.log = self._extraction.log

    def change(self, *statements: str) -> None:
        """`{t}` stands for the table."""
        name = "`" + TABLE.replace("`", "``") + "`"
        self._mysql.execute(*(sql.replace("{t}", name) for sql in statements), database=self._database)

    def load(self) -> None:
        self._extraction.run()
        chain = self._book.chain()
        for plan in chain.extend(token="t", limit=99, waiting=False):
            write_batch(self._book.log, plan, self._book.service, "redshift", self._book.store, token="t")
        applier = self._book.service.applier("redshift")
        assert isinstance(applier, RedshiftApplier)
        target = Target(self._redshift.connect, "shop", "redshift", applier, self._book.store)
        apply_batches(target, self._book.log, chain, self._book.store, through=chain.end())

    def mended_load(self, instead: str = "") -> str:
        """Runs what the error says, or `instead` of it, and loads again.

        :returns: the error.
        """
        with pytest.raises(TargetError) as caught:
            self.load()
        statement = instead.replace("{t}", self._target) or str(caught.value).split("; run: ")[1]
        self._redshift.execute(statement)
        self.load()
        return str(caught.value)

    def check(self, *columns: str) -> None:
        """These columns have the same values on both sides."""
        theirs = ", ".join(f"`{column}`" for column in columns)
        ours = ", ".join('"' + column.replace('"', '""') + '"' for column in columns)
        name = "`" + TABLE.replace("`", "``") + "`"
        wanted = self._mysql.execute(f"SELECT {theirs} FROM {name} ORDER BY id", database=self._database)
        assert self._redshift.execute(f"SELECT {ours} FROM {self._target} ORDER BY id") == wanted
        assert wanted


def test_a_table_goes_on_through_its_changes(
    mysql: MySQL, database: str, redshift: Redshift, s3: S3, bucket: str, tmp_path: Path
) -> None:
    table = Replicated(mysql, database, redshift, f"s3://{bucket}/all", s3, tmp_path / "thl")
    table.change(
        'CREATE TABLE {t} (id INT PRIMARY KEY, `select` INT, `p.q` INT, `a"b` INT, _ünï INT)',
        "INSERT INTO {t} VALUES (1, 10, 100, 1000, NULL), (2, 20, 200, 2000, 7)",
    )
    table.load()
    table.check("id", "select", "p.q", 'a"b', "_ünï")
    table.change(
        "ALTER TABLE {t} ADD first INT DEFAULT 5 FIRST",
        "UPDATE {t} SET `select` = 11, first = 6 WHERE id = 1",
    )
    assert "first is missing" in table.mended_load("ALTER TABLE {t} ADD COLUMN first INTEGER DEFAULT 5")
    table.check("id", "first", "select", "p.q", 'a"b', "_ünï")
    table.change(
        "ALTER TABLE {t} RENAME COLUMN `p.q` TO renamed", "INSERT INTO {t} VALUES (9, 3, 30, 300, 3000, 8)"
    )
    error = table.mended_load('ALTER TABLE {t} RENAME COLUMN "p.q" TO renamed')
    assert "if the source only renamed one of p.q, rename it here too" in error
    table.check("id", "first", "select", "renamed", 'a"b', "_ünï")
    table.change(
        "ALTER TABLE {t} DROP COLUMN `a\"b`, RENAME COLUMN `select` TO `SELECT`, COMMENT = 'x'",
        "INSERT INTO {t} VALUES (9, 4, 40, 400, 9)",
    )
    table.load()
    table.check("id", "first", "select", "renamed", "_ünï")
    table.change("ALTER TABLE {t} ADD last INT AFTER id", "DELETE FROM {t} WHERE id = 2")
    assert "last is missing" in table.mended_load()
    table.check("id", "first", "last", "select", "renamed", "_ünï")
    table.change(
        "ALTER TABLE {t} MODIFY last BIGINT UNSIGNED",
        "INSERT INTO {t} VALUES (5, 5, 18446744073709551615, 5, 5, 5)",
    )
    with pytest.raises(UnsupportedError, match="rewrites existing values.*exclude .* load the table anew"):
        table.load()
