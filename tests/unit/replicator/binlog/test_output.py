from __future__ import annotations

import pytest

from airflow_provider_tungsten.replicator.binlog.dialect import Dialect
from airflow_provider_tungsten.replicator.binlog.output import DropOnValue, Output, OutputColumn, Transform
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder, RowReader, ValueRefused
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError
from tests.unit.replicator.binlog.test_rows import (
    BYTES,
    DATE,
    INT,
    TEXT,
    UUID,
    csv,
    image,
    number,
    short,
    table,
    text,
)

KEEP = OutputColumn()
LEAVE_OUT = OutputColumn(keep=False)
ZERO_DATE = b"\0\0\0"


def changed(kind: str, constant: str = "") -> OutputColumn:
    return OutputColumn(transforms=(Transform(kind, constant),))


def test_columns_can_be_left_out_wherever_they_stand() -> None:
    definition = table(TEXT, INT, BYTES)
    payload = image(text("a,b"), number(7), short(b"x")) + image(None, number(8), None)
    for kept, lines in (
        ((True, True, True), '"a,b",7,78\n\\N,8,\\N\n'),
        ((False, True, True), "7,78\n8,\\N\n"),
        ((True, True, False), '"a,b",7\n\\N,8\n'),
        ((False, True, False), "7\n8\n"),
    ):
        columns = tuple(OutputColumn(keep) for keep in kept)
        assert csv(definition, payload, output=Output(columns)) == lines


def test_a_column_that_has_no_text_may_be_left_out() -> None:
    payload = image(number(7), short(b"0123456789012345"))
    assert csv(table(INT, UUID), payload, output=Output((KEEP, LEAVE_OUT))) == "7\n"
    with pytest.raises(UnsupportedError, match=r"shop\.things\.u"):
        csv(table(INT, UUID), payload, output=Output((LEAVE_OUT, KEEP)))


def test_what_is_left_out_is_not_refused() -> None:
    payload = image(number(7), ZERO_DATE, text("a\0b"))
    assert csv(table(INT, DATE, TEXT), payload, output=Output((KEEP, LEAVE_OUT, LEAVE_OUT))) == "7\n"


def test_an_image_that_is_cut_in_a_column_left_out_is_corrupt() -> None:
    with pytest.raises(CorruptLogError, match=r"shop\.things\.t"):
        csv(table(INT, TEXT), image(number(7), text("abc"))[:-1], output=Output((KEEP, LEAVE_OUT)))


def test_values_can_be_replaced_by_null_or_a_constant_that_the_dialect_quotes() -> None:
    definition = table(INT, DATE, TEXT)
    columns = (KEEP, changed("null"), changed("constant", 'x,"y"'))
    payload = image(number(7), ZERO_DATE, text("secret")) + image(number(8), None, None)
    assert csv(definition, payload, output=Output(columns)) == '7,\\N,"x,""y"""\n8,\\N,"x,""y"""\n'


def test_an_unknown_transform_is_refused() -> None:
    with pytest.raises(ValueError, match="no transform: 'shred'"):
        csv(table(INT), b"", output=Output((changed("shred"),)))


def test_constants_stand_in_front_of_and_behind_the_tables_columns() -> None:
    output = Output(front=("shop", None), back=("a,b", ""))
    encoder = CsvEncoder(table(INT, TEXT), ["opcode", "row_id"], output=output)
    encoded = encoder.encode(image(number(7), text("x")), "insert", seqno=1, row_id=3, commit_ts=0)
    assert encoded.csv == b'I,3,shop,\\N,7,x,"a,b",\n'


def test_kinds_that_are_skipped_leave_no_hole_in_the_row_ids() -> None:
    encoder = CsvEncoder(
        table(INT), ["opcode", "row_id"], output=Output(skip=frozenset({"update", "delete"}))
    )
    payload = image(number(7)) + image(number(8))
    for kind in ("update", "delete"):
        assert encoder.encode(payload, kind, seqno=1, row_id=3, commit_ts=0) == (b"", 3, {}, {})
    encoded = encoder.encode(payload, "insert", seqno=1, row_id=3, commit_ts=0)
    assert encoded == (b"I,3,7\nI,4,8\n", 5, {"I": 2}, {})


def test_inserts_with_a_given_value_are_dropped() -> None:
    rules = (DropOnValue(1, ("temp", "a,b")), DropOnValue(0, ("9",)))
    encoder = CsvEncoder(
        table(INT, TEXT), ["row_id"], output=Output((KEEP, changed("constant", "x")), rules=rules)
    )
    rows = [(1, "temp"), (2, "temps"), (3, "a,b"), (9, "c"), (4, "")]
    payload = b"".join(image(number(key), text(value)) for key, value in rows) + image(number(5), None)
    encoded = encoder.encode(payload, "insert", seqno=1, row_id=1, commit_ts=0)
    assert encoded == (b"1,2,x\n2,4,x\n3,5,x\n", 4, {"I": 3}, {})
    assert encoder.encode(payload, "delete", seqno=1, row_id=1, commit_ts=0).opcodes == {"D": 6}
    with pytest.raises(CorruptLogError):
        encoder.encode(payload[:-1], "insert", seqno=1, row_id=1, commit_ts=0)


def test_rows_are_read_as_texts() -> None:
    reader = RowReader(table(INT, TEXT, BYTES, DATE))
    rows = image(number(-7), text('é"\0\n'), short(b""), ZERO_DATE) + image(
        number(8), None, short(b"\1"), None
    )
    expected = [("-7", 'é"\0\n', "", "0000-00-00"), ("8", None, "01", None)]
    assert list(reader.images(rows)) == expected
    assert list(reader.changes(rows, "update")) == [tuple(expected)]
    assert list(reader.changes(rows, "insert")) == [(None, row) for row in expected]
    assert list(reader.changes(rows, "delete")) == [(row, None) for row in expected]
    assert list(reader.changes(b"", "delete")) == []
    with pytest.raises(CorruptLogError):
        list(reader.changes(rows[:-1], "insert"))
    with pytest.raises(CorruptLogError, match="without its new row"):
        list(reader.changes(image(number(1), None, None, None), "update"))


def test_the_new_row_of_an_update_is_never_dropped() -> None:
    encoder = CsvEncoder(table(INT, TEXT), ["opcode"], output=Output(rules=(DropOnValue(1, ("temp",)),)))
    payload = image(number(7), text("x")) + image(number(7), text("temp"))
    assert encoder.encode(payload, "update", seqno=1, row_id=1, commit_ts=0).csv == b"D,7,x\nI,7,temp\n"


def test_there_is_room_for_a_null_in_the_header_as_long_as_any() -> None:
    null = "null" * 450  # three of them are more than the smallest buffer, two are not
    encoder = CsvEncoder(table(INT, TEXT), ["primary_key"], dialect=Dialect(null=null))
    encoded = encoder.encode(image(None, None), "insert", seqno=1, row_id=1, commit_ts=0)
    assert encoded.csv.decode() == f"{null},{null},{null}\n"


def test_lines_without_a_column_are_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"shop\.things: its lines would have no column"):
        CsvEncoder(table(INT), [], output=Output((LEAVE_OUT,)))


@pytest.mark.parametrize("constant", ["a\0b", "x" * 70_000])
def test_a_constant_that_the_target_does_not_take_is_refused(constant: str) -> None:
    with pytest.raises(ValueRefused, match="a constant"):
        CsvEncoder(table(INT), ["opcode"], output=Output(back=(constant,)))
