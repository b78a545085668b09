"""COPY as the product sends it: manifests, compression, transactions, the meaning of fields, and load errors."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
import redshift_connector
import zstandard
from redshift_gateway import records
from redshift_gateway.copy_statement import parse_copy
from redshift_gateway.records import Column, Converter
from redshift_gateway.tokens import significant, tokenize

ROLE = "IAM_ROLE 'arn:aws:iam::123456789012:role/loader'"
NULL = r"\N"
OPTIONS = r"NULL AS '\N' TIMEFORMAT 'auto' DATEFORMAT 'auto' COMPUPDATE OFF STATUPDATE OFF REGION 'eu-west-1'"


@pytest.fixture
def put(s3: Any) -> Callable[..., str]:
    """Puts files and a manifest that names them; gives the manifest's address."""

    def put_files(
        *bodies: str | bytes, mandatory: bool = True, pack: Callable[[bytes], bytes] = bytes
    ) -> str:
        place = f"load-{random.randrange(1 << 60):x}"
        entries = []
        for number, body in enumerate(bodies):
            key = f"{place}/{number}.csv"
            s3.put_object(
                Bucket="bucket", Key=key, Body=pack(body.encode() if isinstance(body, str) else body)
            )
            entries.append({"url": f"s3://bucket/{key}", "mandatory": mandatory})
        s3.put_object(
            Bucket="bucket", Key=f"{place}/manifest", Body=json.dumps({"entries": entries}).encode()
        )
        return f"s3://bucket/{place}/manifest"

    return put_files


@pytest.fixture
def copy(run: Any, put: Any) -> Callable[..., Any]:
    """Loads files into a new table ``c`` of the given columns and gives its rows by the first column."""

    def load(columns: str, *bodies: str | bytes, options: str = OPTIONS) -> Any:
        run("DROP TABLE IF EXISTS c")
        run(f"CREATE TABLE c ({columns})")
        run(f"COPY c FROM '{put(*bodies)}' {ROLE} FORMAT AS CSV MANIFEST {options}")
        return run("SELECT * FROM c ORDER BY 1 NULLS LAST")

    return load


def quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def message(error: pytest.ExceptionInfo[Any]) -> str:
    return str(error.value.args[0]["M"])


def last_load_error(run: Any) -> list[Any]:
    [row] = run(
        "SELECT TRIM(file_name), line_number, TRIM(column_name), TRIM(column_type), TRIM(column_length), error_code"
        " FROM sys_load_error_detail ORDER BY query_id DESC LIMIT 1"
    )
    return list(row)


def test_a_manifest_of_zstd_files_is_loaded_inside_the_clients_transaction(
    connection: Any, run: Any, put: Any
) -> None:
    run(
        "CREATE TABLE a (id BIGINT NOT NULL ENCODE az64, name VARCHAR(20), at TIMESTAMP) DISTKEY(id) SORTKEY(id)"
    )
    url = put(
        "1,a,2026-01-02 03:04:05.123456\n2,\\N,\\N\n",
        '3,"x, ""y""\nz",\\N\n',
        pack=zstandard.ZstdCompressor().compress,
    )
    connection.autocommit = False
    run(f'COPY "t"."A" ("ID", "name", at) FROM \'{url}\' {ROLE} FORMAT CSV ZSTD MANIFEST {OPTIONS}')
    assert connection.notices[-1][b"M"] == b"Load into table 'a' completed, 3 record(s) loaded successfully."
    assert run("SELECT pg_last_copy_count()") == [[3]]
    assert run("SELECT id, name, at::varchar FROM a ORDER BY id") == [
        [1, "a", "2026-01-02 03:04:05.123456"],
        [2, None, None],
        [3, 'x, "y"\nz', None],
    ]
    connection.rollback()
    assert run("SELECT count(*) FROM a") == [[0]]


def test_a_cached_copy_runs_again(run: Any, put: Any) -> None:
    run("CREATE TABLE twice (a INT)")
    url = put("1\n2\n")
    for loaded in (2, 4, 6):
        run(f"COPY twice FROM '{url}' {ROLE} CSV MANIFEST")
        assert run("SELECT count(*) FROM twice") == [[loaded]]
    first, second = (run("SELECT pg_last_copy_id()"), run(f"COPY twice FROM '{url}' {ROLE} CSV MANIFEST"))
    assert second is None
    assert run("SELECT pg_last_copy_id()") > first


