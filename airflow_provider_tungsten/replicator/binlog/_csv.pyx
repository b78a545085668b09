# distutils: language = c++
"""Row images to lines of a dialect. See `rows` for the Python face; what a value's text is says `_values`."""

from __future__ import annotations

from cython cimport final
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memset
from libcpp.vector cimport vector

from airflow_provider_tungsten.replicator.binlog._images cimport find_value
from airflow_provider_tungsten.replicator.binlog._lines cimport (
    ADDED_ROOM,
    ALWAYS,
    EVENT_SEQNO,
    OPERATION,
    TEXT_VALUE,
    Added,
    Lines,
    Piece,
    Workspace,
    put_mark,
)
from airflow_provider_tungsten.replicator.binlog._text cimport Buffer, Time, put, put_datetime, put_signed, reserve, utc
from airflow_provider_tungsten.replicator.binlog._values cimport CORRUPT, DONE, MISCOUNTED, NO_MEMORY, TEXT, Status

from airflow_provider_tungsten.replicator.binlog.refusals import Encoded

cdef enum:
    HEAD_ROOM = 64


KINDS = ("insert", "update", "delete")
_HEADER = ("opcode", "seqno", "row_id", "primary_key", "commit_timestamp", "service", "event_id", "gtid")
_OPCODES = ("I", "D", "UI", "UD", "U")

cdef enum:
    INSERT
    UPDATE
    DELETE

