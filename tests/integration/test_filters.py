"""Filters from end to end: changes made in MySQL, through the log and every filter, to the values in CSV files; and what
preflight says of filters that do not fit the server."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tungsten.replicator.batch.apply import apply_batches
from airflow_provider_tungsten.replicator.batch.chain import Chain
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.errors import PreflightError
from airflow_provider_tungsten.replicator.filters.python import Change
from airflow_provider_tungsten.replicator.redshift.load import Target
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier
from airflow_provider_tungsten.replicator.redshift.types import redshift_type
from airflow_provider_tungsten.replicator.source.connection import connect
from airflow_provider_tungsten.replicator.source.preflight import preflight
from airflow_provider_tungsten.replicator.storage import open_storage
from airflow_provider_tungsten.replicator.thl.event import Kind
from tests.integration.extraction import Extraction, endpoint, service
from tests.stack.mysql import MySQL
from tests.stack.redshift import Redshift
from tests.stack.s3 import S3
from tests.unit.replicator.batch.logs import ORDERS, Logbook, make_service, rows, statement

SALT = "a salt of the tests, long enough"
HERE = __name__


class Written:
    """What batches hold of each table at the target."""

    def __init__(self, book: Logbook, *filters: dict[str, Any]) -> None:
        settings = make_service(
            csv={"compression": "none", "header": ["opcode", "seqno", "row_id"]}, filters=filters
        )
        self.rows: dict[str, list[list[str]]] = {}
        self.types: dict[str, dict[str, str]] = {}
        self.keys: dict[str, tuple[str, ...]] = {}
        self.statements: list[str] = []
        for plan in Chain(book.store, book.log, settings, "redshift").extend(
            token="t", limit=99, waiting=False
        ):
            manifest = write_batch(book.log, plan, settings, "redshift", book.store, token="t")
            for table in manifest.tables:
                name = f"{table.schema}.{table.table}"
                if table.truncate:
                    self.statements.append(f"truncate {name}")
                    continue
                definition = TableDefinition.from_json(table.definition)
                self.types[name] = {c.name: redshift_type(c, name).sql for c in definition.columns}
                self.keys[name] = definition.primary_key
                text = "".join(book.store.read(part.key).decode() for part in table.parts)
                lines = csv.reader(io.StringIO(text))
                self.rows.setdefault(name, []).extend([row[0], *row[3:]] for row in lines)


def logged(
    mysql: MySQL, database: str, folder: Path, *statements: str, filters: Sequence[dict[str, Any]] = ()
) -> Logbook:
    """A log of what the statements do, with the service's filters."""
    extraction = Extraction(mysql, folder / "thl", include=[f"{database}.*"])
    extraction.run()
    mysql.execute(*statements, database=database)
    extraction.run(filters=filters)
    book = Logbook(folder / "chain")
    book.log = extraction.log
    return book


def definitions(filter_: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"filter": filter_, "definitions": entries}


def test_filters_of_names_columns_keys_and_rows(mysql: MySQL, database: str, tmp_path: Path) -> None:
    key = definitions("custompkey", {"schema": database, "table": "loose", "columns": "b,a"})
    book = logged(
        mysql,
        database,
        tmp_path,
        "CREATE TABLE orders (id INT PRIMARY KEY, Note VARCHAR(20), secret INT, state VARCHAR(9))",
        "CREATE TABLE loose (a INT NOT NULL, b INT)",
        "CREATE TABLE tmp_x (id INT)",
        "CREATE TABLE log (id INT PRIMARY KEY, text VARCHAR(9))",
        "INSERT INTO tmp_x VALUES (1)",
        "DROP TABLE tmp_x",
        "INSERT INTO orders VALUES (1, 'one', 7, 'new'), (2, 'two', 8, 'test'), (3, NULL, 9, 'new')",
        "UPDATE orders SET Note = 'eins' WHERE id = 1",
        "INSERT INTO loose VALUES (1, 2)",
        "INSERT INTO log VALUES (1, 'x')",
        "DELETE FROM log",
        "DELETE FROM orders WHERE id = 3",
        "TRUNCATE orders",
        filters=[key],
    )
    renames = tmp_path / "rename.csv"
    renames.write_text(f"{database},orders,*,crm,deals,-\n*,deals,id,-,-,number\n*,orders,id,-,-,number\n")
    found = Written(
        book,
        {"filter": "replicate", "do": database, "ignore": f"{database}.tmp_?"},
        definitions("droponvalue", {"schema": "*", "table": "orders", "column": "state", "values": ["test"]}),
        definitions("dropcolumn", {"schema": database, "table": "*", "columns": ["secret"]}),
        {"filter": "replicatecolumns", "ignore": "*.orders.state"},
        {"filter": "rename", "definitions_file": str(renames)},
        {
            "filter": "skipeventbytype",
            "__default": "allow",
            "definitions": {database: {"log": {"DELETE": "deny"}}},
        },
        key,
        {"filter": "rowadddbname", "tables": "crm.*", "adddbhash": False},
        {"filter": "customcdc", "tables": "crm.deals", "cdc_columns_at_front": True},
        {"filter": "nocreatedbifnotexists"},
        {"filter": "casetransform", "to_upper_case": True},
    )
    upper = database.upper()
    seqnos = [int(row[3]) for row in found.rows["CRM.DEALS"]]
    assert [row[:2] + row[4:] for row in found.rows["CRM.DEALS"]] == [
        ["I", "I", "1", "one", database],
        ["I", "I", "3", "\\N", database],
        ["D", "U", "1", "one", database],
        ["I", "U", "1", "eins", database],
        ["D", "D", "3", "\\N", database],
    ]
    assert seqnos == sorted(seqnos)
    assert found.rows[f"{upper}.LOOSE"] == [["I", "1", "2"]]
    assert found.rows[f"{upper}.LOG"] == [["I", "1", "x"]]
    assert found.keys == {
        "CRM.DEALS": ("NUMBER", "DBNAME"),
        f"{upper}.LOOSE": ("B", "A"),
        f"{upper}.LOG": ("ID",),
    }
    assert list(found.types["CRM.DEALS"]) == [
        *("CDC_OP_TYPE", "CDC_TIMESTAMP", "CDC_SEQUENCE_NUMBER"),
        *("NUMBER", "NOTE", "DBNAME"),
    ]
    assert found.statements == ["truncate CRM.DEALS"]


