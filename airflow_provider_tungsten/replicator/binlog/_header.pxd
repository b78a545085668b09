from cython cimport final
from libc.stdint cimport int64_t, uint8_t
from libcpp.vector cimport vector

from airflow_provider_tungsten.replicator.binlog._lines cimport Added, Lines, Piece
from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer
from airflow_provider_tungsten.replicator.binlog._values cimport Status


cdef enum Opcode:
    INSERTED
    DELETED
    UPDATE_INSERTED
    UPDATE_DELETED
    UPDATED

# What differs from row to row, and where in the rendered header it goes.
cdef struct Slot:
    size_t at
    uint8_t code

cdef struct Place:
    const uint8_t* data
    size_t size


cdef class Header(Lines):
    cdef Buffer _head
    cdef Buffer _tail
    cdef size_t _columns
    cdef uint8_t _codes[8]
    cdef Slot _slots[3]
    cdef size_t _slot_count
    cdef bint _quoted
    cdef bint _has_event_id
    cdef bint _has_gtid
    cdef int _digits
    # The key's columns, and where their values lie in an image; empty where nobody asks.
    cdef vector[size_t] _key
    cdef vector[Place] _places
    cdef vector[Place] _old_places
    # What filters add to the key in front of each of its columns, and behind the last; empty where they add nothing.
    cdef vector[Piece] _key_texts
    cdef Buffer _joined
    cdef size_t _row_room
    cdef Piece _service
    cdef Piece _event_id
    cdef Piece _gtid
    cdef tuple _texts
    cdef int64_t _number

    cdef int _prepare_header(self, header, key, columns, str service, int digits, bint merges) except -1
    cdef int _prepare_key_texts(self, key) except -1
    cdef int _set_texts(self, event_id, gtid) except -1
    @final
    cdef Status _find_key_of(self, const uint8_t* data, const uint8_t* end) noexcept nogil
    @final
    cdef Status _find_key(self, const uint8_t** data, const uint8_t* end, bint whole) noexcept nogil
    @final
    cdef bint _is_same_key(self) noexcept nogil
    @final
    cdef bint _render_head(self, uint8_t kind, int64_t seqno, int64_t commit_ts) noexcept nogil
    @final
    cdef bint _render_ending(self, uint8_t kind, int64_t seqno, int64_t commit_ts) noexcept nogil
    @final
    cdef size_t _size_of(self, const vector[Added]* columns) noexcept nogil
    @final
    cdef char* _put_added(
        self, char* out, const vector[Added]* columns, uint8_t kind, int64_t seqno, int64_t commit_ts
    ) noexcept nogil
    @final
    cdef Status _put_head(self, Opcode opcode) noexcept nogil
    @final
    cdef Status _put_key(self) noexcept nogil
    @final
    cdef bint _join(self, Piece added, const uint8_t* text, size_t size, bint behind) noexcept nogil
