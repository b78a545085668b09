"""Redshift's SQL through the gateway: DDL, types, comparison, transactions, the catalog, and what Redshift refuses."""

from __future__ import annotations

import datetime
import threading
from decimal import Decimal
from typing import Any

import pytest
import redshift_connector


def fields(error: pytest.ExceptionInfo[Any]) -> dict[str, str]:
    return dict(error.value.args[0])


def test_physical_attributes_keys_and_types_of_redshift_are_taken(run: Any) -> None:
    run(
        """CREATE TABLE IF NOT EXISTS "Orders" (
             id BIGINT NOT NULL IDENTITY(10, 5) ENCODE az64 DISTKEY SORTKEY,
             "Note" VARCHAR(MAX) ENCODE zstd DEFAULT 'a, (b)' NOT NULL, -- a comment, with a comma
             a SUPER, b VARBYTE(4), c TEXT, d NVARCHAR(5), e DATETIME DEFAULT SYSDATE, f DECIMAL, g CHAR,
             h CHARACTER VARYING(7) UNIQUE, i DOUBLE PRECISION, j TIMESTAMP WITHOUT TIME ZONE,
             k DATE DEFAULT GETDATE() PRIMARY KEY,
             CONSTRAINT pk PRIMARY KEY (id, h), UNIQUE (c), FOREIGN KEY (d) REFERENCES elsewhere (x)
           ) BACKUP NO DISTSTYLE KEY COMPOUND SORTKEY (id, c)"""
    )
    run("INSERT INTO orders (h) VALUES ('x')")
    run("INSERT INTO ORDERS (h) VALUES ('x')")
    assert run('SELECT ID, "NOTE" FROM t."ORDERS" ORDER BY 1') == [[10, "a, (b)"], [15, "a, (b)"]]
    with pytest.raises(redshift_connector.Error) as error:
        run("INSERT INTO orders (h) VALUES (NULL)")
    assert fields(error)["C"] == "23502"
    assert "D" not in fields(error)


def test_the_catalog_tells_redshifts_types(run: Any) -> None:
    run(
        "CREATE TABLE c (a SMALLINT, b INTEGER NOT NULL, c BIGINT, d DECIMAL(20,0), e DECIMAL(9,4), f REAL, g FLOAT8,"
        " h BOOLEAN, i CHAR(3), j VARCHAR(300), k VARBYTE(16), l VARBYTE, m SUPER, n DATE, o TIMESTAMP, p TIMESTAMPTZ,"
        " q VARCHAR(MAX), r VARCHAR)"
    )
    expected = [
        ["a", "smallint", None, 16, 0],
        ["b", "integer", None, 32, 0],
        ["c", "bigint", None, 64, 0],
        ["d", "numeric", None, 20, 0],
        ["e", "numeric", None, 9, 4],
        ["f", "real", None, 24, None],
        ["g", "double precision", None, 53, None],
        ["h", "boolean", None, None, None],
        ["i", "character", 3, None, None],
        ["j", "character varying", 300, None, None],
        ["k", "binary varying", 16, None, None],
        ["l", "binary varying", 64000, None, None],
        ["m", "super", None, None, None],
        ["n", "date", None, None, None],
        ["o", "timestamp without time zone", None, None, None],
        ["p", "timestamp with time zone", None, None, None],
        ["q", "character varying", 65535, None, None],
        ["r", "character varying", 256, None, None],
    ]
    for view in ("svv_columns", "information_schema.columns"):
        found = run(
            "SELECT column_name, data_type, character_maximum_length, numeric_precision, numeric_scale"
            f" FROM {view} WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
            "t",
            "c",
        )
        assert found == expected
    assert run(
        """SELECT "column", type, "notnull" FROM pg_table_def WHERE tablename = 'c' AND "column" IN ('b','e','k')"""
    ) == [
        ["b", "integer", True],
        ["e", "numeric(9,4)", False],
        ["k", "binary varying(16)", False],
    ]


