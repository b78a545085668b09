"""Files of MySQL 5.5 to 8.0 that a Java reader is tested with; none of them names columns but by DDL."""

from __future__ import annotations

import pytest

from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from tests.corpus.reading import Case, needs_corpus, refused, unnamed

pytestmark = needs_corpus
UNNAMED = "the log does not name its columns"
SAKILA = {
    **{
        "actor": 200,
        "address": 603,
        "category": 16,
        "city": 600,
        "country": 109,
        "customer": 599,
        "film": 1000,
    },
    **{"film_actor": 5462, "film_category": 1000, "film_text": 1000, "inventory": 4581, "language": 6},
    **{"payment": 16049, "rental": 16044, "staff": 2, "store": 2},
}

CASES = [
    # Padding that Aurora marks as ignorable is passed over; the file ends in the transaction behind it.
    refused(
        "osheroff/mysql-bin.aurora-padding", CorruptLogError, r":216: the file ends inside the transaction"
    ),
    refused(
        "osheroff/mysql-bin.checksum-crc32", UnsupportedError, rf":308, .*: simu_file_dev\.folder: {UNNAMED}"
    ),
    refused(
        "osheroff/mysql-bin.checksum-none",
        UnsupportedError,
        rf":1273, .*: account_db\.account: {UNNAMED}",
        counts={"account_db.account": "ddl 1", "account_db.refresh_token": "ddl 1"},
    ),
    # Named by its own CREATE TABLE statements.
    Case(
        "osheroff/mysql-bin.sakila",
        counts={"sakila.": "ddl 1"}
        | {f"sakila.{table}": f"ddl 1, insert {rows}" for table, rows in SAKILA.items()},
    ),
    refused("osheroff/mysql-bin.compressed", UnsupportedError, rf":236, .*: demo\.movies: {UNNAMED}"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_file_is_read_to_the_right_rows_or_refused(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(monkeypatch)


def test_something_is_expected_of_every_file() -> None:
    assert unnamed("osheroff", CASES) == set()
