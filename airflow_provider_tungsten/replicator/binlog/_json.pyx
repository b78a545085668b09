# distutils: language = c++
"""MySQL's binary JSON to the text that ``CAST(j AS CHAR)`` gives.

Formats: MySQL `sql-common/json_binary.h` (values), `json_dom.cc` (``Json_wrapper::to_string``: text).
"""

from __future__ import annotations

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer, Paced, reserve
from airflow_provider_tungsten.replicator.binlog._text cimport (
    DECIMAL_ROOM,
    MAX_DIGITS,
    MAX_SCALE,
    REAL_ROOM,
    Time,
    decimal_bytes,
    is_datetime,
    is_time,
    put,
    put_date,
    put_datetime,
    put_decimal,
    put_real,
    put_signed,
    put_time,
    put_unsigned,
    unpack_datetime,
    unpack_time,
)

cdef enum:
    SMALL_OBJECT = 0
    LARGE_OBJECT = 1
    SMALL_ARRAY = 2
    LARGE_ARRAY = 3
    LITERAL = 4
    INT16 = 5
    UINT16 = 6
    INT32 = 7
    UINT32 = 8
    INT64 = 9
    UINT64 = 10
    DOUBLE = 11
    STRING = 12
    OPAQUE = 15

cdef enum:
    FIELD_TIMESTAMP = 7
    FIELD_DATE = 10
    FIELD_TIME = 11
    FIELD_DATETIME = 12
    FIELD_DECIMAL = 246

# MySQL refuses documents nested deeper than 100.
cdef enum:
    MAX_DEPTH = 100
    BASE64_LINE = 76
    # Bytes in such a line.
    BASE64_BYTES = 57

# Bytes of text that a byte of JSON can become, at most: a control character six, a literal's entry of three bytes
# eight. What would become more refers to the same bytes again and again.
cdef enum:
    MOST_TEXT = 8

cdef struct Writing:
    Buffer* out
    size_t limit
    const Paced* paced
    size_t paged  # bytes of the text when there was a step last


cdef inline uint64_t _le(const uint8_t* data, int size) noexcept nogil:
    cdef uint64_t value = 0
    while size:
        size -= 1
        value = value << 8 | data[size]
    return value


cdef inline void _pace(Writing* to) noexcept nogil:
    """Between values, and within one: as much text as this is of no more than a few steps of the document."""
    if to.out.size - to.paged >= to.paced.step:
        to.paced.page_out()
        to.paged = to.out.size


cdef inline bint _put(Buffer* out, const char* text, size_t length) noexcept nogil:
    if not reserve(out, length):
        return False
    memcpy(out.data + out.size, text, length)
    out.size += length
    return True


cdef JsonStatus json_text(
    Buffer* out, const uint8_t* data, size_t size, size_t limit, const Paced* paced
) noexcept nogil:
    """Appends the text; no more than about ``limit`` bytes of it."""
    cdef size_t possible = MOST_TEXT * size + BASE64_LINE
    cdef JsonStatus status
    cdef Writing to
    to.out, to.limit, to.paced, to.paged = out, out.size + min(limit, possible), paced, out.size
    if size == 0:
        # What MySQL makes of a value that was never set (a column added by 5.7 with NOT NULL).
        return JSON_OK if _put(out, "null", 4) else JSON_NO_MEMORY
    status = _value(&to, data[0], data + 1, size - 1, 0)
    return JSON_CORRUPT if status == JSON_TOO_LONG and possible < limit else status


cdef JsonStatus _value(Writing* to, uint8_t kind, const uint8_t* data, size_t size, int depth) noexcept nogil:
    cdef int width
    cdef Buffer* out = to.out
    if out.size > to.limit:
        return JSON_TOO_LONG
    _pace(to)
    if kind <= LARGE_ARRAY:
        if depth >= MAX_DEPTH:
            return JSON_CORRUPT
        return _container(to, kind, data, size, depth + 1)
    if kind == LITERAL:
        return _literal(out, data, size)
    if kind <= UINT64:
        width = 2 << (kind - INT16) // 2
        return _integer(out, kind, data, width) if size >= <size_t>width else JSON_CORRUPT
    if kind == DOUBLE:
        return _double(out, data, size)
    if kind == STRING:
        return _string(to, data, size)
    if kind == OPAQUE and size > 0:
        return _opaque(to, data[0], data + 1, size - 1)
    return JSON_CORRUPT


