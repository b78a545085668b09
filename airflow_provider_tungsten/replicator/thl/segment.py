"""One segment of the log: a Parquet file of whole transactions, with a footer that says what it holds and what it continues.

Knows one file at a time; the order of segments and the store are others' business.
"""

from __future__ import annotations

import json
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain, starmap
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_tungsten.replicator.errors import CorruptLogError, StorageError, TungstenError
from airflow_provider_tungsten.replicator.thl import columns
from airflow_provider_tungsten.replicator.thl.event import Resume, ThlEvent
from airflow_provider_tungsten.replicator.thl.pieces import Joined, joined, joined_events

# 2: events of rows may lie in pieces. A segment without any says 1, which older versions of the package read.
FORMAT = 2
WITHOUT_PIECES = 1
_METADATA = "tungsten."
_FIRST_DIGITS = 19


def key_of(first: int) -> str:
    """Name of the segment that begins with seqno ``first``."""
    return f"thl-{first:0{_FIRST_DIGITS}d}.parquet"


def first_of(key: str) -> int:
    """The seqno in a segment's name.

    :raises CorruptLogError: not a segment's name.
    """
    digits = key.removeprefix("thl-").removesuffix(".parquet")
    if len(digits) != _FIRST_DIGITS or not digits.isdigit() or key_of(int(digits)) != key:
        raise CorruptLogError(f"{key} lies among the segments of the log and is none; move it away")
    return int(digits)


@dataclass(frozen=True)
class SegmentInfo:
    """A segment's footer.

    :param uuid: of the log.
    :param first_event_id: event id of seqno ``first``; ``event_id``: of seqno ``last``.
    :param epoch_number: of seqno ``last``.
    :param first_watermark: of seqno ``first``, microseconds; ``watermark``: of seqno ``last``.
    :param previous_first: first seqno of the segment before; -1 where this is the log's first.
    :param previous_last: last seqno of the segment before; -1 likewise.
    :param previous_event_id: event id of seqno ``previous_last``; '' likewise.
    :param resume: where the source is read on behind this segment.
    :param writer: token of who wrote it.
    :param tables: events and rows by (schema, table).
    :param format: of the file.
    """

    uuid: str
    service: str
    first: int
    last: int
    first_event_id: str
    event_id: str
    epoch_number: int
    first_watermark: int
    watermark: int
    previous_first: int
    previous_last: int
    previous_event_id: str
    resume: Resume
    writer: str
    tables: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict, compare=False)
    format: int = WITHOUT_PIECES

    @property
    def key(self) -> str:
        return key_of(self.first)

    def to_metadata(self) -> dict[str, str]:
        """Key-value metadata of the Parquet footer: plain numbers and texts, and JSON for ``resume`` and ``tables``."""
        body = asdict(self) | {
            "resume": json.dumps(self.resume.to_dict(), sort_keys=True),
            "tables": json.dumps([[*name, *counts] for name, counts in sorted(self.tables.items())]),
        }
        return {_METADATA + name: str(value) for name, value in body.items()}

    @classmethod
    def from_metadata(cls, metadata: dict[bytes, bytes]) -> SegmentInfo:
        """:raises ValueError, KeyError, TypeError: not what :meth:`to_metadata` gave, or another format version."""
        prefix = _METADATA.encode()
        found: dict[str, Any] = {
            key.removeprefix(prefix).decode(): value.decode()
            for key, value in metadata.items()
            if key.startswith(prefix)
        }
        if (version := found["format"]) not in (str(WITHOUT_PIECES), str(FORMAT)):
            raise ValueError(
                f"format {version}, and this version of the package reads formats up to {FORMAT}"
            )
        numbers: dict[str, Any] = {
            name: int(found.pop(name)) for name, type_ in cls.__annotations__.items() if type_ == "int"
        }
        resume = Resume(**json.loads(found.pop("resume")))
        tables = {
            (schema, table): (events, rows) for schema, table, events, rows in json.loads(found.pop("tables"))
        }
        return cls(**numbers, **found, resume=resume, tables=tables)


@dataclass(frozen=True)
class Head:
    """The end of the log: its newest segment, and what goes on from there.

    :param first: the first seqno the log still holds.
    :param segment: footer of the newest segment.
    """

    first: int
    segment: SegmentInfo

    @property
    def uuid(self) -> str:
        """Of the log."""
        return self.segment.uuid

    @property
    def last(self) -> int:
        """The last seqno of the log."""
        return self.segment.last

    @property
    def epoch_number(self) -> int:
        """Of record ``last``."""
        return self.segment.epoch_number

    @property
    def event_id(self) -> str:
        """Of record ``last``."""
        return self.segment.event_id

    @property
    def watermark(self) -> int:
        """Of record ``last``, microseconds."""
        return self.segment.watermark

    @property
    def resume(self) -> Resume:
        """Where the source is read on."""
        return self.segment.resume

    @property
    def first_seqno_of_segment(self) -> int:
        """First seqno of the newest segment."""
        return self.segment.first


@contextmanager
def _writable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write a segment's temporary file: {error}; free space in {tempfile.gettempdir()} or set TMPDIR"
        ) from error


def _give_back(table: pa.Table) -> None:
    """What Arrow keeps of the memory in which a row group of large rows was encoded or decoded."""
    if table.nbytes > columns.ALONE or columns.has_pieces(table):
        pa.default_memory_pool().release_unused()


