"""The characters of MySQL's table-driven character sets: Python's codecs, and where MySQL differs from them.

Facts: `CONVERT(… USING utf8mb4)` of MySQL 9.7 and MariaDB 10.11, which agree, asked for every code.
"""

from __future__ import annotations

from collections.abc import Iterator

NONE = "\ufffd"
"""Stands for a code without a character, also where a server gives just this sign for it (big5, tis620)."""

_HIGH = range(0x80, 0x100)
_DIGITS = range(0x30, 0x3A)
_ROW = range(0xA1, 0xFF)
_SS3 = 0x8F

# First code (its bytes as one number) → the characters of it and of those that follow.
_DIFFERENT: dict[str, dict[int, str]] = {
    "armscii8": {
        0x80: "".join(map(chr, range(0x80, 0xA1))),
        0xA1: "❁§։)(»«—.՝,-՟…՜՛՞ԱաԲբԳգԴդԵեԶզԷէԸըԹթԺժԻիԼլԽխԾծԿկՀհՁձՂղՃճՄմՅյՆնՇշՈոՉչՊպՋջՌռՍսՎվՏտՐրՑցՒւՓփՔքՕօՖֆ’'",
    },
    "big5": {
        0xA15A: NONE,
        0xA1C3: NONE,
        0xA1C5: NONE,
        0xA1FE: NONE,
        0xA240: NONE,
        0xA2CC: NONE,
        0xA2CE: NONE,
        0xF9D6: "碁銹裏墻恒粧嫺",
    },
    "cp1256": {code: NONE for code in (0x8A, 0x8F, 0x98, 0x9A, 0x9F, 0xAA, 0xC0, 0xFF)},
    "cp866": {0xFC: "ⁿ²"},
    "cp932": {0x80: NONE, 0xA0: NONE, 0xFD: NONE * 3},
    "dec8": {
        0xA4: NONE,
        0xA6: NONE,
        0xA8: "¤",
        0xAC: NONE * 4,
        0xB4: NONE,
        0xB8: NONE,
        0xBE: NONE,
        0xD0: NONE,
        0xD7: "Œ",
        0xDD: f"Ÿ{NONE}",
        0xF0: NONE,
        0xF7: "œ",
        0xFD: f"ÿ{NONE}{NONE}",
    },
    "eucjpms": {
        0xA1C1: "～∥",
        0xA1DD: "－",
        0xA1F1: "￠￡",
        0xA2CC: "￢",
        0xADA1: "①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳ⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩ",
        0xADC0: "㍉㌔㌢㍍㌘㌧㌃㌶㍑㍗㌍㌦㌣㌫㍊㌻㎜㎝㎞㎎㎏㏄㎡",
        0xADDF: "㍻〝〟№㏍℡㊤㊥㊦㊧㊨㈱㈲㈹㍾㍽㍼≒≡∫∮∑√⊥∠∟⊿∵∩∪",
        0x8FA2B7: "～",
        0x8FA2C3: "￤",
        0x8FF3F3: "ⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹⅠⅡ",
        # Compatibility ideographs as numbers: an editor may take them for the letters they look like.
        0x8FF4A1: "ⅢⅣⅤⅥⅦⅧⅨⅩ＇＂㈱№℡炻仼僴凬匇匤\ufa0e咊坙\ufa0f\ufa10增寬峵嵓\ufa11德悅愠敎昻晥\ufa12\uf929栁\ufa13\ufa14橫櫢淸淲"
        "瀨\ufa15\ufa16甁皂皞\ufa17礰\ufa18\ufa19\ufa1a\ufa1b竧\ufa1c\ufa1d綠緖\ufa1e荢\ufa1f薰\ufa20"
        "\ufa21蠇\ufa22譿賴赶\ufa23\ufa24\ufa25郞\ufa26鄕\ufa27\ufa28閒\uf9dc\ufa29霻靍靑\ufa2a\ufa2b"
        "\ufa2c馞髙魲\ufa2d黑",
    },
    "gb18030": {0xA8BC: "ḿ", 0x8135F437: "\ue7c7"},
    "geostd8": {
        0x80: "€x‚x„…†‡x‰x‹xxxxx‘’“”•–—xxx›xxxx".replace("x", NONE),
        0xC0: "აბგდევზჱთიკლმნჲოპჟრსტჳუფქღყშჩცძწჭხჴჯჰჵ" + NONE * 23 + "№" + NONE * 2,
    },
    "greek": {0xA1: "ʽʼ", 0xA4: NONE * 2, 0xAA: NONE},
    "hebrew": {0xAF: "‾"},
    "keybcs2": {
        0x80: "ČüéďäĎŤčěĚĹÍľĺÄÁÉžŽôöÓůÚýÖÜŠĽÝŘťáíóúňŇŮÔšřŕŔ¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
        "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\xa0",
    },
    "koi8u": {0x95: "•"},
    "latin1": {0x81: "\x81", 0x8D: "\x8d", 0x8F: "\x8f\x90", 0x9D: "\x9d"},
    "sjis": {0x815F: "\\"},
    "swe7": {0x40: "É", 0x5B: "ÄÖÅÜ", 0x60: "é", 0x7B: f"äöåü{NONE}"},
    "ujis": {0xA1C0: "\\"},
}
# EUC's user-defined rows, in order, are the private use area's beginning.
for _name in ("ujis", "eucjpms"):
    _DIFFERENT[_name] |= {
        (lead | row) << 8 | 0xA1: "".join(map(chr, range(first, first + 94)))
        for lead, start in ((0, 0xE000), (_SS3 << 8, 0xE3AC))
        for row, first in zip(range(0xF5, 0xFF), range(start, start + 940, 94), strict=True)
    }


def units(charset: str, codec: str, max_bytes: int) -> Iterator[tuple[bytes, str]]:
    """Each code that is a character, and the character; of GB18030's four-byte codes those of the BMP.

    :param codec: Python's, which the character set is like.
    :param max_bytes: of its longest character.
    """
    different = {
        number: character
        for first, text in _DIFFERENT.get(charset, {}).items()
        for number, character in enumerate(text, first)
    }
    for code in _codes(charset, max_bytes):
        character = different.get(int.from_bytes(code, "big")) or code.decode(codec, "replace")
        if character != NONE and len(character) == 1:
            yield code, character
    if charset == "gb18030":
        yield b"\x84\x31\xa4\x37", NONE  # the one that has a code for the sign itself


def _codes(charset: str, max_bytes: int) -> Iterator[bytes]:
    """What may be a character."""
    yield from (bytes((byte,)) for byte in range(256))
    if max_bytes > 1:
        yield from (bytes((lead, trail)) for lead in _HIGH for trail in range(0x40, 0xFF))
    if max_bytes == 3:
        yield from (bytes((_SS3, row, cell)) for row in _ROW for cell in _ROW)
    if charset == "gb18030":
        four = (
            bytes((first, second, third, fourth))
            for first in range(0x81, 0x85)
            for second in _DIGITS
            for third in range(0x81, 0xFF)
            for fourth in _DIGITS
        )
        yield from four
