from __future__ import annotations

import io
import struct
import zlib
from csv import reader
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.dialect import Dialect
from airflow_provider_tungsten.replicator.binlog.output import Output, OutputColumn, Transform
from airflow_provider_tungsten.replicator.binlog.rows import (
    NULL_CANDIDATES,
    CsvEncoder,
    RowLayout,
    RowReader,
    SentinelCollision,
    ValueRefused,
    Workspace,
    unsupported_columns,
)
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError

INT = Column("id", "int", ColumnType.LONG)
TEXT = Column("t", "varchar", ColumnType.VARCHAR, 400, charset="utf8mb4", length=100)
LATIN1 = Column("l", "varchar", ColumnType.VARCHAR, 100, charset="latin1", length=100)
ASCII = Column("a", "varchar", ColumnType.VARCHAR, 100, charset="ascii", length=100)
BYTES = Column("b", "varbinary", ColumnType.VARCHAR, 100, length=100)
LONG_BYTES = Column("b", "blob", ColumnType.BLOB, 2, length=65535)
DATE = Column("d", "date", ColumnType.DATE)
YEAR = Column("y", "year", ColumnType.YEAR, unsigned=True)
JSON = Column("j", "json", ColumnType.JSON, 4)
SPOT = Column("spot", "geometry", ColumnType.GEOMETRY, 4)
VECTOR = Column("v", "vector", ColumnType.VECTOR, 4, length=4)
UUID = Column("u", "uuid", ColumnType.STRING, 0x10FE)
PACKED = Column("p", "text", ColumnType.BLOB_COMPRESSED, 2, charset="utf8mb4")
PACKED_BYTES = Column("p", "blob", ColumnType.BLOB_COMPRESSED, 2)
OLD_TIME = Column("o", "time", ColumnType.TIME)
OLD_DATETIME = Column("o", "datetime", ColumnType.DATETIME)
OLD_TIMESTAMP = Column("o", "timestamp", ColumnType.TIMESTAMP)
KLINGON = Column("klingon", "text", ColumnType.BLOB, 2, charset="klingon")
LABELS = Column("e", "enum", ColumnType.ENUM, 0x1F7, charset="binary", members=("a",))


def table(*columns: Column) -> TableDefinition:
    return TableDefinition("shop", "things", columns, ("id",))


