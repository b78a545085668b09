# distutils: language = c++
"""Text in any of MySQL's character sets to UTF-8. See `charsets` for the Python face."""

from __future__ import annotations

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer, release, reserve

# An entry is a character in UTF-8, its first byte lowest; or one of these in the lowest byte, which UTF-8 does not use:
cdef enum:
    NODE = 0xFD    # the entry's upper bytes: the number of the node for the next byte
    LINEAR = 0xFE  # GB18030: a code of four bytes
    NOTHING = 0xFF
    NODE_ENTRIES = 256
    HIGH_BITS = 0x80

# GB18030: four-byte codes counted on from 81 30 81 30; from 90 30 81 30 they are the planes over the BMP.
cdef enum:
    LINEAR_BMP = 39420
    LINEAR_PLANES = 189000
    PLANES = 0x10000
    LAST = 0x10FFFF


cdef class Charset:
    """A character set's characters.

    ``decode(raw, escape=False)``: the text; where ``escape``, wrong bytes stand in it as ``\\xnn``.

    :param units: for Form.TABLE: codes and their characters.
    :raises UnicodeDecodeError: (decode) bytes that are no character.
    """

    def __cinit__(self, str name not None, Form form, units):
        cdef int byte, lead
        self._name = name
        self.decoder.form = form
        self._units.assign(NODE_ENTRIES, NOTHING)
        for code, character in units:
            self._add(code, character.encode())
        if not self._linear.empty():
            for lead in range(0x81, 0xFF):
                for byte in range(0x30, 0x3A):
                    self._units[self._node(0, lead) + byte] = LINEAR
        self.decoder.ascii = form == Form.TABLE
        for byte in range(HIGH_BITS):
            self.decoder.ascii = self.decoder.ascii and self._units[byte] == <uint32_t>byte
        self.decoder.units = self._units.data()
        self.decoder.linear = self._linear.data()

    cdef int _add(self, bytes code, bytes utf8) except -1:
        cdef uint32_t text = int.from_bytes(utf8, "little")
        cdef size_t node = 0
        cdef uint8_t byte
        if len(code) == 4:
            if self._linear.empty():
                self._linear.assign(LINEAR_BMP, NOTHING)
            self._linear[_linear_number(code)] = text
            return 0
        for byte in code[:-1]:
            node = self._node(node, byte)
        self._units[node + <size_t>code[-1]] = text
        return 0

    cdef size_t _node(self, size_t node, uint8_t byte) except 0:
        """Where the node behind that byte begins."""
        cdef uint32_t entry = self._units[node + byte]
        if entry == NOTHING:
            entry = <uint32_t>(self._units.size() // NODE_ENTRIES) << 8 | NODE
            self._units[node + byte] = entry
            self._units.resize(self._units.size() + NODE_ENTRIES, NOTHING)
        elif entry & 0xFF != NODE:
            raise ValueError(f"{self._name}: a code begins with another")
        return <size_t>(entry >> 8) * NODE_ENTRIES

    def decode(self, bytes raw not None, bint escape=False):
        cdef Buffer out
        cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(raw)
        cdef const uint8_t* data = start
        try:
            status = to_utf8(&self.decoder, &out, &data, start + len(raw), start + len(raw), escape)
            if status == TEXT_NO_MEMORY:
                raise MemoryError()
            if status == TEXT_WRONG:
                raise UnicodeDecodeError(self._name, raw, data - start, data - start + 1, "no character")
            return out.data[:out.size].decode("utf-8")
        finally:
            release(&out)


cdef inline size_t _linear_number(const uint8_t* code) noexcept nogil:
    return ((<size_t>(code[0] - 0x81) * 10 + code[1] - 0x30) * 126 + code[2] - 0x81) * 10 + code[3] - 0x30


cdef inline char* _put_packed(char* out, uint32_t text) noexcept nogil:
    """Writes four bytes, of which the character's count."""
    cdef uint8_t first = text & 0xFF
    out[0], out[1], out[2], out[3] = first, text >> 8 & 0xFF, text >> 16 & 0xFF, text >> 24
    return out + (1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4)


cdef inline uint32_t _packed(uint32_t point) noexcept nogil:
    if point < 0x80:
        return point
    if point < 0x800:
        return 0xC0 | point >> 6 | (0x80 | point & 0x3F) << 8
    if point < 0x10000:
        return 0xE0 | point >> 12 | (0x80 | point >> 6 & 0x3F) << 8 | (0x80 | point & 0x3F) << 16
    return (
        0xF0 | point >> 18 | (0x80 | point >> 12 & 0x3F) << 8
        | (0x80 | point >> 6 & 0x3F) << 16 | (0x80 | point & 0x3F) << 24
    )


cdef inline size_t _table_unit(
    const Decoder* decoder, const uint8_t* data, size_t left, uint32_t* text
) noexcept nogil:
    """Bytes of the character at ``data``; 0: none."""
    cdef size_t used = 1
    cdef size_t number
    cdef uint32_t entry = decoder.units[data[0]]
    while entry & 0xFF == NODE:
        if used == left:
            return 0
        entry = decoder.units[(entry >> 8) * NODE_ENTRIES + data[used]]
        used += 1
    if entry & 0xFF < NODE:
        text[0] = entry
        return used
    if entry & 0xFF == NOTHING or left < 4 or not 0x81 <= data[2] <= 0xFE or not 0x30 <= data[3] <= 0x39:
        return 0
    number = _linear_number(data)
    if number < LINEAR_BMP:
        text[0] = decoder.linear[number]
        return 4 if text[0] != NOTHING else 0
    if not LINEAR_PLANES <= number <= LINEAR_PLANES + LAST - PLANES:
        return 0
    text[0] = _packed(<uint32_t>(number - LINEAR_PLANES + PLANES))
    return 4


cdef inline uint32_t _pair(Form form, const uint8_t* data) noexcept nogil:
    return data[0] | data[1] << 8 if form == Form.UTF16LE else data[0] << 8 | data[1]


cdef inline size_t _unicode_unit(Form form, const uint8_t* data, size_t left, uint32_t* text) noexcept nogil:
    cdef uint32_t point, low
    cdef size_t used = 4 if form == Form.UTF32 else 2
    if left < used:
        return 0
    if form == Form.UTF32:
        point = <uint32_t>data[0] << 24 | data[1] << 16 | data[2] << 8 | data[3]
    else:
        point = _pair(form, data)
        if form != Form.UCS2 and 0xD800 <= point < 0xDC00:
            if left < 4:
                return 0
            low = _pair(form, data + 2)
            if not 0xDC00 <= low < 0xE000:
                return 0
            point = 0x10000 + ((point - 0xD800) << 10) + low - 0xDC00
            used = 4
    if 0xD800 <= point < 0xE000 or point > LAST:
        return 0
    text[0] = _packed(point)
    return used


cdef inline size_t _ascii_run(const uint8_t* data, size_t left, char* out) noexcept nogil:
    """Copies what is ASCII, eight bytes at a time; how many."""
    cdef uint64_t eight
    cdef size_t done = 0
    while left - done >= 8:
        memcpy(&eight, data + done, 8)
        if eight & 0x8080808080808080ULL:
            break
        memcpy(out + done, &eight, 8)
        done += 8
    return done


cdef TextStatus to_utf8(
    const Decoder* decoder, Buffer* out, const uint8_t** given, const uint8_t* until, const uint8_t* end, bint escape
) noexcept nogil:
    """Appends the text of the characters that begin before ``until``, and moves ``given`` behind them. TEXT_WRONG: to bytes that
    are no character; never where ``escape``."""
    cdef const uint8_t* data = given[0]
    cdef const char* digits = "0123456789abcdef"
    cdef size_t used
    cdef uint32_t text
    cdef char* to
    # One byte becomes three at most, or an escape of four; the last character is written as four bytes.
    if not reserve(out, (4 if escape else 3) * (until - data) + 4):
        return TEXT_NO_MEMORY
    to = out.data + out.size
    while data < until:
        if decoder.ascii and data[0] < HIGH_BITS:
            used = _ascii_run(data, until - data, to)
            if used == 0:
                to[0] = data[0]
                used = 1
            to += used
            data += used
            continue
        if decoder.form == Form.TABLE:
            used = _table_unit(decoder, data, end - data, &text)
        else:
            used = _unicode_unit(decoder.form, data, end - data, &text)
        if used:
            to = _put_packed(to, text)
            data += used
        elif escape:
            to[0], to[1], to[2], to[3] = 92, 120, digits[data[0] >> 4], digits[data[0] & 15]
            to += 4
            data += 1
        else:
            given[0] = data
            return TEXT_WRONG
    given[0] = data
    out.size = to - out.data
    return TEXT_OK
