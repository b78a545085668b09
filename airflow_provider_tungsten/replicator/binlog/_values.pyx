# distutils: language = c++
"""The values of row images as canonical text: one a type, the same for every target. See `rows` for the Python face; lines,
separators and quotes are `_csv`'s. Every read is checked against the end of the payload."""

from __future__ import annotations

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import zlib

from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer, clear, release, reserve
from airflow_provider_tungsten.replicator.binlog._charset cimport TEXT_NO_MEMORY, TEXT_OK, TextStatus, to_utf8
from airflow_provider_tungsten.replicator.binlog._images cimport (
    Field,
    Label,
    Op,
    big_endian,
    little_endian,
)
from airflow_provider_tungsten.replicator.binlog._json cimport (
    JSON_CORRUPT,
    JSON_NO_MEMORY,
    JSON_OK,
    JSON_TOO_LONG,
    JsonStatus,
    json_text,
)
from airflow_provider_tungsten.replicator.binlog._spooled cimport no_room
from airflow_provider_tungsten.replicator.binlog._text cimport (
    REAL_ROOM,
    Time,
    is_datetime,
    is_time,
    put,
    put_date,
    put_datetime,
    put_decimal,
    put_padded,
    put_real,
    put_signed,
    put_time,
    put_unsigned,
    unpack_old_time,
    unpack_time,
)
from airflow_provider_tungsten.replicator.binlog._times cimport packed_time, unpack_field

from airflow_provider_tungsten.replicator.binlog.refusals import ValueRefused
from airflow_provider_tungsten.replicator.errors import CorruptLogError


_REASONS = {
    NUL: "a text with a NUL character (0x00)",
    WRONG_CHARACTER: "bytes that are no character of the column's character set",
    ZERO_DATE: "a zero date, or one whose year, month or day is zero",
}
_BROKEN = {
    CORRUPT: "a row image does not fit its table definition",
    NO_LABEL: "a row holds a number for which the definition has no label",
    NOT_A_VALUE: "a row holds bytes that are no value of the column's type",
    MISCOUNTED: "an event holds more or fewer row images than the log counts",
}

cdef enum:
    # A geometry: SRID, byte order, type and what it holds.
    SRID_BYTES = 4
    WKB_HEAD = 5
    WKB_TYPES = 7
    EWKB_SRID = 0x20000000
    # A VECTOR has no more dimensions (`sql/field.h`).
    MOST_DIMENSIONS = 16383
    # What is compressed: how, the sign of no zlib header, bytes of the length behind.
    ZLIB = 8
    RAW_DEFLATE = 8
    # Bytes of a value once it is decompressed, where nothing else limits it (a filter shortens it, or only looks at it).
    MOST_INFLATED = 1 << 30
    # Of them, and of what is compressed, at a time.
    INFLATED_STEP = 1 << 20


