"""MariaDB as a source."""

from __future__ import annotations

from tests.stack.mariadb import MariaDB


def test_the_test_server_is_mariadb_that_logs_rows(mariadb: MariaDB) -> None:
    (row,) = mariadb.execute("SELECT @@version, @@log_bin, @@binlog_format, @@binlog_row_metadata")
    assert row[0].startswith("10.11.")
    assert row[1:] == (1, "ROW", "FULL")
