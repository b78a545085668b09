# distutils: language = c++
"""Row images to lines of a dialect. See `rows` for the Python face; what a value's text is says `_values`."""

from __future__ import annotations

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free

from airflow_provider_tungsten.replicator.binlog._lines cimport ALWAYS, Lines, Piece, Workspace, put_mark
from airflow_provider_tungsten.replicator.binlog._text cimport Buffer, Time, put, put_datetime, put_signed, reserve, utc
from airflow_provider_tungsten.replicator.binlog._values cimport CORRUPT, DONE, MISCOUNTED, NO_MEMORY, Status

from airflow_provider_tungsten.replicator.binlog.refusals import Encoded

cdef enum:
    HEAD_ROOM = 64


KINDS = ("insert", "update", "delete")
_HEADER = ("opcode", "seqno", "row_id", "commit_timestamp", "service", "event_id", "gtid")

cdef enum:
    INSERT
    UPDATE
    DELETE

cdef enum:
    OPCODE
    SEQNO
    ROW_ID
    COMMIT_TIMESTAMP
    SERVICE
    EVENT_ID
    GTID

cdef struct Events:
    # Columns of `count` events; `offsets` has one more, `counts` may be missing.
    size_t count
    const int64_t* seqnos
    const int64_t* commits
    const uint8_t* kinds
    const int32_t* counts
    const int32_t* offsets
    const uint8_t* payload
    size_t payload_size