def initials(change: Change) -> Change | None:
    row = change.after or change.before or {}
    if row["id"] == "3":
        return None
    return change.replace(name="".join(word[0] for word in (row["name"] or "").split()))


def reverse(text: str | None) -> str | None:
    return text and text[::-1]


def test_filters_of_values(
    mysql: MySQL, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILTERS_SALT", SALT)
    book = logged(
        mysql,
        database,
        tmp_path,
        "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(30), mail VARCHAR(40) CHARACTER SET latin1, card CHAR(16),"
        " photo BLOB, pin INT, born DATE, seen DATETIME(3), kind ENUM('a','b'), flags SET('x','y','z'),"
        " amount VARCHAR(20), active TINYINT, note TEXT, word VARCHAR(9))",
        "SET SESSION sql_mode = ''",
        "INSERT INTO people VALUES (1, 'Zoë Ångström', 'zoë@x.org', '4111111111111111', x'00ff', 7, '0000-00-00',"
        " '2024-02-29 10:11:12.345', 'b', 'x,z', '0012.50', 1, 'ÄÖÜßäöü', 'abc'),"
        " (2, 'Bo Ek', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),"
        " (3, 'X', '', '', '', 0, '2024-01-01', '2024-01-01', 'a', '', '0', 0, '', '')",
    )
    found = Written(
        book,
        {"filter": "enumtostring", "columns": "*.people.kind", "keep_numbers": True},
        {"filter": "settostring", "keep_numbers": True},
        {"filter": "python", "callable": f"{HERE}.initials", "tables": "*.people"},
        {"filter": "zerodate2null"},
        {"filter": "mask", "columns": "*.people.mail,*.people.photo", "sha256": {"env": "FILTERS_SALT"}},
        {"filter": "mask", "columns": "*.people.card", "keep_last": 4},
        {"filter": "mask", "columns": "*.people.pin", "to_null": True},
        {"filter": "cast", "columns": "*.people.amount", "type": "decimal(8,3)"},
        {"filter": "cast", "columns": "*.people.active", "type": "boolean"},
        {"filter": "cast", "columns": "*.people.seen", "type": "date"},
        {"filter": "truncatetext", "columns": "*.people.note", "length": 5, "unit": "bytes"},
        {"filter": "python", "callable": f"{HERE}.reverse", "columns": "*.people.word"},
        {"filter": "mask", "columns": "*.people.flags", "constant": "hidden"},
    )
    mail, photo = (
        hashlib.sha256(SALT.encode() + raw).hexdigest() for raw in ("zoë@x.org".encode(), b"\x00\xff")
    )
    table = f"{database}.people"
    assert found.rows[table] == [
        [
            "I",
            "1",
            "ZÅ",
            mail,
            "1111",
            photo,
            "\\N",
            "\\N",
            "2024-02-29",
            "2",
            "hidden",
            "12.500",
            "1",
            "ÄÖ",
            "cba",
        ],
        ["I", "2", "BE", *["\\N"] * 7, "hidden", *["\\N"] * 4],
    ]
    assert found.types[table] == {
        "id": "INTEGER",
        "name": "VARCHAR(120)",
        "mail": "VARCHAR(64)",
        "card": "VARCHAR(16)",
        "photo": "VARCHAR(64)",
        "pin": "INTEGER",
        "born": "DATE",
        "seen": "DATE",
        "kind": "INTEGER",
        "flags": "VARCHAR(24)",
        "amount": "DECIMAL(8, 3)",
        "active": "BOOLEAN",
        "note": "VARCHAR(20)",
        "word": "VARCHAR(36)",
    }


def test_a_table_that_the_service_does_not_replicate_costs_the_log_nothing(
    mysql: MySQL, database: str, tmp_path: Path
) -> None:
    filters = [{"filter": "replicate", "ignore": f"{database}.noise"}]
    mysql.execute("CREATE TABLE noise (id INT PRIMARY KEY)", database=database)
    extraction = Extraction(mysql, tmp_path, include=[f"{database}.*"], filters=filters)
    extraction.run()
    mysql.execute(
        "CREATE TABLE signal_ (id INT PRIMARY KEY)",
        "INSERT INTO noise VALUES (1)",
        "ALTER TABLE noise ADD a INT DEFAULT 7",
        "INSERT INTO signal_ VALUES (1)",
        database=database,
    )
    extraction.run()
    assert extraction.kinds(1) == ["ddl signal_", "insert signal_ 1"]


def test_preflight_names_what_filters_name_in_vain(mysql: MySQL, database: str, tmp_path: Path) -> None:
    mysql.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, a INT, mail VARCHAR(9))",
        "CREATE TABLE keyless (a INT NOT NULL, b INT, UNIQUE (a))",
        database=database,
    )

    def examine(*filters: dict[str, Any]) -> tuple[list[str], tuple[str, ...]]:
        wanted = service(tmp_path, include=[f"{database}.*"], filters=filters)
        where = endpoint(mysql)
        try:
            facts = preflight(connect(where), where, wanted, open_storage(str(tmp_path)))
        except PreflightError as error:
            return error.findings, ()
        return [], facts.warnings

    def key(column: str) -> dict[str, Any]:
        return definitions("custompkey", {"schema": database, "table": "keyless", "columns": column})

    assert "no primary key" in examine()[0][0]
    assert examine(key("a")) == ([], ())
    (warning,) = examine(key("b"))[1]
    assert "no unique index without NULL holds the key of filter custompkey (b)" in warning
    found, _ = examine(
        key("a"),
        definitions("dropcolumn", {"schema": database, "table": "t", "columns": ["nix"]}),
        {"filter": "mask", "columns": f"{database}.t.id", "to_null": True},
        definitions("rename", {"schema": "*", "table": "keyless", "new_table": "t"}),
    )
    assert [text.partition(":")[0] for text in found] == [
        "filters.1 (dropcolumn)",
        f"{database}.keyless and {database}.t both become {database}.t",
        f"{database}.t",
    ]


