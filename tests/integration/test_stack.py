"""The stack's servers are what the tests take them for, and none outlives its parent."""

from __future__ import annotations

from functools import partial

import pytest
from botocore.exceptions import ClientError

from tests.stack.mysql import MySQL
from tests.stack.s3 import S3


def test_mysql_logs_rows_with_full_metadata_and_gtids(mysql: MySQL) -> None:
    settings = "@@binlog_format, @@binlog_row_metadata, @@binlog_row_image, @@gtid_mode, @@sync_binlog"
    assert mysql.execute(f"SELECT {settings}") == (("ROW", "FULL", "FULL", "ON", 1),)


def test_mysql_replication_user_gets_in_over_checked_tls(mysql: MySQL) -> None:
    with mysql.connect(user=mysql.user, password=mysql.password) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        assert cursor.fetchone()[1]
        cursor.execute("SHOW BINARY LOG STATUS")
        assert cursor.fetchone()[0].startswith("mysql-bin.")


def test_a_database_is_dropped_with_its_test(mysql: MySQL, database: str) -> None:
    mysql.execute("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", database=database)
    assert mysql.execute("SELECT id FROM t", database=database) == ((1,),)


def test_s3_refuses_to_write_an_object_twice(s3: S3, bucket: str) -> None:
    put = partial(s3.client().put_object, Bucket=bucket, Key="once", Body=b"x", IfNoneMatch="*")
    put()
    with pytest.raises(ClientError, match="PreconditionFailed"):
        put()
