from __future__ import annotations

import csv
import io
from dataclasses import replace

import duckdb
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.batch.presets import PRESETS, Csv
from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.dialect import NULL_CANDIDATES, Dialect
from airflow_provider_tungsten.replicator.binlog.refusals import Encoded
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder, SentinelCollision, ValueRefused
from tests.unit.replicator.binlog.dialect_reader import read
from tests.unit.replicator.binlog.test_rows import BYTES, DATE, INT, LATIN1, image, long, number, short, table

Value = str | None
Row = tuple[int, Value, bytes | None, bool | None, Value, Value]

LABELS = ("", "a,b", 'say "x"', "\\N", "null", "é\n", "plain")
ENUM = Column("e", "enum", ColumnType.ENUM, 0x1F7, charset="utf8mb4", members=LABELS[1:])
LONG = Column("t", "longtext", ColumnType.BLOB, 4, charset="utf8mb4")
TABLE = table(INT, LONG, BYTES, DATE, ENUM, LATIN1)
DAY = (2020 << 9 | 2 << 5 | 3).to_bytes(3, "little")
HEADER = ["opcode", "seqno", "row_id", "commit_timestamp", "service"]
HEAD = ["I", "-5", "{}", "2009-02-13 23:31:30.000001", 'sh"op']
SPECIAL = ",;|\t\n\r\x01\x1e\x1f\"'`\\^ N\0nrtul@é中😀\u2028\x85"

texts = st.text(st.sampled_from(SPECIAL) | st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    [
        "",
        "null",
        "NULL",
        *NULL_CANDIDATES[:3],
        "\\",
        "\\\\",
        '"',
        '""',
        " ",
        " x",
        "x ",
        "\r\n",
        "\\n",
        "\n\\",
    ]
)
latin1 = st.text(st.sampled_from('é",\\\n\rü|'), max_size=6)
rows = st.lists(
    st.tuples(
        st.integers(-(2**31), 2**31 - 1),
        st.none() | texts,
        st.none() | st.binary(max_size=5),
        st.none() | st.just(True),
        st.none() | st.sampled_from(LABELS),
        st.none() | latin1,
    ),
    min_size=1,
    max_size=6,
)


def payload(row: Row) -> bytes:
    key, text, raw, day, label, other = row
    return image(
        number(key),
        None if text is None else long(text.encode()),
        None if raw is None else short(raw),
        None if day is None else DAY,
        None if label is None else bytes([LABELS.index(label)]),
        None if other is None else short(other.encode("latin-1")),
    )


def expected(row: Row, suppressed: str = "") -> list[Value]:
    key, text, raw, day, label, other = row
    left = [
        value and "".join(c for c in value if c not in suppressed) if value is not None else None
        for value in (text, label, other)
    ]
    return [
        str(key),
        left[0],
        None if raw is None else raw.hex(),
        day and "2020-02-03",
        left[1],
        left[2],
    ]


def encoded(dialect: Dialect, given_rows: list[Row], null: str) -> Encoded:
    encoder = CsvEncoder(
        TABLE, HEADER, dialect=dialect, null=null, service='sh"op', refuse_nul=False, max_text_bytes=None
    )
    data = b"".join(map(payload, given_rows))
    return encoder.encode(data, "insert", seqno=-5, row_id=1, commit_ts=1_234_567_890_000_001)


def check(dialect: Dialect, given_rows: list[Row]) -> None:
    null = next(
        candidate
        for candidate in NULL_CANDIDATES
        if not any(candidate in (text, label) for _, text, _, _, label, _ in given_rows)
    )
    null = null if dialect.null is None else dialect.null
    found = encoded(dialect, given_rows, null)
    service = "".join(c for c in 'sh"op' if c not in dialect.suppressed_characters)
    wanted = [
        [*HEAD[:2], str(at), HEAD[3], service, *expected(row, dialect.suppressed_characters)]
        for at, row in enumerate(given_rows, 1)
    ]
    assert read(found.csv.decode(), dialect, null) == wanted
    plain = [value for row in given_rows for value in (row[1], row[4], row[5]) if value is not None]
    suppressed = sum(any(c in dialect.suppressed_characters for c in value) for value in plain)
    assert found.conversions == ({"suppressed_characters": suppressed} if suppressed else {})


