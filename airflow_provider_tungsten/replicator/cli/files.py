"""Events of the log to files: Arrow or JSON lines, whole or not at all. What a record looks like is `shapes`' business."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal
from urllib.parse import quote

import pyarrow as pa
from typing_extensions import Buffer

from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.binlog.large_text import LargeText, expanded, pieces_of
from airflow_provider_tungsten.replicator.binlog.refusals import ValueRefused
from airflow_provider_tungsten.replicator.cli.listing import is_large, refused
from airflow_provider_tungsten.replicator.cli.shapes import Changes, Record, Rows, Shape, texts_of
from airflow_provider_tungsten.replicator.errors import ConfigurationError, DataError, StorageError
from airflow_provider_tungsten.replicator.thl.event import ROW_KINDS, ThlEvent

Format = Literal["arrow", "jsonl"]
_PENDING_BYTES = 32 * 1024 * 1024
_PENDING_LARGE = 4 * 1024 * 1024  # of the records of a large event
_PENDING_RECORDS = 16_384
_STEP_BYTES = 1024 * 1024
_MOST_FILES = 500


class _Writer:
    """A file of one shape. Records wait until there is a batch of them.

    :param file: None: standard output.
    """

    def __init__(self, shape: Shape, path: Path | None, form: Format) -> None:
        self.shape = shape
        self.path = path
        self.records = 0
        self._pending: list[Record] = []
        with _writable(path):
            self._file: BinaryIO = sys.stdout.buffer if path is None else _part(path).open("wb")
        self._arrow = None
        if form == "arrow":
            new = pa.ipc.new_stream if path is None else pa.ipc.new_file
            self._sink = _Sink(self._file)
            self._arrow = new(pa.PythonFile(self._sink, "w"), shape.schema)

    def add(self, event: ThlEvent) -> None:
        if is_large(event):
            self._add_large(event)
            return
        for record in self.shape.records(event, large=False):
            self._pending.append(record)
            if len(self._pending) >= _PENDING_RECORDS:
                self.flush()

    def _add_large(self, event: ThlEvent) -> None:
        """Its records go by their sizes, those with large texts one by one."""
        held = 0
        for record in self.shape.records(event, large=True):
            texts = [*texts_of(record)]
            if any(isinstance(text, LargeText) for text in texts):
                self.flush()
                self._write_large(record, texts)
                continue
            self._pending.append(record)
            held += sum(len(text or "") for text in texts)
            if held >= _PENDING_LARGE or len(self._pending) >= _PENDING_RECORDS:
                self.flush()
                held = 0

    def flush(self) -> None:
        if not self._pending:
            return
        self.records += len(self._pending)
        if self._arrow is not None:
            table = self.shape.table(self._pending)
            with _writable(self.path):
                self._arrow.write_table(table)
        else:
            lines = [_json(self.shape.as_json(record)) for record in self._pending]
            with _writable(self.path):
                self._file.write(("\n".join(lines) + "\n").encode())
        self._pending.clear()

    def _write_large(self, record: Record, texts: Sequence[str | None]) -> None:
        self.records += 1
        if self._arrow is not None:
            table, self._sink.buffers = self.shape.large_table(record)
            with _writable(self.path):
                self._arrow.write_table(table)
            self._sink.buffers = ()
            return
        if self.path is None:
            # Of a line that cannot be written whole nothing is.
            for _ in chain.from_iterable(map(pieces_of, filter(None, texts))):
                pass
        line = _json(self.shape.as_json(record)) + "\n"
        for piece in expanded(line, texts, lambda piece: _json(piece)[1:-1]):
            with _writable(self.path):
                self._file.write(piece.encode())

    def finish(self) -> None:
        """The file is whole then; :meth:`publish` gives it its name."""
        self.flush()
        with _writable(self.path):
            if self._arrow is not None:
                self._arrow.close()
            self._file.flush()
            if self.path is not None:
                self._file.close()

    def publish(self) -> None:
        if self.path is not None:
            with _writable(self.path):
                os.replace(_part(self.path), self.path)

    def discard(self) -> None:
        if self.path is not None:
            self._file.close()
            _part(self.path).unlink(missing_ok=True)


class _Sink:
    """A file as Arrow writes it: a step at a time, so that what lies in ``buffers`` need not be in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.buffers: Sequence[SpooledBuffer] = ()
        self.closed = False

    def write(self, data: Buffer) -> None:
        with memoryview(data) as view:
            for start in range(0, len(view), _STEP_BYTES):
                self._file.write(view[start : start + _STEP_BYTES])
                for buffer in self.buffers:
                    buffer.page_out()

    def flush(self) -> None:
        self._file.flush()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


