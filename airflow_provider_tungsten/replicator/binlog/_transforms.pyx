# distutils: language = c++
"""Values replaced on their way to a line. See `output` for the Python face."""

from __future__ import annotations

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t

_KINDS = {"null": NULL_IT, "constant": CONSTANT}


cdef class Transforms:
    """One per encoder: at most one step a column. ``conversions`` counts, by name, what was changed since it was last emptied."""

    def __init__(self, transforms):
        cdef Step step
        self._kept_alive = []
        self.conversions = {}
        for transform in transforms:
            step.kind, step.size = KEEP, 0
            step.text = NULL
            if transform is not None:
                if transform.kind not in _KINDS:
                    raise ValueError(f"no transform: {transform.kind!r}")
                text = transform.text.encode()
                self._kept_alive.append(text)
                step.kind = _KINDS[transform.kind]
                step.text, step.size = <const uint8_t*>PyBytes_AS_STRING(text), len(text)
            self._steps.push_back(step)

    cdef bint changes(self, size_t column) noexcept nogil:
        return self._steps[column].kind != KEEP

    cdef Outcome apply(
        self, size_t column, const uint8_t* data, size_t size, const uint8_t** text, size_t* text_size
    ) noexcept nogil:
        """A value's text, NULL for NULL, as it is to be written: `CHANGED` is found in ``text`` until the next value comes."""
        cdef Step* step = &self._steps[column]
        if step.kind == NULL_IT:
            return NULLED
        if step.kind == CONSTANT:
            text[0], text_size[0] = step.text, step.size
            return CHANGED
        return SAME