def image(*values: bytes | None) -> bytes:
    """A row image of fields as they stand in the log; None is NULL."""
    nulls = sum(1 << at for at, value in enumerate(values) if value is None)
    fields = b"".join(value for value in values if value is not None)
    return nulls.to_bytes((len(values) + 7) // 8, "little") + fields


def number(value: int) -> bytes:
    return struct.pack("<i", value)


def text(value: str | bytes) -> bytes:
    """With two bytes of length, as TEXT has; the others have one."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<H", len(raw)) + raw


def long(raw: bytes) -> bytes:
    """With four bytes of length."""
    return struct.pack("<I", len(raw)) + raw


def packed(raw: bytes, head: int = 0x82) -> bytes:
    """What MariaDB makes of a value in a COMPRESSED column."""
    wbits = -zlib.MAX_WBITS if head & 8 else zlib.MAX_WBITS
    return text(bytes([head]) + len(raw).to_bytes(head & 7, "big") + zlib.compress(raw, wbits=wbits))


def short(raw: bytes) -> bytes:
    return bytes([len(raw)]) + raw


def csv(definition: TableDefinition, payload: bytes, kind: str = "insert", **options: object) -> str:
    encoder = CsvEncoder(definition, [], **options)  # type: ignore[arg-type]
    return encoder.encode(payload, kind, seqno=1, row_id=1, commit_ts=0).csv.decode()


def test_the_header_stands_in_front_in_the_order_given() -> None:
    header = ["seqno", "opcode", "commit_timestamp", "row_id", "service", "event_id", "gtid"]
    encoder = CsvEncoder(table(INT), header, service="a,b")
    encoded = encoder.encode(
        image(number(7)) + image(number(8)),
        "insert",
        seqno=5,
        row_id=40,
        commit_ts=1_234_567_890_000_001,
        event_id="log.000001:0000000000000100;7",
        gtid="uuid:1",
    )
    line = '5,I,2009-02-13 23:31:30.000001,{},"a,b",log.000001:0000000000000100;7,uuid:1,{}\n'
    assert encoded == ((line.format(40, 7) + line.format(41, 8)).encode(), 42, {"I": 2}, {})


def test_encoders_may_share_their_buffers() -> None:
    workspace = Workspace()
    first = CsvEncoder(table(INT), [], workspace=workspace)
    second = CsvEncoder(table(INT, TEXT), [], workspace=workspace)
    for value in range(3):
        encoded = first.encode(image(number(value)), "insert", seqno=1, row_id=1, commit_ts=0)
        assert encoded.csv == f"{value}\n".encode()
        with pytest.raises(ValueRefused):
            second.encode(image(number(1), text("\0")), "insert", seqno=1, row_id=1, commit_ts=0)
        longer = image(number(1), text("x" * 1000 * value))
        assert second.encode(longer, "insert", seqno=1, row_id=1, commit_ts=0).csv == b"1,%b\n" % (
            b"x" * 1000 * value
        )


def test_buffers_that_are_at_work_are_not_lent_again() -> None:
    workspace = Workspace()
    other = CsvEncoder(table(TEXT), [], key=[], workspace=workspace)

    def meddle(value: str | None) -> str | None:
        for use in (
            lambda: other.titles(["x" * 10_000]),
            lambda: CsvEncoder(table(TEXT), [], key=[], workspace=workspace),
            lambda: other.encode(b"", "insert", seqno=1, row_id=1, commit_ts=0),
        ):
            with pytest.raises(RuntimeError, match="one thread at a time"):
                use()
        return value

    output = Output((OutputColumn(True, (Transform("python", "x.y", call=meddle),)),))
    encoder = CsvEncoder(table(TEXT), [], key=[], output=output, workspace=workspace)
    written = encoder.encode(image(text("kept")), "insert", seqno=1, row_id=1, commit_ts=0)
    assert written.csv == b"kept\n"
    assert other.titles(["t"]) == b"t\n"


def test_an_encoder_at_work_neither_works_twice_nor_changes_its_workspace() -> None:
    def meddle(value: str | None) -> str | None:
        for use in (
            lambda: setattr(encoder, "workspace", Workspace()),
            lambda: encoder.titles(["x" * 10_000]),
            lambda: encoder.encode(b"", "insert", seqno=1, row_id=1, commit_ts=0),
        ):
            with pytest.raises(RuntimeError, match="at work|one thread at a time"):
                use()
        return value

    output = Output((OutputColumn(True, (Transform("python", "x.y", call=meddle),)),))
    encoder = CsvEncoder(table(TEXT), [], key=[], output=output)
    written = encoder.encode(image(text("kept")), "insert", seqno=1, row_id=1, commit_ts=0)
    assert written.csv == b"kept\n"
    encoder.workspace = Workspace()
    assert encoder.titles(["t"]) == b"t\n"


def test_an_update_is_the_old_row_deleted_and_the_new_one_inserted() -> None:
    encoder = CsvEncoder(table(INT), ["opcode", "row_id"])
    payload = b"".join(image(number(value)) for value in (1, 2, 3, 4))
    encoded = encoder.encode(payload, "update", seqno=1, row_id=9, commit_ts=0)
    assert encoded == (b"D,9,1\nI,10,2\nD,11,3\nI,12,4\n", 13, {"I": 2, "D": 2}, {})
    deleted = encoder.encode(payload, "delete", seqno=1, row_id=1, commit_ts=0)
    assert (deleted.opcodes, deleted.csv[:2]) == ({"D": 4}, b"D,")


def test_an_update_with_an_odd_image_is_corrupt() -> None:
    with pytest.raises(CorruptLogError, match=r"shop\.things: a row image does not fit"):
        csv(table(INT), image(number(1)), "update")


def test_no_images_are_no_text() -> None:
    assert csv(table(INT), b"") == ""


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("plain", "plain"),
        ("", ""),
        ("a,b", '"a,b"'),
        ('say "x"', '"say ""x"""'),
        ('"', '""""'),
        ("line\nfeed", '"line\nfeed"'),
        ("\r", '"\r"'),
        (" front", '" front"'),
        ("back ", '"back "'),
        (" ", '" "'),
        ("tab\t", "tab\t"),
        ("\\", "\\"),
        ("é中😀", "é中😀"),
    ],
)
def test_text_is_quoted_where_it_must_be(value: str, field: str) -> None:
    assert csv(table(INT, TEXT), image(number(1), text(value))) == f"1,{field}\n"


