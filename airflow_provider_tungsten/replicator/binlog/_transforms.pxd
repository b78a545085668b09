from libc.stdint cimport int64_t, uint8_t, uint32_t
from libcpp.vector cimport vector

from airflow_provider_tungsten.replicator.binlog._buffer cimport Paced


cdef extern from "_casts.h" namespace "tungsten" nogil:
    enum:
        kCastRoom
    cdef enum class Type:
        kSmallint
        kInt
        kBigint
        kDecimal
        kDouble
        kBoolean
        kDate
        kDatetime
        kVarchar
    cdef cppclass Cast:
        Type type
        uint32_t size
        uint32_t scale
    cdef cppclass Text:
        const char* data
        size_t size
    bint cast(const Cast& to, Text given, char* room, Text* out)
    size_t characters(const char* data, size_t size, size_t count)
    size_t whole_characters(const char* data, size_t size, size_t bytes)
    size_t last_characters(const char* data, size_t size, size_t count)

cdef extern from "_sha256.h" namespace "tungsten" nogil:
    cdef cppclass Sha256:
        void begin()
        void add(const uint8_t* data, size_t size)
        void end(char* digits)

cdef enum:
    DIGITS = 64

cdef enum Outcome:
    NOT_DONE  # first: what an exception leaves where none can be raised
    CHANGED
    NULLED

cdef enum Kind:
    NULL_IT
    CONSTANT
    KEEP_LAST
    SHA256
    TRUNCATE
    ZERO_DATE_NULL
    CAST
    PYTHON

cdef enum Unit:
    CHARACTERS
    BYTES
    HEXADECIMAL

cdef struct Step:
    Kind kind
    Unit unit
    # A constant's text; where name, text and callable are kept alive.
    const uint8_t* text
    size_t size
    size_t count
    size_t place
    Cast to
    # A salt's hash as far as it goes.
    Sha256 salted
    # Values that lost something.
    int64_t done

cdef struct Column:
    size_t first
    size_t end


cdef class Transforms:
    cdef vector[Step] _steps
    cdef vector[Column] _columns
    cdef list _kept_alive
    # What a callable gave last.
    cdef bytes _called
    # Two, as a step may read what the one before it wrote.
    cdef char _rooms[2][DIGITS]
    # Why it is NOT_DONE.
    cdef readonly object error
    cdef Step _prepared(self, name, transform) except *
    cdef bint changes(self, size_t column) noexcept nogil
    cdef dict take_conversions(self)
    cdef Outcome apply(
        self, size_t column, const uint8_t* data, size_t size, const uint8_t** text, size_t* text_size, const Paced* paced
    ) noexcept nogil
    cdef Outcome _step(self, Step* step, const uint8_t** text, size_t* size, const Paced* paced) noexcept nogil
    cdef char* _room(self, const uint8_t* text) noexcept nogil
    cdef void _hash(self, Step* step, const uint8_t** text, size_t* size, const Paced* paced) noexcept nogil
    cdef Outcome _zero_date(self, Step* step, const uint8_t* text, size_t size) noexcept nogil
    cdef Outcome _refuse(self, Step* step) noexcept nogil
    cdef Outcome _call(self, Step* step, const uint8_t** text, size_t* size) noexcept nogil