def test_a_temporary_table_of_the_session_is_loaded(run: Any, put: Any) -> None:
    run("CREATE TEMP TABLE tmp (a INT, b INT)")
    run(f"COPY tmp (b) FROM '{put('5')}' iam_role default csv manifest")
    assert run("SELECT a, b FROM tmp") == [[None, 5]]


def test_every_key_under_a_prefix_and_several_gzip_members_are_loaded(run: Any, s3: Any) -> None:
    run("CREATE TABLE many (a INT)")
    s3.put_object(Bucket="bucket", Key="prefix/1.gz", Body=gzip.compress(b"1\n") + gzip.compress(b"2\n"))
    s3.put_object(Bucket="bucket", Key="prefix/1.gz.more", Body=gzip.compress(b"3"))
    run(f"COPY many FROM 's3://bucket/prefix/1' {ROLE} GZIP CSV")
    assert run("SELECT a FROM many ORDER BY a") == [[1], [2], [3]]


@pytest.mark.parametrize("option", ["ZSTD", "GZIP"])
def test_a_packed_file_cut_short_is_an_error(run: Any, put: Any, option: str) -> None:
    run("CREATE TABLE cut (a INT)")
    pack = {"ZSTD": zstandard.ZstdCompressor().compress, "GZIP": gzip.compress}[option]
    url = put("1\n" * 100_000, pack=lambda body: pack(body)[:-6])
    with pytest.raises(redshift_connector.Error, match="ends before its end"):
        run(f"COPY cut FROM '{url}' {ROLE} CSV MANIFEST {option}")
    assert run("SELECT count(*) FROM cut") == [[0]]


def test_a_missing_file_fails_when_mandatory_and_is_skipped_when_not(run: Any, s3: Any) -> None:
    run("CREATE TABLE missing (a INT)")
    s3.put_object(Bucket="bucket", Key="there", Body=b"1\n")
    entries = [{"url": "s3://bucket/there"}, {"url": "s3://bucket/not-there", "mandatory": True}]
    s3.put_object(Bucket="bucket", Key="strict", Body=json.dumps({"entries": entries}).encode())
    entries[1].pop("mandatory")
    s3.put_object(Bucket="bucket", Key="lax", Body=json.dumps({"entries": entries}).encode())
    with pytest.raises(redshift_connector.Error) as error:
        run(f"COPY missing FROM 's3://bucket/strict' {ROLE} CSV MANIFEST")
    assert "S3ServiceException:The specified key does not exist.,Status 404" in message(error)
    run(f"COPY missing FROM 's3://bucket/lax' {ROLE} CSV MANIFEST")
    assert run("SELECT count(*) FROM missing") == [[1]]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("'s3://bucket/nothing-here' MANIFEST", "Problem reading manifest file - S3ServiceException:"),
        ("'s3://bucket/nothing-here'", "The specified S3 prefix 'nothing-here' does not exist"),
        ("'s3://no-such-bucket/x'", "S3ServiceException:The specified bucket does not exist,Status 404"),
    ],
)
def test_what_is_not_on_s3_is_told_as_redshift_does(run: Any, source: str, text: str) -> None:
    run("CREATE TABLE n (a INT)")
    with pytest.raises(redshift_connector.ProgrammingError) as error:
        run(f"COPY n FROM {source} {ROLE} CSV")
    assert text in message(error)
    assert error.value.args[0]["C"] == "XX000"


def test_empty_text_stays_apart_from_null(copy: Any) -> None:
    rows = copy("n INT, a VARCHAR(9), b INT", '1,,\n2,"",""\n3,\\N,\\N\n4,"\\N","\\N"\n5,\\\\N,7\n')
    assert rows == [[1, "", None], [2, "", None], [3, None, None], [4, None, None], [5, "\\\\N", 7]]


@pytest.mark.parametrize("options", [r"NULL AS '\N' EMPTYASNULL", "NULL AS ''"])
def test_empty_text_becomes_null_when_asked(copy: Any, options: str) -> None:
    rows = copy("n INT, a VARCHAR(9), b INT", '1,,\n2,"",""\n3,""" """,7\n', options=options)
    assert rows == [[1, None, None], [2, None, None], [3, '" "', 7]]


