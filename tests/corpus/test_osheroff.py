"""Files of MySQL 5.5 to 8.0 that a Java reader is tested with; none of them names columns but by DDL."""

from __future__ import annotations

from decimal import Decimal

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
# A transaction that is compressed.
MOVIES = (
    "CREATE DATABASE demo; USE demo; CREATE TABLE movies (id INT NOT NULL PRIMARY KEY, title VARCHAR(256) NOT NULL, "
    "year INT NOT NULL, country VARCHAR(256) NOT NULL, genre VARCHAR(256) NOT NULL, cast VARCHAR(1024) NOT NULL, "
    "director VARCHAR(512) NOT NULL, composer VARCHAR(256) NOT NULL, writers VARCHAR(256) NOT NULL, "
    "camera VARCHAR(256) NOT NULL, studio VARCHAR(256) NOT NULL) DEFAULT CHARSET=utf8mb4;"
)
BEFORE = (
    *("1", "Once Upon a Time in the West", "1968", "Italy", "Western"),
    "Claudia Cardinale|Charles Bronson|Henry Fonda|Gabriele Ferzetti|Frank Wolff|Al Mulock|Jason Robards|Woody Strode|"
    "Jack Elam|Lionel Stander|Paolo Stoppa|Keenan Wynn|Aldo Sambrell",
    *("Sergio Leone", "Ennio Morricone", "Sergio Leone|Sergio Donati|Dario Argento|Bernardo Bertolucci"),
    *("Tonino Delli Colli", "Paramount Pictures"),
)
MOVIE = (("D", *BEFORE), ("I", *BEFORE[:4], "Western|Action", *BEFORE[5:]))

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
    # With names from elsewhere.
    Case("osheroff/mysql-bin.compressed", {"demo.movies": "update 1"}, rows=MOVIE, dump=MOVIES),
    Case(
        "osheroff/mysql-bin.checksum-none",
        {
            "account_db.account": "ddl 1, insert 2, update 2",
            "account_db.message": "ddl 1, insert 7",
            "account_db.refresh_token": "ddl 1, insert 24",
            "meeteam_file_storage.meeteam_fs_storage": "insert 1",
        },
        dump="CREATE DATABASE account_db DEFAULT CHARACTER SET utf8mb3; "
        "CREATE DATABASE meeteam_file_storage DEFAULT CHARACTER SET utf8mb3; USE meeteam_file_storage; "
        "CREATE TABLE meeteam_fs_storage (id CHAR(36) NOT NULL, b DATETIME NOT NULL, c DATETIME, d VARCHAR(200), e INT, "
        "f VARCHAR(36), g VARCHAR(64), h INT, i INT, j TINYINT, PRIMARY KEY (id));",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_file_is_read_to_the_right_rows_or_refused(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(monkeypatch)


def test_the_old_kinds_of_time_and_the_rest_of_sakila_are_what_is_known_of_it() -> None:
    """The sample database's own figures; its server wrote it in a time zone an hour ahead of UTC."""
    paid, first = Decimal(0), {}
    for row in Case("osheroff/mysql-bin.sakila").read().rows():
        first.setdefault(row.table.removeprefix("sakila."), row.by_name)
        if row.table == "sakila.payment":
            paid += Decimal(row.by_name["amount"] or 0)
    assert paid == Decimal("67416.51")
    film, rental = first["film"], first["rental"]
    assert film["special_features"] == "Deleted Scenes,Behind the Scenes"
    assert (film["release_year"], film["original_language_id"], film["rating"]) == ("2006", None, "PG")
    assert (rental["rental_date"], rental["return_date"]) == ("2005-05-24 22:53:30", "2005-05-26 22:04:30")
    assert first["actor"]["last_update"] == "2006-02-15 03:34:33"


def test_something_is_expected_of_every_file() -> None:
    assert unnamed("osheroff", CASES) == set()
