# distutils: language = c++
"""Lines of a dialect out of row images: which columns, with which separators, quotes and escapes. Events and what stands in
front of a row are `_csv`'s, what a value's text is says `_values`."""

from __future__ import annotations

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memcpy

from airflow_provider_tungsten.replicator.binlog._images cimport Field, find_value
from airflow_provider_tungsten.replicator.binlog._buffer cimport WINDOW, Buffer, clear, is_paged, release, reserve
from airflow_provider_tungsten.replicator.binlog._spooled cimport no_room
from airflow_provider_tungsten.replicator.binlog._text cimport put
from airflow_provider_tungsten.replicator.binlog._transforms cimport NOT_DONE, NULLED, Outcome, Transforms
from airflow_provider_tungsten.replicator.binlog._values cimport (
    COLLISION,
    CORRUPT,
    DONE,
    IS_NULL_TEXT,
    NO_MEMORY,
    PLAIN_ROOM,
    RAISED,
    TEXT,
    UNWRITABLE,
    ZERO,
    Status,
    Values,
)

from airflow_provider_tungsten.replicator.binlog.dialect import LINE_BREAKS
from airflow_provider_tungsten.replicator.binlog.output import HeaderValue
from airflow_provider_tungsten.replicator.binlog.refusals import NotCarried, SentinelCollision

cdef enum:
    # Bits of a text's bytes, besides those of `_values`.
    QUOTE_IT = 4
    ESCAPE_IT = 8
    SUPPRESS_IT = 16
    REFUSE_IT = 32
    ROW_ROOM = 128
    # What is longer is handed over instead of copied, and a buffer that grew beyond it is given back.
    LARGE = 1 << 24

_HEADER_VALUES = (HeaderValue.OPERATION, HeaderValue.COMMIT_TIMESTAMP, HeaderValue.SEQNO)


cdef class Text:
    """Long text. A read-only buffer."""

    def __dealloc__(self):
        release(&self._buffer)

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self._buffer.data, self._buffer.size, 1, flags)


cdef class Workspace:
    def __cinit__(self, size_t step=WINDOW):
        if step < 2:
            raise ValueError("no steps of less than two bytes")
        self.step = step

    def __dealloc__(self):
        release(&self.out)
        release(&self.scratch)
        release(&self.plain)
        release(&self.spare)


cdef inline void _trim(Buffer* buffer) noexcept:
    if buffer.capacity > LARGE or is_paged(buffer):
        release(buffer)


