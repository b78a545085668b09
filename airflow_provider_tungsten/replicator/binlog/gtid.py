"""Sets of GTIDs, tags included: text, binary form, and the algebra that restarting needs. Knows no server.

Formats: MySQL `sql/rpl_gtid_set.cc` (``Gtid_set::encode``), `mysql::serialization` for numbers of variable length.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from uuid import UUID

from airflow_provider_tungsten.replicator.errors import CorruptLogError

_TAGGED = 1
_UUID = re.compile(r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$")
_TAG = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]{0,31}$")
_RANGE = re.compile(r"^(\d+)(?:-(\d+))?$")


def read_varlen(body: bytes, at: int) -> tuple[int, int]:
    """A number of 1 to 9 bytes, little-endian; the first byte's trailing ones count the bytes that follow.

    :raises CorruptLogError: cut short.
    """
    if at >= len(body):
        raise CorruptLogError("a number of a GTID is cut short")
    first = body[at]
    more = 0
    while first & (1 << more) and more < 8:
        more += 1
    end = at + 1 + more
    if end > len(body):
        raise CorruptLogError("a number of a GTID is cut short")
    if more == 8:
        return int.from_bytes(body[at + 1 : end], "little"), end
    return int.from_bytes(body[at:end], "little") >> (more + 1), end


class GtidSet:
    """GTIDs by source and tag; each interval is first and last gno, sorted, never touching the next."""

    def __init__(self) -> None:
        self._intervals: dict[tuple[str, str], list[list[int]]] = {}

    @classmethod
    def parse(cls, text: str) -> GtidSet:
        """Reads ``uuid:1-5:7:tag:1-3,uuid:tag:5``, white space and case as they come; '' is the empty set.

        :raises ValueError: not a GTID set.
        """
        result = cls()
        for part in re.sub(r"\s+", "", text).split(","):
            if part:
                result._parse_source(part)
        return result

    def _parse_source(self, part: str) -> None:
        source, *items = part.split(":")
        if not _UUID.match(source) or not items:
            raise ValueError(f"not a GTID set: {part!r}; write uuid:1-5 or uuid:tag:1-5")
        source_id, tag, used = str(UUID(source)), "", True
        for item in items:
            if match := _RANGE.match(item):
                first, last = int(match[1]), int(match[2] or match[1])
                if not 1 <= first <= last < 2**63:
                    raise ValueError(f"not a GTID interval: {item!r}")
                self._add(source_id, tag, first, last)
                used = True
            elif _TAG.match(item) and used:
                tag, used = item.lower(), False
            else:
                raise ValueError(f"not a GTID set: {part!r}; write uuid:1-5 or uuid:tag:1-5")
        if not used:
            raise ValueError(f"a tag without an interval: {part!r}")

    @classmethod
    def decode(cls, body: bytes) -> GtidSet:
        """Body of PREVIOUS_GTIDS.

        :raises CorruptLogError: cut short, or more than it says.
        """
        result = cls()
        header, at = _number(body, 0)
        tagged = header >> 56 == _TAGGED
        sources = (header >> 8) & 0xFFFFFFFFFFFF if tagged else header
        for _ in range(sources):
            raw = body[at : at + 16]
            at += 16
            tag = ""
            if tagged:
                length, at = read_varlen(body, at)
                tag = body[at : at + length].decode("ascii", "backslashreplace")
                at += length
            count, at = _number(body, at)
            for _ in range(count):
                first, at = _number(body, at)
                end, at = _number(body, at)
                if not 1 <= first < end:
                    raise CorruptLogError("a GTID set holds an empty interval")
                result._add(str(UUID(bytes=raw)), tag, first, end - 1)
        if at != len(body):
            raise CorruptLogError("a GTID set is not as long as it says")
        return result

    def encode(self) -> bytes:
        """As COM_BINLOG_DUMP_GTID takes it: the tagged form only where there are tags, as older servers know none."""
        tagged = any(tag for _, tag in self._intervals)
        count = len(self._intervals)
        header = _TAGGED << 56 | count << 8 | _TAGGED if tagged else count
        parts = [header.to_bytes(8, "little")]
        for (source_id, tag), intervals in sorted(self._intervals.items()):
            parts.append(UUID(source_id).bytes)
            if tagged:
                parts.append(bytes([len(tag) << 1]) + tag.encode("ascii"))
            parts.append(len(intervals).to_bytes(8, "little"))
            parts.extend(
                first.to_bytes(8, "little") + (last + 1).to_bytes(8, "little") for first, last in intervals
            )
        return b"".join(parts)

    def add(self, source_id: str, gno: int, tag: str = "") -> None:
        """Adds one GTID; cheap where it continues the newest interval. Repeating one changes nothing."""
        intervals = self._intervals.get((source_id, tag))
        if intervals is not None and intervals[-1][1] + 1 == gno:
            intervals[-1][1] = gno
        else:
            self._add(source_id, tag, gno, gno)

    def add_range(self, source_id: str, first: int, last: int, tag: str = "") -> None:
        """Adds the GTIDs of one source from ``first`` to ``last``."""
        self._add(source_id, tag, first, last)

    def greatest(self, source_id: str, tag: str = "") -> int:
        """The last number of a source; 0 where the set has none of it."""
        intervals = self._intervals.get((source_id, tag))
        return intervals[-1][1] if intervals else 0

    def has(self, source_id: str, gno: int, tag: str = "") -> bool:
        """Whether one GTID is in the set; cheap for one behind all of its source's."""
        intervals = self._intervals.get((source_id, tag))
        if intervals is None or intervals[-1][1] < gno:
            return False
        at = bisect_right(intervals, gno, key=lambda interval: interval[0])
        return bool(at) and intervals[at - 1][1] >= gno

    def _add(self, source_id: str, tag: str, first: int, last: int) -> None:
        intervals = self._intervals.setdefault((source_id, tag), [])
        low = bisect_right(intervals, first - 1, key=lambda interval: interval[1] + 1)
        high = bisect_right(intervals, last + 1, key=lambda interval: interval[0])
        if low < high:
            first = min(first, intervals[low][0])
            last = max(last, intervals[high - 1][1])
        intervals[low:high] = [[first, last]]

    def contains(self, other: GtidSet) -> bool:
        """Whether every GTID of ``other`` is in this set."""
        for key, intervals in other._intervals.items():
            own = self._intervals.get(key, [])
            for first, last in intervals:
                at = bisect_right(own, first, key=lambda interval: interval[0])
                if not at or own[at - 1][1] < last:
                    return False
        return True

    def minus(self, other: GtidSet) -> GtidSet:
        """The GTIDs of this set that are not in ``other``."""
        result = GtidSet()
        for (source_id, tag), intervals in self._intervals.items():
            theirs = other._intervals.get((source_id, tag), [])
            for first, last in intervals:
                at = bisect_right(theirs, first - 1, key=lambda interval: interval[1])
                for their_first, their_last in theirs[at:]:
                    if their_first > last:
                        break
                    if first < their_first:
                        result._add(source_id, tag, first, their_first - 1)
                    first = their_last + 1
                if first <= last:
                    result._add(source_id, tag, first, last)
        return result

    def copy(self) -> GtidSet:
        result = GtidSet()
        result._intervals = {key: [list(pair) for pair in value] for key, value in self._intervals.items()}
        return result

    def _source_texts(self) -> Iterator[str]:
        last_source = ""
        text = ""
        for (source_id, tag), intervals in sorted(self._intervals.items()):
            if source_id != last_source:
                if text:
                    yield text
                last_source, text = source_id, source_id
            ranges = (f"{first}-{last}" if first != last else str(first) for first, last in intervals)
            text += "".join(f":{item}" for item in ([tag] if tag else []) + list(ranges))
        if text:
            yield text

    def __str__(self) -> str:
        """As MySQL writes it, on one line: ``uuid:1-5:7:tag:1-3,uuid:1``."""
        return ",".join(self._source_texts())

    def __repr__(self) -> str:
        return f"GtidSet.parse({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GtidSet) and self._intervals == other._intervals

    def __bool__(self) -> bool:
        return bool(self._intervals)


def _number(body: bytes, at: int) -> tuple[int, int]:
    if at + 8 > len(body):
        raise CorruptLogError("a GTID set is cut short")
    return int.from_bytes(body[at : at + 8], "little"), at + 8
