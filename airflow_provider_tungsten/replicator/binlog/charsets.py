"""Character sets by collation id, as table maps and statements name them.

Source: `information_schema.collations` and `character_sets` of MySQL 9.7, and of MariaDB 10.11 its
`collation_character_set_applicability`; ids never change their meaning. What bytes mean is checked against both servers.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from airflow_provider_tungsten.replicator.binlog._charset import Charset, Form
from airflow_provider_tungsten.replicator.binlog.charset_units import units
from airflow_provider_tungsten.replicator.errors import UnsupportedError


class _Charset(NamedTuple):
    """:param codec: Python's that is nearest; see `charset_units` for the difference."""

    max_bytes: int
    collations: tuple[int | tuple[int, int], ...]
    codec: str
    form: Form = Form.TABLE


_CHARSETS = {
    "armscii8": _Charset(1, (32, 64), "ascii"),
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
    "dec8": _Charset(1, (3, 69), "latin-1"),
    "eucjpms": _Charset(3, ((97, 98),), "euc_jp"),
    "euckr": _Charset(2, (19, 85), "cp949"),
    "gb18030": _Charset(4, ((248, 250),), "gb18030"),
    "gb2312": _Charset(2, (24, 86), "gb2312"),
    "gbk": _Charset(2, (28, 87), "gbk"),
    "geostd8": _Charset(1, ((92, 93),), "latin-1"),
    "greek": _Charset(1, (25, 70), "iso8859_7"),
    "hebrew": _Charset(1, (16, 71), "iso8859_8"),
    "hp8": _Charset(1, (6, 72), "hp_roman8"),
    "keybcs2": _Charset(1, (37, 73), "ascii"),
    "koi8r": _Charset(1, (7, 74), "koi8_r"),
    "koi8u": _Charset(1, (22, 75), "koi8_u"),
    "latin1": _Charset(1, (5, 8, 15, 31, (47, 49), 94), "cp1252"),
    "latin2": _Charset(1, (2, 9, 21, 27, 77), "iso8859_2"),
    "latin5": _Charset(1, (30, 78), "iso8859_9"),
    "latin7": _Charset(1, (20, (41, 42), 79), "iso8859_13"),
    "macce": _Charset(1, (38, 43), "mac_latin2"),
    "macroman": _Charset(1, (39, 53), "mac_roman"),
    "sjis": _Charset(2, (13, 88), "shift_jis"),
    "swe7": _Charset(1, (10, 82), "ascii"),
    "tis620": _Charset(1, (18, 89), "tis_620"),
    "ucs2": _Charset(2, (35, 90, (128, 151), 159), "utf-16-be", Form.UCS2),
    "ujis": _Charset(3, (12, 91), "euc_jp"),
    "utf16": _Charset(4, ((54, 55), (101, 124)), "utf-16-be", Form.UTF16),
    "utf16le": _Charset(4, (56, 62), "utf-16-le", Form.UTF16LE),
    "utf32": _Charset(4, ((60, 61), (160, 183)), "utf-32-be", Form.UTF32),
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


SUPPORTED = frozenset(_CHARSETS) - {"binary"} | {"utf8"}
"""Of text and of labels. Columns of bytes have none; labels in ``binary`` are not known to be text. ``utf8`` is what
servers before MySQL 8.0.30 and MariaDB 10.6 call utf8mb3 in their catalog."""

_LAST_OF_BMP = "\uffff"
_UTF8 = frozenset({"utf8mb4", "utf8mb3", "utf8", "binary"})

# MariaDB's own collations: those that do not pad with blanks stand 1024 behind those that do (`MY_NOPAD_ID`), some more
# of its own 512 behind 64 … 255, and those of UCA 14.0 in blocks of 256, with a hole (`my_uca1400_make_collation_id`).
_NOPAD = 1024
_MARIADB_OWN = {
    "utf8mb3": (576, 578),
    "utf8mb4": (608, 610),
    "ucs2": (640, 642),
    "utf16": (672, 674),
    "utf32": (736, 738),
}
_UCA1400 = {"utf8mb3": 2048, "utf8mb4": 2304, "ucs2": 2560, "utf16": 2816, "utf32": 3072}
_UCA1400_IDS = (*range(168), *range(184, 200))


def _names() -> dict[int, str]:
    names = {}
    for name, charset in _CHARSETS.items():
        for item in charset.collations:
            first, last = (item, item) if isinstance(item, int) else item
            names.update(dict.fromkeys(range(first, last + 1), name))
    names |= {_NOPAD + number: name for number, name in names.items() if number < 248 and name != "binary"}
    for name, (first, last) in _MARIADB_OWN.items():
        names |= dict.fromkeys(range(first, last + 1), name)
        names |= {_UCA1400[name] + number: name for number in _UCA1400_IDS}
    return names


_NAMES = _names()


def charset_name(collation: int) -> str:
    """Name of the character set that a collation orders.

    :raises UnsupportedError: a collation id that neither MySQL 9.7 nor MariaDB 10.11 has.
    """
    try:
        return _NAMES[collation]
    except KeyError:
        raise UnsupportedError(
            f"collation id {collation} is not known (newer than MySQL 9.7 and MariaDB 10.11)"
        ) from None


def max_bytes(charset: str) -> int:
    """Bytes of the longest character: what a table map multiplies a column's length by."""
    return _CHARSETS[charset].max_bytes


@cache
def decoder(charset: str) -> Charset | None:
    """Made once, when it is first asked for; None for what is UTF-8 already."""
    if charset in _UTF8:
        return None
    found = _CHARSETS[charset]
    characters = units(charset, found.codec, found.max_bytes) if found.form is Form.TABLE else ()
    return Charset(charset, found.form, characters)


def goes_beyond_bmp(charset: str) -> bool:
    """Whether it has characters beyond U+FFFF."""
    return charset in ("utf8mb4", "utf16", "utf16le", "utf32", "gb18030")


@cache
def _characters(charset: str) -> frozenset[str]:
    found = _CHARSETS[charset]
    return frozenset(character for _, character in units(charset, found.codec, found.max_bytes))


def stored(text: str, charset: str) -> str:
    """What of a text is left in a character set: MySQL takes a question mark for what that lacks.

    :raises KeyError: no such character set.
    """
    if text.isascii() and charset != "swe7":
        return text
    if charset in ("utf8mb3", "utf8", "ucs2"):
        return "".join(character if character <= _LAST_OF_BMP else "?" for character in text)
    if charset in _UTF8 or _CHARSETS[charset].form is not Form.TABLE:
        return text
    held = _characters(charset)
    beyond = goes_beyond_bmp(charset)
    return "".join(
        character if character in held or (beyond and character > _LAST_OF_BMP) else "?" for character in text
    )


def decode(raw: bytes, charset: str | None, escape: bool = False) -> str:
    """Text of a statement or a label.

    :param charset: None: UTF-8, what MySQL's clients speak unless told otherwise.
    :param escape: bytes that are wrong in the character set stand as backslash escapes.
    :raises UnicodeDecodeError: such bytes, unless ``escape``.
    """
    found = decoder(charset) if charset else None
    if found is None:
        return raw.decode("utf-8", "backslashreplace" if escape else "strict")
    return found.decode(raw, escape)
