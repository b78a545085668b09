"""Every column type: how a SELECT shows its canonical text, its edges as SQL, and random values. No server here."""

from __future__ import annotations

import json
import string
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

from hypothesis import strategies as st

Sql = st.SearchStrategy[str]


@dataclass(frozen=True)
class Kind:
    """A type, as both servers know it unless ``servers`` says otherwise.

    :param values: edges, written as SQL.
    :param shown: the server's own canonical text of the column ``{}``.
    :param drawn: any values, written as SQL; None where the edges are all there is.
    :param same: makes our text comparable with what ``shown`` gives; :param truth: the same for the server's.
    """

    sql: str
    values: Sequence[str]
    drawn: Sql | None = None
    shown: str = "{}"
    same: Callable[[str], Any] = str
    truth: Callable[[str], Any] = str
    servers: tuple[str, ...] = ("mysql", "mariadb")


def _quoted(text: str) -> str:
    """A text that any connection character set and sql_mode leave as it is."""
    return f"CONVERT(X'{text.encode().hex()}' USING utf8mb4)"


def _integers(low: int, high: int) -> Sql:
    return st.integers(low, high).map(str)


def _int(name: str, bits: int) -> list[Kind]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return [
        Kind(name, [str(low), "-1", "0", str(high)], _integers(low, high)),
        Kind(
            f"{name} UNSIGNED",
            ["0", str(high + 1), str(2**bits - 1)],
            _integers(0, 2**bits - 1),
        ),
    ]


_EXACT = Context(prec=99)


def _decimals(precision: int, scale: int) -> Sql:
    top = 10**precision - 1
    return st.integers(-top, top).map(lambda value: str(Decimal(value).scaleb(-scale, _EXACT)))


def _decimal(precision: int, scale: int, *values: str) -> Kind:
    return Kind(f"DECIMAL({precision},{scale})", values, _decimals(precision, scale))


def _single(text: str) -> bytes:
    return struct.pack("<f", float(text))


def _double(text: str) -> bytes:
    return struct.pack("<d", float(text))


def _float(sql: str, *values: str, drawn: Sql | None = None) -> Kind:
    return Kind(sql, values, drawn, "{}*1e0", _single, _single)


_FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr)


