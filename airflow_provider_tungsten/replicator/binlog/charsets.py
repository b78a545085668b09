"""Character sets by collation id, as table maps and statements name them.

Source: `information_schema.collations` and `character_sets` of MySQL 9.7; ids never change their meaning.
"""

from __future__ import annotations

import codecs
from typing import NamedTuple

from airflow_provider_tungsten.replicator.errors import UnsupportedError

SUPPORTED = frozenset({"utf8mb4", "utf8mb3", "latin1", "ascii"})
"""Of text and of labels. Columns of bytes have none; labels in ``binary`` are not known to be text."""


class _Charset(NamedTuple):
    """:param codec: Python's, for statement text; None where Python has none."""

    max_bytes: int
    collations: tuple[int | tuple[int, int], ...]
    codec: str | None


_CHARSETS = {
    "armscii8": _Charset(1, (32, 64), None),
    "ascii": _Charset(1, (11, 65), "ascii"),
    "big5": _Charset(2, (1, 84), "big5"),
    "binary": _Charset(1, (63,), "utf-8"),
    "cp1250": _Charset(1, (26, 34, 44, 66, 99), "cp1250"),
    "cp1251": _Charset(1, (14, 23, (50, 52)), "cp1251"),
    "cp1256": _Charset(1, (57, 67), "cp1256"),
    "cp1257": _Charset(1, (29, (58, 59)), "cp1257"),
    "cp850": _Charset(1, (4, 80), "cp850"),
    "cp852": _Charset(1, (40, 81), "cp852"),
    "cp866": _Charset(1, (36, 68), "cp866"),
    "cp932": _Charset(2, ((95, 96),), "cp932"),
    "dec8": _Charset(1, (3, 69), None),
    "eucjpms": _Charset(3, ((97, 98),), "euc_jp"),
    "euckr": _Charset(2, (19, 85), "euc_kr"),
    "gb18030": _Charset(4, ((248, 250),), "gb18030"),
    "gb2312": _Charset(2, (24, 86), "gb2312"),
    "gbk": _Charset(2, (28, 87), "gbk"),
    "geostd8": _Charset(1, ((92, 93),), None),
    "greek": _Charset(1, (25, 70), "iso8859_7"),
    "hebrew": _Charset(1, (16, 71), "iso8859_8"),
    "hp8": _Charset(1, (6, 72), None),
    "keybcs2": _Charset(1, (37, 73), None),
    "koi8r": _Charset(1, (7, 74), "koi8_r"),
    "koi8u": _Charset(1, (22, 75), "koi8_u"),
    "latin1": _Charset(1, (5, 8, 15, 31, (47, 49), 94), None),
    "latin2": _Charset(1, (2, 9, 21, 27, 77), "iso8859_2"),
    "latin5": _Charset(1, (30, 78), "iso8859_9"),
    "latin7": _Charset(1, (20, (41, 42), 79), "iso8859_13"),
    "macce": _Charset(1, (38, 43), "mac_latin2"),
    "macroman": _Charset(1, (39, 53), "mac_roman"),
    "sjis": _Charset(2, (13, 88), "shift_jis"),
    "swe7": _Charset(1, (10, 82), None),
    "tis620": _Charset(1, (18, 89), "tis_620"),
    "ucs2": _Charset(2, (35, 90, (128, 151), 159), None),
    "ujis": _Charset(3, (12, 91), "euc_jp"),
    "utf16": _Charset(4, ((54, 55), (101, 124)), None),
    "utf16le": _Charset(4, (56, 62), None),
    "utf32": _Charset(4, ((60, 61), (160, 183)), None),
    "utf8mb3": _Charset(3, (33, 76, 83, (192, 215), 223), "utf-8"),
    "utf8mb4": _Charset(
        4,
        (
            (45, 46),
            (224, 247),
            (255, 271),
            (273, 275),
            (277, 294),
            (296, 298),
            300,
            (303, 323),
        ),
        "utf-8",
    ),
}


def _names() -> dict[int, str]:
    names = {}
    for name, charset in _CHARSETS.items():
        for item in charset.collations:
            first, last = (item, item) if isinstance(item, int) else item
            names.update(dict.fromkeys(range(first, last + 1), name))
    return names


_NAMES = _names()


def charset_name(collation: int) -> str:
    """Name of the character set that a collation orders.

    :raises UnsupportedError: a collation id that MySQL 9.7 does not have.
    """
    try:
        return _NAMES[collation]
    except KeyError:
        raise UnsupportedError(
            f"collation id {collation} is not known (MariaDB's own or newer than MySQL 9.7)"
        ) from None


def max_bytes(charset: str) -> int:
    """Bytes of the longest character: what a table map multiplies a column's length by."""
    return _CHARSETS[charset].max_bytes


def decode(raw: bytes, charset: str | None) -> str:
    """Text of a statement or a label. Bytes that are wrong in the character set stand as backslash escapes.

    :param charset: None, or one that Python cannot decode: UTF-8, what MySQL's clients speak unless told otherwise.
    """
    if charset == "latin1":
        return codecs.charmap_decode(raw, "strict", LATIN1)[0]
    codec = _CHARSETS[charset].codec if charset else None
    return raw.decode(codec or "utf-8", "backslashreplace")


# MySQL's latin1 is Windows' 1252 with the five bytes that have no character there standing for themselves.
LATIN1 = "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(256))