def test_redshift_gets_the_renamed_retyped_and_keyed_table(
    redshift: Redshift, s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILTERS_SALT", SALT)
    filters = (
        definitions(
            "rename", {"schema": "shop", "table": "orders", "new_schema": "crm", "new_table": "deals"}
        ),
        {"filter": "mask", "columns": "crm.deals.note", "sha256": {"env": "FILTERS_SALT"}},
        {"filter": "rowadddbname", "adddbhash": False},
        {"filter": "customcdc"},
    )
    storage = open_storage(f"s3://{bucket}/all", s3_client=s3.client())
    names = {"target_schema": "filtered_{schema}", "staging_schema": "tungsten_filtered"}
    book = Logbook(storage, files={"url": f"{storage.url}/files"}, filters=filters, **names)

    def load() -> list[tuple[Any, ...]]:
        chain = book.chain()
        for plan in chain.extend(token="t", limit=99, waiting=False):
            write_batch(book.log, plan, book.service, "redshift", book.store, token="t")
        applier = book.service.applier("redshift")
        assert isinstance(applier, RedshiftApplier)
        target = Target(redshift.connect, "shop", "redshift", applier, book.store)
        apply_batches(target, book.log, chain, book.store, through=chain.end())
        return list(
            redshift.execute("SELECT id, note, dbname, cdc_op_type FROM filtered_crm.deals ORDER BY 1")
        )

    def hashed(text: str) -> str:
        return hashlib.sha256((SALT + text).encode()).hexdigest()

    book.add(rows(ORDERS, (1, "a"), (2, "b")), rows(ORDERS, (1, "a"), (1, "c"), kind=Kind.UPDATE))
    book.add(rows(ORDERS, (2, "b"), kind=Kind.DELETE), rows(ORDERS, (3, None)))
    assert load() == [(1, hashed("c"), "shop", "U"), (3, None, "shop", "I")]
    redshift.execute("UPDATE filtered_crm.deals SET dbname = 'another' WHERE id = 3")
    book.add(rows(ORDERS, (3, None), kind=Kind.DELETE), rows(ORDERS, (1, "c"), kind=Kind.DELETE))
    assert load() == [(3, None, "another", "I")]
    book.add(statement("truncate"), rows(ORDERS, (4, "d")))
    assert load() == [(3, None, "another", "I"), (4, hashed("d"), "shop", "I")]
