"""What a server may not have from us, and what its refusals mean."""

from __future__ import annotations

import pytest
from pymysql.err import OperationalError

from airflow_provider_tungsten.replicator.errors import PreflightError
from airflow_provider_tungsten.replicator.source.connection import (
    Connection,
    MySQLEndpoint,
    explain,
    explained,
)


def test_a_bare_password_is_not_sent_on_an_open_line() -> None:
    connection = Connection(password="hidden", defer_connect=True)
    with (
        pytest.raises(PreflightError, match="bare password.* set ssl_mode to verify_ca") as caught,
        explained(MySQLEndpoint("db.example.com")),
    ):
        connection._process_auth(b"mysql_clear_password", None)
    assert "hidden" not in str(caught.value)


def test_an_expired_token_is_known_by_its_form() -> None:
    token = "db.example.com:3306/?Action=connect&DBUser=u&X-Amz-Signature=0123abc"
    error = OperationalError(1045, "Access denied for user 'u'@'10.0.0.1' (using password: YES)")
    for password, hint in (("an ordinary one", False), (token, True)):
        told = str(explain(MySQLEndpoint("db.example.com", user="u", password=password), error))
        assert ("expires after 15 minutes" in told) is hint
        assert password not in told