@contextmanager
def _writable(path: Path | None) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StorageError(f"cannot write {path or 'standard output'}: {error.strerror or error}") from error


class Export:
    """Where events go. A context manager: left by an exception, it leaves no file behind.

    :param place: a file; a folder, where every table gets a file of its own, and another one when its columns change;
        None: standard output.
    :param typed: rows with their table's columns; without a folder the events are those of one table then.
    """

    def __init__(self, place: Path | None, form: Format, *, folder: bool, typed: bool) -> None:
        self._place = place
        self._form: Format = form
        self._folder = folder
        self._typed = typed
        self._writers: list[_Writer] = []
        self._by_table: dict[tuple[str, str], _Writer] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._pending = 0

    def __enter__(self) -> Export:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._discard()
            return
        try:
            for writer in self._writers:
                writer.finish()
            for writer in self._writers:
                writer.publish()
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        for writer in self._writers:
            writer.discard()

    @property
    def records(self) -> dict[str, int]:
        """By file."""
        return {str(writer.path or "-"): writer.records for writer in self._writers}

    def add(self, event: ThlEvent) -> None:
        """:raises DataError: what the file's columns cannot hold, or what is no text."""
        if self._typed and event.kind not in ROW_KINDS:
            return
        try:
            self._writer(event).add(event)
        except ValueRefused as error:
            raise refused(event, error) from error
        self._pending += len(event.payload or b"")
        if self._pending >= _PENDING_BYTES:
            for writer in self._writers:
                writer.flush()
            self._pending = 0

    def _writer(self, event: ThlEvent) -> _Writer:
        if not self._typed:
            return self._writers[0] if self._writers else self._open(Changes(), self._place)
        name = (event.schema_name, event.table_name)
        definition = TableDefinition.from_json(event.definition or "")
        known = self._by_table.get(name)
        if known is not None and isinstance(known.shape, Rows):
            if known.shape.definition == definition:
                return known
            if self._form == "jsonl":
                known.flush()
                known.shape = Rows(definition)
                return known
            if not self._folder:
                raise DataError(
                    f"the columns of {definition.name} change at seqno {event.seqno}, and an Arrow file has one set of "
                    f"columns: end with --high {event.seqno - 1}, or give a folder to --to, or take --format jsonl"
                )
        self._by_table[name] = self._open(Rows(definition), self._file_of(*name))
        return self._by_table[name]

    def _file_of(self, schema: str, table: str) -> Path | None:
        if self._place is None or not self._folder:
            return self._place
        number = self._counts[schema, table] = self._counts[schema, table] + 1
        stem = f"{quote(schema, safe='')}.{quote(table, safe='')}"
        return self._place / (f"{stem}.{number}.{self._form}" if number > 1 else f"{stem}.{self._form}")

    def _open(self, shape: Shape, path: Path | None) -> _Writer:
        if len(self._writers) == _MOST_FILES:
            raise ConfigurationError(f"more than {_MOST_FILES} files: choose fewer tables with --table")
        writer = _Writer(shape, path, self._form)
        self._writers.append(writer)
        return writer