def test_other_separators_and_quotes() -> None:
    payload = image(number(1), text("a,b|c'd"))
    piped = Dialect("|", quote="'", escape="'")
    assert csv(table(INT, TEXT), payload, dialect=piped) == "1|'a,b|c''d'\n"
    assert csv(table(INT, TEXT), payload, dialect=Dialect("\x01")) == "1\x01a,b|c'd\n"


def test_null_is_the_sentinel_and_no_value_may_equal_it() -> None:
    definition = table(INT, TEXT)
    assert csv(definition, image(number(1), None)) == "1,\\N\n"
    for null in NULL_CANDIDATES:
        assert csv(definition, image(number(1), None), null=null) == f"1,{null}\n"
        with pytest.raises(SentinelCollision) as caught:
            csv(definition, image(number(1), text(null)), null=null)
        assert caught.value.column == "t"
    assert csv(definition, image(number(1), text("\\N")), null="@NULL1@") == "1,\\N\n"
    assert csv(definition, image(number(1), text("\\n"))) == "1,\\n\n"


def test_a_label_that_is_the_sentinel_collides_too() -> None:
    labels = Column("e", "enum", ColumnType.ENUM, 0x1F7, charset="utf8mb4", members=("a", "\\N"))
    assert csv(table(INT, labels), image(number(1), b"\x01")) == "1,a\n"
    with pytest.raises(SentinelCollision):
        csv(table(INT, labels), image(number(1), b"\x02"))


def test_a_sentinel_that_needs_quotes_is_refused() -> None:
    with pytest.raises(ValueError, match="needs quotes"):
        CsvEncoder(table(INT), [], null="a,b")


@pytest.mark.parametrize(
    ("column", "value", "options", "reason"),
    [
        (TEXT, text("a\0b"), {}, "NUL character"),
        (TEXT, text("abcd"), {"max_text_bytes": 3}, "more than 3 bytes"),
        (LATIN1, short(b"\xe9\xe9"), {"max_text_bytes": 3}, "more than 3 bytes"),
        (TEXT, text(b"\xff"), {}, "no character"),
        (TEXT, text(b"\xc3"), {}, "no character"),
        (TEXT, text(b"\xed\xa0\x80"), {}, "no character"),
        (TEXT, text(b"\xf4\x90\x80\x80"), {}, "no character"),
        (TEXT, text(b"\xc0\x80"), {}, "no character"),
        (ASCII, short("é".encode()), {}, "no character"),
        (LONG_BYTES, text(b"abcd"), {"max_binary_bytes": 3}, "more than 3 bytes"),
        (
            SPOT,
            long(bytes(4) + b"\x01\x01\0\0\0" + bytes(16)),
            {"max_geometry_bytes": 24},
            "more than 24 bytes",
        ),
        (VECTOR, long(bytes(8)), {"max_text_bytes": 4}, "more than 4 bytes"),
        (VECTOR, long(bytes(800)), {"max_text_bytes": 4}, "more than 4 bytes"),
        (OLD_TIMESTAMP, bytes(4), {}, "zero date"),
        (OLD_DATETIME, bytes(8), {}, "zero date"),
        (DATE, b"\0\0\0", {}, "zero date"),
        (DATE, (2020 << 9 | 1 << 5).to_bytes(3, "little"), {}, "zero date"),
    ],
)
def test_what_the_target_cannot_hold_is_refused(
    column: Column, value: bytes, options: dict[str, object], reason: str
) -> None:
    with pytest.raises(ValueRefused) as caught:
        csv(table(INT, column), image(number(1), value), **options)
    assert caught.value.column == column.name
    assert reason in caught.value.reason