cdef JsonStatus _container(
    Writing* to, uint8_t kind, const uint8_t* data, size_t size, int depth
) noexcept nogil:
    """Counts, key entries (offset, length), value entries (type, offset or value), keys, values; offsets from here."""
    cdef bint is_object = kind <= LARGE_OBJECT
    cdef int width = 4 if kind & 1 else 2
    cdef uint64_t count, total, at, keys, values, key, key_size, offset
    cdef uint8_t inner
    cdef const uint8_t* entry
    cdef Buffer* out = to.out
    cdef JsonStatus status
    if size < <size_t>(2 * width):
        return JSON_CORRUPT
    count = _le(data, width)
    total = _le(data + width, width)
    keys = 2 * width
    values = keys + (count * (width + 2) if is_object else 0)
    if total > size or values + count * (1 + width) > total:
        return JSON_CORRUPT
    if not _put(out, "{" if is_object else "[", 1):
        return JSON_NO_MEMORY
    for at in range(count):
        if at and not _put(out, ", ", 2):
            return JSON_NO_MEMORY
        if is_object:
            entry = data + keys + at * (width + 2)
            key, key_size = _le(entry, width), _le(entry + width, 2)
            if key + key_size > total:
                return JSON_CORRUPT
            status = _quoted(to, data + key, key_size)
            if status != JSON_OK:
                return status
            if not _put(out, ": ", 2):
                return JSON_NO_MEMORY
        entry = data + values + at * (1 + width)
        inner = entry[0]
        if inner == LITERAL or inner == INT16 or inner == UINT16 or (
            width == 4 and (inner == INT32 or inner == UINT32)
        ):
            status = _value(to, inner, entry + 1, width, depth)
        else:
            offset = _le(entry + 1, width)
            if offset >= total:
                return JSON_CORRUPT
            status = _value(to, inner, data + offset, total - offset, depth)
        if status != JSON_OK:
            return status
    return JSON_OK if _put(out, "}" if is_object else "]", 1) else JSON_NO_MEMORY


cdef JsonStatus _literal(Buffer* out, const uint8_t* data, size_t size) noexcept nogil:
    cdef bint done
    if size == 0 or data[0] > 2:
        return JSON_CORRUPT
    if data[0] == 0:
        done = _put(out, "null", 4)
    elif data[0] == 1:
        done = _put(out, "true", 4)
    else:
        done = _put(out, "false", 5)
    return JSON_OK if done else JSON_NO_MEMORY


cdef JsonStatus _integer(Buffer* out, uint8_t kind, const uint8_t* data, int width) noexcept nogil:
    cdef uint64_t value = _le(data, width)
    cdef char* end
    if not reserve(out, 24):
        return JSON_NO_MEMORY
    end = out.data + out.size
    if kind == INT16:
        end = put_signed(end, <int16_t>value)
    elif kind == INT32:
        end = put_signed(end, <int32_t>value)
    elif kind == INT64:
        end = put_signed(end, <int64_t>value)
    else:
        end = put_unsigned(end, value)
    out.size = end - out.data
    return JSON_OK


cdef JsonStatus _double(Buffer* out, const uint8_t* data, size_t size) noexcept nogil:
    cdef uint64_t bits
    cdef double value
    cdef char* start
    cdef char* end
    if size < 8:
        return JSON_CORRUPT
    bits = _le(data, 8)
    memcpy(&value, &bits, 8)
    if not reserve(out, REAL_ROOM + 2):
        return JSON_NO_MEMORY
    start = out.data + out.size
    end = put_real(start, value, False)
    if end == NULL:
        return JSON_CORRUPT
    while start < end and start[0] != 46 and start[0] != 101:
        start += 1
    if start == end:
        # A double stays one: MySQL writes 1.0, not 1.
        end = put(end, ".0", 2)
    out.size = end - out.data
    return JSON_OK


cdef JsonStatus _length(const uint8_t** data, size_t* size, size_t* length) noexcept nogil:
    """Seven bits a byte, lowest first, five bytes at most; what is left of the data holds as much."""
    cdef uint64_t value = 0
    cdef int shift = 0
    while shift < 35 and size[0] > 0:
        value |= <uint64_t>(data[0][0] & 0x7F) << shift
        data[0] += 1
        size[0] -= 1
        if not data[0][-1] & 0x80:
            length[0] = value
            return JSON_OK if value <= size[0] else JSON_CORRUPT
        shift += 7
    return JSON_CORRUPT


cdef JsonStatus _string(Writing* to, const uint8_t* data, size_t size) noexcept nogil:
    cdef size_t length = 0
    if _length(&data, &size, &length) != JSON_OK:
        return JSON_CORRUPT
    if length > to.limit - to.out.size:
        return JSON_TOO_LONG
    return _quoted(to, data, length)


