# Text of numbers and times, written into memory. Inlined into the modules that use it.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

cdef extern from "<charconv>" namespace "std" nogil:
    cdef enum chars_format:
        scientific "std::chars_format::scientific"
    cdef struct to_chars_result:
        char* ptr
    to_chars_result to_chars(char*, char*, int64_t)
    to_chars_result to_chars(char*, char*, uint64_t)
    to_chars_result to_chars(char*, char*, double, chars_format)
    to_chars_result float_to_chars "std::to_chars"(char*, char*, float, chars_format)

cdef extern from "<cmath>" namespace "std" nogil:
    bint isfinite(double)

cdef struct Time:
    uint32_t year
    uint32_t month
    uint32_t day
    uint32_t hour
    uint32_t minute
    uint32_t second
    uint32_t micro
    bint negative

cdef enum:
    # Longest texts: a decimal with sign, point and leading zero; a DOUBLE of 17 digits after 14 zeros.
    DECIMAL_ROOM = 96
    # A column has 65 digits at most; inside JSON the whole part may be filled up to groups of nine.
    MAX_DIGITS = 81
    MAX_SCALE = 30
    REAL_ROOM = 40
    # MySQL writes an exponent where the decimal point is outside of these positions, unless digits stand behind it
    # (`dtoa.cc`: my_gcvt).
    MIN_POINT = -14
    MAX_POINT = 15


# The functions below write where the caller has reserved room; each returns the end of what it wrote.


cdef inline char* put(char* out, const char* text, size_t length) noexcept nogil:
    memcpy(out, text, length)
    return out + length


cdef inline char* put_signed(char* out, int64_t value) noexcept nogil:
    return to_chars(out, out + 20, value).ptr


cdef inline char* put_unsigned(char* out, uint64_t value) noexcept nogil:
    return to_chars(out, out + 20, value).ptr


cdef inline char* put_padded(char* out, uint32_t value, int width) noexcept nogil:
    """Exactly ``width`` digits, zeros in front."""
    cdef int at = width
    while at:
        at -= 1
        out[at] = <char>(48 + value % 10)
        value //= 10
    return out + width


cdef inline char* put_fraction(char* out, uint32_t micro, int digits) noexcept nogil:
    """A point and the first ``digits`` of six digits; nothing for none."""
    if not digits:
        return out
    out[0] = 46
    put_padded(out + 1, micro, 6)
    return out + 1 + digits


cdef inline char* put_date(char* out, Time* time) noexcept nogil:
    out = put_padded(out, time.year, 4)
    out[0] = 45
    out = put_padded(out + 1, time.month, 2)
    out[0] = 45
    return put_padded(out + 1, time.day, 2)


cdef inline char* put_clock(char* out, Time* time, int digits) noexcept nogil:
    if time.hour < 100:
        out = put_padded(out, time.hour, 2)
    else:
        out = put_unsigned(out, time.hour)
    out[0] = 58
    out = put_padded(out + 1, time.minute, 2)
    out[0] = 58
    out = put_padded(out + 1, time.second, 2)
    return put_fraction(out, time.micro, digits)


cdef inline char* put_datetime(char* out, Time* time, int digits) noexcept nogil:
    out = put_date(out, time)
    out[0] = 32
    return put_clock(out + 1, time, digits)


cdef inline char* put_time(char* out, Time* time, int digits) noexcept nogil:
    if time.negative:
        out[0] = 45
        out += 1
    return put_clock(out, time, digits)


