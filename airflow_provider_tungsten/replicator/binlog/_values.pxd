from libc.stdint cimport uint8_t, uint32_t, uint64_t

from airflow_provider_tungsten.replicator.binlog._images cimport Field, Images, Op
from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer, Paced
from airflow_provider_tungsten.replicator.binlog._text cimport DECIMAL_ROOM, REAL_ROOM


cdef enum Status:
    CORRUPT  # first: what an exception leaves where none can be raised
    DONE
    TEXT
    NO_MEMORY
    COLLISION
    NUL
    TOO_LONG
    WRONG_CHARACTER
    ZERO_DATE
    NO_LABEL
    NOT_A_VALUE
    MISCOUNTED
    RAISED
    UNWRITABLE
    IS_NULL_TEXT

cdef enum:
    # Bits of a text's bytes; the others are the dialect's.
    HIGH = 1
    ZERO = 2
    # Longest text of a value of fixed size.
    PLAIN_ROOM = REAL_ROOM + DECIMAL_ROOM

cdef struct Limits:
    size_t text
    size_t binary
    size_t geometry
    bint refuse_nul
    bint refuse_zero_dates


cdef class Values(Images):
    cdef uint8_t _class[256]
    cdef Limits _limits
    cdef Buffer _scratch
    cdef Buffer _inflated
    # How long values are worked through; its buffers: all that values and their texts may lie in.
    cdef Paced _paced
    # Where a text lies, and the classes of its bytes.
    cdef const uint8_t* _text
    cdef size_t _size
    cdef uint8_t _seen
    # Free behind a value of any length.
    cdef size_t _room
    cdef size_t _exceeded
    cdef size_t _failed

    cdef Status _value(self, const Field* field, const uint8_t* data, size_t size, Buffer* out) noexcept nogil
    cdef Status _number(self, const Field* field, const uint8_t* data, size_t size, Buffer* out) noexcept nogil
    cdef Status _temporal(self, const Field* field, const uint8_t* data, Buffer* out) noexcept nogil
    cdef Status _found(self, const uint8_t* data, size_t size, bint utf8) noexcept nogil
    cdef Status _too_long(self, size_t limit) noexcept nogil
    cdef Status _charset_text(self, const Field* field, const uint8_t* data, size_t size) noexcept nogil
    cdef Status _hexadecimal(self, const uint8_t* data, size_t size, size_t filled_to, Buffer* out) noexcept nogil
    cdef Status _digits(self, const uint8_t* data, size_t size, size_t filler, Buffer* out) noexcept nogil
    cdef Status _between_steps(self, Buffer* out) noexcept nogil
    cdef bint _append(self, Buffer* to, const uint8_t* data, size_t size) noexcept nogil
    cdef Status _enum(self, const Field* field, uint64_t number) noexcept nogil
    cdef Status _set(self, const Field* field, uint64_t members) noexcept nogil
    cdef Status _json(self, const uint8_t* data, size_t size) noexcept nogil
    cdef Status _geometry(self, const uint8_t* data, size_t size, Buffer* out) noexcept nogil
    cdef Status _vector(self, const uint8_t* data, size_t size) noexcept nogil
    cdef Status _compressed(self, const Field* field, const uint8_t* data, size_t size, Buffer* out) noexcept nogil
    cdef Status _inflate(self, Op op, const uint8_t* data, size_t size) noexcept
    cdef object _raise(self, Status status)
