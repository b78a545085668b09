from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer
from airflow_provider_tungsten.replicator.binlog._spooled cimport SpooledBuffer


# Of rows: first and last of each version's three.
cdef enum:
    WRITE_ROWS_V1 = 23
    DELETE_ROWS_V1 = 25
    WRITE_ROWS = 30
    DELETE_ROWS = 32
    PARTIAL_UPDATE_ROWS = 39
    WRITE_ROWS_COMPRESSED_V1 = 166
    DELETE_ROWS_COMPRESSED = 171


cdef struct RawEvent:
    int kind
    uint16_t flags
    uint32_t timestamp
    uint32_t server_id
    uint64_t start
    uint64_t end
    const uint8_t* body  # without header and checksum
    size_t size
    PyObject* room  # the SpooledBuffer with a file in which the body lies; NULL: it lies in memory
    PyObject* lies_in  # what holds the body
    const uint8_t* begin  # its first byte


cdef inline const Buffer* buffer_of(const RawEvent* event) noexcept:
    return &(<SpooledBuffer>event.room).buffer if event.room != NULL else NULL


cdef object event_of(const RawEvent* event, str file)
cdef object view_of(const RawEvent* event, str file)


cdef class EventSink:
    cdef public bint paused

    cdef int take(self, const RawEvent* event, str file) except -1


cdef class EventStream:
    cdef readonly str file
    cdef readonly bint ended
    cdef readonly object error
    cdef uint64_t _position
    cdef bint _verify
    cdef bint _packed
    cdef bint _busy
    cdef int _checksum
    cdef int _sequence
    cdef SpooledBuffer _pending
    cdef SpooledBuffer _joined
    cdef SpooledBuffer _room  # of what is being taken in; None: it lies in memory
    cdef object _lies_in  # what is being taken in
    cdef const uint8_t* _begin
    cdef size_t _missing  # of the packet that is being joined to those before it
    cdef bint _is_last

    cdef size_t _take(self, const uint8_t* data, size_t size, EventSink sink) except? <size_t>-1
    cdef int _take_pending(self, EventSink sink) except -1
    cdef int _drop(self, size_t used) except -1
    cdef size_t _packets(self, const uint8_t* data, size_t size, EventSink sink) except? <size_t>-1
    cdef size_t _bare(self, const uint8_t* data, size_t size, EventSink sink) except? <size_t>-1
    cdef int _join(self, const uint8_t* data, size_t length) except -1
    cdef int _end_packet(self, EventSink sink) except -1
    cdef int _packet(self, const uint8_t* data, size_t length, EventSink sink) except -1
    cdef int _error(self, bytes packet) except -1
    cdef int _event(self, const uint8_t* data, size_t length, EventSink sink) except -1
    cdef size_t _take_checksum(self, const uint8_t* data, size_t length, int kind) except? <size_t>-1
    cdef bint _fits(self, const uint8_t* data, size_t length, uint8_t cleared) noexcept
    cdef size_t _describe(self, const uint8_t* data, size_t length) except? <size_t>-1
    cdef int _advance(self, int kind, size_t length, uint32_t log_pos) except -1
    cdef int _rotate(self, bytes body) except -1
    cdef object _corrupt(self, str what)