def test_a_character_does_not_end_in_the_next_field() -> None:
    continued = b"\x80" + b"x" * 128
    with pytest.raises(ValueRefused, match="column t"):
        csv(table(INT, TEXT, BYTES), image(number(1), text(b"\xc3"), continued))


def test_refusals_can_be_turned_off() -> None:
    assert csv(table(INT, TEXT), image(number(1), text("a\0b")), refuse_nul=False) == "1,a\0b\n"
    assert csv(table(INT, DATE), image(number(1), b"\0\0\0"), refuse_zero_dates=False) == "1,0000-00-00\n"
    assert csv(table(INT, TEXT), image(number(1), text("abcd")), max_text_bytes=None) == "1,abcd\n"


def test_json_text_obeys_the_limit_of_text() -> None:
    value = b"\x0c" + short(b"x" * 100)
    payload = image(number(1), struct.pack("<I", len(value)) + value)
    assert csv(table(INT, JSON), payload, max_text_bytes=102) == f'1,"""{"x" * 100}"""\n'
    with pytest.raises(ValueRefused, match="column j"):
        csv(table(INT, JSON), payload, max_text_bytes=101)


def test_json_that_grows_without_end_is_stopped() -> None:
    # An array of arrays that all point to the same one: 2 KB that would print as terabytes.
    levels = struct.pack("<HH", 0, 4)
    for _ in range(30):
        size = 4 + 3 * 20 + len(levels)
        entries = (b"\x02" + struct.pack("<H", 4 + 3 * 20)) * 20
        levels = struct.pack("<HH", 20, size) + entries + levels
    value = b"\x02" + levels
    payload = image(number(1), struct.pack("<I", len(value)) + value)
    with pytest.raises(CorruptLogError, match="j: a row holds"):
        csv(table(INT, JSON), payload)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (Column("e", "enum", ColumnType.ENUM, 0x1F7, members=("a",)), b"\x02"),
        (Column("s", "set", ColumnType.SET, 0x1F8, members=("a",)), b"\x02"),
        (Column("f", "double", ColumnType.DOUBLE, 8), struct.pack("<d", float("nan"))),
        (Column("n", "decimal", ColumnType.NEWDECIMAL, 4), b"\xff\xff"),
        (DATE, (2020 << 9 | 15 << 5 | 1).to_bytes(3, "little")),
        (SPOT, long(b"")),
        (SPOT, long(bytes(4) + b"\x01\x01\0\0")),
        (SPOT, long(bytes(4) + b"\0\0\0\0\x01" + bytes(16))),
        (SPOT, long(bytes(4) + b"\x01\x08\0\0\0" + bytes(16))),
        (VECTOR, long(b"\0\0\0")),
        (VECTOR, long(struct.pack("<f", float("inf")))),
        (VECTOR, long(bytes(4 * 16384))),
        (OLD_TIME, (8_390_000).to_bytes(3, "little")),
        (OLD_TIME, (60).to_bytes(3, "little")),
        (OLD_DATETIME, struct.pack("<Q", 2020_01_02_24_00_00)),
        (OLD_DATETIME, struct.pack("<Q", 1_0000_01_01_00_00_00)),
        (OLD_DATETIME, b"\xff" * 8),
        (PACKED, text(b"\x82")),
        (PACKED, text(b"\x80")),
        (PACKED, text(b"\x85\0\0\0\0\x01" + zlib.compress(b"x"))),
        (PACKED, text(b"\x71\x01" + zlib.compress(b"x"))),
        (PACKED, text(b"\x81\x02" + zlib.compress(b"x"))),
        (PACKED, text(b"\x81\x01" + zlib.compress(b"xx"))),
        (PACKED, text(b"\x81\x01" + zlib.compress(b"x")[:-1])),
        (PACKED, text(b"\x81\x01" + b"x" * 20)),
        (Column("u", "datetime", ColumnType.DATETIME2, 0), b"\xff" * 5),
        (Column("u", "time", ColumnType.TIME2, 0), b"\xff" * 3),
        (JSON, b"\x01\0\0\0\x0e"),
        (JSON, long(b"\x0f\x0b\x08" + (1 << 63).to_bytes(8, "little"))),  # TIME: the lowest number
    ],
)
def test_bytes_that_are_no_value_are_corrupt(column: Column, value: bytes) -> None:
    with pytest.raises(CorruptLogError, match=rf"shop\.things\.{column.name}: a row holds"):
        csv(table(INT, column), image(number(1), value))