def _bit(bits: int) -> Kind:
    top = 2**bits - 1
    return Kind(f"BIT({bits})", ["0", "1", str(top), str(top // 2 + 1)], _integers(0, top), "{}+0")


def _clock(digits: int) -> Sql:
    return st.tuples(
        st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 10**digits - 1)
    ).map(lambda at: f"{at[0]:02}:{at[1]:02}:{at[2]:02}" + (f".{at[3]:0{digits}}" if digits else ""))


_DAYS = st.dates().map(lambda day: f"{day.year:04}-{day.month:02}-{day.day:02}")
_PARTIAL = st.tuples(st.integers(0, 9999), st.integers(0, 12), st.integers(0, 28)).map(
    lambda day: f"{day[0]:04}-{day[1]:02}-{day[2]:02}"
)


def _time(digits: int, *values: str) -> Kind:
    drawn = st.tuples(
        st.sampled_from(["", "-"]), st.integers(0, 837), st.integers(0, 59), st.integers(0, 59),
        st.integers(0, 10**digits - 1),
    ).map(
        lambda at: f"'{at[0]}{at[1]:02}:{at[2]:02}:{at[3]:02}" + (f".{at[4]:0{digits}}'" if digits else "'")
    )  # fmt: skip
    return Kind(f"TIME({digits})", [f"'{value}'" for value in values], drawn)


def _datetime(digits: int, *values: str) -> Kind:
    drawn = st.tuples(_DAYS | _PARTIAL, _clock(digits)).map(lambda at: f"'{at[0]} {at[1]}'")
    return Kind(f"DATETIME({digits})", [f"'{value}'" for value in values], drawn)


def _timestamp(digits: int, *values: str) -> Kind:
    drawn = st.integers(10**6, (2**31 - 1) * 10**6).map(
        lambda micros: f"FROM_UNIXTIME({micros // 10**6}.{micros % 10**6:06})"
    )
    return Kind(f"TIMESTAMP({digits}) NULL", [f"'{value}'" for value in values], drawn)


_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
_MARKS = st.sampled_from([",", '"', "'", "\\", "\n", "\r", "\t", " ", "é", "中", "😀", "\x7f"])


def _texts(length: int, characters: st.SearchStrategy[str] = _CHARACTERS) -> Sql:
    return st.text(characters | _MARKS.filter(lambda mark: mark.isascii()), max_size=length).map(_quoted)


def _text(sql: str, length: int, *values: str, **options: Any) -> Kind:
    return Kind(sql, values, _texts(length), **options)


def _latin1(sql: str, length: int, *values: str) -> Kind:
    western = st.binary(max_size=length).map(
        lambda raw: f"CONVERT(X'{raw.replace(bytes(1), b'').hex()}' USING latin1)"
    )
    return Kind(sql, values, western)


def _bytes(sql: str, length: int, *values: str, **options: Any) -> Kind:
    return Kind(
        sql,
        values,
        st.binary(max_size=length).map(lambda raw: f"X'{raw.hex()}'"),
        "LOWER(HEX({}))",
        **options,
    )


def _enum(sql: str, count: int, *values: str) -> Kind:
    return Kind(sql, values, st.integers(1, count).map(str))


def _set(sql: str, count: int, *values: str) -> Kind:
    return Kind(sql, values, st.integers(0, 2**count - 1).map(str))


def _members(prefix: str, count: int) -> str:
    return ",".join(f"'{prefix}{number}'" for number in range(count))


_COORDINATE = st.floats(-1000, 1000).map(repr)
_XY = st.tuples(_COORDINATE, _COORDINATE).map(" ".join)


def _list(low: int, item: Sql) -> Sql:
    return st.lists(item, min_size=low, max_size=4).map(lambda parts: f"({','.join(parts)})")


_RING = st.lists(_XY, min_size=3, max_size=5).map(lambda points: f"({','.join([*points, points[0]])})")
_SIMPLE = st.one_of(
    _XY.map(lambda point: f"POINT({point})"),
    _list(2, _XY).map("LINESTRING{}".format),
    _list(1, _RING).map("POLYGON{}".format),
    _list(1, _XY.map("({})".format)).map("MULTIPOINT{}".format),
    _list(1, _list(2, _XY)).map("MULTILINESTRING{}".format),
    _list(1, _list(1, _RING)).map("MULTIPOLYGON{}".format),
)
_SHAPES = _SIMPLE | _list(1, _SIMPLE).map("GEOMETRYCOLLECTION{}".format)


def _shape(text: str, srid: int = 0) -> str:
    return f"ST_GeomFromText('{text}', {srid})"


# HEX of a geometry is that of MySQL's own format, the SRID first; EWKB has it behind the type, if it is not 0.
_EWKB = (
    "LOWER(CONCAT(SUBSTR(HEX({w}), 1, 8), IF(ST_SRID({{}}) = 0, '00', CONCAT('20', SUBSTR(HEX({{}}), 1, 8))), "
    "SUBSTR(HEX({w}), 11)))"
)
_MYSQL_EWKB = _EWKB.format(w="ST_AsBinary({}, 'axis-order=long-lat')")
_MARIADB_EWKB = _EWKB.format(w="ST_AsBinary({})")


def _geometry(sql: str, *values: str, drawn: Sql = _SHAPES) -> list[Kind]:
    shapes = st.tuples(drawn, st.sampled_from([0, 0, 3857])).map(lambda shape: _shape(*shape))
    return [
        Kind(sql, values, shapes, _MYSQL_EWKB, servers=("mysql",)),
        Kind(sql, values, shapes, _MARIADB_EWKB, servers=("mariadb",)),
    ]


def _floats(text: str) -> bytes:
    values = [float(number) for number in text.strip("[]").split(",")]
    return struct.pack(f"<{len(values)}f", *values)


_VECTORS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=9).map(
    lambda values: f"X'{struct.pack(f'<{len(values)}f', *values).hex()}'"
)

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(_CHARACTERS | _MARKS, max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(_CHARACTERS | _MARKS, max_size=9), inner, max_size=5)
    ),
    max_leaves=20,
)
DOCUMENTS: Sql = _JSON.map(lambda value: _quoted(json.dumps(value, ensure_ascii=False)))