def test_values_come_back_in_pythons_types(run: Any) -> None:
    run(
        "CREATE TABLE v (a BIGINT, b DECIMAL(20,2), c REAL, d DATE, e TIMESTAMP, f BOOLEAN, g VARCHAR(9), h VARBYTE(3), i SUPER)"
    )
    run(
        "INSERT INTO v VALUES (9223372036854775807, 1.50, 0.1, '2026-01-02', '2026-01-02 03:04:05.000006', true, 'ä€😀',"
        """ FROM_HEX('00ff7f'), JSON_PARSE('{"b": [1, null, "x  y"], "a": 1.50}'))"""
    )
    run("INSERT INTO v (h) VALUES (FROM_HEX(''))")
    [full, empty] = run("SELECT * FROM v ORDER BY a NULLS LAST")
    assert full == [
        9223372036854775807,
        Decimal("1.50"),
        pytest.approx(0.1),
        datetime.date(2026, 1, 2),
        datetime.datetime(2026, 1, 2, 3, 4, 5, 6),
        True,
        "ä€😀",
        "00ff7f",
        '{"a":1.50,"b":[1,null,"x  y"]}',
    ]
    assert empty[7] == ""
    assert run(
        "SELECT h::varbyte, CAST(JSON_PARSE('[1]') AS SUPER), NVL(NULL, 2), LEN('ab ') FROM v LIMIT 1"
    ) == [["00ff7f", "[1]", 2, 3]]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("VARCHAR(4)", "'€€'"),
        ("VARCHAR(4)", "'abcde'"),
        ("VARBYTE(2)", "FROM_HEX('010203')"),
        ("CHAR(3)", "'ä'"),
    ],
)
def test_lengths_are_bytes_for_insert_too(run: Any, column: str, value: str) -> None:
    run(f"CREATE TABLE lengths (c {column})")
    with pytest.raises(redshift_connector.Error) as error:
        run(f"INSERT INTO lengths VALUES ({value})")
    assert fields(error)["C"] == "22001"
    run("CREATE TABLE copy_of (LIKE lengths)")
    run("CREATE TABLE selected AS SELECT * FROM lengths")
    for table in ("copy_of", "selected"):
        with pytest.raises(redshift_connector.Error) as error:
            run(f"INSERT INTO {table} VALUES ({value})")
        assert fields(error)["C"] == "22001"


def test_a_varchar_is_widened_and_still_measured_in_bytes(run: Any, connection: Any) -> None:
    run("CREATE TABLE widened (a INT, c VARCHAR(2))")
    run("ALTER TABLE widened ALTER COLUMN c TYPE VARCHAR(6)")
    run("INSERT INTO widened VALUES (1, '€€')")
    with pytest.raises(redshift_connector.Error) as error:
        run("INSERT INTO widened VALUES (1, '€€a')")
    assert fields(error)["M"] == "value too long for type character varying(6)"
    run("BEGIN")
    with pytest.raises(redshift_connector.Error) as error:
        run("ALTER TABLE widened ALTER COLUMN c TYPE VARCHAR(60)")
    assert fields(error)["M"] == "ALTER TABLE ALTER COLUMN cannot run inside a transaction block"
    run("ROLLBACK")
    with pytest.raises(redshift_connector.Error, match="target column size should be different"):
        run("ALTER TABLE widened ALTER COLUMN c TYPE VARCHAR(6)")
    with pytest.raises(redshift_connector.Error, match="only VARCHAR can be resized"):
        run("ALTER TABLE widened ALTER a TYPE VARCHAR(6)")


def test_trailing_blanks_do_not_count_in_varchar_comparison(run: Any) -> None:
    run("CREATE TABLE b (k VARCHAR(9), n INT)")
    run("INSERT INTO b VALUES ('a', 1), ('a  ', 2), (' a', 3)")
    assert run("SELECT n FROM b WHERE k = 'a ' ORDER BY n") == [[1], [2]]
    assert run("SELECT n FROM b WHERE k = %s ORDER BY n", "a   ") == [[1], [2]]
    assert run("SELECT n FROM b WHERE k IN ('a   ', 'z') ORDER BY n") == [[1], [2]]
    assert run("SELECT count(*) FROM b x JOIN b y ON x.k = y.k") == [[5]]
    assert run(
        "SELECT count(*) FROM b x JOIN b y ON x.k = y.k AND OCTET_LENGTH(x.k) = OCTET_LENGTH(y.k)"
    ) == [[3]]
    assert run("SELECT count(DISTINCT k) FROM b") == [[2]]
    assert run("SELECT count(*) FROM b GROUP BY k ORDER BY 1") == [[1], [2]]
    assert run(
        "SELECT max(rn) FROM (SELECT ROW_NUMBER() OVER (PARTITION BY k ORDER BY n) AS rn FROM b) x"
    ) == [[2]]
    assert run("SELECT n, LEN(k) FROM b WHERE k LIKE 'a  ' ORDER BY n") == [[2, 3]]


