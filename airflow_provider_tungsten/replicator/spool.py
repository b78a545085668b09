"""Where the fragments of an open transaction wait for its commit: in memory, and beyond a size on disk."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Iterator
from typing import IO, NamedTuple

from airflow_provider_tungsten.replicator.errors import StorageError
from airflow_provider_tungsten.replicator.thl.event import Kind

# Kind, table, rows, bytes of the payload, of the options, of the payload with what continues it.
_HEAD = struct.Struct("<BIIIIQ")
_KINDS = tuple(Kind)
_FRAGMENT_BYTES = 256  # what a fragment takes in memory besides its payload


class TableKey(NamedTuple):
    """The table of a fragment, as the THL names it. ``definition`` is JSON; None for a statement."""

    schema: str
    table: str
    definition: str | None


class Fragment(NamedTuple):
    """What becomes one record of a segment when its transaction commits.

    ``whole``: bytes of the payload with those that continue it; 0 where none do.
    """

    kind: Kind
    table: TableKey
    rows: int
    payload: bytes
    options: dict[str, str] | None = None
    whole: int = 0


class Spool:
    """Fragments in order. More than `limit` bytes of them are moved to a temporary file that has no name.

    :param limit: bytes to keep in memory.
    :raises StorageError: (where something is added) the file cannot be written.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._memory: list[Fragment] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._tables: dict[TableKey, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, fragment: Fragment) -> None:
        self._memory.append(fragment)
        self._count += 1
        self._bytes += len(fragment.payload) + _FRAGMENT_BYTES
        if self._bytes > self._limit:
            self._to_disk()

    def __iter__(self) -> Iterator[Fragment]:
        if self._file is not None:
            yield from self._from_disk(self._file)
        yield from self._memory

    @property
    def on_disk(self) -> bool:
        """Whether the fragments can be read only while nothing is added."""
        return self._file is not None

    def cut(self, count: int) -> int:
        """Forgets all fragments but the first `count`; how many rows they held."""
        gone = [fragment.rows for number, fragment in enumerate(self) if number >= count]
        on_disk = self._count - len(self._memory)
        if self._file is not None and count < on_disk:
            self._file.truncate(self._place(self._file, count))
            self._memory.clear()
            self._bytes = 0
        else:
            for fragment in self._memory[count - on_disk :]:
                self._bytes -= len(fragment.payload) + _FRAGMENT_BYTES
            del self._memory[count - on_disk :]
        self._count = count
        return sum(gone)

    def clear(self) -> None:
        """Forgets everything, the file too."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._tables.clear()
        self._memory.clear()
        self._bytes = self._count = 0

    def _to_disk(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="tungsten-spool-")
            self._write(self._file)
            self._file.flush()
        except OSError as error:
            raise StorageError(
                f"a transaction larger than {self._limit} bytes waits for its commit in a temporary file, which cannot be "
                f"written: {error}; free space in {tempfile.gettempdir()} or set TMPDIR"
            ) from error
        self._memory.clear()
        self._bytes = 0

    def _write(self, file: IO[bytes]) -> None:
        for kind, table, rows, payload, options, whole in self._memory:
            extra = json.dumps(options).encode() if options else b""
            number = self._tables.setdefault(table, len(self._tables))
            file.write(_HEAD.pack(_KINDS.index(kind), number, rows, len(payload), len(extra), whole))
            file.write(payload)
            file.write(extra)

    def _place(self, file: IO[bytes], number: int) -> int:
        """Where a fragment begins; the file stands there."""
        file.seek(0)
        for _ in range(number):
            _, _, _, size, extra, _ = _HEAD.unpack(file.read(_HEAD.size))
            file.seek(size + extra, os.SEEK_CUR)
        return file.tell()

    def _from_disk(self, file: IO[bytes]) -> Iterator[Fragment]:
        tables = list(self._tables)
        end = file.tell()
        file.seek(0)
        while file.tell() < end:
            kind, number, rows, size, extra, whole = _HEAD.unpack(file.read(_HEAD.size))
            payload = file.read(size)
            options = json.loads(file.read(extra)) if extra else None
            yield Fragment(_KINDS[kind], tables[number], rows, payload, options, whole)
