from cython cimport final
from libc.stdint cimport int64_t, uint8_t
from libcpp.vector cimport vector

from airflow_provider_tungsten.replicator.binlog._images cimport Field, Label
from airflow_provider_tungsten.replicator.binlog._buffer cimport Buffer
from airflow_provider_tungsten.replicator.binlog._transforms cimport Transforms
from airflow_provider_tungsten.replicator.binlog._values cimport Limits, Status, Values


cdef enum Quotes:
    NEEDED
    ALWAYS
    NEVER

cdef enum Action:
    WRITE
    LEAVE_OUT
    TRANSFORM

cdef struct Piece:
    const char* text
    size_t size

cdef enum AddedValue:
    OPERATION
    COMMITTED
    EVENT_SEQNO
    TEXT_VALUE

cdef enum:
    # All columns' values of no more are less than a step.
    LITTLE = 1 << 10
    # A column that filters added, but for a constant's text; its separator included.
    ADDED_ROOM = 64

cdef struct Added:
    AddedValue value
    Piece text

cdef struct Kept:
    bint wanted
    bint full
    bint is_null
    Buffer text

cdef struct Rule:
    size_t column
    Piece text


cdef class Text:
    cdef Buffer _buffer


cdef class Workspace:
    cdef Buffer out
    cdef Buffer scratch
    cdef Buffer plain
    cdef Buffer spare
    cdef size_t step
    cdef bint busy


cdef class Lines(Values):
    cdef Workspace _workspace
    # Its buffers while they are borrowed.
    cdef bint _borrows
    cdef Buffer _out
    cdef Buffer _plain
    cdef Buffer _spare
    cdef Limits _strict
    cdef Limits _lenient
    cdef uint8_t _separator
    cdef uint8_t _line_end[2]
    cdef size_t _line_end_size
    cdef Quotes _quotes
    cdef uint8_t _quote
    cdef uint8_t _escape
    # What stands behind an escape for each byte.
    cdef uint8_t _escaped[256]
    cdef bytes _null_text
    cdef const uint8_t* _null
    cdef size_t _null_size
    cdef bint _is_sentinel
    cdef uint8_t _unwritable
    cdef int64_t _suppressed
    cdef Transforms _transforms
    cdef vector[uint8_t] _actions
    # Of columns that are written twice: what their transforms made of them in the image at hand. Empty where there are none.
    cdef vector[Kept] _kept
    cdef vector[Rule] _rules
    cdef vector[Added] _front
    cdef vector[Added] _ending
    # What stands behind the table's columns in the lines of an event.
    cdef Piece _back
    # Who takes much text before there is more of it; bytes that it took.
    cdef object _sink
    cdef bint _hands_over
    cdef size_t _handed
    # Of values that may be long, since there was a step last.
    cdef size_t _passed

    cdef int _prepare_dialect(self, dialect) except -1
    cdef int _mark(self, uint8_t bit, characters) except -1
    cdef int _prepare_output(self, output) except -1
    cdef int _keep(self, columns) except -1
    cdef Piece _piece(self, bytes text)
    cdef vector[Added] _added(self, values) except *
    cdef bytes _field_of(self, name, text)
    cdef int _borrow(self) except -1
    cdef object _taken_out(self)
    @final
    cdef Status _hand_over(self) noexcept nogil
    cdef void _give_back(self)
    cdef dict _conversions(self)
    cdef int _refuse(self, name, Status status) except -1
    @final
    cdef Status _row(self, const uint8_t** data, const uint8_t* end) noexcept nogil
    @final
    cdef void _put_null(self) noexcept nogil
    @final
    cdef void _end_line(self) noexcept nogil
    @final
    cdef Status _put_cell(self, size_t at, const uint8_t* data, size_t size) noexcept nogil
    @final
    cdef Status _cell(
        self, size_t at, const uint8_t* data, size_t size, const uint8_t** text, size_t* length
    ) noexcept nogil
    @final
    cdef bint _keep_text(self, Kept* kept, const uint8_t* text, size_t length) noexcept nogil
    @final
    cdef void _forget(self) noexcept nogil
    @final
    cdef Status _canonical(
        self, const Field* field, const uint8_t* data, size_t size, const uint8_t** text, size_t* length
    ) noexcept nogil
    @final
    cdef Status _is_dropped(self, const uint8_t* data, const uint8_t* end, bint* dropped) noexcept nogil
    @final
    cdef void _pass(self, size_t size) noexcept nogil
    @final
    cdef void _pass_over(self, const uint8_t** data, const uint8_t* end) noexcept nogil
    @final
    cdef Status _put_text(self, const uint8_t* data, size_t size, uint8_t seen) noexcept nogil
    @final
    cdef Status _put_long(self, const uint8_t* data, size_t size, uint8_t seen, bint quoted) noexcept nogil
    @final
    cdef char* _put_escaped(self, char* out, const uint8_t* data, size_t size) noexcept nogil
    @final
    cdef bint _suppress(self, const uint8_t* data, size_t size, uint8_t* seen) noexcept nogil
    @final
    cdef Status _not_writable(self, const uint8_t* data, size_t size) noexcept nogil


cdef inline void passed(Lines self, size_t size) noexcept nogil:
    """A value was looked at, or its length in front of it, with whose page its neighbours come into memory."""
    if size > LITTLE:
        self._pass(size)


cdef inline char* put_mark(uint8_t quote, char* out, bint quoted) noexcept nogil:
    if quoted:
        out[0] = quote
        return out + 1
    return out
