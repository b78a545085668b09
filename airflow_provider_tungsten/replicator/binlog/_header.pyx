# distutils: language = c++
"""What stands in front of a row, and behind it: the header's columns, those that filters added, and the key. The columns
themselves are `_lines`'."""

from __future__ import annotations

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcmp
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
    passed,
    put_mark,
)
from airflow_provider_tungsten.replicator.binlog._buffer cimport clear, release, reserve
from airflow_provider_tungsten.replicator.binlog._text cimport Time, put, put_datetime, put_signed, utc
from airflow_provider_tungsten.replicator.binlog._values cimport CORRUPT, DONE, NO_MEMORY, TEXT, Status

cdef enum:
    HEAD_ROOM = 64

_HEADER = ("opcode", "seqno", "row_id", "primary_key", "commit_timestamp", "service", "event_id", "gtid")

cdef enum:
    OPCODE
    SEQNO
    ROW_ID
    PRIMARY_KEY
    COMMIT_TIMESTAMP
    SERVICE
    EVENT_ID
    GTID


cdef class Header(Lines):
    """Renders once an event what all its rows share, and fills in what differs."""

    def __dealloc__(self):
        release(&self._head)
        release(&self._joined)
        release(&self._tail)

    cdef int _prepare_header(self, header, key, columns, str service, int digits, bint merges) except -1:
        """
        :param columns: the key's indexes, without the texts that filters add to it.
        :param merges: keys are compared, too.
        """
        codes = [_HEADER.index(name) for name in header]
        if len(set(codes)) < len(codes):
            raise ValueError(f"a header column stands twice in {', '.join(header)}")
        if not 0 <= digits <= 6:
            raise ValueError(f"a time has no {digits} digits behind its point")
        if not all(0 <= at < self._count for at in columns):
            raise ValueError(f"{self._table} has no column of each index in {columns}")
        self._columns = len(codes)
        for at, code in enumerate(codes):
            self._codes[at] = code
        self._digits = digits
        self._quoted = self._quotes == ALWAYS
        self._row_room = self._room
        self._has_event_id, self._has_gtid = EVENT_ID in codes, GTID in codes
        self._service.size = self._event_id.size = self._gtid.size = 0
        if SERVICE in codes:
            self._service = self._piece(self._field_of("service", service))
        if PRIMARY_KEY in codes:
            self._keep(columns)
        if merges or PRIMARY_KEY in codes:
            for at in columns:
                self._key.push_back(at)
            if 0 < len(columns) < len(key):
                self._prepare_key_texts(key)
        self._paced.buffers.push_back(&self._joined)
        self._places.resize(self._key.size())
        self._old_places.resize(self._key.size())
        return 0

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

    cdef Status _find_key_of(self, const uint8_t* data, const uint8_t* end) noexcept nogil:
        return self._find_key(&data, end, False)

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
                passed(self, size)
                data[0] += size
        return DONE

    cdef bint _is_same_key(self) noexcept nogil:
        """Whether ``_old_places`` and ``_places`` hold the same bytes."""
        cdef size_t part, step
        cdef Place old, new
        for part in range(self._key.size()):
            old, new = self._old_places[part], self._places[part]
            if (old.data == NULL) != (new.data == NULL) or old.size != new.size:
                return False
            while old.size:
                step = min(old.size, self._paced.step)
                if memcmp(old.data, new.data, step) != 0:
                    return False
                old.data += step
                new.data += step
                old.size -= step
                if old.size:
                    self._paced.page_out()
        return True

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
            + self._size_of(&self._front) + 1,
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

    cdef bint _render_ending(self, uint8_t kind, int64_t seqno, int64_t commit_ts) noexcept nogil:
        self._tail.size = 0
        if not reserve(&self._tail, self._size_of(&self._ending) + 1):
            return False
        self._back.text = self._tail.data
        self._back.size = self._put_added(self._tail.data, &self._ending, kind, seqno, commit_ts) - self._tail.data
        return True

    cdef size_t _size_of(self, const vector[Added]* columns) noexcept nogil:
        cdef size_t at
        cdef size_t size = 0
        for at in range(columns[0].size()):
            size += columns[0][at].text.size + ADDED_ROOM
        return size

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

    cdef Status _put_key(self) noexcept nogil:
        """The key's value; of several their texts with commas between, a backslash in front of commas and backslashes inside,
        and NULL as ``\\N``."""
        cdef const uint8_t* text
        cdef size_t part, size
        cdef Status status
        cdef Piece added
        added.text, added.size = "", 0
        if self._key.size() == 1 and self._key_texts.empty():
            return self._put_cell(self._key[0], self._places[0].data, self._places[0].size)
        if self._key.size() == 0:
            self._put_null()
            return DONE
        clear(&self._joined)
        for part in range(self._key.size()):
            self._failed = self._key[part]
            status = self._cell(self._key[part], self._places[part].data, self._places[part].size, &text, &size)
            if status != DONE:
                return status
            if not self._key_texts.empty():
                added = self._key_texts[part]
            if not self._join(added, text, size, part > 0):
                return NO_MEMORY
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

    cdef bint _join(self, Piece added, const uint8_t* text, size_t size, bint behind) noexcept nogil:
        """One more value of a key, behind what filters add there; NULL for NULL. False: no memory."""
        cdef char* out
        cdef size_t at
        cdef size_t step = min(size, self._paced.step)
        if not reserve(&self._joined, 2 * step + added.size + 3):
            return False
        out = self._joined.data + self._joined.size
        if behind:
            out = put(out, ",", 1)
        out = put(out, added.text, added.size)
        if text == NULL:
            out = put(out, "\\N", 2)
        while True:
            for at in range(step):
                if text[at] == 44 or text[at] == 92:
                    out = put(out, "\\", 1)
                out[0] = text[at]
                out += 1
            self._joined.size = out - self._joined.data
            text += step
            size -= step
            if not size:
                return True
            self._paced.page_out()
            step = min(size, self._paced.step)
            if not reserve(&self._joined, 2 * step):
                return False
            out = self._joined.data + self._joined.size