KINDS: list[Kind] = [
    *_int("TINYINT", 8), *_int("SMALLINT", 16), *_int("MEDIUMINT", 24), *_int("INT", 32), *_int("BIGINT", 64),
    Kind("INT(9) ZEROFILL", ["0", "42", "4294967295"], _integers(0, 2**32 - 1), "{}+0"),
    Kind("BOOL", ["TRUE", "FALSE", "2", "-1"]),
    _decimal(65, 30, f"-{'9' * 35}.{'9' * 30}", f"0.{'0' * 29}1", f"-0.{'0' * 29}1", "0", "1000000000.000000001"),
    _decimal(10, 0, "-9999999999", "0", "1", "1000000000"),
    _decimal(30, 30, f"-0.{'9' * 30}", "0.1", "0"),
    _decimal(9, 9, "-0.000000001", "0.999999999"),
    _decimal(18, 9, "123456789.123456789", "-0.5"),
    _decimal(1, 0, "9", "-9"), _decimal(5, 2, "-999.99"), _decimal(11, 1, "9999999999.9"), _decimal(38, 3, "-1"),
    Kind("DECIMAL(7,5) UNSIGNED", ["99.99999", "0.00001"]),
    _float("FLOAT", "1.1", "0.1", "12345.67", "3", "16777216", "3.4028234e38", "1.17549e-38", "1e-45", "-0e0", drawn=_FLOATS),
    _float("FLOAT UNSIGNED", "1.1", "3.4028234e38"),
    _float("FLOAT(7,2)", "12345.67", "-0.01", "99999.99", drawn=_decimals(7, 2)), _float("FLOAT(20,10)", "0.1", "1234567.891"),
    Kind(
        "DOUBLE",
        ["0e0", "-0e0", "0.1e0", "1e15", "1e14", "123456789012345e0", "1234567890123456e0", "1e-14", "1e-15", "1e-16"]
        + ["5e-324", "1.7976931348623157e308", "-2.2250738585072014e-308", "1e300", "100e0", "1.5e0", "-12345.678e0"],
        st.floats(allow_nan=False, allow_infinity=False).map(lambda value: repr(value) if "e" in repr(value) else f"{value!r}e0"),
    ),
    Kind("DOUBLE(10,2)", ["12345.67", "0", "-0.01"], _decimals(10, 2), "{}*1e0", _double, _double),
    *(_bit(bits) for bits in (1, 2, 7, 8, 9, 16, 17, 33, 48, 63, 64)),
    Kind("YEAR", ["0", "1901", "2155"], _integers(1901, 2155)),
    Kind(
        "DATE",
        ["'0000-00-00'", "'2020-00-15'", "'2020-01-00'", "'1000-01-01'", "'9999-12-31'", "'2024-02-29'", "'1582-10-10'"],
        (_DAYS | _PARTIAL).map("'{}'".format),
    ),
    _time(0, "-838:59:59", "838:59:59", "00:00:00", "-00:00:01", "12:34:56"),
    _time(1, "-838:59:58.9", "-00:00:00.1", "-00:00:01.0", "838:59:58.9"),
    _time(2, "-00:00:00.01", "-00:00:01.10", "00:00:00.99"),
    _time(3, "-00:00:00.001", "-01:00:00.999", "23:59:59.123"),
    _time(4, "-00:00:01.0001", "-00:00:00.9999"),
    _time(5, "-00:00:00.99999", "00:00:00.00001"),
    _time(6, "-838:59:58.999999", "-00:00:00.000001", "-00:00:01.000000"),
    _datetime(0, "0000-00-00", "9999-12-31 23:59:59", "1000-01-01", "2020-00-15 01:02:03"),
    *(_datetime(digits, "0000-00-00", "2020-01-02 03:04:05.6", "1970-01-01 00:00:00") for digits in (1, 2, 4, 5)),
    _datetime(3, "9999-12-31 23:59:59.999", "2020-01-02 03:04:05.006"),
    _datetime(6, "9999-12-31 23:59:59.999999", "0001-01-01 00:00:00.000001"),
    _timestamp(0, "0000-00-00", "1970-01-01 00:00:01", "2038-01-19 03:14:07", "2000-02-29"),
    *(_timestamp(digits, "0000-00-00", "2001-02-03 04:05:06.07") for digits in (1, 2, 3, 4, 5)),
    _timestamp(6, "2038-01-19 03:14:07.999999", "1970-01-01 00:00:01.000001"),
    _text("CHAR(10)", 9, "'ab  '", "''", "'café'"),
    _text("CHAR(255)", 99, "REPEAT('é', 255)", "REPEAT('😀', 255)", "''"),
    _text("CHAR(63)", 63, "REPEAT('😀', 63)"), _text("CHAR(64)", 64, "REPEAT('😀', 64)"),
    _text("VARCHAR(20)", 20, "'trailing '", "' leading'", "'a,b'", "'q\"q'", "'line\\nfeed'", "'tab\\t'", "'\\r'", "''"),
    _text("VARCHAR(63)", 63, "REPEAT('😀', 63)"), _text("VARCHAR(64)", 64, "REPEAT('😀', 64)"),
    _text("VARCHAR(8000)", 99, "REPEAT('😀', 8000)"),
    Kind("VARCHAR(20) CHARACTER SET utf8mb3", ["'é中'"]),
    Kind("VARCHAR(20) CHARACTER SET ascii", ["'plain'"], st.text(string.ascii_letters, max_size=20).map(_quoted)),
    _latin1("VARCHAR(300) CHARACTER SET latin1", 50, "'café €'", "REPEAT('é', 300)", "UNHEX('81')", "UNHEX('8d8f909d80ff')"),
    _text("TINYTEXT", 60, "REPEAT('x', 255)"), _text("TEXT", 60, "REPEAT('x', 65535)", "''"),
    _text("MEDIUMTEXT", 60, "REPEAT('é', 100000)"), _latin1("LONGTEXT CHARACTER SET latin1", 50, "REPEAT('é', 100000)"),
    _bytes("BINARY(4)", 4, "X'ABCD'", "X'00000000'", "X'00FF0000'", "X'01020304'", "''"), _bytes("BINARY(255)", 255, "X'00'"),
    _bytes("VARBINARY(300)", 99, "X'00FF00'", "''", "REPEAT(X'7F', 300)"), _bytes("VARBINARY(255)", 99, "X'FF'"),
    _bytes("TINYBLOB", 99, "X'FF'"), _bytes("BLOB", 99, "X'DEADBEEF00'", "''"),
    _bytes("MEDIUMBLOB", 99, "REPEAT(X'01', 70000)"), _bytes("LONGBLOB", 99, "REPEAT(X'00', 100000)"),
    _enum("ENUM('', 'a', 'x,y', 'q''t', 'café')", 5, "''", "'a'", "'nope'", "'x,y'", "'q''t'", "'café'"),
    _enum("ENUM('é', 'b') CHARACTER SET latin1", 2, "'é'", "'b'"),
    _enum(f"ENUM({_members('', 255)})", 255, "'0'", "'254'"),
    _enum(f"ENUM({_members('', 300)})", 300, "'0'", "'255'", "'256'", "'299'"),
    _set("SET('a', 'b', 'é') CHARACTER SET latin1", 3, "''", "'b,a'", "'é'", "'a,b,é'"),
    *(_set(f"SET({_members('m', count)})", count, "''", f"'m{count - 1},m0'") for count in (8, 9, 33, 64)),
    *_geometry(
        "GEOMETRY",
        _shape("POINT(1 2.5)"), _shape("POINT(1 2.5)", 3857), _shape("GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 2))", 3857),
        _shape("MULTIPOLYGON(((0 0,0 4,4 4,0 0),(1 2,2 3,1 3,1 2)))"), _shape("POINT(10 20)", 4326),
    ),
    *_geometry("POINT", _shape("POINT(-0.0 1e300)"), drawn=_XY.map("POINT({})".format)),
    Kind("POINT SRID 4326", [_shape("POINT(10 20)", 4326), _shape("POINT(-89.5 179.5)", 4326)], shown=_MYSQL_EWKB, servers=("mysql",)),
    Kind("VECTOR(9)", ["X'0000803F00002040'", "X'00000080FFFF7F7F01000000'", "STRING_TO_VECTOR('[1e20,-2.5]')"], _VECTORS, "HEX({})", _floats, bytes.fromhex, ("mysql",)),
    Kind("JSON", ["'{}'", "'[1, \"é\"]'", "'null'"], DOCUMENTS, "CAST({} AS CHAR)"),
    _text("VARCHAR(300) COMPRESSED", 90, "REPEAT('é', 300)", "''", "'abc'", servers=("mariadb",)),
    _text("LONGTEXT COMPRESSED", 90, "REPEAT('é', 100000)", "''", servers=("mariadb",)),
    _bytes("VARBINARY(50) COMPRESSED", 50, "REPEAT('z', 50)", "X'00'", "''", servers=("mariadb",)),
    _bytes("BLOB COMPRESSED", 90, "REPEAT(X'00', 65000)", "''", servers=("mariadb",)),
]  # fmt: skip
