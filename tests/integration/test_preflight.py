"""What a server that is not fit for replication gets: every finding at once, with its mend, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    PreflightError,
    SourceUnavailableError,
)
from airflow_provider_tungsten.replicator.source.connection import MySQLEndpoint, connect, rows
from airflow_provider_tungsten.replicator.source.preflight import preflight
from airflow_provider_tungsten.replicator.source.server import ServerFacts
from airflow_provider_tungsten.replicator.source.stream import Replica, register
from airflow_provider_tungsten.replicator.storage import open_storage
from tests.integration.extraction import SERVER_ID, Extraction, endpoint, service
from tests.stack.mysql import MySQL
from tests.stack.process import free_port


def examine(
    mysql: MySQL, folder: Path, *, user: MySQLEndpoint | None = None, first_start: bool = False, **source: Any
) -> ServerFacts:
    where, store = user or endpoint(mysql), open_storage(str(folder))
    with closing(connect(where)) as connection:
        return preflight(connection, where, service(folder, **source), store, first_start=first_start)


def findings(mysql: MySQL, folder: Path, **source: Any) -> list[str]:
    with pytest.raises(PreflightError) as caught:
        examine(mysql, folder, **source)
    return caught.value.findings


@pytest.fixture(scope="module")
def unfit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySQL]:
    """A server on which everything is wrong."""
    options = {
        "binlog-do-db": "shop",
        "binlog-expire-logs-seconds": "3600",
        "binlog-format": "MIXED",
        "binlog-row-image": "MINIMAL",
        "innodb-native-foreign-keys": "ON",
        "log-replica-updates": "OFF",
        "skip-replica-start": "ON",
        "sync-binlog": "0",
    }
    with MySQL(tmp_path_factory.mktemp("unfit"), options=options) as server:
        server.execute(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=1",
            "CREATE DATABASE shop",
            "CREATE TABLE shop.parent (id INT PRIMARY KEY)",
            "CREATE TABLE shop.child (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES parent (id) ON DELETE CASCADE)",
        )
        yield server


def test_a_fit_server_has_no_findings(mysql: MySQL, database: str, tmp_path: Path) -> None:
    mysql.execute("CREATE TABLE t (id INT PRIMARY KEY)", database=database)
    facts = examine(mysql, tmp_path, include=[f"{database}.*"])
    assert (facts.gtids, facts.warnings, abs(facts.clock_offset) < 1) == (True, (), True)
    assert facts.file.startswith("mysql-bin.")


def test_a_pattern_that_includes_no_table_is_a_warning(mysql: MySQL, database: str, tmp_path: Path) -> None:
    mysql.execute("CREATE TABLE t (id INT PRIMARY KEY)", database=database)
    patterns = [f"{database}.t", f"{database}.[st]*", f"{database}.T", "shpo.*"]
    assert examine(mysql, tmp_path, include=patterns).warnings == (
        f"source.include: no table fits {database}.T, shpo.*; correct the pattern, unless the table is yet to come",
    )


def test_all_findings_come_at_once_and_nothing_is_written(unfit: MySQL, tmp_path: Path) -> None:
    with pytest.raises(PreflightError) as caught:
        Extraction(unfit, tmp_path, server_id=1).run()
    found = "\n".join(caught.value.findings)
    for word in (
        "binlog_format is MIXED",
        "binlog_row_image is MINIMAL",
        "kept for 1 hours",
        "log_replica_updates",
        "server_id 1 is the server's own",
        "binlog-do-db is set (shop)",
        "does not log: shop.child",
    ):
        assert word in found
    assert len(caught.value.findings) == 7
    assert list(tmp_path.rglob("*.parquet")) == []


def test_findings_name_their_mend(unfit: MySQL, tmp_path: Path) -> None:
    found = "\n".join(findings(unfit, tmp_path))
    assert "SET PERSIST binlog_row_image = 'FULL'" in found
    assert "SET PERSIST binlog_expire_logs_seconds = 86400" in found
    assert "source.accept_unlogged_cascades" in found


def test_unlogged_cascades_are_accepted_by_name_only(unfit: MySQL, tmp_path: Path) -> None:
    def refused(**source: Any) -> bool:
        return any("cascading" in finding for finding in findings(unfit, tmp_path, **source))

    assert refused(accept_unlogged_cascades=["shop.parent"])
    assert not refused(accept_unlogged_cascades=["shop.child"])
    assert not refused(exclude=["shop.child"])


def test_logged_cascades_are_fine(mysql: MySQL, database: str, tmp_path: Path) -> None:
    mysql.execute(
        "CREATE TABLE parent (id INT PRIMARY KEY)",
        "CREATE TABLE child (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES parent (id) ON DELETE CASCADE)",
        database=database,
    )
    examine(mysql, tmp_path, include=[f"{database}.*"])


def test_binlog_off(tmp_path: Path) -> None:
    with MySQL(tmp_path / "mysql", options={"log-bin": "OFF", "disable-log-bin": "ON"}) as server:
        assert any("log_bin" in finding for finding in findings(server, tmp_path))


def test_sync_binlog_off_is_only_a_warning(mysql: MySQL, database: str, tmp_path: Path) -> None:
    mysql.execute("CREATE TABLE t (id INT PRIMARY KEY)", database=database)
    mysql.execute("SET GLOBAL sync_binlog = 0")
    try:
        facts = examine(mysql, tmp_path, include=[f"{database}.*"])
    finally:
        mysql.execute("SET GLOBAL sync_binlog = 1")
    assert [warning.split()[0] for warning in facts.warnings] == ["sync_binlog"]


def test_a_clock_that_is_ahead_is_said_and_counts_in_the_lag(
    mysql: MySQL, database: str, tmp_path: Path
) -> None:
    mysql.execute("CREATE TABLE t (id INT PRIMARY KEY)", database=database)
    extraction = Extraction(mysql, tmp_path / "thl", include=[f"{database}.*"])
    extraction.run()
    mysql.execute("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)", database=database)
    # For all but root; so what is committed now looks a hundred seconds old.
    mysql.execute("SET GLOBAL init_connect = 'SET timestamp = UNIX_TIMESTAMP(SYSDATE(6)) + 100'")
    try:
        result = extraction.run(limits={"max_transactions": 1})
    finally:
        mysql.execute("SET GLOBAL init_connect = ''")
    [warning] = [text for text in result.warnings if text.startswith("the source's clock is ")]
    assert "s ahead of ours: lag and relativeLatency allow for it, appliedLatency" in warning
    assert "is too low by that much" in warning
    assert result.lag_seconds > 50


@pytest.fixture
def managed(mysql: MySQL) -> Iterator[MySQL]:
    """The server with what makes Amazon RDS and Aurora known: their table of settings, in which nothing is set."""
    mysql.execute(
        "CREATE TABLE mysql.rds_configuration (name VARCHAR(100) PRIMARY KEY, value VARCHAR(100))",
        "INSERT INTO mysql.rds_configuration VALUES ('binlog retention hours', NULL)",
    )
    yield mysql
    mysql.execute("DROP TABLE mysql.rds_configuration")


def test_managed_servers_keep_their_log_by_a_setting_of_their_own(
    managed: MySQL, database: str, tmp_path: Path
) -> None:
    (finding,) = findings(managed, tmp_path, include=[f"{database}.*"])
    assert "is kept for 0 hours" in finding
    assert "CALL mysql.rds_set_configuration('binlog retention hours', 24)" in finding
    managed.execute("UPDATE mysql.rds_configuration SET value = '36'")
    examine(managed, tmp_path, include=[f"{database}.*"])
    (finding,) = findings(managed, tmp_path, include=[f"{database}.*"], min_retention_hours=36.5)
    assert "is kept for 36 hours" in finding
    assert "'binlog retention hours', 37)" in finding


def test_managed_servers_are_set_in_their_parameter_group(
    managed: MySQL, database: str, tmp_path: Path
) -> None:
    managed.execute(
        "UPDATE mysql.rds_configuration SET value = '24'", "SET GLOBAL binlog_row_image = 'MINIMAL'"
    )
    try:
        (finding,) = findings(managed, tmp_path, include=[f"{database}.*"])
    finally:
        managed.execute("SET GLOBAL binlog_row_image = 'FULL'")
    assert "in the DB parameter group set binlog_row_image = 'FULL'" in finding


def test_what_is_prepared_at_a_first_start_is_known(mysql: MySQL, database: str, tmp_path: Path) -> None:
    mysql.execute("CREATE TABLE t (id INT PRIMARY KEY)", database=database)
    mysql.execute("CREATE USER careful IDENTIFIED BY 'p'")
    mysql.execute("GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT, XA_RECOVER_ADMIN ON *.* TO careful")
    careful = endpoint(mysql, user="careful", password="p")
    xid = "X'61ff',X'',7"
    try:
        steps = (
            f"XA START {xid}",
            "INSERT INTO t VALUES (1)",
            f"XA END {xid}",
            f"XA PREPARE {xid}",
        )
        mysql.execute(*steps, database=database)
        facts = examine(mysql, tmp_path, user=careful, first_start=True, include=[f"{database}.*"])
        assert facts.prepared_xids == (xid,)
        assert facts.warnings[0].startswith(f"XA transactions are prepared and undecided: {xid}. ")
        assert examine(mysql, tmp_path, user=careful, include=[f"{database}.*"]).prepared_xids == ()
        facts = examine(mysql, tmp_path, first_start=True, include=[f"{database}.*"])
        assert facts.prepared_xids == ()
        assert "GRANT XA_RECOVER_ADMIN ON *.* TO 'tungsten'@'%'" in facts.warnings[0]
    finally:
        mysql.execute(f"XA ROLLBACK {xid}", "DROP USER careful")


@contextmanager
def registered(mysql: MySQL, host: str) -> Iterator[None]:
    """A replica with our server_id under that name."""
    with closing(connect(endpoint(mysql))) as connection:
        register(connection, Replica(endpoint(mysql), SERVER_ID, host))
        yield


def test_a_server_id_in_use_by_another_replica(mysql: MySQL, database: str, tmp_path: Path) -> None:
    with registered(mysql, "warehouse-7"):
        (finding,) = findings(mysql, tmp_path, include=[f"{database}.*"])
        assert "warehouse-7" in finding
        assert "source.server_id" in finding
        examine(mysql, tmp_path, include=[f"{database}.*"], server_id=SERVER_ID + 1)


def test_another_task_of_the_same_service_is_no_stranger(mysql: MySQL, database: str, tmp_path: Path) -> None:
    with registered(mysql, "tungsten-shop"):
        examine(mysql, tmp_path, include=[f"{database}.*"])


def test_a_table_without_a_key_is_refused_until_it_is_excluded(
    mysql: MySQL, database: str, tmp_path: Path
) -> None:
    mysql.execute(
        "CREATE TABLE keyless (id INT)", "CREATE VIEW v AS SELECT * FROM keyless", database=database
    )
    (finding,) = findings(mysql, tmp_path, include=[f"{database}.*"])
    assert f"{database}.keyless" in finding
    assert "source.exclude" in finding
    examine(mysql, tmp_path, include=[f"{database}.*"], exclude=["*.keyless"])


def test_a_feed_takes_tables_without_a_key_and_preflight_names_them(
    mysql: MySQL, database: str, tmp_path: Path
) -> None:
    mysql.execute("CREATE TABLE keyless (id INT)", database=database)
    warnings = examine(mysql, tmp_path, include=[f"{database}.*"], applier="s3").warnings
    assert any(text.startswith(f"no primary key: {database}.keyless") for text in warnings)


def test_a_key_of_which_a_column_is_excluded_is_none(mysql: MySQL, database: str, tmp_path: Path) -> None:
    mysql.execute("CREATE TABLE t (a INT, b INT, c INT, PRIMARY KEY (a, b))", database=database)
    (finding,) = findings(mysql, tmp_path, include=[f"{database}.*"], exclude_columns=["*.t.b"])
    assert "no primary key" in finding
    examine(mysql, tmp_path, include=[f"{database}.*"], exclude_columns=["*.t.c"])


def test_labels_in_binary_are_named(mysql: MySQL, database: str, tmp_path: Path) -> None:
    mysql.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, place POINT, name ENUM('a') CHARACTER SET binary)",
        database=database,
    )
    (name,) = findings(mysql, tmp_path, include=[f"{database}.*"])
    assert name.startswith(f"{database}.t.name: character set binary is not supported")
    assert "source.exclude_columns" in name
    examine(mysql, tmp_path, include=[f"{database}.*"], exclude_columns=["*.t.name"])


def test_missing_privileges_are_named_with_the_grant(mysql: MySQL, tmp_path: Path) -> None:
    mysql.execute("CREATE USER poor IDENTIFIED BY 'poor-password'")
    try:
        found = findings(mysql, tmp_path, user=endpoint(mysql, user="poor", password="poor-password"))
    finally:
        mysql.execute("DROP USER poor")
    text = "\n".join(found)
    assert "REPLICATION CLIENT privilege" in text
    assert "REPLICATION SLAVE privilege" in text
    assert "SELECT is missing" in text
    assert "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO 'poor'@'%'" in text


def test_privileges_of_a_role_count(mysql: MySQL, database: str, tmp_path: Path) -> None:
    mysql.execute("CREATE TABLE t (id INT PRIMARY KEY)", database=database)
    mysql.execute(
        "CREATE ROLE reader",
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO reader",
        f"GRANT SELECT ON {database}.* TO reader",
        "CREATE USER member IDENTIFIED BY 'p' DEFAULT ROLE reader",
    )
    try:
        user = endpoint(mysql, user="member", password="p")
        facts = examine(mysql, tmp_path, user=user, include=[f"{database}.*"])
    finally:
        mysql.execute("DROP USER member", "DROP ROLE reader")
    assert len(facts.warnings) == 1
    assert database in facts.warnings[0]


def test_a_store_that_cannot_be_written_is_a_finding(mysql: MySQL, database: str, tmp_path: Path) -> None:
    class Overwriting:
        def check_write_once(self) -> str:
            return "the store overwrites"

    where = endpoint(mysql)
    with closing(connect(where)) as connection, pytest.raises(PreflightError, match="the store overwrites"):
        preflight(connection, where, service(tmp_path, include=[f"{database}.*"]), Overwriting())  # type: ignore[arg-type]


def test_wrong_password_says_so_without_it(mysql: MySQL) -> None:
    with pytest.raises(PreflightError, match="access denied for user 'tungsten'") as caught:
        connect(endpoint(mysql, password="not-this-one"))
    assert "not-this-one" not in str(caught.value)
    assert "not-this-one" not in repr(endpoint(mysql, password="not-this-one"))


def test_unknown_host_and_closed_port_may_come_back(mysql: MySQL) -> None:
    for changes in ({"host": "no-such-host.invalid"}, {"port": free_port()}):
        with pytest.raises(SourceUnavailableError, match="check host, port"):
            connect(endpoint(mysql, **changes))


@pytest.mark.parametrize(
    ("mode", "encrypted"), [("disabled", False), ("preferred", True), ("required", True), ("verify_ca", True)]
)
def test_caching_sha2_password_with_and_without_tls(mysql: MySQL, mode: str, encrypted: bool) -> None:
    name = f"sha_{mode}"
    mysql.execute(f"CREATE USER {name} IDENTIFIED WITH caching_sha2_password BY 'söme pässword'")
    try:
        # A password the server has not cached yet goes there itself: over TLS, or under the server's RSA key.
        ca = None if mode in ("disabled", "preferred", "required") else str(mysql.ca_file)
        where = endpoint(mysql, user=name, password="söme pässword", ssl_mode=mode, ssl_ca=ca)
        with closing(connect(where)) as connection:
            assert bool(rows(connection, "SHOW STATUS LIKE 'Ssl_cipher'")[0]["Value"]) is encrypted
    finally:
        mysql.execute(f"DROP USER {name}")


def test_a_certificate_of_another_authority_is_refused(mysql: MySQL, tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="certificate is refused"):
        connect(endpoint(mysql, ssl_ca=None, ssl_mode="verify_ca"))
    with pytest.raises(ConfigurationError, match="cannot load the TLS files"):
        connect(endpoint(mysql, ssl_ca=str(tmp_path / "none.pem")))


def test_required_tls_is_not_given_up(tmp_path: Path) -> None:
    with MySQL(tmp_path / "mysql") as server:
        server.execute("SET GLOBAL tls_version = ''", "ALTER INSTANCE RELOAD TLS NO ROLLBACK ON ERROR")
        with pytest.raises(PreflightError, match="the server offers no TLS"):
            connect(endpoint(server, ssl_mode="required", ssl_ca=None))
        connect(endpoint(server, ssl_mode="preferred", ssl_ca=None)).close()
