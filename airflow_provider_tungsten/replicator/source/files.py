"""Binlog files in a folder, read as if their server sent them: archived, copied by ``mysqlbinlog --raw``, downloaded from RDS.

What stands in front of a file, and whether the next one follows, is judged here; events are the stream's business.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from airflow_provider_tungsten.replicator.binlog.constants import GTID_EVENTS, EventFlag, EventType
from airflow_provider_tungsten.replicator.binlog.events import (
    FormatDescription,
    has_checksum_field,
    parse_format_description,
    parse_previous_gtids,
)
from airflow_provider_tungsten.replicator.binlog.executed import Executed, executed_behind
from airflow_provider_tungsten.replicator.binlog.framing import Dump, EventStream
from airflow_provider_tungsten.replicator.binlog.gtid import GtidSet
from airflow_provider_tungsten.replicator.errors import (
    ConfigurationError,
    CorruptLogError,
    DivergedError,
    LogPurgedError,
    TungstenError,
    UnsupportedError,
)
from airflow_provider_tungsten.replicator.service import Start
from airflow_provider_tungsten.replicator.thl.event import Resume, parse_event_id

FILE_BEGIN = 4
READ_BYTES = 1024 * 1024
MAGIC = b"\xfebin"
_ENCRYPTED = b"\xfdbin"
_RELAY_LOG = 0x40  # LOG_EVENT_RELAY_LOG_F
_HEADER = struct.Struct("<IBIIIH")
_CHECKSUM = 4
_LONGEST_HEAD = 64 * 1024 * 1024  # a PREVIOUS_GTIDS of over a million intervals
_NUMBERED = re.compile(r"(.+)\.(\d+)")


class LogFile(NamedTuple):
    """:param size: bytes of it that are read; one that is still written may grow meanwhile."""

    path: Path
    size: int

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def number(self) -> int | None:
        """By which files are ordered: their names sort wrongly behind ``.999999``. None without."""
        match = _NUMBERED.fullmatch(self.name)
        return int(match[2]) if match else None


class FileHead(NamedTuple):
    """What a file says of itself.

    :param description_event: the FORMAT_DESCRIPTION as it stands there.
    :param in_use: its server has not closed it: it is still written, or was copied while it was.
    :param previous_gtids: executed before it; None where it does not tell.
    """

    description_event: bytes
    description: FormatDescription
    in_use: bool
    previous_gtids: GtidSet | None


def find_files(where: str | Path) -> list[LogFile]:
    """The binlog files of a folder, of a pattern (``/archive/mysql-bin.*``), or a single one; oldest first.

    In a folder these are the files that end in a dot and a number.

    :raises ConfigurationError: none, or those of several servers or names.
    """
    path = Path(where)
    if path.is_file():
        return [LogFile(path, path.stat().st_size)]
    folder, pattern = (path, "*") if path.is_dir() else (path.parent, path.name)
    found = [LogFile(file, file.stat().st_size) for file in folder.glob(pattern) if file.is_file()]
    files = [file for file in found if file.number is not None]
    if not files:
        raise ConfigurationError(
            f"no binlog files in {where}: give a folder that holds files like mysql-bin.000001, a pattern for them, "
            "or one file"
        )
    names = sorted({file.name.rpartition(".")[0] for file in files})
    if len(names) > 1:
        raise ConfigurationError(
            f"{where} holds the logs of several names ({', '.join(names)}): name one of them, as in "
            f"'{folder / names[0]}.*'"
        )
    return sorted(files, key=lambda file: (file.number, file.name))


def read_head(file: LogFile) -> FileHead:
    """Looks at the first two events.

    :raises UnsupportedError: encrypted, a relay log, or of a format that is not understood.
    :raises CorruptLogError: not a binlog file.
    """
    try:
        with file.path.open("rb") as handle:
            return _head(file, handle)
    except OSError as error:
        raise _unreadable(file, error) from None


def _head(file: LogFile, handle: BinaryIO) -> FileHead:
    magic = handle.read(4)
    if magic == _ENCRYPTED:
        raise UnsupportedError(
            f"{file.name} is encrypted (binlog_encryption): copy it with `mysqlbinlog --read-from-remote-server "
            "--raw`, which decrypts it, or read from the server"
        )
    if magic != MAGIC:
        raise CorruptLogError(f"{file.path} is no binlog file: it does not begin with {MAGIC.hex(' ')}")
    kind, flags, event = _whole_event(file, handle)
    if kind != EventType.FORMAT_DESCRIPTION:
        raise UnsupportedError(
            f"{file.name}:{FILE_BEGIN}: the file does not begin with a FORMAT_DESCRIPTION: it is older than MySQL 5.0, "
            "or its beginning was cut off"
        )
    body = event[_HEADER.size :]
    try:
        has_checksum = has_checksum_field(body)
        description = parse_format_description(body[:-_CHECKSUM] if has_checksum else body)
    except TungstenError as error:
        raise type(error)(f"{file.name}:{FILE_BEGIN}: {error}") from None
    head = FileHead(event, description, bool(flags & EventFlag.IN_USE), None)
    if flags & _RELAY_LOG:
        raise _relay_log(file)
    return _behind_description(file, handle, head)


def _behind_description(file: LogFile, handle: BinaryIO, head: FileHead) -> FileHead:
    """PREVIOUS_GTIDS, or in a relay log, with or without it, the ROTATE that a replica was sent when it connected."""
    for _ in range(2):
        if file.size - handle.tell() < _HEADER.size:
            break
        position = handle.tell()
        _, kind, _, _, end, flags = _HEADER.unpack(handle.read(_HEADER.size))
        if kind == EventType.ROTATE and (not end or flags & EventFlag.ARTIFICIAL):
            raise _relay_log(file)
        if kind != EventType.PREVIOUS_GTIDS:
            break
        handle.seek(position)
        try:
            _, _, event = _whole_event(file, handle)
        except CorruptLogError:
            break  # the dump says more about it, and whether it matters
        body = event[_HEADER.size : -_CHECKSUM if head.description.checksum else None]
        head = head._replace(previous_gtids=parse_previous_gtids(body))
    return head


def _whole_event(file: LogFile, handle: BinaryIO) -> tuple[int, int, bytes]:
    """Type, flags and bytes of the event at the handle's place."""
    position = handle.tell()
    header = handle.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise _cut(file, position)
    _, kind, _, length, _, flags = _HEADER.unpack(header)
    if length < _HEADER.size or length > _LONGEST_HEAD:
        raise CorruptLogError(f"{file.name}:{position}: an event says that it has {length} bytes")
    event = header + handle.read(length - len(header))
    if len(event) < length:
        raise _cut(file, position)
    return kind, flags, event


