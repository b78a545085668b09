# Times out of a row image's fields. Inlined into the modules that use it.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from airflow_provider_tungsten.replicator.binlog._images cimport Field, Op, big_endian, little_endian
from airflow_provider_tungsten.replicator.binlog._text cimport Time, unpack_datetime, unpack_old_datetime, utc


cdef inline void unpack_field(const Field* field, const uint8_t* data, Time* time) noexcept nogil:
    """DATE, DATETIME or TIMESTAMP; TIMESTAMP 0 is MySQL's zero date, not 1970."""
    cdef uint64_t bits
    memset(time, 0, sizeof(Time))
    if field.op == Op.OLD_DATETIME:
        unpack_old_datetime(little_endian(data, 8), time)
    elif field.op == Op.OLD_TIMESTAMP:
        bits = little_endian(data, 4)
        if bits:
            utc(bits, 0, time)
    elif field.op == Op.DATE:
        bits = little_endian(data, 3)
        time.year, time.month, time.day = bits >> 9, bits >> 5 & 15, bits & 31
    elif field.op == Op.DATETIME:
        unpack_datetime(big_endian(data, 5) & 0x7FFFFFFFFFULL, fraction(data + 5, field.detail), time)
    else:
        bits = big_endian(data, 4)
        if bits:
            utc(bits, fraction(data + 4, field.detail), time)


cdef inline uint32_t fraction(const uint8_t* data, uint32_t digits) noexcept nogil:
    """Microseconds out of 1 byte of hundredths, 2 of ten-thousandths or 3 of millionths."""
    if digits == 0:
        return 0
    if digits <= 2:
        return data[0] * 10000
    if digits <= 4:
        return <uint32_t>big_endian(data, 2) * 100
    return <uint32_t>big_endian(data, 3)


cdef inline int64_t packed_time(const uint8_t* data, uint32_t digits) noexcept nogil:
    """TIME: an integer part with an offset, and a fraction that of negative values counts down (`my_time.cc`)."""
    cdef int64_t whole
    cdef int64_t part
    if digits > 4:
        return <int64_t>big_endian(data, 6) - 0x800000000000LL
    whole = <int64_t>big_endian(data, 3) - 0x800000
    if digits == 0:
        return whole * 0x1000000
    part = data[3] if digits <= 2 else <int64_t>big_endian(data + 3, 2)
    if whole < 0 and part:
        whole += 1
        part -= 0x100 if digits <= 2 else 0x10000
    return whole * 0x1000000 + part * (10000 if digits <= 2 else 100)
