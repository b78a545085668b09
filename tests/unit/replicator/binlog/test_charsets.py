"""Character sets: which collation has which, and what is done with bytes that are wrong. What bytes mean: the servers'
own answers, in `tests/integration/test_charsets.py`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_tungsten.replicator.binlog import charsets
from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.rows import CsvEncoder, ValueRefused
from airflow_provider_tungsten.replicator.errors import UnsupportedError

ALL = sorted(charsets.SUPPORTED - {"utf8"})


def test_character_sets_of_collations() -> None:
    names = {8: "latin1", 255: "utf8mb4", 33: "utf8mb3", 63: "binary", 11: "ascii", 28: "gbk", 323: "utf8mb4",
             1032: "latin1", 1069: "utf8mb4", 576: "utf8mb3", 2304: "utf8mb4", 3271: "utf32"}  # fmt: skip
    assert {collation: charsets.charset_name(collation) for collation in names} == names


@pytest.mark.parametrize("collation", [0, 17, 152, 324, 1087, 2216, 3272, 65535])
def test_unknown_collations_are_refused(collation: int) -> None:
    with pytest.raises(UnsupportedError, match=f"collation id {collation} is not known"):
        charsets.charset_name(collation)


def test_latin1_is_windows_1252_without_holes() -> None:
    assert charsets.decode(b"\x80\x81\x8d\x8f\x90\x9d\xe9", "latin1") == "€\x81\x8d\x8f\x90\x9dé"


@pytest.mark.parametrize(
    ("charset", "raw"),
    [
        ("ascii", b"abc\x80"),
        ("cp1251", b"\xcf\x98"),
        ("tis620", b"\xa0"),
        ("swe7", b"\x7f"),
        ("big5", b"\xa1\x5a"),
        ("gbk", b"\xc4"),
        ("gbk", b"\xc4\x20"),
        ("sjis", b"\x81\x00"),
        ("ujis", b"\x8f\xa2"),
        ("gb18030", b"\x84\x31\xa4"),
        ("gb18030", b"\x84\x31\xa5\x30"),
        ("gb18030", b"\xe3\x32\x9a\x36"),
        ("gb18030", b"\x90\x30\x80\x30"),
        ("gb18030", b"\x90\x30\x81\x3a"),
        ("ucs2", b"\xd8\x3d\xde\x00"),
        ("ucs2", b"\x00a\x00"),
        ("utf16", b"\xd8\x3d"),
        ("utf16", b"\xd8\x3d\x00a"),
        ("utf16", b"\xde\x00\xd8\x3d"),
        ("utf16le", b"\x00\xde"),
        ("utf32", b"\x00\x00\xd8\x00"),
        ("utf32", b"\x00\x11\x00\x00"),
        ("utf32", b"\x00\x00\x00"),
    ],
)
def test_wrong_bytes_are_refused_by_name(charset: str, raw: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        charsets.decode(raw, charset)
    column = Column("v", "varchar", ColumnType.VARCHAR, 100, charset=charset)
    encoder = CsvEncoder(TableDefinition("a", "t", (column,)), [])
    with pytest.raises(
        ValueRefused, match="column v holds bytes that are no character of the column's character set"
    ):
        encoder.encode(b"\0" + bytes([len(raw)]) + raw, "insert", seqno=0, row_id=0, commit_ts=0)


def test_where_wrong_bytes_must_not_stop_they_stand_as_escapes() -> None:
    assert charsets.decode(b"a\xc4 \xc4\xe3\x80", "gbk", escape=True) == "a\\xc4 你\\x80"
    assert charsets.decode(b"a\xff", None, escape=True) == "a\\xff"


@settings(max_examples=200)
@given(st.sampled_from(ALL), st.binary(max_size=40))
def test_any_bytes_are_text_or_refused(charset: str, raw: bytes) -> None:
    try:
        text = charsets.decode(raw, charset)
    except UnicodeDecodeError:
        assert "\\x" in charsets.decode(raw, charset, escape=True)
    else:
        assert charsets.decode(raw, charset, escape=True) == text
        text.encode()
