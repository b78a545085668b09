# distutils: language = c++
"""Values replaced on their way to a line. See `output` for the Python face."""

from __future__ import annotations

import re

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t

from airflow_provider_tungsten.replicator.binlog.refusals import CallableFailed, ValueRefused, WrongAnswer, described

_KINDS = {
    "null": NULL_IT,
    "constant": CONSTANT,
    "keep_last": KEEP_LAST,
    "sha256": SHA256,
    "truncate": TRUNCATE,
    "zero_date_null": ZERO_DATE_NULL,
    "cast": CAST,
    "python": PYTHON,
}
_UNITS = {"characters": CHARACTERS, "bytes": BYTES, "hexadecimal": HEXADECIMAL}
_TYPES = ("smallint", "int", "bigint", "decimal", "double", "boolean", "date", "datetime", "varchar")
_COUNTED = {TRUNCATE: "truncated_texts", ZERO_DATE_NULL: "zero_dates"}

cdef enum:
    DATE_SIZE = 10
    # Of DECIMAL.
    MOST_DIGITS = 38


cdef class Transforms:
    """One per encoder. A column's steps come one after the other; each reads what the one before it wrote.

    :param columns: for each column its name and its `output.Transform`s but for those of kind ``number``.
    """

    def __init__(self, columns):
        cdef Column column
        self._kept_alive = []
        for name, transforms in columns:
            column.first = self._steps.size()
            for transform in (each for each in transforms if each.kind != "number"):
                self._steps.push_back(self._prepared(name, transform))
            column.end = self._steps.size()
            self._columns.push_back(column)

    cdef Step _prepared(self, name, transform) except *:
        cdef Step step
        cdef bytes text, salt
        if transform.kind not in _KINDS:
            raise ValueError(f"no transform: {transform.kind!r}")
        step.kind, step.unit, step.count, step.done = _KINDS[transform.kind], _UNITS[transform.unit], transform.count, 0
        text = transform.text.encode()
        step.place = len(self._kept_alive)
        self._kept_alive.append((name, text, transform.call))
        step.text, step.size = <const uint8_t*>PyBytes_AS_STRING(text), len(text)
        if step.kind == SHA256:
            salt = transform.salt
            step.salted.begin()
            step.salted.add(<const uint8_t*>PyBytes_AS_STRING(salt), len(salt))
        elif step.kind == CAST:
            kind, *numbers = re.findall(r"[a-z]+|\d+", transform.text)
            step.to.type = <Type><int>_TYPES.index(kind)
            step.to.size, step.to.scale = (*map(int, numbers), 0, 0)[:2]
            if not _fits(&step.to):
                raise ValueError(f"no type to cast to: {transform.text}")
        return step

    cdef bint changes(self, size_t column) noexcept nogil:
        return self._columns[column].end > self._columns[column].first

    cdef dict take_conversions(self):
        """How often steps that lose something did so since this was asked last, by name."""
        cdef size_t at
        counts = {}
        for at in range(self._steps.size()):
            if self._steps[at].done:
                name = _COUNTED[self._steps[at].kind]
                counts[name] = counts.get(name, 0) + self._steps[at].done
                self._steps[at].done = 0
        return counts

    cdef Outcome apply(
        self, size_t column, const uint8_t* data, size_t size, const uint8_t** text, size_t* text_size, const Paced* paced
    ) noexcept nogil:
        """A value's text, NULL for NULL, as it is to be written: `CHANGED` is found in ``text`` until the next value comes. Only a
        callable needs all of a long one in memory."""
        cdef size_t at
        cdef Outcome outcome
        text[0], text_size[0] = data, size
        for at in range(self._columns[column].first, self._columns[column].end):
            outcome = self._step(&self._steps[at], text, text_size, paced)
            if outcome == NOT_DONE:
                return NOT_DONE
            if outcome == NULLED:
                text[0] = NULL
                text_size[0] = 0
        return NULLED if text[0] == NULL else CHANGED

    cdef Outcome _step(self, Step* step, const uint8_t** text, size_t* size, const Paced* paced) noexcept nogil:
        cdef Text given
        cdef Text found
        cdef size_t cut
        if step.kind == CONSTANT:
            text[0], size[0] = step.text, step.size
            return CHANGED
        if step.kind == PYTHON:
            return self._call(step, text, size)
        if step.kind == NULL_IT or text[0] == NULL:
            return NULLED
        given.data, given.size = <const char*>text[0], size[0]
        if step.kind == KEEP_LAST:
            cut = last_characters(given.data, given.size, step.count)
            text[0] += cut
            size[0] -= cut
        elif step.kind == SHA256:
            if step.unit == HEXADECIMAL and not _is_hexadecimal(text[0], size[0], paced):
                return self._refuse(step)
            self._hash(step, text, size, paced)
        elif step.kind == TRUNCATE:
            if step.unit == BYTES:
                size[0] = whole_characters(given.data, given.size, step.count)
            else:
                size[0] = characters(given.data, given.size, step.count)
            step.done += size[0] < given.size
        elif step.kind == ZERO_DATE_NULL:
            return self._zero_date(step, text[0], size[0])
        else:
            if not cast(step.to, given, self._room(text[0]), &found):
                return self._refuse(step)
            text[0], size[0] = <const uint8_t*>found.data, found.size
        return CHANGED

    cdef char* _room(self, const uint8_t* text) noexcept nogil:
        """The one that ``text`` does not lie in."""
        cdef const char* given = <const char*>text
        if self._rooms[0] <= given < self._rooms[0] + DIGITS:
            return self._rooms[1]
        return self._rooms[0]

    cdef void _hash(self, Step* step, const uint8_t** text, size_t* size, const Paced* paced) noexcept nogil:
        cdef Sha256 hashing = step.salted
        cdef const uint8_t* data = text[0]
        cdef size_t left = size[0]
        cdef size_t part
        cdef char* digits
        while left:
            # Whole bytes of what is hexadecimal.
            part = min(left, paced.step // 2 * 2)
            if step.unit == HEXADECIMAL:
                _hash_bytes(&hashing, data, part)
            else:
                hashing.add(data, part)
            data += part
            left -= part
            if left:
                paced.page_out()
        digits = self._room(text[0])
        hashing.end(digits)
        text[0], size[0] = <const uint8_t*>digits, DIGITS

    cdef Outcome _zero_date(self, Step* step, const uint8_t* text, size_t size) noexcept nogil:
        """The whole of it is zero; a month or a day that is zero alone is no date either, but holds what NULL would lose."""
        cdef size_t at
        cdef bint whole = True
        if size < DATE_SIZE:
            return self._refuse(step)
        for at in range(DATE_SIZE):
            whole = whole and (text[at] == 48 or text[at] == 45)
        if whole:
            step.done += 1
            return NULLED
        if (text[5] == 48 and text[6] == 48) or (text[8] == 48 and text[9] == 48) or (text[0] == text[1] == text[2] == text[3] == 48):
            return self._refuse(step)
        return CHANGED

    cdef Outcome _refuse(self, Step* step) noexcept nogil:
        with gil:
            name, text, _ = self._kept_alive[step.place]
            reason = f"a value that is no {text.decode().upper()} (filter cast)"
            if step.kind == SHA256:
                reason = "a value that is no hexadecimal text any more (put filter mask in front of what changed it)"
            if step.kind == ZERO_DATE_NULL:
                reason = "a date whose year, month or day is zero (filter zerodate2null takes those that are zero altogether)"
            self.error = ValueRefused(name, reason)
        return NOT_DONE

    cdef Outcome _call(self, Step* step, const uint8_t** text, size_t* size) noexcept nogil:
        with gil:
            name, path, call = self._kept_alive[step.place]
            try:
                given = None if text[0] == NULL else PyUnicode_DecodeUTF8(<const char*>text[0], size[0], NULL)
                found = call(given)
                if found is None:
                    return NULLED
                if not isinstance(found, str):
                    raise WrongAnswer(f"gave {type(found).__name__}, not a text or None")
                raw = str.encode(found)  # not what a type of its own makes of it
            except Exception as error:
                # Its own words may hold the value.
                self.error = CallableFailed(name, f"a value at which filter python failed: {described(path.decode(), error)}")
                return NOT_DONE
            except BaseException as error:
                # An interrupt, e.g. a task's timeout: lost here, the value would be written as it was.
                self.error = error
                return NOT_DONE
            self._called = raw
            text[0], size[0] = <const uint8_t*>PyBytes_AS_STRING(raw), len(raw)
        return CHANGED


cdef inline uint8_t _nibble(uint8_t digit) noexcept nogil:
    return digit - 48 if digit < 58 else digit - 87


cdef void _hash_bytes(Sha256* hashing, const uint8_t* text, size_t size) noexcept nogil:
    """Those that hexadecimal digits say."""
    cdef uint8_t raw[DIGITS]
    cdef size_t at
    cdef size_t filled = 0
    for at in range(0, size, 2):
        raw[filled] = _nibble(text[at]) << 4 | _nibble(text[at + 1])
        filled += 1
        if filled == DIGITS:
            hashing.add(raw, filled)
            filled = 0
    hashing.add(raw, filled)


cdef bint _is_hexadecimal(const uint8_t* text, size_t size, const Paced* paced) noexcept nogil:
    cdef size_t at, part
    cdef size_t left = size
    while left:
        part = min(left, paced.step)
        for at in range(part):
            if not (48 <= text[at] <= 57 or 97 <= text[at] <= 102):
                return False
        text += part
        left -= part
        if left:
            paced.page_out()
    return size % 2 == 0


cdef bint _fits(const Cast* to) noexcept nogil:
    """Whether what is cast has room."""
    if to.type == Type.kDecimal:
        return to.scale <= to.size <= MOST_DIGITS
    return to.type != Type.kDatetime or to.size <= 6