cdef enum:
    OPCODE
    SEQNO
    ROW_ID
    PRIMARY_KEY
    COMMIT_TIMESTAMP
    SERVICE
    EVENT_ID
    GTID

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
    cdef Buffer _tail
    cdef bint _skips[3]
    cdef size_t _columns
    cdef uint8_t _codes[8]
    cdef Slot _slots[3]
    cdef size_t _slot_count
    cdef bint _quoted
    cdef bint _has_event_id
    cdef bint _has_gtid
    cdef int _digits
    cdef Opcode _old
    cdef Opcode _new
    cdef bint _merges
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
    cdef size_t _taken
    cdef int64_t _counts[5]

    def __cinit__(self):
        self._head.data = self._joined.data = self._tail.data = NULL
        self._head.size = self._head.capacity = self._joined.size = self._joined.capacity = 0
        self._tail.size = self._tail.capacity = 0

    def __dealloc__(self):
        free(self._head.data)
        free(self._joined.data)
        free(self._tail.data)

    def __init__(
        self, str table, names, fields, header, *, key, dialect, str null, output, str service, int timestamp_digits,
        bint distinguish_updates, bint update_opcode, max_text_bytes,
        max_binary_bytes, max_geometry_bytes, bint refuse_nul, bint refuse_zero_dates, Workspace workspace,
    ):
        Lines.__init__(
            self, table, names, fields, dialect, null, output, max_text_bytes, max_binary_bytes, max_geometry_bytes,
            refuse_nul, refuse_zero_dates, workspace,
        )
        for at, kind in enumerate(KINDS):
            self._skips[at] = kind in output.skip
        self._digits = timestamp_digits
        self._old, self._new = (UPDATE_DELETED, UPDATE_INSERTED) if distinguish_updates else (DELETED, INSERTED)
        columns = [part for part in key if not isinstance(part, str)]
        self._merges = update_opcode and len(columns) > 0
        self._quoted = self._quotes == ALWAYS
        self._row_room = self._room
        if self._merges or "primary_key" in header:
            for at in columns:
                self._key.push_back(at)
            if 0 < len(columns) < len(key):
                self._prepare_key_texts(key)
        self._places.resize(self._key.size())
        self._old_places.resize(self._key.size())
        self._borrow()
        try:
            self._prepare_header(header, service)
        finally:
            self._give_back()

    cdef int _prepare_key_texts(self, key) except -1:
        texts = [b""]
        for part in key:
            if isinstance(part, str):
                texts[-1] += part.replace("\\", "\\\\").replace(",", "\\,").encode() + b","
            else:
                texts.append(b"")
        # Behind the last column the comma comes first.
        for text in (*texts[:-1], texts[-1] and b"," + texts[-1][:-1]):
            self._key_texts.push_back(self._piece(text))
        return 0

    cdef int _prepare_header(self, header, str service) except -1:
        codes = [_HEADER.index(name) for name in header]
        if len(set(codes)) < len(codes):
            raise ValueError(f"a header column stands twice in {', '.join(header)}")
        self._columns = len(codes)
        for at, code in enumerate(codes):
            self._codes[at] = code
        self._has_event_id, self._has_gtid = EVENT_ID in codes, GTID in codes
        self._service.size = self._event_id.size = self._gtid.size = 0
        if SERVICE in codes:
            self._service = self._piece(self._field_of("service", service))
        return 0

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
        event_ids, gtids = (run.event_ids, run.gtids) if self._has_event_id or self._has_gtid else (None, None)
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
        self._suppressed = 0
        memset(self._counts, 0, sizeof(self._counts))
        self._limits = self._strict
        self._workspace.busy = True
        self._borrow()
        try:
            while status == DONE and self._taken < size and (self._taken == start or self._out.size < limit):
                if self._has_event_id or self._has_gtid:
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
            opcodes = {name: self._counts[at] for at, name in enumerate(_OPCODES) if self._counts[at]}
            return Encoded(csv, self._number, opcodes, self._conversions())
        finally:
            self._give_back()
            self._workspace.busy = False

    cdef int _set_texts(self, event_id, gtid) except -1:
        event, transaction = self._texts = (
            self._field_of("event_id", event_id or "") if self._has_event_id else b"",
            self._field_of("gtid", gtid or "") if self._has_gtid else b"",
        )
        self._event_id.text, self._event_id.size = PyBytes_AS_STRING(event), len(event)
        self._gtid.text, self._gtid.size = PyBytes_AS_STRING(transaction), len(transaction)
        return 0

    def titles(self, names):
        """The line that names all columns, header included."""
        self._borrow()
        try:
            fields = [self._field_of(f"name {name}", name) for name in names]
        finally:
            self._give_back()
        return bytes([self._separator]).join(fields) + (<char*>self._line_end)[: self._line_end_size]

    @final
    cdef Status _event(self, const Events* events, size_t at) noexcept nogil:
        cdef const uint8_t* data
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
            if kind == UPDATE:
                status = self._update(&data, end)
                images += 2
            else:
                status = self._insert(&data, end) if kind == INSERT else self._image(&data, end, DELETED)
                images += 1
            if status != DONE:
                return status
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

    @final
    cdef Status _find_key_of(self, const uint8_t* data, const uint8_t* end) noexcept nogil:
        return self._find_key(&data, end, False)

    @final
    cdef Status _find_key(self, const uint8_t** data, const uint8_t* end, bint whole) noexcept nogil:
        """Fills ``_places``, and moves behind the image if that is to be passed ``whole``."""
        cdef const uint8_t* nulls = data[0]
        cdef size_t at, part, size
        cdef size_t left = self._key.size()
        cdef bint is_null
        if <size_t>(end - data[0]) < self._bitmap:
            return CORRUPT
        data[0] += self._bitmap
        for at in range(self._count):
            if not (left or whole):
                break
            size = 0
            is_null = nulls[at >> 3] >> (at & 7) & 1
            if not is_null and not find_value(&self._fields[at], data, end, &size):
                self._failed = at
                return CORRUPT
            for part in range(self._key.size()):
                if self._key[part] == at:
                    self._places[part].data, self._places[part].size = <const uint8_t*>NULL if is_null else data[0], size
                    left -= 1
            if not is_null:
                data[0] += size
        return DONE

    @final
    cdef bint _is_same_key(self) noexcept nogil:
        cdef size_t part
        cdef Place old, new
        for part in range(self._key.size()):
            old, new = self._old_places[part], self._places[part]
            if (old.data == NULL) != (new.data == NULL) or old.size != new.size:
                return False
            if old.size and memcmp(old.data, new.data, old.size) != 0:
                return False
        return True

    @final
    cdef bint _render_head(self, uint8_t kind, int64_t seqno, int64_t commit_ts) noexcept nogil:
        """What all rows of an event have in front of the table's columns, and the slots for what differs."""
        cdef size_t at
        cdef char* out
        cdef uint8_t code
        cdef Time time
        self._head.size = self._slot_count = 0
        if not reserve(
            &self._head,
            self._columns * HEAD_ROOM + self._service.size + self._event_id.size + self._gtid.size
            + self._size_of(&self._front),
        ):
            return False
        out = self._head.data
        for at in range(self._columns):
            code = self._codes[at]
            if code == OPCODE or code == ROW_ID or code == PRIMARY_KEY:
                self._slots[self._slot_count].at, self._slots[self._slot_count].code = out - self._head.data, code
                self._slot_count += 1
            elif code == SEQNO:
                out = put_signed(put_mark(self._quote, out, self._quoted), seqno)
                out = put_mark(self._quote, out, self._quoted)
            elif code == COMMIT_TIMESTAMP:
                utc(commit_ts // 1000000, commit_ts % 1000000, &time)
                out = put_datetime(put_mark(self._quote, out, self._quoted), &time, self._digits)
                out = put_mark(self._quote, out, self._quoted)
            elif code == SERVICE:
                out = put(out, self._service.text, self._service.size)
            elif code == EVENT_ID:
                out = put(out, self._event_id.text, self._event_id.size)
            else:
                out = put(out, self._gtid.text, self._gtid.size)
            out[0] = self._separator
            out += 1
        out = self._put_added(out, &self._front, kind, seqno, commit_ts)
        self._head.size = out - self._head.data
        # Behind a key of any length there must be room for the rest.
        self._room = self._row_room + self._head.size
        return True

    @final
    cdef bint _render_ending(self, uint8_t kind, int64_t seqno, int64_t commit_ts) noexcept nogil:
        self._tail.size = 0
        if not reserve(&self._tail, self._size_of(&self._ending) + 1):
            return False
        self._back.text = self._tail.data
        self._back.size = self._put_added(self._tail.data, &self._ending, kind, seqno, commit_ts) - self._tail.data
        return True

    @final
    cdef size_t _size_of(self, const vector[Added]* columns) noexcept nogil:
        cdef size_t at
        cdef size_t size = 0
        for at in range(columns[0].size()):
            size += columns[0][at].text.size + ADDED_ROOM
        return size

    @final
    cdef char* _put_added(
        self, char* out, const vector[Added]* columns, uint8_t kind, int64_t seqno, int64_t commit_ts
    ) noexcept nogil:
        """Columns that filters added, separators included."""
        cdef size_t at
        cdef Time time
        cdef const Added* column
        cdef bint quoted = self._quotes == ALWAYS
        for at in range(columns[0].size()):
            column = &columns[0][at]
            if column.value == TEXT_VALUE:
                out = put(out, column.text.text, column.text.size)
            else:
                out = put_mark(self._quote, out, quoted)
                if column.value == OPERATION:
                    out[0] = b"IUD"[kind]
                    out += 1
                elif column.value == EVENT_SEQNO:
                    out = put_signed(out, seqno)
                else:
                    utc(commit_ts // 1000000, commit_ts % 1000000, &time)
                    out = put_datetime(out, &time, 6)
                out = put_mark(self._quote, out, quoted)
            out[0] = self._separator
            out += 1
        return out

    @final
    cdef Status _put_head(self, Opcode opcode) noexcept nogil:
        cdef char* out = self._out.data + self._out.size
        cdef size_t start = 0
        cdef size_t slot
        cdef Status status
        for slot in range(self._slot_count):
            out = put(out, self._head.data + start, self._slots[slot].at - start)
            start = self._slots[slot].at
            if self._slots[slot].code == PRIMARY_KEY:
                self._out.size = out - self._out.data
                status = self._put_key()
                if status != DONE:
                    return status
                out = self._out.data + self._out.size
                continue
            out = put_mark(self._quote, out, self._quoted)
            if self._slots[slot].code == ROW_ID:
                out = put_signed(out, self._number)
            else:
                if opcode >= UPDATE_INSERTED:
                    out = put(out, "U", 1)
                if opcode != UPDATED:
                    out = put(out, "I" if opcode == INSERTED or opcode == UPDATE_INSERTED else "D", 1)
            out = put_mark(self._quote, out, self._quoted)
        out = put(out, self._head.data + start, self._head.size - start)
        self._out.size = out - self._out.data
        return DONE

    @final
    cdef Status _put_key(self) noexcept nogil:
        """The key's value; of several their texts with commas between, a backslash in front of commas and backslashes inside,
        and NULL as ``\\N``."""
        cdef const uint8_t* text
        cdef size_t part, size
        cdef Status status
        cdef Piece added
        added.text = NULL
        added.size = 0
        if self._key.size() == 1 and self._key_texts.empty():
            return self._put_cell(self._key[0], self._places[0].data, self._places[0].size)
        if self._key.size() == 0:
            self._put_null()
            return DONE
        self._joined.size = 0
        for part in range(self._key.size()):
            self._failed = self._key[part]
            status = self._cell(self._key[part], self._places[part].data, self._places[part].size, &text, &size)
            if status != DONE:
                return status
            if not self._key_texts.empty():
                added = self._key_texts[part]
            if not reserve(&self._joined, 2 * size + added.size + 3):
                return NO_MEMORY
            self._join(added, text, size, part > 0)
        if not self._key_texts.empty():
            added = self._key_texts[self._key.size()]
            if not reserve(&self._joined, added.size):
                return NO_MEMORY
            self._joined.size = put(self._joined.data + self._joined.size, added.text, added.size) - self._joined.data
        status = self._found(<const uint8_t*>self._joined.data, self._joined.size, True)
        if status == TEXT:
            status = self._put_text(self._text, self._size, self._seen)
        if status == DONE:
            self._failed = self._count
        return status

    @final
    cdef void _join(self, Piece added, const uint8_t* text, size_t size, bint behind) noexcept nogil:
        """One more value of a key, behind what filters add there; NULL for NULL. There is room for it."""
        cdef char* out = self._joined.data + self._joined.size
        cdef size_t at
        if behind:
            out = put(out, ",", 1)
        out = put(out, added.text, added.size)
        if text == NULL:
            out = put(out, "\\N", 2)
        else:
            for at in range(size):
                if text[at] == 44 or text[at] == 92:
                    out = put(out, "\\", 1)
                out[0] = text[at]
                out += 1
        self._joined.size = out - self._joined.data