cdef inline void unpack_datetime(uint64_t packed, uint32_t micro, Time* time) noexcept nogil:
    """MySQL's packed YYYY-MM-DD hh:mm:ss, without the sign (`my_time.cc`)."""
    cdef uint32_t clock = packed & 0x1FFFF
    cdef uint64_t day = packed >> 17
    cdef uint64_t month = day >> 5
    time.negative = False
    time.year = <uint32_t>(month // 13)
    time.month = month % 13
    time.day = day & 31
    time.hour = clock >> 12
    time.minute = clock >> 6 & 63
    time.second = clock & 63
    time.micro = micro


cdef inline void unpack_time(int64_t packed, Time* time) noexcept nogil:
    """MySQL's packed TIME: hours, minutes, seconds above 24 bits of microseconds, all of one sign (`my_time.cc`)."""
    time.negative = packed < 0
    # In JSON it may be the lowest number, which has no opposite.
    cdef uint64_t value = -<uint64_t>packed if packed < 0 else <uint64_t>packed
    cdef uint64_t clock = value >> 24
    time.year = time.month = time.day = 0
    time.hour = <uint32_t>(clock >> 12)
    time.minute = clock >> 6 & 63
    time.second = clock & 63
    time.micro = value & 0xFFFFFF


cdef inline void unpack_old_time(int32_t packed, Time* time) noexcept nogil:
    """TIME of before MySQL 5.6.4: the number ±hhmmss."""
    cdef uint32_t value = <uint32_t>(-packed if packed < 0 else packed)
    time.negative = packed < 0
    time.year = time.month = time.day = time.micro = 0
    time.hour = value // 10000
    time.minute = value // 100 % 100
    time.second = value % 100


cdef inline void unpack_old_datetime(uint64_t packed, Time* time) noexcept nogil:
    """DATETIME of before MySQL 5.6.4: the number YYYYMMDDhhmmss."""
    cdef uint64_t day = packed // 1000000
    cdef uint32_t clock = packed % 1000000
    time.negative = False
    time.year = <uint32_t>(day // 10000) if day < 100000000 else 10000
    time.month = day // 100 % 100
    time.day = day % 100
    time.hour = clock // 10000
    time.minute = clock // 100 % 100
    time.second = clock % 100
    time.micro = 0


cdef inline bint is_time(Time* time) noexcept nogil:
    """Whether MySQL can hold it as TIME."""
    return time.hour <= 838 and time.minute < 60 and time.second < 60 and time.micro < 1000000


cdef inline bint is_datetime(Time* time) noexcept nogil:
    """Whether MySQL can hold it as DATE, DATETIME or TIMESTAMP, zero and partly zero ones included."""
    return (
        time.year <= 9999 and time.month <= 12 and time.day <= 31
        and time.hour < 24 and time.minute < 60 and time.second < 60 and time.micro < 1000000
    )


cdef inline void utc(int64_t seconds, uint32_t micro, Time* time) noexcept nogil:
    """Seconds since 1970, not before year 0, to the civil calendar."""
    cdef int64_t days = seconds // 86400 if seconds >= 0 else -((86399 - seconds) // 86400)
    cdef uint32_t rest = <uint32_t>(seconds - days * 86400)
    cdef uint32_t era_day, era_year, year_day, shifted
    cdef int64_t era
    # Eras of 400 years that begin on 1 March (Howard Hinnant, "chrono-compatible low-level date algorithms").
    days += 719468
    era = days // 146097
    era_day = <uint32_t>(days - era * 146097)
    era_year = (era_day - era_day // 1460 + era_day // 36524 - era_day // 146096) // 365
    year_day = era_day - (365 * era_year + era_year // 4 - era_year // 100)
    shifted = (5 * year_day + 2) // 153
    time.negative = False
    time.day = year_day - (153 * shifted + 2) // 5 + 1
    time.month = shifted + 3 if shifted < 10 else shifted - 9
    time.year = <uint32_t>(era_year + era * 400 + (1 if time.month <= 2 else 0))
    time.hour = rest // 3600
    time.minute = rest // 60 % 60
    time.second = rest % 60
    time.micro = micro


cdef inline char* put_real(char* out, double value, bint single) noexcept nogil:
    """The shortest text that reads back the same, laid out as MySQL does. NULL: not a number that MySQL stores."""
    cdef char raw[48]
    cdef char digits[24]
    cdef char* end
    cdef int count = 0, at = 0, exponent = 0, point
    cdef bint below = False
    if not isfinite(value):
        return NULL
    if single:
        end = float_to_chars(raw, raw + 48, <float>value, scientific).ptr
    else:
        end = to_chars(raw, raw + 48, value, scientific).ptr
    if raw[0] == 45:
        out[0] = 45
        out += 1
        at = 1
    while raw[at] != 101:
        if raw[at] != 46:
            digits[count] = raw[at]
            count += 1
        at += 1
    below = raw[at + 1] == 45
    at += 2
    while raw + at < end:
        exponent = exponent * 10 + raw[at] - 48
        at += 1
    point = (-exponent if below else exponent) + 1
    if point < MIN_POINT or (point > MAX_POINT and count <= point):
        out[0] = digits[0]
        out += 1
        if count > 1:
            out[0] = 46
            out = put(out + 1, digits + 1, count - 1)
        out[0] = 101
        return put_signed(out + 1, point - 1)
    if point <= 0:
        out = put(out, "0.", 2)
        memset(out, 48, -point)
        return put(out - point, digits, count)
    if point >= count:
        out = put(out, digits, count)
        memset(out, 48, point - count)
        return out + point - count
    out = put(out, digits, point)
    out[0] = 46
    return put(out + 1, digits + point, count - point)


cdef inline int digits_bytes(int digits) noexcept nogil:
    """Bytes of a DECIMAL's group of 0 to 9 digits."""
    return (digits + 1) // 2 if digits < 7 else 4


cdef inline size_t decimal_bytes(int precision, int scale) noexcept nogil:
    """Bytes of a DECIMAL in a row image."""
    cdef int whole = precision - scale
    return whole // 9 * 4 + digits_bytes(whole % 9) + scale // 9 * 4 + digits_bytes(scale % 9)


cdef inline const uint8_t* decimal_group(
    const uint8_t* data, uint8_t flip, uint8_t first, int digits, char** out
) noexcept nogil:
    """Writes one group of 1 to 9 digits; the bytes behind it, NULL if it holds more digits than it may."""
    cdef uint64_t value = 0, limit = 1
    cdef int at
    cdef int size = digits_bytes(digits)
    for at in range(size):
        value = value << 8 | <uint8_t>(data[at] ^ flip ^ (first if at == 0 else 0))
    for at in range(digits):
        limit *= 10
    if value >= limit:
        return NULL
    out[0] = put_padded(out[0], <uint32_t>value, digits)
    return data + size


cdef inline char* put_decimal(char* out, const uint8_t* data, int precision, int scale) noexcept nogil:
    """`decimal2bin`'s format: groups of nine digits, the sign in the first bit, negatives inverted. NULL: not one."""
    cdef char whole[DECIMAL_ROOM]
    cdef char* end = whole
    cdef char* start = whole
    cdef uint8_t flip = 0 if data[0] & 0x80 else 0xFF
    cdef uint8_t first = 0x80
    cdef int left = precision - scale
    cdef int digits = left % 9
    cdef int point
    while left:
        if not digits:
            digits = 9
        data = decimal_group(data, flip, first, digits, &end)
        if data == NULL:
            return NULL
        first = 0
        left -= digits
        digits = 0
    point = <int>(end - whole)
    left = scale
    while left:
        digits = 9 if left >= 9 else left
        data = decimal_group(data, flip, first, digits, &end)
        if data == NULL:
            return NULL
        first = 0
        left -= digits
    if flip:
        out[0] = 45
        out += 1
    while start < whole + point - 1 and start[0] == 48:
        start += 1
    if point:
        out = put(out, start, whole + point - start)
    else:
        out[0] = 48
        out += 1
    if scale:
        out[0] = 46
        out = put(out + 1, whole + point, scale)
    return out