def test_truncate_commits_what_came_before_it(connection: Any, run: Any) -> None:
    run("CREATE TABLE one (a INT)")
    run("CREATE TABLE two (a INT)")
    run("INSERT INTO two VALUES (7)")
    connection.autocommit = False
    run("INSERT INTO one VALUES (1)")
    run("TRUNCATE TABLE two")
    connection.rollback()
    assert run("SELECT (SELECT count(*) FROM one), (SELECT count(*) FROM two)") == [[1, 0]]


def test_a_failed_truncate_fails_the_transaction(connection: Any, run: Any) -> None:
    run("BEGIN")
    with pytest.raises(redshift_connector.Error):
        run("TRUNCATE nowhere")
    with pytest.raises(redshift_connector.Error) as error:
        run("SELECT 1")
    assert fields(error)["C"] == "25P02"
    run("ROLLBACK")


def test_getdate_and_sysdate_are_timestamps_in_utc(run: Any) -> None:
    [[getdate, sysdate]] = run("SELECT GETDATE(), sysdate")
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    assert abs(now - getdate) < datetime.timedelta(seconds=5)
    assert getdate.microsecond == 0
    assert abs(now - sysdate) < datetime.timedelta(seconds=5)


def test_a_write_conflict_is_redshifts_1023(connect: Any, run: Any) -> None:
    run("CREATE TABLE w (a INT, b INT)")
    run("INSERT INTO w VALUES (1, 1)")
    one, two = connect(), connect()
    for session in (one, two):
        session.cursor().execute("SELECT * FROM t.w")
    one.cursor().execute("UPDATE t.w SET b = 2")
    one.commit()
    with pytest.raises(redshift_connector.ProgrammingError) as error:
        two.cursor().execute("UPDATE t.w SET b = 3")
    assert (fields(error)["C"], fields(error)["M"]) == ("XX000", "1023")
    assert "Serializable isolation violation" in fields(error)["D"]
    two.rollback()


