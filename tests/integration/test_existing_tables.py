"""The README's way to begin with tables that already hold data: a copy, its old rows by a one-off service, then the source."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest
import yaml

from airflow_provider_tungsten.replicator.batch.apply import apply_batches
from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.extraction import ExtractResult
from airflow_provider_tungsten.replicator.extractor import extract
from airflow_provider_tungsten.replicator.redshift.load import Target
from airflow_provider_tungsten.replicator.service import Service, parse_service
from airflow_provider_tungsten.replicator.storage import new_token, open_storage
from airflow_provider_tungsten.replicator.thl.log import Log
from tests.integration.extraction import endpoint
from tests.stack import shop
from tests.stack.compare import compare_table
from tests.stack.mysql import MySQL
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3

README = Path(__file__).parents[2] / "README.md"
# What a dump's text cannot hold, kept out of the source: more than six digits of a FLOAT, the sign of a zero.
PLAIN_NUMBERS = {
    "products": "NEW.weight = CAST(NEW.weight AS CHAR)",
    "every_type": "NEW.f = CAST(NEW.f AS CHAR), NEW.d = NEW.d + 0e0",
}


SECTION = (
    README.read_text().partition("## Begin with tables that already hold data\n")[2].partition("\n## ")[0]
)
SEED, REAL = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
OPTIONS = " ".join(re.findall(r"\$ mysqldump .* -p (--.*?)\\\n(.*?) shop >", SECTION)[0]).split()
(SED,) = re.findall(r"\$ sed '(.*?)'", SECTION)
(SEED_SQL,) = re.findall(r"```sql\n(.*?)```", SECTION, re.DOTALL)


class Warehouse:
    """S3 and a schema of the shared Redshift, and services that end there."""

    def __init__(self, redshift: Redshift, s3: S3, bucket: str, number: str) -> None:
        self.redshift = redshift
        self.schema = f"{number}_shop"
        self._s3 = s3
        self._bucket = bucket
        self._number = number

    def replicate(self, mysql: MySQL, fields: str, **source: object) -> ExtractResult:
        """One run of a service, all its steps, over what is in the server's log now.

        :param fields: of the service, as YAML; those of the environment are added.
        """
        data = yaml.safe_load(fields)
        data["source"].update(source)
        data["thl"] = {"url": f"s3://{self._bucket}/thl"}
        applier = data.setdefault("appliers", {}).setdefault("redshift", {})
        applier |= {
            "files": {"url": f"s3://{self._bucket}/batches"},
            "region": "us-east-1",
            "target_schema": self.schema,
            "staging_schema": f"{self._number}_tungsten_{{service}}",
        }
        return self._run(mysql, parse_service(data))

    def _run(self, mysql: MySQL, service: Service) -> ExtractResult:
        client, token = self._s3.client(), new_token("test")
        store = open_storage(service.thl.url, s3_client=client)
        extracted = extract(service, endpoint(mysql), store, token=token)
        files = open_storage(service.applier("redshift").files.url, s3_client=client)
        folder = files.sub(service.service).sub("redshift")
        log = Log(store, service.service)
        chain = Chain(folder, log, service, "redshift")
        chain.extend(token=token, limit=1000, waiting=False, through=extracted.last)
        for plan in chain.plans():
            write_batch(log, plan, service, "redshift", folder, token=token)
        applier = service.applier("redshift")
        target = Target(self.redshift.connect, service.service, "redshift", applier, folder)
        apply_batches(target, log, chain, folder, through=chain.end())
        return extracted

    def unequal(self, source: MySQL) -> dict[str, str]:
        """Tables that are not as on the source, with what is wrong."""
        with source.connect(autocommit=False) as connection, self.redshift.connect() as target:
            found = [
                compare_table(connection, target, shop.SCHEMA, table, self.schema) for table in shop.TABLES
            ]
        assert all(result.source_rows for result in found)
        return {result.table: repr(result) for result in found if not result.equal}


@pytest.fixture
def warehouse(redshift: Redshift, s3: S3, bucket: str) -> Warehouse:
    return Warehouse(redshift, s3, bucket, bucket.replace("-", "_"))


@pytest.fixture
def source(mysql: MySQL) -> Iterator[MySQL]:
    """The session's server, with the shop on it."""
    with mysql.connect() as connection:
        shop.create(connection)
    yield mysql
    mysql.execute(f"DROP DATABASE {shop.SCHEMA}")


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[MySQL]:
    with MySQL(tmp_path / "scratch", options={"server-id": "2"}) as server:
        yield server


@contextmanager
def selling(source: MySQL) -> Iterator[shop.Writer]:
    """The shop has sold and goes on."""
    writer = shop.Writer(lambda: source.connect(autocommit=False))
    writer.fill(60, 40)
    for _ in range(200):
        writer.step()
    writer.start(pause=0.002)
    try:
        yield writer
    finally:
        writer.stop()


def test_tables_begin_with_a_dump(source: MySQL, scratch: MySQL, warehouse: Warehouse) -> None:
    for table, values in PLAIN_NUMBERS.items():
        for event in ("INSERT", "UPDATE"):
            trigger = f"{shop.SCHEMA}.plain_{table}_{event}"
            source.execute(
                f"CREATE TRIGGER {trigger} BEFORE {event} ON {shop.SCHEMA}.{table} FOR EACH ROW SET {values}"
            )
    with selling(source) as writer:
        before = writer.transactions
        dump = source.client("mysqldump", *OPTIONS, shop.SCHEMA)
        (gtid_set,) = re.findall(r"GTID_PURGED='\+([^']*)'", dump.decode())
        logged = subprocess.run(["sed", SED], input=dump, capture_output=True, check=True).stdout
        scratch.client("mysql", stdin=logged)
        warehouse.replicate(scratch, SEED)
        assert writer.transactions > before
    went_on = warehouse.replicate(source, REAL, start={"gtid_set": gtid_set})
    assert went_on.transactions
    assert warehouse.unequal(source) == {}


def test_tables_begin_with_a_copy_of_the_files(source: MySQL, scratch: MySQL, warehouse: Warehouse) -> None:
    with selling(source) as writer:
        before = writer.transactions
        clone(source, scratch)
        ((gtid_set,),) = scratch.execute("SELECT @@GLOBAL.gtid_executed")
        scratch.client("mysql", stdin=scratch.client("mysql", "-N", "-r", stdin=SEED_SQL.encode()))
        warehouse.replicate(scratch, SEED, include=["shop_seed.*"])
        assert writer.transactions > before
    went_on = warehouse.replicate(source, REAL, start={"gtid_set": gtid_set})
    assert went_on.transactions
    assert warehouse.unequal(source) == {}


def clone(source: MySQL, scratch: MySQL) -> None:
    """MySQL's own copy of a running server; users and passwords come along."""
    for server in (source, scratch):
        server.execute("INSTALL PLUGIN clone SONAME 'mysql_clone.so'")
    donor = f"{source.host}:{source.port}"
    with pytest.raises(pymysql.err.DatabaseError, match="not managed by supervisor"):
        scratch.execute(
            f"SET GLOBAL clone_valid_donor_list = '{donor}'",
            f"CLONE INSTANCE FROM root@{donor} IDENTIFIED BY '{source.root_password}'",
        )
    scratch.stop()
    scratch.root_password, scratch.password = source.root_password, source.password
    scratch.start()