def test_a_geometry_is_hexadecimal_ewkb() -> None:
    point = b"\x01\x01\0\0\0" + struct.pack("<dd", 1, 2.5)
    many = b"\x01\x07\0\0\0\x01\0\0\0" + point
    definition = table(INT, SPOT)
    assert csv(definition, image(number(1), long(bytes(4) + point))) == f"1,{point.hex()}\n"
    srid = struct.pack("<I", 4326)
    assert csv(definition, image(number(1), long(srid + many))) == (
        f"1,0107000020e610000001000000{point.hex()}\n"
    )
    assert csv(definition, image(number(1), None)) == "1,\\N\n"


def test_a_vector_is_an_array_of_the_shortest_numbers() -> None:
    value = struct.pack("<6f", 1, 2.5, -0.0, 0.1, 1e10, 1.1754944e-38)
    definition = table(INT, VECTOR)
    expected = "[1,2.5,-0,0.1,10000000000,1.1754944e-38]"
    assert csv(definition, image(number(1), long(value))) == f'1,"{expected}"\n'
    assert csv(definition, image(number(1), long(b""))) == "1,[]\n"


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        (OLD_TIME, 0, "00:00:00"),
        (OLD_TIME, 8_385_959, "838:59:59"),
        (OLD_TIME, -10_203, "-01:02:03"),
        (OLD_TIME, -8_385_959, "-838:59:59"),
        (OLD_DATETIME, 0, "0000-00-00 00:00:00"),
        (OLD_DATETIME, 2020_00_15_01_02_03, "2020-00-15 01:02:03"),
        (OLD_DATETIME, 9999_12_31_23_59_59, "9999-12-31 23:59:59"),
        (OLD_TIMESTAMP, 0, "0000-00-00 00:00:00"),
        (OLD_TIMESTAMP, 1, "1970-01-01 00:00:01"),
        (OLD_TIMESTAMP, 2**31 - 1, "2038-01-19 03:14:07"),
    ],
)
def test_times_as_they_were_before_fractions(column: Column, value: int, expected: str) -> None:
    size = {ColumnType.TIME: 3, ColumnType.DATETIME: 8, ColumnType.TIMESTAMP: 4}[ColumnType(column.code)]
    payload = image(number(1), value.to_bytes(size, "little", signed=True))
    assert csv(table(INT, column), payload, refuse_zero_dates=False) == f"1,{expected}\n"


@pytest.mark.parametrize("head", [0x81, 0x82, 0x84, 0x89, 0x8A])
def test_compressed_columns_are_opened(head: int) -> None:
    value = b"xyz" * 70
    assert csv(table(INT, PACKED), image(number(1), packed(value, head))) == f"1,{value.decode()}\n"
    assert csv(table(INT, PACKED_BYTES), image(number(1), packed(value, head))) == f"1,{value.hex()}\n"


def test_compressed_columns_also_hold_plain_and_empty_values() -> None:
    definition = table(INT, PACKED, PACKED_BYTES)
    payload = image(number(1), text(b"\0plain"), text(b"\0\0")) + image(number(2), text(b""), text(b""))
    assert csv(definition, payload) == "1,plain,00\n2,,\n"