class FilesDump(Dump):
    """A dump whose bytes come out of files: their events as they lie there, and in front of each file the artificial
    ROTATE that a server would send.

    :param files: one behind the other, the first one holding `position`.
    :param position: offset of an event's first byte.
    :param executed: the GTIDs that were read up to now; compared where the next file says what went before it.

    Reading it raises

    :raises CorruptLogError: a file is cut short, or is no binlog file.
    :raises LogPurgedError: files are missing in between.
    :raises DivergedError: a file does not follow the one before.
    :raises UnsupportedError: see :func:`read_head`.

    Attribute ``warnings``: one line each.
    """

    def __init__(
        self,
        files: Sequence[LogFile],
        position: int,
        executed: Callable[[], GtidSet] | None = None,
        *,
        verify_checksum: bool = True,
    ) -> None:
        stream = EventStream(files[0].name, position, verify_checksum=verify_checksum, framing="file")
        super().__init__(stream, self._read(files, position))
        self._executed = executed
        self.warnings: list[str] = []

    def _read(self, files: Sequence[LogFile], position: int) -> Iterator[bytes | memoryview]:
        checksum = 0
        before: tuple[LogFile, FileHead] | None = None
        for file in files:
            head = read_head(file)
            if before is not None:
                self._check_follows(*before, file)
            if position == FILE_BEGIN:
                self._check_gtids(file, head)
            yield _artificial_rotate(file.name, position, checksum)
            if position != FILE_BEGIN:
                yield head.description_event
            yield from self._events_of(file, position)
            if not self._check_end(file, is_open=head.in_use and file is files[-1]):
                return
            before = file, head
            checksum, position = head.description.checksum, FILE_BEGIN

    def _events_of(self, file: LogFile, position: int) -> Iterator[bytes | memoryview]:
        """The file up to its end, or up to zeros that are no event's."""
        try:
            with file.path.open("rb", buffering=0) as handle:
                zeros = _trailing_zeros(handle, file.size, position)
                handle.seek(position)
                yield from _chunks(handle, file.size - zeros - position)
                while zeros and self.stream.pending:
                    yield handle.read(1)
                    zeros -= 1
        except OSError as error:
            raise _unreadable(file, error) from None

    def _check_end(self, file: LogFile, *, is_open: bool) -> bool:
        """Whether it ends with a whole event, where it must: all but the last file that its server still writes."""
        if self.stream.file != file.name:
            if self.stream.pending or self.stream.position != FILE_BEGIN:
                raise CorruptLogError(
                    f"{file.name} goes on behind its ROTATE: it is damaged, or two files in one"
                )
        elif self.stream.position < file.size:
            if is_open:
                return False
            if not self.stream.pending:
                raise CorruptLogError(
                    f"{file.name}:{self.stream.position}: the file's events end here, but {file.size} bytes are in it: zeros, "
                    "as a crash leaves them, or events that no server writes into its log; copy it again"
                )
            raise _cut(file, self.stream.position)
        return True

    def _check_follows(self, last: LogFile, last_head: FileHead, file: LogFile) -> None:
        """ROTATE, where there is one, names the file; without it the server stopped or crashed."""
        if self.stream.file != last.name:
            if self.stream.file != file.name:
                raise _missing(self.stream.file, last, file)
        elif last_head.in_use:
            raise CorruptLogError(
                f"{last.name}:{last.size}: the file was copied while its server still wrote it, and {file.name} "
                "follows it: copy it again"
            )
        elif not _stopped(last):
            self.warnings.append(
                f"{last.name} ends without ROTATE or STOP: its server crashed there, or the copy is not whole"
            )

    def _check_gtids(self, file: LogFile, head: FileHead) -> None:
        previous = head.previous_gtids
        if previous is None or self._executed is None or self._executed().contains(previous):
            return
        raise DivergedError(
            f"{file.name} does not follow what was read before: transactions that it says went before it are missing. "
            "The copy of the file before it is not whole, or the files are of two histories"
        )


