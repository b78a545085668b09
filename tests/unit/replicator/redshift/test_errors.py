"""Which errors of the driver may be tried again, and what is said of the others."""

from __future__ import annotations

import pytest
import redshift_connector

from airflow_provider_tungsten.replicator.errors import (
    DataError,
    StorageUnavailableError,
    TargetError,
    TargetUnavailableError,
)
from airflow_provider_tungsten.replicator.redshift import errors


def from_server(code: str, message: str, **more: str) -> redshift_connector.ProgrammingError:
    return redshift_connector.ProgrammingError({"S": "ERROR", "C": code, "M": message, **more})


@pytest.mark.parametrize(
    "error",
    [
        from_server("XX000", "1023", D="Serializable isolation violation on table - 100, transactions …"),
        from_server("40P01", "deadlock detected"),
        from_server("57014", "Query cancelled on user's request"),
        from_server("57P01", "terminating connection due to administrator command"),
        from_server("53300", "too many connections"),
        redshift_connector.InterfaceError("BrokenPipe: server socket closed."),
        redshift_connector.OperationalError("connection time out"),
        ConnectionResetError(104, "Connection reset by peer"),
    ],
)
def test_may_be_tried_again(error: Exception) -> None:
    assert isinstance(errors.classify(error, "commit"), TargetUnavailableError)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (redshift_connector.InterfaceError({"C": "28000", "M": "denied"}), "check user and password"),
        (from_server("28P01", "password authentication failed"), "check user and password"),
        (from_server("42501", "permission denied for schema shop"), "grant"),
        (from_server("42P01", 'relation "x" does not exist'), 'relation "x" does not exist'),
        (from_server("42601", "syntax error"), "SQLSTATE 42601"),
        (
            redshift_connector.InterfaceError("communication error", OSError("certificate verify failed")),
            "sslmode",
        ),
    ],
)
def test_needs_a_person(error: Exception, text: str) -> None:
    explained = errors.classify(error, "create shop.items")
    assert isinstance(explained, TargetError)
    assert "could not create shop.items" in str(explained)
    assert text in str(explained)


def test_s3_refusals_are_told_from_s3_being_away() -> None:
    load = "Load into table 't' failed.  Check 'sys_load_error_detail' system table for details. ({})"
    denied = from_server("XX000", load.format("S3ServiceException:Access Denied,Status 403"))
    away = from_server("XX000", load.format("S3ServiceException:Please reduce your request rate,Status 503"))
    assert "check iam_role and region" in str(errors.classify(denied, "copy"))
    unreachable = from_server(
        "XX000", load.format("S3CurlException: Connection refused, CurlError 7, CanRetry 1")
    )
    assert isinstance(errors.classify(away, "copy"), StorageUnavailableError)
    assert isinstance(errors.classify(unreachable, "copy"), StorageUnavailableError)
    assert not errors.is_load_error(denied)
    assert errors.is_load_error(
        from_server("XX000", "Load into table 't' failed.  Check 'sys_load_error_detail' …")
    )


def test_no_value_of_a_row_is_told() -> None:
    bad = from_server("22P02", 'invalid input syntax for type integer: "secret"', D="Key (a)=(secret)")
    assert "secret" not in str(errors.classify(bad, "copy"))
    row = ("s3://b/f.csv", 7, "name", "varchar", "40", 1204, "Value 'secret' too long")
    assert "secret" not in str(errors.load_error(row, "shop.items", "shop.items"))
    unknown = (*row[:5], 9999, "Odd value 'secret'")
    assert "secret" not in str(errors.load_error(unknown, "shop.items", "shop.items"))


def test_a_load_error_names_file_line_column_and_reason() -> None:
    row = ("s3://b/f.csv", 7, "name", "varchar", "40", 1204, "String length exceeds DDL length")
    error = errors.load_error(row, "shop.items", "mart.items")
    assert isinstance(error, DataError)
    assert str(error) == (
        "Redshift could not load shop.items: s3://b/f.csv, line 7, column name (varchar(40)): the value is too long or out "
        "of range (load error 1204); compare mart.items with the source's definition, or exclude the column: "
        "exclude_columns: [shop.items.name]"
    )


def test_a_load_error_that_cannot_be_read_says_so() -> None:
    assert "SYSLOG ACCESS UNRESTRICTED" in str(errors.load_error(None, "shop.items", "shop.items"))


def test_files_are_found_by_what_their_names_begin_with() -> None:
    urls = ["s3://b/shop/items/1-2.0000-aa.csv", "s3://b/shop/items/1-2.0001-bb.csv"]
    assert errors.files_prefix(urls) == "s3://b/shop/items/1-2.000"