class SegmentFile:
    """A segment that is being written, as a temporary file without a name: it is gone with its process."""

    def __init__(self) -> None:
        self.events = 0
        self.has_pieces = False
        self.tables: dict[tuple[str, str], tuple[int, int]] = {}
        self.file: BinaryIO = tempfile.TemporaryFile(prefix="tungsten-")
        # Arrow's own descriptor of it: what it hands to a file of Python it copies.
        self._sink = pa.OSFile(f"/dev/fd/{self.file.fileno()}", "wb")
        self._parquet = pq.ParquetWriter(
            self._sink,
            columns.SCHEMA,
            compression="zstd",
            compression_level=1,
            use_dictionary=columns.REPETITIVE,
            write_statistics=["seqno", "watermark"],
            write_page_checksum=True,
        )

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return int(self._sink.tell())

    def write(self, table: pa.Table) -> None:
        """The next row group."""
        with _writable():
            self._parquet.write_table(table, row_group_size=len(table))
        self.has_pieces = self.has_pieces or columns.has_pieces(table)
        _give_back(table)
        self.events += len(table)
        for name, (events, rows) in columns.count_by_table(table).items():
            before = self.tables.get(name, (0, 0))
            self.tables[name] = (before[0] + events, before[1] + rows)

    def finish(self, info: SegmentInfo) -> int:
        """Writes the footer; the file is whole then.

        :returns: its bytes.
        """
        self._parquet.add_key_value_metadata(info.to_metadata())
        with _writable():
            self._parquet.close()
            size = self.size
            self._sink.close()
            return size

    def discard(self) -> None:
        """Gives the space back, finished or not."""
        with _writable():
            self._parquet.close()
            self._sink.close()
            self.file.close()


@contextmanager
def _readable(place: str) -> Iterator[None]:
    try:
        yield
    except TungstenError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CorruptLogError(
            f"{place} is not a whole segment of the log ({error}); restore it from a copy"
        ) from error


class SegmentReader:
    """A segment open for reading. Row groups are read one at a time, those outside the range not at all.

    :param place: what messages call it.
    :raises CorruptLogError: not a segment, or not one of this format.
    """

    def __init__(self, file: BinaryIO, place: str) -> None:
        self._place = place
        with _readable(place):
            self._parquet = pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True)
            self.info = SegmentInfo.from_metadata(self._parquet.metadata.metadata or {})

    def _groups(self, column: str) -> list[tuple[int, int]]:
        """Least and greatest value of every row group, times as microseconds."""
        place = columns.SCHEMA.get_field_index(column)
        metadata = self._parquet.metadata
        found = []
        for number in range(metadata.num_row_groups):
            statistics = metadata.row_group(number).column(place).statistics
            found.append((statistics.min_raw, statistics.max_raw))
        return found

    def _read(self, group: int, names: Sequence[str]) -> pa.Table:
        with _readable(self._place):
            table = self._parquet.read_row_group(group, columns=names, use_threads=False)
        if "payload" in names:
            _give_back(table)
        return table

    def events(self, first: int, last: int, *, payload: bool) -> Iterator[ThlEvent]:
        """The events of seqnos ``first`` to ``last`` that lie in this segment.

        :param payload: False: it is None, and its column is not read.
        """
        if payload:
            whole = self.batches(first, last, columns.SCHEMA.names)
            return chain.from_iterable(starmap(columns.events_of, whole))
        records = self.columns(first, last, columns.WITHOUT_PAYLOAD)
        return joined_events(chain.from_iterable(map(columns.events_of, records)), self._place)

    def batches(self, first: int, last: int, names: Sequence[str]) -> Iterator[Joined]:
        """The same events by columns.

        :param names: of the columns, those among them that :func:`.pieces.joined` needs.
        """
        return joined(self.columns(first, last, names), self._place)

    def columns(self, first: int, last: int, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Of their records those columns that are named, ``seqno`` among them."""
        return chain.from_iterable(map(pa.Table.to_batches, self._tables(first, last, names)))

    def _tables(self, first: int, last: int, names: Sequence[str]) -> Iterator[pa.Table]:
        """One by one: whoever lets go of each before the next has one in memory."""
        for group, (least, greatest) in enumerate(self._groups("seqno")):
            if greatest >= first and least <= last:
                table = self._read(group, names)
                if least < first or greatest > last:
                    seqnos = table.column("seqno").to_pylist()
                    start = bisect_left(seqnos, first)
                    table = table.slice(start, bisect_right(seqnos, last) - start)
                yield table
                del table

    def record(self, seqno: int) -> ThlEvent:
        """The last fragment of a seqno of this segment, as it lies there, without its payload."""
        groups = self._groups("seqno")
        group = max(number for number, (least, greatest) in enumerate(groups) if least <= seqno <= greatest)
        table = self._read(group, columns.WITHOUT_PAYLOAD)
        end = bisect_right(table.column("seqno").to_pylist(), seqno)
        return next(columns.to_events(table.slice(end - 1, 1)))

    def first_behind(self, watermark: int) -> int:
        """The first seqno whose watermark is greater; there must be one in this segment."""
        groups = self._groups("watermark")
        group = next(number for number, (_, greatest) in enumerate(groups) if greatest > watermark)
        table = self._read(group, ["seqno", "watermark"])
        watermarks = table.column("watermark").cast(pa.int64()).to_pylist()
        return int(table.column("seqno")[bisect_right(watermarks, watermark)].as_py())