def test_lock_as_first_statement_gives_a_snapshot_behind_it(connect: Any, run: Any) -> None:
    run("CREATE TABLE l (a INT)")
    run("INSERT INTO l VALUES (1)")
    first, second = connect(), connect()
    first.cursor().execute("LOCK t.l")
    first.cursor().execute("UPDATE t.l SET a = a + 1")
    seen = []

    def wait() -> None:
        cursor = second.cursor()
        cursor.execute("LOCK t.l")
        cursor.execute("UPDATE t.l SET a = a + 1")
        second.commit()
        seen.append("done")

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.3)
    holders = "SELECT DISTINCT TRIM(txn_owner) FROM svv_transactions WHERE granted AND relation = 't.l'::regclass AND lock_mode = 'AccessExclusiveLock'"
    assert run(holders) == [["awsuser"]]
    assert seen == []
    first.commit()
    thread.join(10)
    assert run("SELECT a FROM l") == [[3]]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("INSERT INTO s VALUES (1) ON CONFLICT DO NOTHING", "42601"),
        ("INSERT INTO s VALUES (1) RETURNING a", "42601"),
        ("DELETE FROM s x WHERE x.a = 1", "42601"),
        ("DELETE FROM s AS x USING s y WHERE x.a = y.a", "42601"),
        ("MERGE INTO s x USING s y ON x.a = y.a WHEN MATCHED THEN DELETE", "42601"),
        ("ALTER TABLE s ADD COLUMN b INT, ADD COLUMN c INT", "42601"),
        ("ALTER TABLE s ADD COLUMN IF NOT EXISTS b INT", "42601"),
        ("ALTER TABLE s ADD COLUMN b INT NOT NULL", "0A000"),
        ("ALTER TABLE s ALTER COLUMN a TYPE BIGINT", "0A000"),
        ("CREATE INDEX i ON s (a)", "0A000"),
        ("CREATE UNIQUE INDEX i ON s (a)", "0A000"),
        ("CREATE SEQUENCE q", "0A000"),
        ("CREATE TABLE z (a SERIAL)", "0A000"),
        ("CREATE TABLE z (a JSONB)", "0A000"),
        ("CREATE TABLE z (a INT[])", "0A000"),
        ("CREATE TABLE z (a INT CHECK (a > 1))", "42601"),
        ("CREATE TABLE z (tag INT)", "42601"),
        ("CREATE TABLE z (a VARCHAR(65536))", "22023"),
        ("CREATE TABLE z (a DECIMAL(39,0))", "22023"),
        ("CREATE TABLE z (a INT) PARTITION BY LIST (a)", "42601"),
        ("CREATE TABLE z (a INT, PRIMARY KEY (b))", "42703"),
        ("SELECT DISTINCT ON (a) a FROM s", "42601"),
        ("SELECT count(*) FILTER (WHERE a > 1) FROM s", "42601"),
        ("SELECT 1 WHERE 1 IS DISTINCT FROM 2", "42601"),
        ("TRUNCATE s, s", "42601"),
        ("SET lock_timeout TO 1", "42704"),
        ("COPY s FROM STDIN", "0A000"),
        (f"SELECT 1 AS {'n' * 64}", "42622"),
        (f'SELECT 1 AS "{"ä" * 32}"', "42622"),
    ],
)
def test_what_redshift_refuses_is_refused_and_fails_the_transaction(run: Any, sql: str, code: str) -> None:
    run("CREATE TABLE s (a INT)")
    run("BEGIN")
    with pytest.raises(redshift_connector.Error) as error:
        run(sql)
    assert fields(error)["C"] == code
    with pytest.raises(redshift_connector.Error) as error:
        run("SELECT 1")
    assert fields(error)["C"] == "25P02"
    run("ROLLBACK")


def test_statements_only_redshift_has_pass(run: Any) -> None:
    run("CREATE TABLE p (a INT, b VARCHAR(3))")
    for sql in (
        "SET query_group TO 'loader'",
        "SHOW query_group",
        "RESET query_group",
        "SET enable_case_sensitive_identifier TO false",
        "SET statement_timeout TO 60000",
        "ALTER TABLE p ALTER SORTKEY AUTO",
        "ALTER TABLE p ALTER COLUMN b ENCODE zstd",
        "ALTER TABLE p ADD PRIMARY KEY (a)",
        "ALTER TABLE p ADD COLUMN c VARBYTE(17) ENCODE zstd",
        "ALTER TABLE p DROP COLUMN c",
        'ALTER TABLE p RENAME COLUMN b TO "B2"',
        "VACUUM DELETE ONLY p TO 100 PERCENT",
        "ANALYZE p PREDICATE COLUMNS",
        "CREATE TEMP TABLE q (LIKE p INCLUDING DEFAULTS)",
        "CREATE TABLE #r (a INT)",
        "INSERT INTO #r VALUES (1)",
        "CREATE TABLE ctas DISTKEY(a) SORTKEY(a) AS SELECT a, SYSDATE AS now FROM p",
        "COMMENT ON TABLE p IS '[\"x\"]'",
        "UPDATE p AS x SET a = 1",
        "DELETE FROM t.p USING q AS y WHERE t.p.a = y.a",
    ):
        run(sql)
    assert run("SELECT b2 FROM p") == []


def test_the_text_of_literals_and_comments_is_left_alone(run: Any) -> None:
    [[text]] = run("""SELECT 'SYSDATE "X" -- GETDATE()' /* "Y" SYSDATE */ AS "Text" -- it's""")
    assert text == 'SYSDATE "X" -- GETDATE()'