def test_a_null_text_of_ones_own_leaves_the_default_one_as_text(copy: Any) -> None:
    assert copy("n INT, a VARCHAR(9)", "1,\\N\n2,<NULL>\n3,<null>\n", options="NULL AS '<NULL>'") == [
        [1, "\\N"],
        [2, None],
        [3, "<null>"],
    ]


def test_text_survives_whatever_it_holds(run: Any, copy: Any) -> None:
    texts = [
        "a\nb",
        "a\r\nb",
        "\r",
        "\n",
        "a\tb",
        '"',
        '""',
        ",",
        "\\",
        "\\.",
        "a\n\\.\nb",
        "\\t",
        "ä€😀\u2028",
        " x ",
        "NULL",
    ]
    quoted = "".join(f"{n},{quote(text)}\n" for n, text in enumerate(texts))
    assert copy("n INT, a VARCHAR(30)", quoted) == [[n, text] for n, text in enumerate(texts)]
    # An empty number sends the chunk down the other path.
    assert copy("n INT, a VARCHAR(30)", quoted + ",x\n") == [
        *([n, t] for n, t in enumerate(texts)),
        [None, "x"],
    ]
    alone = "".join(f"{quote(text)}\n" for text in texts)
    assert sorted(row[0] for row in copy("a VARCHAR(30)", alone + "\\.\n")) == sorted([*texts, "\\."])


def test_lines_may_end_in_cr_lf_and_the_last_in_nothing(copy: Any) -> None:
    assert copy("a INT, b VARCHAR(5)", '1,x\r\n2,"y"\r\n', "3,z\n4,v") == [
        [1, "x"],
        [2, "y"],
        [3, "z"],
        [4, "v"],
    ]


def test_blanks_around_quotes_are_ignored(copy: Any) -> None:
    assert copy("a INT, b VARCHAR(5), c INT", ' "1" , " x " , 3\n') == [[1, " x ", 3]]


def test_delimiter_quote_header_and_truncation(copy: Any) -> None:
    rows = copy(
        "a INT, b VARCHAR(5)",
        "a|b\n1|'€€'\n2|'it''s |'\n3|abc\n",
        "a|b\n4|\\N\n",
        options="DELIMITER '|' QUOTE AS '''' IGNOREHEADER 1 TRUNCATECOLUMNS",
    )
    assert rows == [[1, "€"], [2, "it's "], [3, "abc"], [4, None]]


def test_binary_json_and_decimal_fields(copy: Any) -> None:
    rows = copy(
        "n INT, b VARBYTE(3), s SUPER, d DECIMAL(6,2)",
        '1,00fF7f,"{""a"": [1, null]}",1.239\n2,"",,-0.999\n3,\\N,"""x""",5\n',
    )
    assert [[str(value) for value in row] for row in rows] == [
        ["1", "00ff7f", '{"a":[1,null]}', "1.23"],
        ["2", "None", "None", "-0.99"],
        ["3", "None", '"x"', "5.00"],
    ]


def test_identity_columns_are_left_out_unless_asked_for(run: Any, put: Any) -> None:
    run("CREATE TABLE i (id BIGINT IDENTITY(1,1), a INT)")
    run(f"COPY i FROM '{put('7')}' {ROLE} CSV MANIFEST")
    run(f"COPY i FROM '{put('50,8')}' {ROLE} CSV MANIFEST EXPLICIT_IDS")
    assert run("SELECT id, a FROM i ORDER BY id") == [[1, 7], [50, 8]]


