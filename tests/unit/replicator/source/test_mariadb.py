"""MariaDB's settings, by what its versions say of them."""

from __future__ import annotations

from airflow_provider_tungsten.replicator.binlog.events import server_version
from airflow_provider_tungsten.replicator.source.mariadb import (
    offset_finding,
    retention_seconds,
    version_finding,
)


def test_versions_that_cannot_log_names_are_refused() -> None:
    for text in ("10.4.34-MariaDB", "5.5.5-10.4.34-MariaDB", "5.5.68-MariaDB"):
        assert "use MariaDB 10.5 or later" in (version_finding(server_version(text), text) or "")
    for text in ("5.5.5-10.5.0-MariaDB", "10.11.18-MariaDB-0+deb12u1-log", "11.8.6-MariaDB"):
        assert version_finding(server_version(text), text) is None


def test_the_log_is_kept_for_seconds_or_for_days() -> None:
    assert retention_seconds({"binlog_expire_logs_seconds": "60", "expire_logs_days": "0.000694"}) == 60
    assert retention_seconds({"expire_logs_days": "2"}) == 2 * 86400
    assert retention_seconds({}) == 0


def test_offsets_that_11_4_leaves_out_must_be_switched_on() -> None:
    assert offset_finding({}) is None
    assert offset_finding({"binlog_legacy_event_pos": "ON"}) is None
    assert "SET GLOBAL binlog_legacy_event_pos = ON" in (
        offset_finding({"binlog_legacy_event_pos": "OFF"}) or ""
    )
