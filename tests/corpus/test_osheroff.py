"""Files of MySQL 5.5 to 8.0 that a Java reader is tested with; none of them names columns."""

from __future__ import annotations

import pytest

from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from tests.corpus.reading import Case, needs_corpus, refused, unnamed

pytestmark = needs_corpus
UNNAMED = "the log does not name its columns"
SAKILA = (
    *("sakila.", "sakila.actor", "sakila.address", "sakila.category", "sakila.city", "sakila.country"),
    *("sakila.customer", "sakila.film", "sakila.film_actor", "sakila.film_category", "sakila.film_text"),
    *(
        "sakila.inventory",
        "sakila.language",
        "sakila.payment",
        "sakila.rental",
        "sakila.staff",
        "sakila.store",
    ),
)

CASES = [
    # Padding that Aurora marks as ignorable is passed over; the file ends in the transaction behind it.
    refused(
        "osheroff/mysql-bin.aurora-padding", CorruptLogError, r":216: the file ends inside the transaction"
    ),
    refused(
        "osheroff/mysql-bin.checksum-crc32", UnsupportedError, rf":308: simu_file_dev\.folder: {UNNAMED}"
    ),
    refused(
        "osheroff/mysql-bin.checksum-none",
        UnsupportedError,
        rf":1273: account_db\.account: {UNNAMED}",
        counts={"account_db.account": "ddl 1", "account_db.refresh_token": "ddl 1"},
    ),
    refused(
        "osheroff/mysql-bin.sakila",
        UnsupportedError,
        rf":21601: sakila\.actor: {UNNAMED}",
        counts=dict.fromkeys(SAKILA, "ddl 1"),
    ),
    refused("osheroff/mysql-bin.compressed", UnsupportedError, rf":236: demo\.movies: {UNNAMED}"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_file_is_read_to_the_right_rows_or_refused(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(monkeypatch)


def test_something_is_expected_of_every_file() -> None:
    assert unnamed("osheroff", CASES) == set()