@pytest.mark.parametrize("preset", [*PRESETS])
@settings(max_examples=60)
@given(given_rows=rows)
def test_every_value_comes_back_in_every_preset(preset: str, given_rows: list[Row]) -> None:
    check(Csv(preset=preset).dialect, given_rows)  # type: ignore[arg-type]


marks = st.lists(st.sampled_from(",;|\t\x01\x1f\"'`\\^@"), min_size=3, max_size=3, unique=True)
properties_but_marks = st.fixed_dictionaries(
    {
        "record_separator": st.sampled_from(["\n", "\r\n", "\x1e", "\r"]),
        "use_quotes": st.sampled_from(["always", "needed", "never"]),
        "escaped_characters": st.text(st.sampled_from(",;|\t\x01\x1f\"'`\\^\n\r\x1e"), max_size=9),
        "suppressed_characters": st.text(st.sampled_from('\n\r\0é\x1e"'), max_size=2),
        "null": st.none() | st.sampled_from(["", "null", "\\N", "NULL", "@x", "\\", "x\\\\", "^N"]),
    }
)
# Marks that are alike, and a sentinel among other quotes, are refused: drawn one by one, too few would be left.
dialects = st.builds(
    lambda marks, others: (
        others
        | dict(zip(("field_separator", "quote", "escape"), marks, strict=True))
        | ({"use_quotes": "needed"} if others["null"] is None else {})
    ),
    marks,
    properties_but_marks,
)


@settings(max_examples=150)
@given(dialects, rows)
def test_every_value_comes_back_in_any_dialect_that_is_possible(
    properties: dict[str, object], given_rows: list[Row]
) -> None:
    if properties["use_quotes"] != "never" and len(properties["escaped_characters"]) % 2:  # type: ignore[arg-type]
        properties |= {"escape": properties["quote"], "escaped_characters": ""}
    try:
        dialect = Dialect(**properties)  # type: ignore[arg-type]
    except ValueError:
        assume(False)
    try:
        check(dialect, given_rows)
    except ValueRefused:
        assert dialect.use_quotes == "never"
        ends = {dialect.field_separator, *dialect.record_separator} - {*dialect.escaped_characters}
        left = [value for row in given_rows for value in expected(row, dialect.suppressed_characters)]
        values = [*left, "".join(c for c in 'sh"op' if c not in dialect.suppressed_characters)]
        assert any(value is not None and (value == dialect.null or ends & {*value}) for value in values)


@settings(max_examples=10)
@given(st.lists(rows, min_size=20, max_size=40))
def test_duckdb_reads_the_default_preset(
    tmp_path_factory: pytest.TempPathFactory, many: list[list[Row]]
) -> None:
    given_rows = [row for some in many for row in some if "\0" not in (row[1] or "")]
    path = tmp_path_factory.mktemp("duck") / "rows.csv"
    path.write_bytes(encoded(Csv().dialect, given_rows, "null").csv)
    names = ", ".join(f"'c{at}': 'VARCHAR'" for at in range(11))
    found = duckdb.sql(
        f"SELECT * FROM read_csv('{path}', auto_detect = false, header = false, delim = ',', quote = '\"', escape = '\"', "
        f"nullstr = 'null', allow_quoted_nulls = false, new_line = '\\n', columns = {{{names}}})"
    ).fetchall()
    assert [list(row[5:]) for row in found] == [expected(row) for row in given_rows]


@settings(max_examples=60)
@given(rows)
def test_pythons_csv_module_reads_the_quoted_presets(given_rows: list[Row]) -> None:
    wanted = [["null" if value is None else value for value in expected(row)] for row in given_rows]
    lines = list(csv.reader(io.StringIO(encoded(Csv().dialect, given_rows, "null").csv.decode(), newline="")))
    assert [line[5:] for line in lines] == wanted


def test_the_default_tells_null_from_the_text() -> None:
    data = b"".join(payload((1, text, None, None, None, None)) for text in ("null", "", None))
    encoder = CsvEncoder(TABLE, [], dialect=Csv().dialect)
    lines = encoder.encode(data, "insert", seqno=1, row_id=1, commit_ts=0).csv.decode().splitlines()
    assert lines == [f'"1",{field},null,null,null,null' for field in ('"null"', '""', "null")]