cdef class Lines(Values):
    """Writes lines into a workspace's buffers, which are its own between `_borrow` and `_give_back`."""

    def __dealloc__(self):
        cdef size_t at
        for at in range(self._kept.size()):
            release(&self._kept[at].text)

    def __init__(
        self, str table, names, fields, dialect, str null, output, max_text_bytes, max_binary_bytes, max_geometry_bytes,
        bint refuse_nul, bint refuse_zero_dates, Workspace workspace,
    ):
        Values.__init__(
            self, table, names, fields, max_text_bytes, max_binary_bytes, max_geometry_bytes, refuse_nul, refuse_zero_dates
        )
        self._strict = self._limits
        self._lenient.text = self._lenient.binary = self._lenient.geometry = <size_t>-1 // 2
        self._lenient.refuse_nul = self._lenient.refuse_zero_dates = False
        self._null_text = null.encode()
        self._null = <const uint8_t*>PyBytes_AS_STRING(self._null_text)
        self._null_size = len(self._null_text)
        self._is_sentinel = dialect.null is None
        # One more for the key in the header, which may be NULL.
        self._room = ROW_ROOM + (self._count + 1) * (PLAIN_ROOM + self._null_size + 3)
        self._prepare_dialect(dialect)
        if self._is_sentinel and any(self._class[byte] & QUOTE_IT for byte in self._null_text):
            raise ValueError(f"the text for NULL needs quotes: {null!r}")
        self._workspace = Workspace() if workspace is None else workspace
        self._paced.buffers.push_back(&self._plain)
        self._paced.buffers.push_back(&self._spare)
        self._borrow()
        try:
            self._prepare_output(output)
        finally:
            self._give_back()

    cdef int _prepare_dialect(self, dialect) except -1:
        self._separator = ord(dialect.field_separator)
        line_end = dialect.record_separator.encode()
        self._line_end[0], self._line_end[1], self._line_end_size = line_end[0], line_end[-1], len(line_end)
        self._quotes = {"needed": NEEDED, "always": ALWAYS, "never": NEVER}[dialect.use_quotes]
        self._quote, self._escape = ord(dialect.quote or "\0"), ord(dialect.escape or "\0")
        for byte in range(256):
            self._escaped[byte] = byte
        if not dialect.doubles:
            for character, letter in LINE_BREAKS.items():
                self._escaped[ord(character)] = ord(letter)
        suppressed = set(dialect.suppressed_characters)
        escaped = {dialect.escape, *dialect.escaped_characters} if dialect.escapes else set()
        if self._quotes != NEVER:
            escaped.add(dialect.quote)
        ends = {dialect.field_separator, *dialect.record_separator}
        if self._quotes == NEEDED:
            self._mark(QUOTE_IT, (escaped | ends | {"\n", "\r"}) - suppressed)
        if self._quotes == NEVER:
            self._mark(REFUSE_IT, ends - escaped - suppressed)
        self._mark(ESCAPE_IT, escaped - suppressed)
        self._mark(SUPPRESS_IT, suppressed)
        if "\0" in suppressed:
            self._class[0] &= ~ZERO
        return 0

    cdef int _mark(self, uint8_t bit, characters) except -1:
        for character in characters:
            self._class[ord(character)] |= bit
        return 0

    cdef int _prepare_output(self, output) except -1:
        cdef Rule rule
        columns = output.columns
        if columns and len(columns) != self._count:
            raise ValueError(f"{self._table} has {self._count} columns, not {len(columns)}")
        self._transforms = Transforms(zip(self._names, (column.transforms if column.keep else () for column in columns), strict=False))
        self._actions.assign(self._count, WRITE)
        for at, column in enumerate(columns):
            if not column.keep:
                self._actions[at] = LEAVE_OUT
            elif self._transforms.changes(at):
                self._actions[at] = TRANSFORM
        for given in output.rules:
            for text in given.texts:
                rule.column, rule.text = given.column, self._piece(text.encode())
                self._rules.push_back(rule)
        self._front = self._added(output.front)
        self._ending = self._added(output.back)
        for at in range(self._ending.size()):
            self._room += self._ending[at].text.size + ADDED_ROOM
        return 0

    cdef vector[Added] _added(self, values) except *:
        cdef vector[Added] columns
        cdef Added column
        for value in values:
            column.value = _HEADER_VALUES.index(value) if isinstance(value, HeaderValue) else TEXT_VALUE
            column.text = self._piece(b"" if column.value != TEXT_VALUE else self._field_of("a constant", value))
            columns.push_back(column)
        return columns

    cdef int _keep(self, columns) except -1:
        """These are written twice an image: a transform, which may be somebody's own code, is asked once."""
        cdef Kept nothing
        nothing.wanted = nothing.full = nothing.is_null = False
        if any(self._actions[at] == TRANSFORM for at in columns):
            self._kept.assign(self._count, nothing)
            for at in columns:
                self._kept[at].wanted = True
                self._paced.buffers.push_back(&self._kept[at].text)
        return 0

    cdef Piece _piece(self, bytes text):
        """What the bytes hold, for as long as this lives."""
        cdef Piece piece
        self._kept_alive.append(text)
        piece.text, piece.size = PyBytes_AS_STRING(text), len(text)
        return piece

    cdef bytes _field_of(self, name, text):
        """A field that stands in every line."""
        cdef size_t before = self._out.size
        cdef Status status
        if text is None:
            return self._null_text
        raw = text.encode()
        status = self._found(<const uint8_t*>PyBytes_AS_STRING(raw), len(raw), True)
        if status == TEXT:
            status = self._put_text(self._text, self._size, self._seen)
        if status == NO_MEMORY:
            raise MemoryError()
        if status != DONE:
            self._refuse(name, status)
            raise NotCarried(name, "a text that is too long for the target, or has a NUL character (0x00)")
        field = PyBytes_FromStringAndSize(self._out.data + before, self._out.size - before)
        self._out.size = before
        return field

    cdef int _borrow(self) except -1:
        if self._workspace is None:
            raise RuntimeError("an encoder that was not initialized")
        if self._borrows or self._workspace.busy:
            raise RuntimeError("an encoder, and encoders of one workspace, work for one thread at a time")
        if not (reserve(&self._workspace.scratch, 1) and reserve(&self._workspace.plain, PLAIN_ROOM)):
            raise MemoryError()
        self._workspace.busy = self._borrows = True
        self._paced.step = self._workspace.step
        self._out, self._scratch = self._workspace.out, self._workspace.scratch
        self._plain, self._spare = self._workspace.plain, self._workspace.spare
        self._out.size = 0
        return 0

    cdef object _taken_out(self):
        """The text."""
        cdef Buffer nothing
        if self._out.size <= LARGE:
            return PyBytes_FromStringAndSize(self._out.data, self._out.size) if self._out.size else b""
        text = Text()
        text._buffer = self._out
        self._out = nothing
        return memoryview(text)

    cdef Status _hand_over(self) noexcept nogil:
        """Behind it there is no room reserved. Whoever gets a refusal later throws away what was handed over."""
        with gil:
            try:
                self._handed += self._out.size
                self._sink(self._taken_out())
                self._out.size = 0
            except BaseException as error:
                self._transforms.error = error
                return RAISED
        return DONE

    cdef void _give_back(self):
        cdef Buffer nothing
        _trim(&self._out)
        _trim(&self._scratch)
        _trim(&self._plain)
        _trim(&self._spare)
        _trim(&self._inflated)
        self._workspace.out, self._workspace.scratch = self._out, self._scratch
        self._workspace.plain, self._workspace.spare = self._plain, self._spare
        # Others may give them back: what is paged out must be one's own.
        self._out = self._scratch = self._plain = self._spare = nothing
        self._workspace.busy = self._borrows = False

    cdef dict _conversions(self):
        counts = self._transforms.take_conversions()
        if self._suppressed:
            counts = {**counts, "suppressed_characters": self._suppressed}
        return counts

    cdef object _raise(self, Status status):
        name = self._names[self._failed] if self._failed < self._count else None
        if status == RAISED:
            raise self._transforms.error
        if status == NO_MEMORY and self._out.error:
            raise no_room(&self._out)
        self._refuse(name, status)
        Values._raise(self, status)

    cdef int _refuse(self, name, Status status) except -1:
        if status == COLLISION:
            raise SentinelCollision(name)
        if status == IS_NULL_TEXT:
            raise NotCarried(name, "a text that equals the dialect's NULL, which no quotes tell apart (set csv.null_value or use_quotes)")
        if status == UNWRITABLE:
            character = chr(self._unwritable)
            raise NotCarried(
                name,
                f"a text with {character!r}, which the dialect neither quotes nor escapes (set csv.use_quotes, or add it to "
                "csv.escaped_characters or csv.suppressed_characters)",
            )
        return 0

    cdef Status _row(self, const uint8_t** data, const uint8_t* end) noexcept nogil:
        cdef const uint8_t* nulls = data[0]
        cdef bint is_null
        cdef size_t at
        cdef size_t size = 0
        cdef Status status
        if <size_t>(end - data[0]) < self._bitmap:
            return CORRUPT
        data[0] += self._bitmap
        for at in range(self._count):
            is_null = nulls[at >> 3] >> (at & 7) & 1
            if not is_null and not find_value(&self._fields[at], data, end, &size):
                self._failed = at
                return CORRUPT
            if self._actions[at] == WRITE and is_null:
                self._put_null()
            elif self._actions[at] != LEAVE_OUT:
                if size > LITTLE:
                    self._pass(size)
                    if self._out.size >= self._paced.step and self._hands_over:
                        status = self._hand_over()
                        if status == DONE and not reserve(&self._out, self._room):
                            status = NO_MEMORY
                        if status != DONE:
                            return status
                if self._actions[at] == WRITE:
                    status = _put_value(self, &self._fields[at], data[0], size)
                else:
                    status = self._put_cell(at, <const uint8_t*>NULL if is_null else data[0], size)
                if status != DONE:
                    self._failed = at
                    return status
            if not is_null:
                data[0] += size
            if self._actions[at] != LEAVE_OUT:
                self._out.data[self._out.size] = self._separator
                self._out.size += 1
        self._end_line()
        return DONE

    cdef void _put_null(self) noexcept nogil:
        memcpy(self._out.data + self._out.size, self._null, self._null_size)
        self._out.size += self._null_size

    cdef void _end_line(self) noexcept nogil:
        """In the place of the last separator."""
        cdef char* out = self._out.data + self._out.size
        if self._back.size:
            out = put(out, self._back.text, self._back.size)
        out[-1], out[0] = self._line_end[0], self._line_end[1]
        self._out.size = out - 1 + self._line_end_size - self._out.data

    cdef Status _put_cell(self, size_t at, const uint8_t* data, size_t size) noexcept nogil:
        """A column's value, NULL where ``data`` is that."""
        cdef const uint8_t* text
        cdef size_t length
        cdef Status status
        if self._actions[at] != TRANSFORM:
            if data != NULL:
                return _put_value(self, &self._fields[at], data, size)
            self._put_null()
            return DONE
        status = self._cell(at, data, size, &text, &length)
        if status == DONE and text == NULL:
            self._put_null()
            return DONE
        if status == DONE:
            status = self._found(text, length, False)
        if status == TEXT:
            status = self._put_text(self._text, self._size, self._seen)
        return status

    cdef Status _cell(
        self, size_t at, const uint8_t* data, size_t size, const uint8_t** text, size_t* length
    ) noexcept nogil:
        """A column's canonical text as it is to be written, NULL for NULL. Of what is transformed only the outcome is refused."""
        cdef bint transformed = self._actions[at] == TRANSFORM
        cdef Kept* kept = &self._kept[at] if transformed and self._kept.size() and self._kept[at].wanted else NULL
        cdef Outcome outcome
        cdef Status status = DONE
        text[0], length[0] = <const uint8_t*>NULL, 0
        if kept != NULL and kept.full:
            if not kept.is_null:
                text[0], length[0] = <const uint8_t*>kept.text.data, kept.text.size
            return DONE
        if data != NULL:
            if transformed:
                self._limits = self._lenient
            status = self._canonical(&self._fields[at], data, size, text, length)
            self._limits = self._strict
        if status == DONE and transformed:
            outcome = self._transforms.apply(at, text[0], length[0], text, length, &self._paced)
            if outcome == NOT_DONE:
                return RAISED
            if outcome == NULLED:
                text[0] = NULL
            if kept != NULL and not self._keep_text(kept, text[0], length[0]):
                return NO_MEMORY
        return status

    cdef bint _keep_text(self, Kept* kept, const uint8_t* text, size_t length) noexcept nogil:
        clear(&kept.text)
        if not (reserve(&kept.text, 1) and self._append(&kept.text, text, length)):
            return False
        kept.is_null = text == NULL
        kept.full = True
        return True

    cdef void _forget(self) noexcept nogil:
        """Another image comes."""
        cdef size_t at
        for at in range(self._kept.size()):
            self._kept[at].full = False

    cdef Status _canonical(
        self, const Field* field, const uint8_t* data, size_t size, const uint8_t** text, size_t* length
    ) noexcept nogil:
        cdef Status status
        clear(&self._plain)
        status = self._value(field, data, size, &self._plain)
        if status == TEXT:
            text[0], length[0] = self._text, self._size
        elif status == DONE:
            text[0], length[0] = <const uint8_t*>self._plain.data, self._plain.size
        else:
            return status
        return DONE

    cdef Status _is_dropped(self, const uint8_t* data, const uint8_t* end, bint* dropped) noexcept nogil:
        """Whether a rule drops the image."""
        cdef const uint8_t* nulls = data
        cdef const uint8_t* text = NULL
        cdef size_t at, rule, size
        cdef size_t length = 0
        cdef Status status = DONE
        dropped[0] = False
        if <size_t>(end - data) < self._bitmap:
            return CORRUPT
        data += self._bitmap
        self._limits = self._lenient
        for at in range(self._count):
            if nulls[at >> 3] >> (at & 7) & 1:
                continue
            if not find_value(&self._fields[at], &data, end, &size):
                self._failed, status = at, CORRUPT
                break
            for rule in range(self._rules.size()):
                if self._rules[rule].column == at:
                    status = self._canonical(&self._fields[at], data, size, &text, &length)
                    if status != DONE:
                        break
                    if length == self._rules[rule].text.size and memcmp(text, self._rules[rule].text.text, length) == 0:
                        dropped[0] = True
            if status != DONE:
                self._failed = at
                break
            passed(self, size)
            data += size
        self._limits = self._strict
        return status

    cdef void _pass(self, size_t size) noexcept nogil:
        self._passed += size
        if self._passed >= self._paced.step:
            self._passed = 0
            self._paced.page_out()

    cdef void _pass_over(self, const uint8_t** data, const uint8_t* end) noexcept nogil:
        """Moves behind an image that is known to be whole."""
        cdef const uint8_t* nulls = data[0]
        cdef size_t at, size
        data[0] += self._bitmap
        for at in range(self._count):
            if not nulls[at >> 3] >> (at & 7) & 1 and find_value(&self._fields[at], data, end, &size):
                passed(self, size)
                data[0] += size

    cdef Status _put_text(self, const uint8_t* data, size_t size, uint8_t seen) noexcept nogil:
        """A field of text, quoted where it must be. Room for the fixed-size text of all columns is reserved behind it."""
        cdef bint quoted = self._quotes == ALWAYS
        cdef char* out
        if seen & (SUPPRESS_IT | REFUSE_IT):
            if seen & SUPPRESS_IT:
                if not self._suppress(data, size, &seen):
                    return NO_MEMORY
                data, size = <const uint8_t*>self._spare.data, self._spare.size
            if seen & REFUSE_IT:
                return self._not_writable(data, size)
        if self._quotes == NEEDED:
            quoted = seen & QUOTE_IT or (size and (data[0] == 32 or data[size - 1] == 32))
        if not quoted and size == self._null_size and not seen & ESCAPE_IT and memcmp(data, self._null, size) == 0:
            if self._is_sentinel:
                return COLLISION
            if self._quotes == NEVER:
                return IS_NULL_TEXT
            quoted = True
        if size > self._paced.step:
            return self._put_long(data, size, seen, quoted)
        if not reserve(&self._out, 2 * size + 2 + self._room):
            return NO_MEMORY
        out = put_mark(self._quote, self._out.data + self._out.size, quoted)
        if seen & ESCAPE_IT:
            out = self._put_escaped(out, data, size)
        else:
            out = put(out, <const char*>data, size)
        out = put_mark(self._quote, out, quoted)
        self._out.size = out - self._out.data
        return DONE

    cdef Status _put_long(self, const uint8_t* data, size_t size, uint8_t seen, bint quoted) noexcept nogil:
        """Likewise, in steps."""
        cdef const uint8_t* end = data + size
        cdef size_t step
        cdef char* out
        cdef Status status
        if not reserve(&self._out, 1):
            return NO_MEMORY
        self._out.size = put_mark(self._quote, self._out.data + self._out.size, quoted) - self._out.data
        while True:
            step = min(<size_t>(end - data), self._paced.step)
            if not reserve(&self._out, 2 * step + 1 + self._room):
                return NO_MEMORY
            out = self._out.data + self._out.size
            out = self._put_escaped(out, data, step) if seen & ESCAPE_IT else put(out, <const char*>data, step)
            data += step
            if data == end:
                self._out.size = put_mark(self._quote, out, quoted) - self._out.data
                return DONE
            self._out.size = out - self._out.data
            status = self._between_steps(&self._out)
            if status != DONE:
                return status

    cdef Status _between_steps(self, Buffer* buffer) noexcept nogil:
        self._paced.page_out()
        return self._hand_over() if buffer == &self._out and self._hands_over and buffer.size >= self._paced.step else DONE

    cdef char* _put_escaped(self, char* out, const uint8_t* data, size_t size) noexcept nogil:
        cdef size_t at
        cdef size_t start = 0
        for at in range(size):
            if self._class[data[at]] & ESCAPE_IT:
                out = put(out, <const char*>data + start, at - start)
                out[0] = self._escape
                out[1] = self._escaped[data[at]]
                out += 2
                start = at + 1
        return put(out, <const char*>data + start, size - start)

    cdef bint _suppress(self, const uint8_t* data, size_t size, uint8_t* seen) noexcept nogil:
        """Fills ``_spare`` with what is left; False: no memory."""
        cdef size_t at, step
        clear(&self._spare)
        seen[0] = 0
        while True:
            step = min(size, self._paced.step)
            if not reserve(&self._spare, step + 1):
                return False
            for at in range(step):
                if not self._class[data[at]] & SUPPRESS_IT:
                    seen[0] |= self._class[data[at]]
                    self._spare.data[self._spare.size] = data[at]
                    self._spare.size += 1
            data += step
            size -= step
            if not size:
                self._suppressed += 1
                return True
            self._paced.page_out()

    cdef Status _not_writable(self, const uint8_t* data, size_t size) noexcept nogil:
        """One of its bytes is that."""
        cdef size_t at
        for at in range(size):
            if self._class[data[at]] & REFUSE_IT:
                self._unwritable = data[at]
                break
            if (at + 1) % self._paced.step == 0:
                self._paced.page_out()
        return UNWRITABLE


cdef inline Status _put_value(Lines self, const Field* field, const uint8_t* data, size_t size) noexcept nogil:
    cdef Status status
    if self._quotes == ALWAYS:
        self._out.data[self._out.size] = self._quote
        self._out.size += 1
    status = self._value(field, data, size, &self._out)
    if status == DONE:
        if self._quotes == ALWAYS:
            self._out.data[self._out.size] = self._quote
            self._out.size += 1
    elif status == TEXT:
        if self._quotes == ALWAYS:
            self._out.size -= 1
        return self._put_text(self._text, self._size, self._seen)
    return status