def checked_files(files: Sequence[LogFile], name: str) -> list[LogFile]:
    """The files from `name` on.

    :raises LogPurgedError: it is not there, or others are missing behind it.
    """
    at = next((index for index, file in enumerate(files) if file.name == name), None)
    if at is None:
        raise LogPurgedError(
            f"{files[0].path.parent} has no {name}, in which reading must go on; it has {files[0].name} to "
            f"{files[-1].name}. Add the files from {name} on"
        )
    wanted = list(files[at:])
    for before, file in zip(wanted, wanted[1:], strict=False):
        if before.number is None or file.number != before.number + 1:
            raise _missing(f"what comes behind {before.name}", before, file)
    return wanted


def first_place(files: Sequence[LogFile], start: Start) -> Resume:
    """The place in the files that `start` means. Of which server they are is not known: its server_uuid is ''.

    :raises ConfigurationError: no such place.
    :raises LogPurgedError: the files begin behind it.
    """
    if start.at == "now":
        raise ConfigurationError(
            "source.start: files have no `now`; give earliest, file:position or a GTID set"
        )
    if start.event_id is not None:
        return _at_event_id(files, start.event_id)
    if start.gtid_set is not None:
        return _behind_gtid_set(files, start.gtid_set)
    previous = read_head(files[0]).previous_gtids
    return Resume("", files[0].name, FILE_BEGIN, str(previous or ""))