cdef class Values(Images):
    """Turns fields into text. What inherits it owns the buffers and says the limits.

    Of a value of any length no more is in memory than a few steps, nor of its text: whatever reads or writes one goes in steps.
    """

    def __dealloc__(self):
        release(&self._inflated)

    def __init__(
        self, str table, names, fields, max_text_bytes, max_binary_bytes, max_geometry_bytes, bint refuse_nul,
        bint refuse_zero_dates,
    ):
        Images.__init__(self, table, names, fields)
        self._limits.text, self._limits.binary, self._limits.geometry = (
            <size_t>-1 // 2 if limit is None else limit
            for limit in (max_text_bytes, max_binary_bytes, max_geometry_bytes)
        )
        self._limits.refuse_nul, self._limits.refuse_zero_dates = refuse_nul, refuse_zero_dates
        self._failed = self._count
        memset(self._class, 0, 128)
        memset(self._class + 128, HIGH, 128)
        self._class[0] = ZERO
        self._paced.buffers.push_back(&self._scratch)
        self._paced.buffers.push_back(&self._inflated)

    cdef object _raise(self, Status status):
        if status == NO_MEMORY:
            for buffer in self._paced.buffers:
                if buffer.error:
                    raise no_room(buffer)
            raise MemoryError()
        name = self._names[self._failed] if self._failed < self._count else None
        if status == TOO_LONG:
            raise ValueRefused(name, f"a value of more than {self._exceeded} bytes")
        if status in _REASONS:
            raise ValueRefused(name, _REASONS[status])
        place = self._table if name is None else f"{self._table}.{name}"
        raise CorruptLogError(f"{place}: {_BROKEN[status]}")

    cdef Status _value(self, const Field* field, const uint8_t* data, size_t size, Buffer* buffer) noexcept nogil:
        """One value: a plain one (digits, hexadecimal) goes into the buffer, which has room for one of fixed size and still has
        when it is `DONE`; any other is `TEXT`, found in ``_text``, ``_size`` and ``_seen`` until the next value comes."""
        cdef uint64_t bits
        cdef int64_t number
        cdef Op op = field.op
        if op == Op.SIGNED:
            bits = little_endian(data, size)
            # The sign bit moved to the top and back: sizes of 1, 2, 3, 4 and 8 bytes alike.
            number = <int64_t>(bits << (64 - 8 * size)) >> (64 - 8 * size)
            buffer.size = put_signed(buffer.data + buffer.size, number) - buffer.data
            return DONE
        if op == Op.UNSIGNED:
            buffer.size = put_unsigned(buffer.data + buffer.size, little_endian(data, size)) - buffer.data
            return DONE
        if op == Op.TEXT:
            return self._found(data, size, False)
        if op == Op.TIMESTAMP or op == Op.DATETIME or op == Op.DATE or op == Op.TIME:
            return self._temporal(field, data, buffer)
        if op == Op.DECIMAL or op == Op.REAL or op == Op.BIT or op == Op.YEAR:
            return self._number(field, data, size, buffer)
        if op == Op.CHARSET_TEXT:
            return self._charset_text(field, data, size)
        if op == Op.HEXADECIMAL:
            return self._hexadecimal(data, size, field.detail, buffer)
        if op == Op.ENUM:
            return self._enum(field, little_endian(data, size))
        if op == Op.SET:
            return self._set(field, little_endian(data, size))
        if op == Op.JSON:
            return self._json(data, size)
        if op == Op.GEOMETRY:
            return self._geometry(data, size, buffer)
        if op == Op.VECTOR:
            return self._vector(data, size)
        if op == Op.OLD_TIME or op == Op.OLD_DATETIME or op == Op.OLD_TIMESTAMP:
            return self._temporal(field, data, buffer)
        if op == Op.COMPRESSED:
            return self._compressed(field, data, size, buffer)
        return CORRUPT

    # Apart, so that integers and texts do not pay for the registers that this takes.
    cdef Status _number(self, const Field* field, const uint8_t* data, size_t size, Buffer* buffer) noexcept nogil:
        cdef char* out = buffer.data + buffer.size
        cdef uint64_t bits
        cdef uint32_t half
        cdef float single
        cdef double real
        if field.op == Op.DECIMAL:
            out = put_decimal(out, data, field.precision, field.detail)
        elif field.op == Op.BIT:
            out = put_unsigned(out, big_endian(data, size))
        elif field.op == Op.YEAR:
            out = put_padded(out, 1900 + data[0] if data[0] else 0, 4)
        else:
            bits = little_endian(data, size)
            if size == 4:
                half = <uint32_t>bits
                memcpy(&single, &half, 4)
                out = put_real(out, single, True)
            else:
                memcpy(&real, &bits, 8)
                out = put_real(out, real, False)
        if out == NULL:
            return NOT_A_VALUE
        buffer.size = out - buffer.data
        return DONE

    cdef Status _temporal(self, const Field* field, const uint8_t* data, Buffer* buffer) noexcept nogil:
        cdef char* out = buffer.data + buffer.size
        cdef Time time
        cdef Op op = field.op
        if op == Op.TIME or op == Op.OLD_TIME:
            if op == Op.TIME:
                unpack_time(packed_time(data, field.detail), &time)
            else:
                unpack_old_time(<int32_t>(little_endian(data, 3) << 8) >> 8, &time)
            if not is_time(&time):
                return NOT_A_VALUE
            out = put_time(out, &time, field.detail)
        else:
            unpack_field(field, data, &time)
            if not is_datetime(&time):
                return NOT_A_VALUE
            if self._limits.refuse_zero_dates and not (time.year and time.month and time.day):
                return ZERO_DATE
            out = put_date(out, &time) if op == Op.DATE else put_datetime(out, &time, field.detail)
        buffer.size = out - buffer.data
        return DONE

    cdef Status _found(self, const uint8_t* data, size_t size, bint utf8) noexcept nogil:
        """A text.

        :param utf8: it is known to be that.
        """
        cdef const uint8_t* end = data + size
        cdef const uint8_t* start = data
        cdef const uint8_t* checked = data
        cdef const uint8_t* until
        cdef uint8_t here
        cdef uint8_t seen = 0
        cdef size_t at
        if size > self._limits.text:
            return self._too_long(self._limits.text)
        while start < end:
            until = start + min(<size_t>(end - start), self._paced.step)
            here = 0
            for at in range(until - start):
                here |= self._class[start[at]]
            if not here & HIGH:
                checked = until
            elif not utf8 and not _is_utf8(&checked, until, end):
                return WRONG_CHARACTER
            seen |= here
            start = until
            if start < end:
                self._paced.page_out()
        if seen & ZERO and self._limits.refuse_nul:
            return NUL
        self._text, self._size, self._seen = data, size, seen
        return TEXT

    cdef Status _too_long(self, size_t limit) noexcept nogil:
        self._exceeded = limit
        return TOO_LONG

    cdef Status _charset_text(self, const Field* field, const uint8_t* data, size_t size) noexcept nogil:
        cdef const uint8_t* end = data + size
        cdef TextStatus status = TEXT_OK
        # No character has more than four bytes.
        if size // 4 > self._limits.text:
            return self._too_long(self._limits.text)
        clear(&self._scratch)
        while data < end and status == TEXT_OK:
            status = to_utf8(
                field.decoder, &self._scratch, &data, data + min(<size_t>(end - data), self._paced.step), end, False
            )
            if data < end:
                self._paced.page_out()
        if status == TEXT_OK:
            return self._found(<const uint8_t*>self._scratch.data, self._scratch.size, True)
        return NO_MEMORY if status == TEXT_NO_MEMORY else WRONG_CHARACTER

    cdef Status _hexadecimal(self, const uint8_t* data, size_t size, size_t filled_to, Buffer* buffer) noexcept nogil:
        cdef size_t filler = filled_to - size if filled_to > size else 0
        if size > self._limits.binary:
            return self._too_long(self._limits.binary)
        if not size + filler:
            return self._found(data, 0, True)
        return self._digits(data, size, filler, buffer)

    cdef Status _digits(self, const uint8_t* data, size_t size, size_t filler, Buffer* buffer) noexcept nogil:
        cdef const uint8_t* end = data + size
        cdef size_t step
        cdef Status status
        cdef char* out
        while True:
            step = min(<size_t>(end - data), self._paced.step // 2)
            if not reserve(buffer, 2 * (step + filler) + self._room):
                return NO_MEMORY
            out = _put_hexadecimal(buffer.data + buffer.size, data, step)
            buffer.size = out - buffer.data
            data += step
            if data == end:
                memset(out, 48, 2 * filler)
                buffer.size += 2 * filler
                return DONE
            status = self._between_steps(buffer)
            if status != DONE:
                return status

    cdef Status _between_steps(self, Buffer* buffer) noexcept nogil:
        """Behind it there is no room reserved in the buffer, and perhaps nothing left of what was written to it."""
        self._paced.page_out()
        return DONE

    cdef bint _append(self, Buffer* to, const uint8_t* data, size_t size) noexcept nogil:
        """False: no memory."""
        cdef size_t step
        while size:
            step = min(size, self._paced.step)
            if not reserve(to, step):
                return False
            to.size = put(to.data + to.size, <const char*>data, step) - to.data
            data += step
            size -= step
            if size:
                self._paced.page_out()
        return True

    cdef Status _enum(self, const Field* field, uint64_t number) noexcept nogil:
        if number == 0:
            return self._found(<const uint8_t*>self._scratch.data, 0, False)
        if number > field.labels:
            return NO_LABEL
        cdef const Label* label = &self._labels[field.first_label + number - 1]
        return self._found(label.text, label.size, False)

    cdef Status _set(self, const Field* field, uint64_t members) noexcept nogil:
        cdef size_t at
        cdef const Label* label
        if field.labels > 64 or (field.labels < 64 and members >> field.labels):
            return NO_LABEL
        clear(&self._scratch)
        for at in range(field.labels):
            if not members >> at & 1:
                continue
            label = &self._labels[field.first_label + at]
            if not reserve(&self._scratch, label.size + 1):
                return NO_MEMORY
            if self._scratch.size:
                self._scratch.data[self._scratch.size] = 44
                self._scratch.size += 1
            put(self._scratch.data + self._scratch.size, <const char*>label.text, label.size)
            self._scratch.size += label.size
        return self._found(<const uint8_t*>self._scratch.data, self._scratch.size, False)

    cdef Status _json(self, const uint8_t* data, size_t size) noexcept nogil:
        clear(&self._scratch)
        cdef JsonStatus status = json_text(&self._scratch, data, size, self._limits.text, &self._paced)
        if status == JSON_OK:
            return self._found(<const uint8_t*>self._scratch.data, self._scratch.size, False)
        if status == JSON_TOO_LONG:
            return self._too_long(self._limits.text)
        return NO_MEMORY if status == JSON_NO_MEMORY else NOT_A_VALUE

    cdef Status _geometry(self, const uint8_t* data, size_t size, Buffer* buffer) noexcept nogil:
        """MySQL's SRID and WKB, both little-endian (`sql/gis/wkb.cc`), as EWKB: the SRID, unless it is 0, stands behind the
        type, which says so. Geometries inside a collection have none of their own."""
        cdef uint8_t head[WKB_HEAD]
        cdef uint32_t kind
        cdef char* out
        if size < SRID_BYTES + WKB_HEAD or data[SRID_BYTES] != 1:
            return NOT_A_VALUE
        kind = <uint32_t>little_endian(data + SRID_BYTES + 1, 4)
        if kind == 0 or kind > WKB_TYPES:
            return NOT_A_VALUE
        if size > self._limits.geometry:
            return self._too_long(self._limits.geometry)
        if not reserve(buffer, 2 * (SRID_BYTES + WKB_HEAD)):
            return NO_MEMORY
        out = buffer.data + buffer.size
        if little_endian(data, SRID_BYTES):
            memcpy(head, data + SRID_BYTES, WKB_HEAD)
            head[WKB_HEAD - 1] |= EWKB_SRID >> 24
            out = _put_hexadecimal(out, head, WKB_HEAD)
            out = _put_hexadecimal(out, data, SRID_BYTES)
        else:
            out = _put_hexadecimal(out, data + SRID_BYTES, WKB_HEAD)
        buffer.size = out - buffer.data
        return self._digits(data + SRID_BYTES + WKB_HEAD, size - SRID_BYTES - WKB_HEAD, 0, buffer)

    cdef Status _vector(self, const uint8_t* data, size_t size) noexcept nogil:
        """Little-endian floats as a JSON array."""
        cdef uint32_t bits
        cdef float single
        cdef char* out
        cdef size_t at
        if size % 4 or size > 4 * MOST_DIMENSIONS:
            return NOT_A_VALUE
        if size // 2 > self._limits.text:
            return self._too_long(self._limits.text)
        clear(&self._scratch)
        if not reserve(&self._scratch, size // 4 * (REAL_ROOM + 1) + 2):
            return NO_MEMORY
        out = put(self._scratch.data, "[", 1)
        for at in range(0, size, 4):
            if at:
                out = put(out, ",", 1)
            bits = <uint32_t>little_endian(data + at, 4)
            memcpy(&single, &bits, 4)
            out = put_real(out, single, True)
            if out == NULL:
                return NOT_A_VALUE
        out = put(out, "]", 1)
        return self._found(<const uint8_t*>self._scratch.data, out - self._scratch.data, False)

    cdef Status _compressed(self, const Field* field, const uint8_t* data, size_t size, Buffer* buffer) noexcept nogil:
        """MariaDB's COMPRESSED: nothing for nothing, or a byte that says how, and the value (`sql/field_comp.cc`)."""
        cdef Field plain = field[0]
        cdef Status status
        plain.op, plain.detail = <Op>field.detail, 0
        if size == 0:
            return self._value(&plain, data, 0, buffer)
        if data[0] == 0:
            return self._value(&plain, data + 1, size - 1, buffer)
        with gil:
            status = self._inflate(plain.op, data, size)
        if status != DONE:
            return status
        return self._value(&plain, <const uint8_t*>self._inflated.data, self._inflated.size, buffer)

    cdef Status _inflate(self, Op op, const uint8_t* data, size_t size) noexcept:
        """Fills ``_inflated``, which grows with what is really there; no further than the length that stands in front, which is
        checked first."""
        cdef uint32_t digits = data[0] & 7
        cdef size_t length
        cdef size_t at = 1 + digits
        cdef size_t step
        cdef size_t limit = self._limits.binary if op == Op.HEXADECIMAL else self._limits.text
        if data[0] >> 4 != ZLIB or not 1 <= digits <= 4 or size <= digits:
            return NOT_A_VALUE
        length = big_endian(data + 1, digits)
        # A character of four bytes may become one of a single byte.
        if length // (1 if op == Op.HEXADECIMAL else 4) > limit:
            return self._too_long(limit)
        if length > MOST_INFLATED:
            return self._too_long(MOST_INFLATED)
        try:
            inflater = zlib.decompressobj(-zlib.MAX_WBITS if data[0] & RAW_DEFLATE else zlib.MAX_WBITS)
            clear(&self._inflated)
            if not reserve(&self._inflated, 1):
                return NO_MEMORY
            given = b""
            while not inflater.eof:
                if not given:
                    step = min(size - at, <size_t>INFLATED_STEP)
                    given = PyBytes_FromStringAndSize(<const char*>data + at, step)
                    at += step
                piece = inflater.decompress(given, INFLATED_STEP)
                if len(piece) > length - self._inflated.size or not (piece or given or inflater.eof):
                    return NOT_A_VALUE
                given = inflater.unconsumed_tail
                if not self._append(&self._inflated, <const uint8_t*>PyBytes_AS_STRING(piece), len(piece)):
                    return NO_MEMORY
                self._paced.page_out()
        except zlib.error:
            return NOT_A_VALUE
        except MemoryError:
            return NO_MEMORY
        return DONE if self._inflated.size == length else NOT_A_VALUE

cdef inline char* _put_hexadecimal(char* out, const uint8_t* data, size_t size) noexcept nogil:
    cdef const char* digits = "0123456789abcdef"
    cdef size_t at
    for at in range(size):
        out[0] = digits[data[at] >> 4]
        out[1] = digits[data[at] & 15]
        out += 2
    return out


cdef bint _is_utf8(const uint8_t** given, const uint8_t* until, const uint8_t* end) noexcept nogil:
    """Well-formed as RFC 3629 has it: no overlong forms, no surrogates, nothing over U+10FFFF. Moves behind the characters that
    begin before ``until``."""
    cdef const uint8_t* data = given[0]
    cdef uint8_t byte
    cdef int more
    while data < until:
        byte = data[0]
        data += 1
        if byte < 0x80:
            continue
        if byte < 0xC2 or byte > 0xF4:
            return False
        more = 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3
        if end - data < more:
            return False
        if (
            (byte == 0xE0 and data[0] < 0xA0)
            or (byte == 0xED and data[0] > 0x9F)
            or (byte == 0xF0 and data[0] < 0x90)
            or (byte == 0xF4 and data[0] > 0x8F)
        ):
            return False
        while more:
            if data[0] & 0xC0 != 0x80:
                return False
            data += 1
            more -= 1
    given[0] = data
    return True