cdef JsonStatus _quoted(Writing* to, const uint8_t* data, size_t length) noexcept nogil:
    cdef Buffer* out = to.out
    cdef size_t step = min(length, to.paced.step // 8 + 1)
    cdef char* end
    if not reserve(out, 6 * step + 2):
        return JSON_NO_MEMORY
    end = out.data + out.size
    end[0] = 34
    end = _put_escaped(end + 1, data, step)
    while length > step:
        out.size = end - out.data
        _pace(to)
        data += step
        length -= step
        step = min(length, to.paced.step // 8 + 1)
        if not reserve(out, 6 * step + 1):
            return JSON_NO_MEMORY
        end = _put_escaped(out.data + out.size, data, step)
    end[0] = 34
    out.size = end + 1 - out.data
    return JSON_OK


cdef inline char* _put_escaped(char* end, const uint8_t* data, size_t length) noexcept nogil:
    cdef size_t at
    cdef uint8_t byte
    cdef const char* hexadecimal = "0123456789abcdef"
    for at in range(length):
        byte = data[at]
        if byte >= 32 and byte != 34 and byte != 92:
            end[0] = byte
            end += 1
            continue
        end[0] = 92
        if byte == 34 or byte == 92:
            end[1] = byte
        elif byte == 8:
            end[1] = 98
        elif byte == 9:
            end[1] = 116
        elif byte == 10:
            end[1] = 110
        elif byte == 12:
            end[1] = 102
        elif byte == 13:
            end[1] = 114
        else:
            end = put(end + 1, "u00", 3)
            end[0] = hexadecimal[byte >> 4]
            end[1] = hexadecimal[byte & 15]
        end += 2
    return end


cdef JsonStatus _opaque(Writing* to, uint8_t field, const uint8_t* data, size_t size) noexcept nogil:
    """A value of a MySQL type that JSON has none for: the type's code, length, value."""
    cdef size_t length = 0
    if _length(&data, &size, &length) != JSON_OK:
        return JSON_CORRUPT
    if field == FIELD_DECIMAL:
        return _decimal(to.out, data, length)
    if field == FIELD_DATE or field == FIELD_TIME or field == FIELD_DATETIME or field == FIELD_TIMESTAMP:
        return _temporal(to.out, field, data, length)
    if length > to.limit - to.out.size:
        return JSON_TOO_LONG
    return _base64(to, field, data, length)


cdef JsonStatus _decimal(Buffer* out, const uint8_t* data, size_t size) noexcept nogil:
    cdef char* end
    if size < 2 or data[0] == 0 or data[0] > MAX_DIGITS or data[1] > MAX_SCALE or data[1] > data[0]:
        return JSON_CORRUPT
    if size - 2 < decimal_bytes(data[0], data[1]):
        return JSON_CORRUPT
    if not reserve(out, DECIMAL_ROOM):
        return JSON_NO_MEMORY
    end = put_decimal(out.data + out.size, data + 2, data[0], data[1])
    if end == NULL:
        return JSON_CORRUPT
    out.size = end - out.data
    return JSON_OK


cdef JsonStatus _temporal(Buffer* out, uint8_t field, const uint8_t* data, size_t size) noexcept nogil:
    cdef int64_t packed
    cdef char* end
    cdef Time time
    if size < 8:
        return JSON_CORRUPT
    packed = <int64_t>_le(data, 8)
    if not reserve(out, 40):
        return JSON_NO_MEMORY
    if field == FIELD_TIME:
        unpack_time(packed, &time)
    else:
        unpack_datetime(<uint64_t>packed >> 24, packed & 0xFFFFFF, &time)
    if not (is_time(&time) if field == FIELD_TIME else is_datetime(&time)):
        return JSON_CORRUPT
    end = out.data + out.size
    end[0] = 34
    end += 1
    if field == FIELD_TIME:
        end = put_time(end, &time, 6)
    else:
        end = put_date(end, &time) if field == FIELD_DATE else put_datetime(end, &time, 6)
    end[0] = 34
    out.size = end + 1 - out.data
    return JSON_OK


cdef JsonStatus _base64(Writing* to, uint8_t field, const uint8_t* data, size_t size) noexcept nogil:
    cdef Buffer* out = to.out
    cdef size_t line
    cdef char* end
    if not reserve(out, 32):
        return JSON_NO_MEMORY
    end = put(out.data + out.size, '"base64:type', 12)
    end = put_unsigned(end, field)
    end[0] = 58
    out.size = end + 1 - out.data
    while size:
        line = min(size, <size_t>BASE64_BYTES)
        if not reserve(out, BASE64_LINE + 2):
            return JSON_NO_MEMORY
        end = _put_base64(out.data + out.size, data, line)
        data += line
        size -= line
        if size:
            end = put(end, "\\n", 2)
        out.size = end - out.data
        _pace(to)
    return JSON_OK if _put(out, '"', 1) else JSON_NO_MEMORY


cdef inline char* _put_base64(char* end, const uint8_t* data, size_t size) noexcept nogil:
    cdef const char* alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    cdef size_t at = 0
    cdef uint32_t bits
    while at < size:
        bits = <uint32_t>data[at] << 16
        if at + 1 < size:
            bits |= <uint32_t>data[at + 1] << 8
        if at + 2 < size:
            bits |= data[at + 2]
        end[0] = alphabet[bits >> 18]
        end[1] = alphabet[bits >> 12 & 63]
        end[2] = alphabet[bits >> 6 & 63] if at + 1 < size else 61
        end[3] = alphabet[bits & 63] if at + 2 < size else 61
        end += 4
        at += 3
    return end