@pytest.mark.parametrize(
    ("kind", "field", "code", "column"),
    [
        ("INT", "x1", 1207, "b int4"),
        ("INT", "2147483648", 1222, "b int4"),
        ("BIGINT", "1.0", 1207, "b int8"),
        ("DECIMAL(5,2)", "abc", 1209, "b numeric"),
        ("DECIMAL(5,2)", "1000.00", 1204, "b numeric"),
        ("REAL", "x", 1208, "b float4"),
        ("BOOLEAN", "maybe", 1210, "b bool"),
        ("DATE", "2026-13-01", 1205, "b date"),
        ("DATE", "0000-00-00", 1205, "b date"),
        ("DATE", "today", 1205, "b date"),
        ("TIMESTAMP", "2026-01-01 25:00:00", 1206, "b timestamp"),
        ("TIMESTAMP", "2026-01-01 00:00:00.1234567", 1206, "b timestamp"),
        ("TIMESTAMP", "infinity", 1206, "b timestamp"),
        ("VARCHAR(3)", "€€", 1204, "b varchar"),
        ("VARCHAR(3)", "abcd", 1204, "b varchar"),
        ("CHAR(3)", "ä", 1215, "b bpchar"),
        ("VARBYTE(2)", "010203", 1204, "b bytea"),
        ("VARBYTE(2)", "0g", 1219, "b bytea"),
        ("VARBYTE(2)", "012", 1219, "b bytea"),
        ("SUPER", "{x}", 1224, "b jsonb"),
        ("INT NOT NULL", "\\N", 1213, "b int4"),
        ("INT", "1,2", 1202, ""),
        ("INT, c INT", "1", 1214, "b int4"),
        ("VARCHAR(9)", 'a"b"', 1214, ""),
        ("VARCHAR(9)", '"a"b', 1214, ""),
        ("VARCHAR(9)", '"a', 1214, ""),
        ("VARCHAR(9)", "a\0b", 1220, ""),
    ],
)
def test_a_bad_field_is_reported_with_its_file_line_column_and_code(
    run: Any, put: Any, kind: str, field: str, code: int, column: str
) -> None:
    run(f"CREATE TABLE bad (a VARCHAR(9), b {kind})")
    good = '"two\nlines",\\N' if "NOT NULL" not in kind else '"two\nlines",5'
    good += ",\\N" if "c INT" in kind else ""
    url = put(f"{good}\n", f"{good}\nx,{field}\n{good}\n")
    with pytest.raises(redshift_connector.ProgrammingError) as error:
        run(f"COPY bad FROM '{url}' {ROLE} CSV MANIFEST")
    assert (
        message(error)
        == "Load into table 'bad' failed.  Check 'sys_load_error_detail' system table for details."
    )
    file, line, name, type_name, _, found = last_load_error(run)
    assert file == url.replace("manifest", "1.csv")
    assert (line, found) == (3, code)
    if column:
        assert f"{name} {type_name}" == column
    assert run("SELECT count(*) FROM bad") == [[0]]


def test_the_error_row_survives_the_rollback_it_causes(connection: Any, run: Any, put: Any) -> None:
    run("CREATE TABLE r (a INT)")
    url = put("head\n1\nno\n")
    run("BEGIN")
    run("INSERT INTO r VALUES (7)")
    with pytest.raises(redshift_connector.ProgrammingError):
        run(f"COPY r FROM '{url}' {ROLE} CSV MANIFEST IGNOREHEADER 1")
    with pytest.raises(redshift_connector.Error, match="25P02"):
        run("SELECT 1")
    run("ROLLBACK")
    assert last_load_error(run) == [url.replace("manifest", "0.csv"), 3, "a", "int4", "", 1207]
    assert run("SELECT count(*) FROM r") == [[0]]
    assert run("SELECT count(*) FROM stl_load_errors WHERE err_code = 1207") > [[0]]


def test_invalid_utf8_is_1220(run: Any, put: Any) -> None:
    run("CREATE TABLE u (a VARCHAR(9))")
    with pytest.raises(redshift_connector.ProgrammingError):
        run(f"COPY u FROM '{put(bytes([0x61, 0xFF, 0x0A]))}' {ROLE} CSV MANIFEST")
    assert last_load_error(run)[5] == 1220


