"""What transforms make of values on their way to a line: bytes in, text out; the settings behind them are the filters' room's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.output import HeaderValue, Output, OutputColumn, Transform
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder, Encoded, RowReader, ValueRefused

TEXT = Column("c", "longtext", 252, 4, charset="utf8mb4")
BLOB = Column("c", "longblob", 252, 4)
ENUM = Column("c", "enum", 247, 0x100, charset="utf8mb4", members=("a", "b"))
SET = Column("c", "set", 248, 0x100, charset="utf8mb4", members=("x", "y", "z"))
DATE = Column("c", "date", 10)
SALT = b"0123456789abcdef"


def image(column: Column, raw: bytes | None) -> bytes:
    if raw is None:
        return b"\x01"
    length = len(raw).to_bytes(4, "little") if column.code == 252 else b""
    return b"\x00" + length + raw


def encoder(column: Column, *transforms: Transform) -> CsvEncoder:
    table = TableDefinition("s", "t", (column,), ("c",))
    return CsvEncoder(table, ["seqno"], output=Output((OutputColumn(True, transforms),)), null="@")


def encoded(column: Column, raw: bytes | None, *transforms: Transform) -> Encoded:
    return encoder(column, *transforms).encode(image(column, raw), "insert", seqno=1, row_id=1, commit_ts=0)


def written(column: Column, raw: bytes | None, *transforms: Transform) -> str:
    """The field; @ is NULL."""
    return encoded(column, raw, *transforms).csv.decode().removeprefix("1,").removesuffix("\n")


def cast(text: str, type_: str) -> str:
    return written(TEXT, text.encode(), Transform("cast", type_))


def test_what_is_longer_than_any_number_is_none() -> None:
    """However many zeros it has."""
    zeros = "0" * ((1 << 20) - 1)
    assert [cast(zeros + "7", type_) for type_ in ("int", "decimal(9,2)")] == ["7", "7.00"]
    for type_ in ("int", "decimal(9,2)", "double", "boolean", "date", "datetime"):
        with pytest.raises(ValueRefused, match="a value that is no"):
            cast(zeros + "07", type_)


@pytest.mark.parametrize(
    ("raw", "transform", "field"),
    [
        ("secret", Transform("null"), "@"),
        (None, Transform("constant", "x,y"), '"x,y"'),
        ("4111111111111111", Transform("keep_last", count=4), "1111"),
        ("日本語", Transform("keep_last", count=2), "本語"),
        ("abc", Transform("keep_last", count=3), "abc"),
        ("ab", Transform("keep_last", count=3), "ab"),
        ("日本語", Transform("truncate", count=2), "日本"),
        ("日本語", Transform("truncate", count=3), "日本語"),
        ("日本語", Transform("truncate", count=5, unit="bytes"), "日"),
        ("日本語", Transform("truncate", count=6, unit="bytes"), "日本"),
        ("日本語", Transform("truncate", count=2, unit="bytes"), ""),
        (None, Transform("truncate", count=2), "@"),
        (None, Transform("sha256", salt=SALT), "@"),
        (None, Transform("cast", "int"), "@"),
    ],
)
def test_a_value_is_replaced(raw: str | None, transform: Transform, field: str) -> None:
    assert written(TEXT, None if raw is None else raw.encode(), transform) == field


@settings(max_examples=60)
@given(st.binary(max_size=300), st.binary(min_size=16, max_size=200))
def test_sha256_is_that_of_salt_and_bytes(value: bytes, salt: bytes) -> None:
    hashed = Transform("sha256", salt=salt, unit="hexadecimal")
    assert written(BLOB, value, hashed) == hashlib.sha256(salt + value).hexdigest()


def test_sha256_of_a_text_is_that_of_its_utf8() -> None:
    latin = Column("c", "longtext", 252, 4, charset="latin1")
    hashed = Transform("sha256", salt=SALT)
    expected = hashlib.sha256(SALT + "Zoë".encode()).hexdigest()
    assert written(TEXT, "Zoë".encode(), hashed) == written(latin, "Zoë".encode("latin1"), hashed) == expected


@settings(max_examples=60)
@given(st.text(st.characters(exclude_characters="\0@", codec="utf-8"), max_size=30), st.integers(1, 31))
def test_texts_are_cut_between_characters(text: str, count: int) -> None:
    cut = Transform("truncate", count=count)
    reader = [Transform("truncate", count=count, unit="bytes"), Transform("keep_last", count=count)]
    expected = [text[:count], text.encode()[:count].decode(errors="ignore"), text[-count:]]
    for each, wanted in zip([cut, *reader], expected, strict=True):
        assert written(TEXT, text.encode(), each) == written(TEXT, wanted.encode())


@pytest.mark.parametrize(
    ("text", "type_", "field"),
    [
        ("-32768", "smallint", "-32768"),
        ("+0042", "int", "42"),
        ("-0", "int", "0"),
        ("12.00", "int", "12"),
        ("-9223372036854775808", "bigint", "-9223372036854775808"),
        ("9223372036854775807", "bigint", "9223372036854775807"),
        ("1", "decimal(4,2)", "1.00"),
        ("-0.5", "decimal(4,2)", "-0.50"),
        ("-0.00", "decimal(4,2)", "0.00"),
        ("0012.340", "decimal(4,2)", "12.34"),
        ("7", "decimal(1,0)", "7"),
        ("9" * 38, "decimal(38,0)", "9" * 38),
        ("-" + "9" * 19 + "." + "9" * 19, "decimal(38,19)", "-" + "9" * 19 + "." + "9" * 19),
        ("1e-7", "double", "1e-7"),
        ("-12.5", "double", "-12.5"),
        ("1", "boolean", "1"),
        ("FALSE", "boolean", "0"),
        ("2024-02-29", "date", "2024-02-29"),
        ("2024-02-28 23:59:59.123", "date", "2024-02-28"),
        ("2024-02-28", "datetime", "2024-02-28 00:00:00"),
        ("2024-02-28T01:02:03.100", "datetime(1)", "2024-02-28 01:02:03.1"),
        ("2024-02-28 01:02:03", "datetime(3)", "2024-02-28 01:02:03.000"),
        ("日本語", "varchar(3)", "日本語"),
    ],
)
def test_a_cast_writes_the_canonical_form_of_its_type(text: str, type_: str, field: str) -> None:
    assert cast(text, type_) == field


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        *(
            ("32768", "smallint"),
            ("2147483648", "int"),
            ("9223372036854775808", "bigint"),
            ("1" * 30, "bigint"),
        ),
        *((text, "int") for text in ("", "-", "1.5", "1e3", " 1", "1 ", "0x1", "1.", ".5", "--1", "１")),
        *((text, "decimal(4,2)") for text in ("100", "0.001", "1,5", "NaN", "")),
        *((text, "double") for text in ("", "-", "inf", "nan", "1e999", "1x", "0x1p3", "+1")),
        *((text, "boolean") for text in ("2", "yes", "", "10")),
        *(
            (text, "date")
            for text in ("2023-02-29", "2024-13-01", "2024-00-10", "0000-00-00", "24-01-01", "2024-01-01x")
        ),
        *(
            (text, "datetime")
            for text in ("2024-01-01 24:00:00", "2024-01-01 10:00", "2024-01-01 10:00:00.5")
        ),
        *(
            (text, "datetime(6)")
            for text in ("2024-01-01 10:00:00.1234567", "2024-01-01 10:00:00.", "2024-01-01 10:00:00Z")
        ),
        ("日本語", "varchar(2)"),
    ],
)
def test_what_is_no_value_of_the_type_is_refused_without_being_told(text: str, type_: str) -> None:
    with pytest.raises(ValueRefused, match=r"column c holds a value that is no .* \(filter cast\)") as caught:
        cast(text, type_)
    assert (
        not text
        or text not in str(caught.value).removesuffix(f"{type_.upper()} (filter cast)")
        or len(text) < 3
    )


@settings(max_examples=60)
@given(
    st.text("0123456789+-.eExT: ", max_size=45),
    st.sampled_from(["int", "bigint", "decimal(38,19)", "double", "date", "datetime(6)"]),
)
def test_a_cast_of_anything_is_a_value_or_refused(text: str, type_: str) -> None:
    try:
        once = cast(text, type_)
    except ValueRefused:
        return
    assert cast(once.strip('"'), type_) == once


def date(year: int, month: int, day: int) -> bytes:
    return (year << 9 | month << 5 | day).to_bytes(3, "little")


def test_the_zero_date_becomes_null_and_is_counted() -> None:
    step = Transform("zero_date_null")
    found = encoded(DATE, date(0, 0, 0), step)
    assert (found.csv, dict(found.conversions)) == (b"1,@\n", {"zero_dates": 1})
    assert written(DATE, date(2024, 2, 29), step) == "2024-02-29"


@pytest.mark.parametrize("parts", [(2024, 0, 1), (2024, 1, 0), (0, 1, 1)])
def test_a_date_that_is_zero_in_part_is_refused(parts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueRefused, match="year, month or day is zero"):
        encoded(DATE, date(*parts), Transform("zero_date_null"))


def test_conversions_are_counted_from_call_to_call() -> None:
    cutting = encoder(TEXT, Transform("truncate", count=2))
    payload = b"".join(image(TEXT, raw) for raw in (b"abc", b"ab", b"abcd"))
    found = [cutting.encode(payload, "insert", seqno=1, row_id=1, commit_ts=0) for _ in range(2)]
    assert [dict(each.conversions) for each in found] == [{"truncated_texts": 2}] * 2


def test_steps_read_what_the_one_before_wrote() -> None:
    steps = [
        Transform("cast", "bigint"),
        Transform("cast", "decimal(12,2)"),
        Transform("cast", "varchar(9)"),
        Transform("sha256", salt=SALT),
        Transform("sha256", salt=SALT),
        Transform("keep_last", count=8),
    ]
    first = hashlib.sha256(SALT + b"12.00").hexdigest()
    assert written(TEXT, b"0012", *steps) == hashlib.sha256(SALT + first.encode()).hexdigest()[-8:]
    assert (
        written(TEXT, b"x", Transform("null"), Transform("keep_last", count=1), Transform("constant", "y"))
        == "y"
    )


def test_numbers_of_enum_and_set() -> None:
    assert written(ENUM, b"\x02", Transform("number")) == "2"
    assert written(SET, b"\x05", Transform("number"), Transform("cast", "varchar(1)")) == "5"
    reader = RowReader(TableDefinition("s", "t", (SET,)), numbers={"c"})
    assert list(reader.images(image(SET, b"\x05"))) == [("5",)]


def shout(text: str | None) -> str | None:
    return None if text == "none" else "NULL!" if text is None else text.upper()


def fail(text: str | None) -> str | None:
    raise ValueError(f"secret {text}")


@pytest.mark.parametrize(("raw", "field"), [(b"zo\xc3\xab", "ZOË"), (None, "NULL!"), (b"none", "@")])
def test_a_callable_takes_texts_and_null(raw: bytes | None, field: str) -> None:
    assert written(TEXT, raw, Transform("python", "x.shout", call=shout)) == field


@pytest.mark.parametrize("kind", ["insert", "update"])
@pytest.mark.parametrize("key", [[0], [0, 1], [0, 0]])
def test_a_key_s_transforms_run_once_a_row(key: list[int], kind: str) -> None:
    seen: list[str | None] = []

    def number(text: str | None) -> str | None:
        seen.append(text)
        return None if text is None else f"{text}{len(seen)}"

    table = TableDefinition("s", "t", (TEXT, replace(TEXT, name="d")))
    steps = (Transform("python", "x.y", call=number), Transform("truncate", count=4))
    output = Output((OutputColumn(True, steps), OutputColumn()))
    encoder = CsvEncoder(table, ["primary_key"], output=output, key=key, null="@")
    two = b"\x00" + 2 * (b"\x03\0\0\0abc") + b"\x01" + b"\x01\0\0\0x"
    encoded = encoder.encode(two * 2, kind, seqno=1, row_id=1, commit_ts=0)
    assert seen == ["abc", None] * 2
    lines = [line.rsplit(",", 2) for line in encoded.csv.decode().splitlines()]
    assert [line[1] for line in lines] == ["abc1", "@", "abc3", "@"]
    keys = {(0,): ["abc1", "@"], (0, 1): ["abc1,abc", "\\N,x"], (0, 0): ["abc1,abc1", "\\N,\\N"]}
    assert [line[0].strip('"') for line in lines[:2]] == keys[tuple(key)]


def test_what_a_key_s_transform_cuts_off_is_counted_once() -> None:
    table = TableDefinition("s", "t", (TEXT,), ("c",))
    output = Output((OutputColumn(True, (Transform("truncate", count=1),)),))
    encoded = CsvEncoder(table, ["primary_key"], output=output).encode(
        image(TEXT, b"abc"), "insert", seqno=1, row_id=1, commit_ts=0
    )
    assert encoded.csv == b"a,a\n"
    assert encoded.conversions == {"truncated_texts": 1}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (fail, r"x\.y: ValueError at test_transforms\.py:\d+"),
        (lambda text: 7, r"x\.y gave int, not a text or None"),
    ],
)
def test_a_callable_that_fails_is_named_without_its_words(
    call: Callable[[str | None], str | None], said: str
) -> None:
    with pytest.raises(ValueRefused, match=said) as caught:
        written(TEXT, b"pepper", Transform("python", "x.y", call=call))
    assert "pepper" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("insert", ["I"]), ("update", ["U", "U"]), ("delete", ["D"])],
)
def test_added_columns_hold_constants_and_what_the_header_knows(kind: str, fields: list[str]) -> None:
    table = TableDefinition("s", "t", (TEXT,), ("c",))
    added = (HeaderValue.OPERATION, "a,b", None)
    back = (HeaderValue.SEQNO, HeaderValue.COMMIT_TIMESTAMP, "z")
    writer = CsvEncoder(table, ["opcode"], output=Output(front=added, back=back), null="@")
    payload = image(TEXT, b"v") * len(fields)
    found = writer.encode(payload, kind, seqno=42, row_id=1, commit_ts=1_500_000)
    lines = found.csv.decode().splitlines()
    assert [line.partition(",")[2] for line in lines] == [
        f'{field},"a,b",@,v,42,1970-01-01 00:00:01.500000,z' for field in fields
    ]


def test_steps_do_not_write_over_what_they_read() -> None:
    steps = [Transform("cast", kind) for kind in ("datetime(6)", "varchar(30)", "datetime(3)")]
    assert written(TEXT, b"2024-02-28 01:02:03.5", *steps) == "2024-02-28 01:02:03.500"


def test_what_is_no_hexadecimal_any_more_is_not_hashed_as_such() -> None:
    hashed = Transform("sha256", unit="hexadecimal", salt=SALT)
    for text in ("abc", "xy", "AB"):
        with pytest.raises(ValueRefused, match="no hexadecimal"):
            written(BLOB, b"a", Transform("constant", text), hashed)


def test_what_is_too_short_for_a_date_is_refused() -> None:
    with pytest.raises(ValueRefused):
        written(DATE, b"\0\0\0", Transform("constant", "0000"), Transform("zero_date_null"))


@pytest.mark.parametrize("kind", ["decimal(99,0)", "decimal(2,3)", "datetime(7)"])
def test_a_cast_to_what_has_no_room_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="no type to cast to"):
        encoder(TEXT, Transform("cast", kind))


def test_an_interrupt_in_a_callable_goes_through() -> None:
    class Interrupt(BaseException):
        pass

    def call(_: str | None) -> str | None:
        raise Interrupt

    with pytest.raises(Interrupt):
        written(TEXT, b"secret", Transform("python", "m:f", call=call))