def test_hive_keeps_lines_whole() -> None:
    encoder = CsvEncoder(TABLE, [], dialect=Csv(preset="hive").dialect)
    data = payload((1, "a\nb\rc\x01d\\N", None, None, None, None))
    line = encoder.encode(data, "insert", seqno=1, row_id=1, commit_ts=0).csv
    assert line == b"1\x01a\\nb\\rc\\\x01d\\\\N\x01\\N\x01\\N\x01\\N\x01\\N\n"


@pytest.mark.parametrize(
    ("changes", "text", "reason"),
    [
        ({"use_quotes": "never"}, "a,b", "a text with ','"),
        ({"use_quotes": "never"}, "a\nb", r"a text with '\\n'"),
        ({"use_quotes": "never", "field_separator": "\x01"}, "null", "equals the dialect's NULL"),
        ({"use_quotes": "never", "field_separator": "\x01", "null": ""}, "", "equals the dialect's NULL"),
    ],
)
def test_what_a_dialect_cannot_carry_is_refused(changes: dict[str, str], text: str, reason: str) -> None:
    dialect = replace(Csv().dialect, **changes)  # type: ignore[arg-type]
    with pytest.raises(ValueRefused, match=reason) as caught:
        encoded(
            replace(dialect, suppressed_characters='"'),
            [(1, text, None, None, None, None)],
            dialect.null or "",
        )
    assert caught.value.column == "t"
    kept = replace(dialect, suppressed_characters='",\n', null="\\N")
    encoded(kept, [(1, text, None, None, None, None)], "\\N")


def test_an_empty_binary_is_not_the_empty_null() -> None:
    data = payload((1, None, b"", None, None, None))
    for quotes, line in (("needed", '1,,"",,,\n'), ("always", '"1",,"",,,\n')):
        dialect = Dialect(use_quotes=quotes, null="")  # type: ignore[arg-type]
        encoder = CsvEncoder(TABLE, [], dialect=dialect)
        assert encoder.encode(data, "insert", seqno=1, row_id=1, commit_ts=0).csv.decode() == line


def test_a_sentinel_collides_in_the_redshift_preset() -> None:
    with pytest.raises(SentinelCollision):
        encoded(Csv(preset="redshift").dialect, [(1, "\\N", None, None, None, None)], "\\N")


COMPOSITE = TableDefinition("shop", "pairs", (LONG, INT, LATIN1), ("l", "t"))


def pair(text: Value, key: int, other: Value) -> bytes:
    return image(
        None if text is None else long(text.encode()),
        number(key),
        None if other is None else short(other.encode("latin-1")),
    )


def test_a_key_of_one_column_is_its_value() -> None:
    encoder = CsvEncoder(
        TABLE,
        ["opcode", "seqno", "primary_key", "commit_timestamp"],
        dialect=Csv().dialect,
        timestamp_digits=3,
    )
    data = payload((3, "#1 Single", None, None, None, "Cats and Dogs (#1.4)"))
    found = encoder.encode(data, "insert", seqno=5, row_id=1, commit_ts=1_406_827_757_000_000)
    assert (
        found.csv
        == b'"I","5","3","2014-07-31 17:29:17.000","3","#1 Single",null,null,null,"Cats and Dogs (#1.4)"\n'
    )