def test_a_row_over_4_mb_is_refused(run: Any, put: Any) -> None:
    run("CREATE TABLE big (a VARBYTE(16777216), b INT)")
    run(f"COPY big FROM '{put('ab' * 2_000_000 + ',1')}' {ROLE} CSV MANIFEST")
    with pytest.raises(redshift_connector.ProgrammingError):
        run(f"COPY big FROM '{put('ab' * 2_200_000 + ',1')}' {ROLE} CSV MANIFEST")
    assert last_load_error(run)[5] == 1216
    with pytest.raises(redshift_connector.ProgrammingError):
        run(f"COPY big FROM '{put('ab' * 6_000_000 + ',1')}' {ROLE} CSV MANIFEST")
    assert last_load_error(run)[5] == 1216


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("COPY o FROM 's3://bucket/x' {role} CSV SPEEDUP", "42601"),
        ("COPY o FROM 's3://bucket/x' {role} CSV GZIP ZSTD", "42601"),
        ("COPY o FROM 's3://bucket/x' {role} CSV PARQUET", "0A000"),
        ("COPY o FROM 's3://bucket/x' {role} CSV MAXERROR 5", "0A000"),
        ("COPY o FROM 's3://bucket/x' {role} CSV ESCAPE", "0A000"),
        ("COPY o FROM 's3://bucket/x' {role}", "0A000"),
        ("COPY o FROM 's3://bucket/x' CSV", "42601"),
        ("COPY o FROM 's3://bucket/x' IAM_ROLE 'me' CSV", "XX000"),
        ("COPY o FROM 's3://bucket/x' {role} CSV DELIMITER '||'", "42601"),
        ("COPY o (nope) FROM 's3://bucket/x' {role} CSV", "42703"),
        ("COPY nowhere FROM 's3://bucket/x' {role} CSV", "42P01"),
        ("COPY o FROM '/etc/passwd' {role} CSV", "0A000"),
    ],
)
def test_a_wrong_copy_is_refused_and_fails_the_transaction(run: Any, statement: str, code: str) -> None:
    run("CREATE TABLE o (a INT)")
    run("BEGIN")
    with pytest.raises(redshift_connector.Error) as error:
        run(statement.format(role=ROLE))
    assert error.value.args[0]["C"] == code
    with pytest.raises(redshift_connector.Error, match="25P02"):
        run("SELECT 1")
    run("ROLLBACK")


def test_a_failing_file_in_the_middle_of_a_large_load_ends_it(run: Any, put: Any) -> None:
    run("CREATE TABLE large (a INT, b VARCHAR(50))")
    good = "".join(f"{n},{'x' * 40}\n" for n in range(50_000))
    url = put(good, "bad,x\n" + good, good)
    with pytest.raises(redshift_connector.ProgrammingError):
        run(f"COPY large FROM '{url}' {ROLE} CSV MANIFEST")
    assert last_load_error(run)[:2] == [url.replace("manifest", "1.csv"), 1]
    run(f"COPY large FROM '{put(good, good)}' {ROLE} CSV MANIFEST")
    assert run("SELECT count(*), count(DISTINCT a) FROM large") == [[100_000, 50_000]]


@pytest.mark.parametrize("seed", range(4))
def test_random_files_load_as_the_rules_say(run: Any, put: Any, seed: int) -> None:
    """Every field against the model: NULL text quoted or not, empty fields, and text of the worst characters."""
    rng = random.Random(seed)
    empty_as_null, crlf = seed % 2 == 1, seed >= 2
    lines, expected = [], []
    for number in range(3000):
        text = "".join(
            rng.choices(["a", "é", "😀", '"', ",", "\n", "\r", "\\", "\\N", " ", "\t"], k=rng.randrange(4))
        )
        integer = rng.choice(["", "7", "-12", "\\N"])
        plain = not set(text) & set('",\n\r') and rng.random() < 0.5
        lines.append(f"{number},{text if plain else quote(text)},{rng.choice([integer, quote(integer)])}")
        null = text == "\\N" or (empty_as_null and not text)
        expected.append([number, None if null else text, None if integer in ("", "\\N") else int(integer)])
    end = "\r\n" if crlf else "\n"
    run("CREATE TABLE f (n INT, t VARCHAR(99), i INT)")
    url = put(end.join(lines[:2000]) + end, end.join(lines[2000:]))
    run(f"COPY f FROM '{url}' {ROLE} CSV MANIFEST {'EMPTYASNULL' if empty_as_null else ''}")
    assert run("SELECT * FROM f ORDER BY n") == expected


def test_records_convert_alike_however_the_object_arrives_and_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    copy = parse_copy(significant(tokenize(f"COPY c FROM 's3://b/k' {ROLE} CSV")))
    columns = [Column(1, "a", "int4", None, None), Column(2, "b", "varchar", 99, None)]
    rng = random.Random(5)
    texts = ["", "\\N", "plain", "a,b", 'say "so"', "line\nline", "\n\n", '"', "x" * 3000]
    body = "".join(
        f"{rng.choice(['1', '22', '', NULL])},{quote(rng.choice(texts))}\n" for _ in range(2000)
    ).encode()
    converter = Converter(copy, columns)
    whole = b"".join(converter.convert([body]))
    assert whole != body
    for size, chunk in ((997, 1), (4096, 5000), (300_000, 777)):
        monkeypatch.setattr(records, "CHUNK", chunk)
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        assert b"".join(converter.convert(pieces)) == whole