cdef class CsvEncoder(Lines):
    cdef readonly size_t failed
    cdef Buffer _head
    cdef bint _skips[3]
    cdef size_t _columns
    cdef uint8_t _codes[7]
    cdef bint _has_opcode
    cdef bint _has_row_id
    cdef bint _textual
    cdef size_t _opcode_at
    cdef size_t _row_id_at
    cdef Piece _service
    cdef Piece _event_id
    cdef Piece _gtid
    cdef tuple _texts
    cdef int64_t _number
    cdef size_t _taken
    cdef int64_t _inserts
    cdef int64_t _deletes

    def __cinit__(self):
        self._head.data = NULL
        self._head.size = self._head.capacity = 0

    def __dealloc__(self):
        free(self._head.data)

    def __init__(
        self, str table, names, fields, header, *, dialect, str null, output, str service, max_text_bytes,
        max_binary_bytes, max_geometry_bytes, bint refuse_nul, bint refuse_zero_dates, Workspace workspace,
    ):
        Lines.__init__(
            self, table, names, fields, dialect, null, output, max_text_bytes, max_binary_bytes, max_geometry_bytes,
            refuse_nul, refuse_zero_dates, workspace,
        )
        for at, kind in enumerate(KINDS):
            self._skips[at] = kind in output.skip
        self._borrow()
        try:
            self._prepare_header(header, service)
        finally:
            self._give_back()

    cdef int _prepare_header(self, header, str service) except -1:
        codes = [_HEADER.index(name) for name in header]
        if len(set(codes)) < len(codes):
            raise ValueError(f"a header column stands twice in {', '.join(header)}")
        self._columns = len(codes)
        for at, code in enumerate(codes):
            self._codes[at] = code
        self._has_opcode, self._has_row_id = OPCODE in codes, ROW_ID in codes
        self._textual = EVENT_ID in codes or GTID in codes
        self._service = self._piece(self._field_of("service", service))
        return self._set_texts("", "")

    def encode(
        self, const uint8_t[::1] payload not None, kind, *, seqno, row_id, int64_t commit_ts,
        event_id="", gtid="",
    ):
        cdef int64_t number = seqno
        cdef uint8_t code
        cdef uint64_t place = 0
        cdef int32_t offsets[2]
        cdef Events events
        if kind not in KINDS:
            raise ValueError(f"{kind!r} events hold no rows")
        if payload.shape[0] > 0x7FFFFFFF:
            raise ValueError("an event of 2 GiB or more")
        code = KINDS.index(kind)
        offsets[0], offsets[1] = 0, <int32_t>payload.shape[0]
        events.count = 1
        events.seqnos, events.commits, events.kinds, events.offsets = &number, &commit_ts, &code, offsets
        events.counts = NULL
        events.payload = &payload[0] if payload.shape[0] else NULL
        events.payload_size = payload.shape[0]
        return self._encode(&events, &place, 1, 0, row_id, <size_t>-1, [event_id], [gtid])

    def encode_run(self, run, size_t start, *, row_id, size_t limit):
        cdef const int64_t[::1] seqnos = run.seqnos
        cdef const int64_t[::1] commits = run.commits
        cdef const uint8_t[::1] kinds = run.kinds
        cdef const int32_t[::1] counts = run.counts
        cdef const int32_t[::1] offsets = run.offsets
        cdef const uint8_t[::1] payload = run.payload
        cdef const uint64_t[::1] places = run.places
        cdef Events events
        cdef size_t count = seqnos.shape[0]
        if (
            <size_t>commits.shape[0] != count or <size_t>kinds.shape[0] != count or <size_t>counts.shape[0] != count
            or <size_t>offsets.shape[0] != count + 1 or not start < <size_t>places.shape[0]
        ):
            raise ValueError("columns of different lengths, or nothing left to encode")
        events.count = count
        events.seqnos, events.commits, events.kinds = &seqnos[0], &commits[0], &kinds[0]
        events.counts, events.offsets = &counts[0], &offsets[0]
        events.payload = &payload[0] if payload.shape[0] else NULL
        events.payload_size = payload.shape[0]
        event_ids, gtids = (run.event_ids, run.gtids) if self._textual else (None, None)
        encoded = self._encode(&events, &places[0], places.shape[0], start, row_id, limit, event_ids, gtids)
        return encoded, self._taken - start

    cdef object _encode(
        self, const Events* events, const uint64_t* places, size_t size, size_t start, row_id, size_t limit,
        list event_ids, list gtids,
    ):
        """Events from ``places[start]`` on, at least one, until there are ``limit`` bytes of text."""
        cdef Status status = DONE
        cdef size_t until = size
        if self._workspace.busy:
            raise RuntimeError("encoders of one workspace work for one thread at a time")
        self._number = row_id
        self._taken = start
        self._inserts = self._deletes = self._suppressed = 0
        self._limits = self._strict
        self._workspace.busy = True
        self._borrow()
        try:
            while status == DONE and self._taken < size and (self._taken == start or self._out.size < limit):
                if self._textual:
                    self._set_texts(event_ids[places[self._taken]], gtids[places[self._taken]])
                    until = self._taken + 1
                with nogil:
                    while status == DONE and self._taken < until and (self._taken == start or self._out.size < limit):
                        status = self._event(events, places[self._taken])
                        self._taken += 1
            if status != DONE:
                self.failed = places[self._taken - 1]
                self._raise(status)
            csv = PyBytes_FromStringAndSize(self._out.data, self._out.size) if self._out.size else b""
            return Encoded(csv, self._number, self._inserts, self._deletes, self._conversions())
        finally:
            self._give_back()
            self._workspace.busy = False

    cdef int _set_texts(self, event_id, gtid) except -1:
        event, transaction = self._texts = (
            self._field_of("event_id", event_id or ""), self._field_of("gtid", gtid or "")
        )
        self._event_id.text, self._event_id.size = PyBytes_AS_STRING(event), len(event)
        self._gtid.text, self._gtid.size = PyBytes_AS_STRING(transaction), len(transaction)
        return 0

    cdef Status _event(self, const Events* events, size_t at) noexcept nogil:
        cdef const uint8_t* data
        cdef const uint8_t* end
        cdef int64_t images = 0
        cdef int64_t written = self._number
        cdef uint8_t kind
        cdef bint dropped
        cdef Status status
        self._failed = self._count
        if at >= events.count:
            return CORRUPT
        kind = events.kinds[at]
        if (
            kind > DELETE or events.offsets[at] < 0 or events.offsets[at + 1] < events.offsets[at]
            or <size_t>events.offsets[at + 1] > events.payload_size
        ):
            return CORRUPT
        if self._skips[kind]:
            return DONE
        data = events.payload + events.offsets[at]
        end = events.payload + events.offsets[at + 1]
        if data != end and not self._bitmap:
            return CORRUPT
        if not self._render_head(events.seqnos[at], events.commits[at]):
            return NO_MEMORY
        while data < end:
            if self._rules.size() and kind == INSERT:
                status = self._is_dropped(data, end, &dropped)
                if status != DONE:
                    return status
                if dropped:
                    self._pass_over(&data, end)
                    images += 1
                    continue
            if not reserve(&self._out, self._room + self._head.size):
                return NO_MEMORY
            self._put_head(kind == DELETE or (kind == UPDATE and not images & 1))
            status = self._row(&data, end)
            if status != DONE:
                return status
            self._number += 1
            images += 1
        if kind == UPDATE and images & 1:
            return CORRUPT
        if events.counts != NULL and images != <int64_t>events.counts[at] * (2 if kind == UPDATE else 1):
            return MISCOUNTED
        written = self._number - written
        if kind == INSERT:
            self._inserts += written
        elif kind == DELETE:
            self._deletes += written
        else:
            self._inserts += written // 2
            self._deletes += written // 2
        return DONE

    cdef bint _render_head(self, int64_t seqno, int64_t commit_ts) noexcept nogil:
        """The header's columns in front of and behind the row's number, separators included, for all rows of an event."""
        cdef bint quoted = self._quotes == ALWAYS
        cdef size_t at
        cdef char* out
        cdef Time time
        self._head.size = 0
        if not reserve(
            &self._head,
            self._columns * HEAD_ROOM + self._service.size + self._event_id.size + self._gtid.size + self._front.size,
        ):
            return False
        out = self._head.data
        for at in range(self._columns):
            if self._codes[at] == SERVICE:
                out = put(out, self._service.text, self._service.size)
            elif self._codes[at] == EVENT_ID:
                out = put(out, self._event_id.text, self._event_id.size)
            elif self._codes[at] == GTID:
                out = put(out, self._gtid.text, self._gtid.size)
            else:
                out = put_mark(self._quote, out, quoted)
                if self._codes[at] == ROW_ID:
                    self._row_id_at = out - self._head.data
                elif self._codes[at] == OPCODE:
                    self._opcode_at = out - self._head.data
                    out += 1
                elif self._codes[at] == SEQNO:
                    out = put_signed(out, seqno)
                else:
                    utc(commit_ts // 1000000, commit_ts % 1000000, &time)
                    out = put_datetime(out, &time, 6)
                out = put_mark(self._quote, out, quoted)
            out[0] = self._separator
            out += 1
        out = put(out, self._front.text, self._front.size)
        self._head.size = out - self._head.data
        return True

    cdef void _put_head(self, bint delete) noexcept nogil:
        cdef char* out = self._out.data + self._out.size
        if self._has_opcode:
            self._head.data[self._opcode_at] = 68 if delete else 73
        if self._has_row_id:
            out = put(out, self._head.data, self._row_id_at)
            out = put_signed(out, self._number)
            out = put(out, self._head.data + self._row_id_at, self._head.size - self._row_id_at)
        else:
            out = put(out, self._head.data, self._head.size)
        self._out.size = out - self._out.data