def test_what_a_compressed_value_may_become_is_limited() -> None:
    bomb = text(b"\x84\xff\xff\xff\xff" + zlib.compress(bytes(1000)))
    for column in (PACKED, PACKED_BYTES):
        with pytest.raises(ValueRefused, match="column p holds a value of more than"):
            csv(table(INT, column), image(number(1), bomb))
    with pytest.raises(ValueRefused, match="more than 1073741824 bytes"):
        csv(table(INT, PACKED), image(number(1), bomb), max_text_bytes=None)
    with pytest.raises(ValueRefused, match="more than 1073741824 bytes"):
        list(RowReader(table(INT, PACKED)).images(image(number(1), bomb)))
    short_of_it = text(b"\x84\x03\xff\xff\xff" + zlib.compress(bytes(1000)))
    with pytest.raises(CorruptLogError):
        csv(table(INT, PACKED), image(number(1), short_of_it), max_text_bytes=None)


def test_every_cut_is_noticed() -> None:
    definition = table(INT, TEXT, LATIN1, BYTES, DATE, YEAR)
    day = (2020 << 9 | 2 << 5 | 3).to_bytes(3, "little")
    payload = image(number(1), text("text"), short(b"\xe9"), short(b"\x01\x02"), day, b"\x64")
    assert csv(definition, payload) == "1,text,é,0102,2020-02-03,2000\n"
    layout = RowLayout(definition)
    for end in range(1, len(payload)):
        with pytest.raises(CorruptLogError):
            csv(definition, payload[:end])
        with pytest.raises(CorruptLogError):
            layout.count(payload[:end], 1)
        with pytest.raises(CorruptLogError):
            layout.drop(payload[:end], 1, [True] * 6)


def test_counting_rows() -> None:
    layout = RowLayout(table(INT, TEXT, SPOT))
    payload = image(number(1), text("a"), None) + image(None, None, struct.pack("<I", 3) + b"xyz")
    assert layout.count(payload, 1) == 2
    assert layout.count(payload, 2) == 1
    assert layout.count(b"", 2) == 0
    with pytest.raises(CorruptLogError):
        layout.count(payload + image(None, None, None), 2)
    with pytest.raises(CorruptLogError):
        layout.count(payload + b"\0", 1)


@given(
    st.lists(st.lists(st.none() | st.binary(max_size=20), min_size=19, max_size=19), max_size=5),
    st.lists(st.booleans(), min_size=19, max_size=19),
)
def test_dropping_columns_leaves_the_others_as_they_are(
    rows: list[list[bytes | None]], keep: list[bool]
) -> None:
    columns = [Column(f"c{at}", "varbinary", ColumnType.VARCHAR, 100) for at in range(19)]
    images = [[value if value is None else short(value) for value in row] for row in rows]
    payload = b"".join(image(*row) for row in images)
    kept = b"".join(
        image(*(value for value, stays in zip(row, keep, strict=True) if stays)) for row in images
    )
    layout = RowLayout(table(*columns))
    assert layout.drop(payload, len(rows), keep) == kept
    if any(keep):
        left = table(*(column for column, stays in zip(columns, keep, strict=True) if stays))
        assert RowLayout(left).count(kept, 1) == len(rows)
    for wrong in (len(rows) + 1, len(rows) - 1):
        if wrong >= 0:
            with pytest.raises(CorruptLogError):
                layout.drop(payload, wrong, keep)


def test_unsupported_columns_are_named_with_the_way_out() -> None:
    definition = table(INT, UUID, KLINGON)
    assert unsupported_columns(definition) == [
        "shop.things.u (uuid)",
        "shop.things.klingon (text in klingon)",
    ]
    with pytest.raises(UnsupportedError) as caught:
        CsvEncoder(definition, [])
    assert 'exclude_columns: ["shop.things.u", "shop.things.klingon"]' in str(caught.value)
    payload = image(number(1), short(b"x"), text("y"))
    left = RowLayout(definition).drop(payload, 1, [True, False, False])
    assert csv(table(INT), left) == "1\n"