def test_a_composite_key_is_unambiguous_and_in_key_order() -> None:
    encoder = CsvEncoder(COMPOSITE, ["primary_key", "row_id"], dialect=Dialect("|", null="null"))
    data = b"".join((pair("a,b", 1, "c"), pair("b", 1, "c,a"), pair("\\", 1, ""), pair(None, 1, "N")))
    found = encoder.encode(data, "insert", seqno=1, row_id=1, commit_ts=0).csv.decode().splitlines()
    assert [line.split("|")[0] for line in found] == ["c,a\\,b", "c\\,a,b", ",\\\\", "N,\\N"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ((2, 0, "shop"), "c,a\\,b,shop"),
        ((0, "x,y\\"), "a\\,b,x\\,y\\\\"),
        (("shop", 2), "shop,c"),
        (("one", 2, "two", "three", 0, "four"), "one,c,two,three,a\\,b,four"),
        ((0, ""), "a\\,b,"),
        (("shop",), "null"),
    ],
)
def test_a_key_holds_what_filters_add_to_it_in_its_order(key: tuple[int | str, ...], expected: str) -> None:
    encoder = CsvEncoder(COMPOSITE, ["primary_key", "opcode"], key=key, dialect=Dialect("|", null="null"))
    data = pair("a,b", 1, "c") * 3
    lines = encoder.encode(data, "insert", seqno=1, row_id=1, commit_ts=0).csv.decode().splitlines()
    assert [line.split("|")[0] for line in lines] == [expected] * 3


def test_a_long_key_has_room_for_what_filters_add() -> None:
    long_text = "," * 100_000
    encoder = CsvEncoder(
        COMPOSITE, ["primary_key"], key=(0, long_text), dialect=Dialect("|", null="null"), max_text_bytes=None
    )
    line = encoder.encode(pair("a" * 500, 1, None), "insert", seqno=1, row_id=1, commit_ts=0).csv.decode()
    assert line.split("|")[0] == "a" * 500 + "," + "\\," * 100_000


@settings(max_examples=60)
@given(st.lists(st.tuples(st.none() | texts, st.none() | latin1), min_size=2, max_size=2, unique=True))
def test_different_keys_are_different_texts(keys: list[tuple[Value, Value]]) -> None:
    encoder = CsvEncoder(COMPOSITE, ["primary_key"], dialect=Csv().dialect, refuse_nul=False)
    data = b"".join(pair(text, 1, other) for text, other in keys)
    first, second = read(
        encoder.encode(data, "insert", seqno=1, row_id=1, commit_ts=0).csv.decode(), Csv().dialect, "null"
    )
    assert first[0] != second[0]


@pytest.mark.parametrize(
    ("options", "opcodes"),
    [
        ({}, ["D", "I", "D", "I"]),
        ({"distinguish_updates": True}, ["UD", "UI", "UD", "UI"]),
        ({"update_opcode": True}, ["U", "D", "I"]),
        ({"update_opcode": True, "distinguish_updates": True}, ["U", "UD", "UI"]),
    ],
)
@pytest.mark.parametrize("header", [["opcode"], ["row_id", "opcode", "primary_key", "service"]])
def test_opcodes_of_updates(options: dict[str, bool], opcodes: list[str], header: list[str]) -> None:
    encoder = CsvEncoder(COMPOSITE, header, dialect=Dialect(null=""), **options)  # type: ignore[arg-type]
    data = b"".join((pair("a", 1, "k"), pair("a", 2, "k"), pair("a", 3, "k"), pair("b", 3, "k")))
    found = encoder.encode(data, "update", seqno=1, row_id=7, commit_ts=0)
    lines = [line.split(",") for line in found.csv.decode().splitlines()]
    assert [line[header.index("opcode")] for line in lines] == opcodes
    assert sum(found.opcodes.values()) == len(opcodes) == found.next_row_id - 7
    assert set(found.opcodes) == set(opcodes)
    assert lines[0][-2] == ("2" if "U" in opcodes else "1")
    if len(header) > 1:
        assert [line[0] for line in lines] == [str(7 + at) for at in range(len(opcodes))]


def test_without_a_key_every_update_is_two_rows() -> None:
    keyless = TableDefinition("shop", "log", (INT,), ())
    encoder = CsvEncoder(keyless, ["opcode", "primary_key"], update_opcode=True)
    data = image(number(1)) + image(number(1))
    assert encoder.encode(data, "update", seqno=1, row_id=1, commit_ts=0).csv == b"D,\\N,1\nI,\\N,1\n"


def test_titles_are_fields_of_the_dialect() -> None:
    assert CsvEncoder(TABLE, [], dialect=Csv().dialect).titles(["a", 'b"', "null"]) == b'"a","b""","null"\n'
    with pytest.raises(ValueRefused, match="a,b"):
        CsvEncoder(TABLE, [], dialect=replace(Csv().dialect, use_quotes="never")).titles(["a,b"])
