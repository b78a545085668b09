# distutils: language = c++
"""Row images to lines of a dialect. See `rows` for the Python face; what stands in front of a row is `_header`'s, what a
value's text is says `_values`."""

from __future__ import annotations

from cython cimport final
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memset

from airflow_provider_tungsten.replicator.binlog._header cimport (
    DELETED,
    INSERTED,
    UPDATE_DELETED,
    UPDATE_INSERTED,
    UPDATED,
    Header,
    Opcode,
)
from airflow_provider_tungsten.replicator.binlog._lines cimport Workspace
from airflow_provider_tungsten.replicator.binlog._buffer cimport reserve
from airflow_provider_tungsten.replicator.binlog._spooled cimport SpooledBuffer
from airflow_provider_tungsten.replicator.binlog._values cimport CORRUPT, DONE, MISCOUNTED, NO_MEMORY, Status

from airflow_provider_tungsten.replicator.binlog.refusals import Encoded

KINDS = ("insert", "update", "delete")
_OPCODES = ("I", "D", "UI", "UD", "U")

cdef enum:
    INSERT
    UPDATE
    DELETE

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


cdef class CsvEncoder(Header):
    cdef readonly size_t failed
    cdef bint _skips[3]
    cdef Opcode _old
    cdef Opcode _new
    cdef bint _merges
    cdef size_t _taken
    cdef int64_t _counts[5]
    cdef bint _is_ready

    def __init__(
        self, str table, names, fields, header, *, key, dialect, str null, output, str service, int timestamp_digits,
        bint distinguish_updates, bint update_opcode, max_text_bytes,
        max_binary_bytes, max_geometry_bytes, bint refuse_nul, bint refuse_zero_dates, Workspace workspace,
    ):
        Header.__init__(
            self, table, names, fields, dialect, null, output, max_text_bytes, max_binary_bytes, max_geometry_bytes,
            refuse_nul, refuse_zero_dates, workspace,
        )
        for at, kind in enumerate(KINDS):
            self._skips[at] = kind in output.skip
        self._old, self._new = (UPDATE_DELETED, UPDATE_INSERTED) if distinguish_updates else (DELETED, INSERTED)
        columns = [part for part in key if not isinstance(part, str)]
        self._merges = update_opcode and len(columns) > 0
        self._borrow()
        try:
            self._prepare_header(header, key, columns, service, timestamp_digits, self._merges)
        finally:
            self._give_back()
        self._is_ready = True

    @property
    def workspace(self):
        return self._workspace

    @workspace.setter
    def workspace(self, Workspace workspace not None):
        if not self._is_ready:
            raise RuntimeError("an encoder that was not initialized")
        if self._borrows:
            raise RuntimeError("an encoder at work keeps its workspace")
        self._workspace = workspace

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
        return self._encode(&events, &place, 1, 0, row_id, <size_t>-1, [event_id], [gtid], None, None)

    def encode_run(self, run, size_t start, *, row_id, size_t limit, sink=None):
        cdef const int64_t[::1] seqnos = run.seqnos
        cdef const int64_t[::1] commits = run.commits
        cdef const uint8_t[::1] kinds = run.kinds
        cdef const int32_t[::1] counts = run.counts
        cdef const int32_t[::1] offsets = run.offsets
        cdef const uint8_t[::1] payload = run.payload
        cdef const uint64_t[::1] places = run.places
        cdef SpooledBuffer spooled = run.spooled
        cdef const uint8_t[::1] held = spooled  # or it could be moved
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
        event_ids, gtids = (run.event_ids, run.gtids) if self._has_event_id or self._has_gtid else (None, None)
        encoded = self._encode(
            &events, &places[0], places.shape[0], start, row_id, limit, event_ids, gtids, sink, spooled
        )
        return encoded, self._taken - start

    cdef object _encode(
        self, const Events* events, const uint64_t* places, size_t size, size_t start, row_id, size_t limit,
        list event_ids, list gtids, sink, SpooledBuffer spooled,
    ):
        """Events from ``places[start]`` on, at least one, until there are ``limit`` bytes of text, those included that the sink
        took.

        :param spooled: what the payload lies in, where that is paged.
        """
        cdef Status status = DONE
        cdef size_t until = size
        cdef size_t buffers = self._paced.buffers.size()
        if not self._is_ready:
            raise RuntimeError("an encoder that was not initialized")
        self._borrow()
        try:
            if spooled is not None:
                self._paced.buffers.push_back(&spooled.buffer)
            self._number = row_id
            self._taken = start
            self._suppressed = 0
            self._transforms.take_conversions()
            memset(self._counts, 0, sizeof(self._counts))
            self._limits = self._strict
            self._sink, self._hands_over, self._handed = sink, sink is not None, 0
            while status == DONE and self._taken < size and (self._taken == start or self._handed + self._out.size < limit):
                if self._has_event_id or self._has_gtid:
                    self._set_texts(event_ids[places[self._taken]], gtids[places[self._taken]])
                    until = self._taken + 1
                with nogil:
                    while status == DONE and self._taken < until and (
                        self._taken == start or self._handed + self._out.size < limit
                    ):
                        status = self._event(events, places[self._taken])
                        self._taken += 1
            if status != DONE:
                self.failed = places[self._taken - 1]
                self._raise(status)
            csv = self._taken_out()
            opcodes = {name: self._counts[at] for at, name in enumerate(_OPCODES) if self._counts[at]}
            return Encoded(csv, self._number, opcodes, self._conversions())
        finally:
            self._sink, self._hands_over = None, False
            self._paced.buffers.resize(buffers)
            self._give_back()

    @final
    cdef Status _event(self, const Events* events, size_t at) noexcept nogil:
        cdef const uint8_t* data
        cdef const uint8_t* until
        cdef const uint8_t* end
        cdef int64_t images = 0
        cdef uint8_t kind
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
        if not (
            self._render_head(kind, events.seqnos[at], events.commits[at])
            and self._render_ending(kind, events.seqnos[at], events.commits[at])
        ):
            return NO_MEMORY
        while data < end:
            until = data + min(<size_t>(end - data), self._paced.step)
            while data < until:
                if kind == UPDATE:
                    status = self._update(&data, end)
                    images += 2
                else:
                    status = self._insert(&data, end) if kind == INSERT else self._image(&data, end, DELETED)
                    images += 1
                if status == DONE and self._hands_over and self._out.size >= self._paced.step:
                    status = self._hand_over()
                if status != DONE:
                    return status
            if data < end:
                self._paced.page_out()
        if events.counts != NULL and images != <int64_t>events.counts[at] * (2 if kind == UPDATE else 1):
            return MISCOUNTED
        return DONE

    @final
    cdef Status _update(self, const uint8_t** data, const uint8_t* end) noexcept nogil:
        """The old row and the new one, or the new one alone where it has the same key."""
        cdef const uint8_t* new = data[0]
        cdef Status status
        if self._merges:
            status = self._find_key(&new, end, True)
            if status != DONE:
                return status
            self._old_places.swap(self._places)
            if new == end:
                return CORRUPT
            # Moved on, it would be behind the new row.
            status = self._find_key_of(new, end)
            if status != DONE:
                return status
            if self._is_same_key():
                data[0] = new
                return self._image(data, end, UPDATED)
        status = self._image(data, end, self._old)
        if status != DONE:
            return status
        if data[0] == end:
            self._failed = self._count
            return CORRUPT
        return self._image(data, end, self._new)

    @final
    cdef Status _insert(self, const uint8_t** data, const uint8_t* end) noexcept nogil:
        """One line, unless a rule drops it."""
        cdef bint dropped = False
        cdef Status status
        if self._rules.size():
            status = self._is_dropped(data[0], end, &dropped)
            if status != DONE:
                return status
        if dropped:
            self._pass_over(data, end)
            return DONE
        return self._image(data, end, INSERTED)

    @final
    cdef Status _image(self, const uint8_t** data, const uint8_t* end, Opcode opcode) noexcept nogil:
        cdef Status status
        self._forget()
        if self._key.size():
            status = self._find_key_of(data[0], end)
            if status != DONE:
                return status
        if not reserve(&self._out, self._room):
            return NO_MEMORY
        status = self._put_head(opcode)
        if status == DONE:
            status = self._row(data, end)
        if status == DONE:
            self._number += 1
            self._counts[<int>opcode] += 1
        return status