@pytest.mark.parametrize(
    "column",
    [
        Column("x", "decimal", ColumnType.NEWDECIMAL, 66),
        Column("x", "decimal", ColumnType.NEWDECIMAL, 5 | 6 << 8),
        Column("x", "datetime", ColumnType.DATETIME2, 7),
        Column("x", "blob", ColumnType.BLOB, 5),
        Column("x", "blob", ColumnType.BLOB, 0),
        Column("x", "set", ColumnType.SET, 0x9F8),
        Column("x", "bit", ColumnType.BIT, 0x901),
        Column("x", "double", ColumnType.DOUBLE, 4),
        Column("x", "int", 99),
        Column("x", "int", ColumnType.VARCHAR, 80),
        Column("x", "decimal", ColumnType.VARCHAR, 80),
        Column("x", "datetime", ColumnType.TINY),
        Column("x", "bigint", ColumnType.BLOB_COMPRESSED, 2),
        Column("x", "set", ColumnType.SET, 0x8F8, members=tuple(map(str, range(65)))),
        Column("x", "enum", ColumnType.ENUM, 0x2F7, members=("",) * 65536),
        Column("x", "int", ColumnType.LONG, members=("a",)),
    ],
)
def test_impossible_definitions_are_refused(column: Column) -> None:
    with pytest.raises(CorruptLogError, match=r"shop\.things\.x: .*impossible"):
        RowLayout(table(INT, column))


@given(st.integers(0, 65).flatmap(lambda whole: st.tuples(st.just(whole), st.integers(0, 30))), st.data())
def test_any_decimal(shape: tuple[int, int], data: st.DataObject) -> None:
    whole, scale = min(shape[0], 65 - shape[1]), shape[1]
    if whole + scale == 0:
        return
    digits = data.draw(st.text("0123456789", min_size=whole + scale, max_size=whole + scale))
    negative = data.draw(st.booleans()) and digits.strip("0") != ""
    column = Column("n", "decimal", ColumnType.NEWDECIMAL, whole + scale | scale << 8)
    expected = (digits[:whole].lstrip("0") or "0") + (f".{digits[whole:]}" if scale else "")
    payload = image(number(1), _decimal(digits[:whole], digits[whole:], negative))
    assert csv(table(INT, column), payload) == f"1,{'-' if negative else ''}{expected}\n"


def _decimal(whole: str, fraction: str, negative: bool) -> bytes:
    """MySQL's binary DECIMAL, the slow and plain way."""
    sizes = 0, 1, 1, 2, 2, 3, 3, 4, 4, 4
    first = len(whole) % 9
    groups = [whole[:first], *(whole[at : at + 9] for at in range(first, len(whole), 9))]
    groups += [fraction[at : at + 9] for at in range(0, len(fraction), 9)]
    raw = bytearray(b"".join(int(group).to_bytes(sizes[len(group)], "big") for group in groups if group))
    raw[0] ^= 0x80
    return bytes(byte ^ 0xFF for byte in raw) if negative else bytes(raw)


@given(st.integers(0, 2**32 - 1))
def test_any_timestamp_is_utc(seconds: int) -> None:
    column = Column("u", "timestamp", ColumnType.TIMESTAMP2, 0)
    expected = (
        str(datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)) if seconds else "0000-00-00 00:00:00"
    )
    got = csv(table(INT, column), image(number(1), struct.pack(">I", seconds)), refuse_zero_dates=False)
    assert got == f"1,{expected}\n"


@given(st.text())
def test_any_text_comes_back(value: str) -> None:
    column = Column("t", "longtext", ColumnType.BLOB, 4, charset="utf8mb4")
    raw = value.encode()
    got = csv(table(INT, column), image(number(1), struct.pack("<I", len(raw)) + raw), refuse_nul=False)
    if "\0" not in value:
        assert list(reader(io.StringIO(got, newline=""))) == [["1", value]]
    else:
        assert value.replace('"', '""') in got