def _at_event_id(files: Sequence[LogFile], text: str) -> Resume:
    """Reads the file up to the place: for the GTIDs before it, and to see that a transaction begins there."""
    name, position = parse_event_id(text)
    file = checked_files(files, name)[0]
    executed: Executed = GtidSet()
    end, fits = FILE_BEGIN, position == FILE_BEGIN
    begins = GTID_EVENTS | {EventType.ROTATE, EventType.STOP}
    for event in FilesDump([file], FILE_BEGIN).events():
        if event.end == event.start:
            continue
        if event.start >= position:
            fits = fits or event.start == position and event.type in begins
            break
        end = event.end
        executed = executed_behind(executed, event)
    else:
        fits = fits or end == position
    if not fits:
        raise ConfigurationError(
            f"start at {text}: no transaction begins there; give the position behind a transaction, as a dump with "
            "--source-data tells it"
        )
    return Resume("", name, position, str(executed))


def _behind_gtid_set(files: Sequence[LogFile], text: str) -> Resume:
    """The last file before which nothing else was executed; what it repeats of the set will be passed over."""
    try:
        wanted = GtidSet.parse(text)
    except ValueError as error:
        raise ConfigurationError(f"start at a GTID set: {error}") from None
    for file in reversed(files):
        previous = read_head(file).previous_gtids
        if previous is not None and wanted.contains(previous):
            return Resume("", file.name, FILE_BEGIN, str(wanted))
    raise LogPurgedError(
        f"{files[0].path.parent} lacks transactions that are not in {wanted}: {files[0].name} begins behind "
        f"{read_head(files[0]).previous_gtids or 'no GTIDs'}. Add the files before it"
    )


def _chunks(handle: FileIO, left: int) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(READ_BYTES))
    while left > 0 and (size := handle.readinto(buffer[: min(left, READ_BYTES)])):
        left -= size
        yield buffer[:size]


def _trailing_zeros(handle: FileIO, size: int, begin: int) -> int:
    """Zero bytes at the end of a file, of which there are more than belong to an event for sure: a crash leaves them, but
    values may end in them, too."""
    end = size
    while end > begin:
        handle.seek(max(begin, end - READ_BYTES))
        block = handle.read(min(end - begin, READ_BYTES))
        kept = len(block.rstrip(b"\0"))
        end -= len(block) - kept
        if kept or not block:
            break
    return size - end


def _artificial_rotate(name: str, position: int, checksum: int) -> bytes:
    """:param checksum: the algorithm of the file before."""
    body = position.to_bytes(8, "little") + name.encode()
    length = _HEADER.size + len(body) + (_CHECKSUM if checksum else 0)
    event = _HEADER.pack(0, EventType.ROTATE, 0, length, 0, EventFlag.ARTIFICIAL) + body
    return event + zlib.crc32(event).to_bytes(4, "little") if checksum else event


def _stopped(file: LogFile) -> bool:
    """Whether the file's last event is a STOP, with or without a checksum."""
    with file.path.open("rb") as handle:
        for length in (_HEADER.size, _HEADER.size + _CHECKSUM):
            handle.seek(max(0, file.size - length))
            _, kind, _, size, end, _ = _HEADER.unpack(handle.read(_HEADER.size))
            if (kind, size, end) == (EventType.STOP, length, file.size & 0xFFFFFFFF):
                return True
    return False


def _cut(file: LogFile, position: int) -> CorruptLogError:
    return CorruptLogError(
        f"{file.name}:{position}: the file ends inside an event, after {file.size} bytes: its copy is not whole, or its "
        "server crashed; copy it again"
    )


def _relay_log(file: LogFile) -> UnsupportedError:
    return UnsupportedError(
        f"{file.name} is a relay log, whose events have the positions of another server's log: read that server's "
        "binary log, or the replica's own (log_replica_updates)"
    )


def _missing(wanted: str, before: LogFile, file: LogFile) -> LogPurgedError:
    return LogPurgedError(
        f"{before.path.parent} lacks {wanted}: {before.name} is followed by {file.name}. Add the files that are missing; "
        "where they are lost, the tables must be loaded again and a new log begun behind the gap"
    )


def _unreadable(file: LogFile, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{file.path} cannot be read: {error.strerror}")
