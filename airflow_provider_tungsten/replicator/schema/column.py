"""A column as DDL declares it, and as the binlog's table map must then describe it.

Source of sizes and promotions: MySQL 9.7 `sql/create_field.cc`, `sql/field.cc`, checked against its own table maps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from airflow_provider_tungsten.replicator.binlog import charsets
from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import GEOMETRIES, Column
from airflow_provider_tungsten.replicator.filters.tokens import NotUnderstoodError

UNKNOWN = ""
"""Stands for a character set that nothing told yet."""

_UTF8 = frozenset({"utf8mb3", "utf8mb4"})
_NOT_OF_ASCII = frozenset({"ucs2", "utf16", "utf16le", "utf32", "swe7"})
MAX_VARCHAR_BYTES = 65535

_WHOLE = {
    "tinyint": ColumnType.TINY,
    "smallint": ColumnType.SHORT,
    "mediumint": ColumnType.INT24,
    "int": ColumnType.LONG,
    "bigint": ColumnType.LONGLONG,
    "year": ColumnType.YEAR,
    "date": ColumnType.DATE,
}
_FLOATING = {"float": (ColumnType.FLOAT, 4), "double": (ColumnType.DOUBLE, 8)}
_FRACTIONAL = {
    "timestamp": ColumnType.TIMESTAMP2,
    "datetime": ColumnType.DATETIME2,
    "time": ColumnType.TIME2,
}
TEXTS = ("tinytext", "text", "mediumtext", "longtext")
BLOBS = ("tinyblob", "blob", "mediumblob", "longblob")
LABELLED = {"enum": ColumnType.ENUM, "set": ColumnType.SET}
# Text type → what it is called when its character set is `binary`.
_BINARY = {"char": "binary", "varchar": "varbinary", **dict(zip(TEXTS, BLOBS, strict=True))}
TEXTUAL = frozenset(_BINARY)


@dataclass(frozen=True)
class ColumnSpec:
    """A declared column.

    :param type: as :class:`Column` has it. Bytes are told from text as soon as the character set is known.
    :param charset: of text, ENUM and SET; ``UNKNOWN`` where nothing tells it; None for other types.
    :param length, scale: as in :class:`Column`, except that those of TEXT and BLOB follow from their type.
    :param virtual: generated and not stored; such a column makes no key's columns a primary key.
    :param invisible, auto_increment: tell a key that the server made itself.
    """

    name: str
    type: str
    unsigned: bool = False
    charset: str | None = None
    members: tuple[str, ...] = ()
    length: int = 0
    scale: int = 0
    nullable: bool = True
    virtual: bool = False
    invisible: bool = False
    auto_increment: bool = False

    @property
    def octets(self) -> int:
        """Bytes of the longest value of CHAR, VARCHAR, BINARY, VARBINARY, TEXT and BLOB."""
        if self.type in TEXTS or self.type in BLOBS:
            return int((1 << 8 * _pack(self.type)) - 1)
        return self.length * _max_bytes(self.charset or UNKNOWN)

    @property
    def characters(self) -> int:
        """Of the longest value, as MySQL counts them where types are changed; 0 for types whose values never have 64."""
        if self.type in TEXTS or self.type in BLOBS:
            return self.octets
        if self.type == "enum":
            return max(map(len, self.members))
        if self.type == "set":
            return sum(map(len, self.members)) + len(self.members) - 1
        if self.type == "decimal":
            return self.length + (self.scale > 0) + (not self.unsigned)
        if self.type == "json" or self.type in GEOMETRIES:
            return (1 << 32) - 1
        return self.length * 4 if self.type == "vector" else self.length

    def described(self) -> Column:
        """As a table map with all names describes it. A character set that is unknown counts as one byte a character."""
        code, meta, length, scale = self._layout()
        return Column(
            self.name,
            self.type,
            int(code),
            meta,
            self.unsigned,
            self.charset or None,
            self.members,
            length,
            scale,
            self.nullable,
        )

    def _layout(self) -> tuple[ColumnType, int, int | None, int | None]:
        """Type code, type metadata, length and scale."""
        kind = self.type
        if kind in _WHOLE:
            return _WHOLE[kind], 0, None, None
        if kind in _FLOATING:
            return *_FLOATING[kind], None, None
        if kind in _FRACTIONAL:
            return _FRACTIONAL[kind], self.scale, None, self.scale
        if kind == "decimal":
            return ColumnType.NEWDECIMAL, self.length | self.scale << 8, self.length, self.scale
        if kind == "bit":
            return ColumnType.BIT, self.length % 8 | self.length // 8 << 8, self.length, None
        if kind == "json":
            return ColumnType.JSON, 4, None, None
        if kind == "vector":
            return ColumnType.VECTOR, 4, self.length, None
        if kind in GEOMETRIES:
            return ColumnType.GEOMETRY, 4, None, None
        if kind in LABELLED:
            return LABELLED[kind], LABELLED[kind] | _label_bytes(kind, len(self.members)) << 8, None, None
        if kind in TEXTS or kind in BLOBS:
            return ColumnType.BLOB, _pack(kind), self.octets, None
        if kind in ("varchar", "varbinary"):
            return ColumnType.VARCHAR, self.octets, self.length, None
        # Bits 8 and 9 of the length stand inverted in the type byte.
        first = ColumnType.STRING ^ (self.octets & 0x300) >> 4
        return ColumnType.STRING, first | (self.octets & 0xFF) << 8, self.length, None


def _max_bytes(charset: str) -> int:
    try:
        return charsets.max_bytes(charset) if charset else 1
    except KeyError:
        raise NotUnderstoodError(f"the character set {charset}") from None


def _pack(kind: str) -> int:
    return (TEXTS if kind in TEXTS else BLOBS).index(kind) + 1


def _label_bytes(kind: str, members: int) -> int:
    if kind == "enum":
        return 1 if members < 256 else 2
    size = (members + 7) // 8
    return size if size <= 4 else 8


def _fitting(family: tuple[str, ...], octets: int) -> str:
    """The smallest type of a family that holds so many bytes."""
    return next((kind for kind in family if octets < 1 << 8 * _pack(kind)), family[-1])


def with_charset(spec: ColumnSpec, charset: str) -> ColumnSpec:
    """A column newly declared, its character set known at last (or ``UNKNOWN``).

    The length of TEXT counts characters, and a VARCHAR that is too long becomes TEXT where ``sql_mode`` is not strict.

    :raises NotUnderstoodError: a character set that is not known.
    """
    if spec.charset is None:
        octets = spec.length
    else:
        octets = spec.length * _max_bytes(charset)
        if charset == "binary" and not all(member.isascii() for member in spec.members):
            raise NotUnderstoodError(f"labels of {spec.name} in the character set binary")
        members = (
            spec.members if charset == "binary" else tuple(_label(member, charset) for member in spec.members)
        )
        spec = replace(spec, charset=charset, members=members)
        if charset == "binary" and spec.type in _BINARY:
            spec = replace(spec, type=_BINARY[spec.type], charset=None)
    if spec.type in ("text", "blob") and spec.length:
        spec = replace(spec, type=_fitting(TEXTS if spec.type == "text" else BLOBS, octets), length=0)
    elif spec.type in ("varchar", "varbinary") and octets > MAX_VARCHAR_BYTES:
        spec = replace(spec, type=_fitting(TEXTS if spec.type == "varchar" else BLOBS, octets), length=0)
    return spec


def check_shown(columns: Iterable[ColumnSpec]) -> None:
    """:raises NotUnderstoodError: labels as a server shows them, with a question mark that may stand for a character beyond
    U+FFFF: MySQL keeps what it shows of a table in utf8mb3.
    """
    for column in columns:
        if any("?" in label for label in column.members) and charsets.goes_beyond_bmp(column.charset or ""):
            raise NotUnderstoodError(
                f"labels of {column.name} with a question mark, which MySQL also shows for characters beyond U+FFFF"
            )


def _label(text: str, charset: str) -> str:
    """MySQL takes trailing blanks from labels, and a question mark for what their character set lacks."""
    return charsets.stored(text, charset).rstrip(" ") if charset else text.rstrip(" ")


def converted(spec: ColumnSpec, charset: str) -> ColumnSpec:
    """A column after CONVERT TO CHARACTER SET, which lets a TEXT hold as many characters as before."""
    if spec.charset in (None, charset, "binary"):
        return spec
    if spec.members and not _same_bytes(spec.members, {spec.charset, charset}):
        # MySQL keeps their bytes as they were, so that they mean something else.
        raise NotUnderstoodError(f"labels of {spec.name} in another character set")
    if spec.type not in TEXTS or _max_bytes(charset) <= _max_bytes(spec.charset):
        return with_charset(spec, charset)
    octets = spec.octets * _max_bytes(charset) // _max_bytes(spec.charset)
    return replace(spec, type=_fitting(TEXTS, octets), charset=charset)


def resized(spec: ColumnSpec, before: ColumnSpec) -> ColumnSpec:
    """A column newly declared in the place of another beside CONVERT TO CHARACTER SET: how long a TEXT or BLOB is, MySQL takes from
    the characters that the other held, divided by its bytes a character; LONGTEXT and LONGBLOB stay what they are."""
    for family in (TEXTS, BLOBS):
        if spec.type in family[:-1]:
            size = before.characters // _max_bytes(before.charset or UNKNOWN)
            return replace(spec, type=_fitting(family, size * _max_bytes(spec.charset or UNKNOWN)))
    return spec


def _same_bytes(labels: tuple[str, ...], character_sets: set[str]) -> bool:
    if character_sets <= _UTF8:
        return True
    return all(label.isascii() for label in labels) and character_sets.isdisjoint(_NOT_OF_ASCII)
