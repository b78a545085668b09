"""A store in a local folder: exclusive links make objects write-once, fsync of file and folder makes them durable."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from airflow_provider_tungsten.replicator.errors import StorageError, StorageUnavailableError
from airflow_provider_tungsten.replicator.storage.base import (
    WRITE_ONCE_CHECK,
    Group,
    ObjectChangedError,
    ObjectExistsError,
    ObjectInfo,
    ObjectMissingError,
    Source,
    Storage,
    opened,
    refuses_other_version,
)

TEMPORARY = ".tungsten-tmp"
_TOKEN = "user.tungsten_writer"
_STALE_SECONDS = 24 * 3600
# Steps of a group's end: a journal commits what several wait for in one go.
_AT_ONCE = 4
_TRANSIENT = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ENFILE}
_MENDS = {
    errno.ENOSPC: "free space on this file system",
    errno.EDQUOT: "raise the quota or free space",
    errno.EACCES: "give this user read and write permission",
    errno.EPERM: "use a file system that allows hard links, and give this user permission",
    errno.EOPNOTSUPP: "use a file system that allows hard links",
    errno.EROFS: "mount the file system for writing",
    errno.EXDEV: "keep the whole folder on one file system",
    errno.ENOTDIR: "the path leads through a file: give another folder",
    errno.EEXIST: "the path leads through a file: give another folder",
}


@contextmanager
def _explained(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        text = f"{path}: {os.strerror(number)}"
        if number in _TRANSIENT:
            raise StorageUnavailableError(text) from error
        mend = _MENDS.get(number)
        raise StorageError(f"{text}; {mend}" if mend else text) from error


def _sync(path: str | Path) -> None:
    """A file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Held by one process of this host at a time; a killed one lets go."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _copy(source: Source, file: BinaryIO) -> int:
    """The content, for every user to read. Returns the file's descriptor."""
    if isinstance(source, bytes):
        file.write(source)
    else:
        with opened(source) as (content, _):
            shutil.copyfileobj(content, file, 1024 * 1024)
    file.flush()
    os.fchmod(descriptor := file.fileno(), 0o644)
    return descriptor


def _sign(path: str, token: str) -> None:
    try:
        os.setxattr(path, _TOKEN, token.encode())
    except OSError as error:
        # Without extended attributes the winner of a race stays unnamed; the race itself is decided by the link.
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSPC, errno.EPERM):
            raise


def _signature(path: Path) -> str:
    try:
        return os.getxattr(path, _TOKEN).decode()
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENODATA, errno.EPERM):
            raise
        return ""


class LocalStorage:
    """Objects are files below a folder; unfinished ones lie in a hidden folder below it that is never listed.

    :param hidden: where unfinished files lie; on the same file system.
    """

    def __init__(self, folder: str | Path, *, hidden: Path | None = None) -> None:
        self._folder = Path(folder)
        self._hidden = hidden or self._folder / TEMPORARY

    @property
    def url(self) -> str:
        return str(self._folder)

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        return self._walk("", prefix.encode(), start_after.encode())

    def _walk(self, parent: str, prefix: bytes, start_after: bytes) -> Iterator[ObjectInfo]:
        with _explained(self._folder / parent):
            try:
                with os.scandir(self._folder / parent) as entries:
                    # A folder sorts as the "name/" that its keys begin with: that gives byte order over whole keys.
                    names = sorted(
                        (entry.name + "/" * entry.is_dir()).encode()
                        for entry in entries
                        if entry.name != TEMPORARY
                    )
            except FileNotFoundError:
                return
        for name in names:
            key = parent.encode() + name
            if name.endswith(b"/"):
                wanted = key.startswith(prefix) or prefix.startswith(key)
                if wanted and (key > start_after or start_after.startswith(key)):
                    yield from self._walk(key.decode(), prefix, start_after)
            elif key.startswith(prefix) and key > start_after:
                path = self._folder / key.decode()
                with _explained(path):
                    try:
                        size = path.stat().st_size
                    except FileNotFoundError:
                        continue
                yield ObjectInfo(key.decode(), size)

    def read(self, key: str) -> bytes:
        with self.open(key) as file, _explained(self._folder / key):
            return file.read()

    def open(self, key: str) -> BinaryIO:
        path = self._folder / key
        with _explained(path):
            try:
                return path.open("rb")
            except FileNotFoundError:
                raise ObjectMissingError(str(path), key) from None

    def exists(self, key: str) -> bool:
        with _explained(self._folder / key):
            return (self._folder / key).is_file()

    def create(self, key: str, source: Source, *, token: str) -> None:
        path = self._folder / key
        with self._unfinished(path, source) as temporary:
            _sign(temporary, token)
            winner = token
            try:
                os.link(temporary, path)
            except FileExistsError:
                # NFS may lose the answer of a link that was made: then both names are one file.
                if not os.path.samefile(temporary, path):
                    winner = _signature(path)
            # Whoever lost may go by the other's file, which the other may not have made durable yet.
            _sync(path.parent)
            if winner != token:
                raise ObjectExistsError(str(path), key, winner)

    def put(self, key: str, data: bytes) -> None:
        path = self._folder / key
        with self._unfinished(path, data) as temporary:
            os.replace(temporary, path)
            _sync(path.parent)

    def group(self, token: str) -> Group:
        return _LocalGroup(self, self._folder, self._hidden)

    def read_version(self, key: str) -> tuple[bytes, str]:
        data = self.read(key)
        return data, hashlib.sha256(data).hexdigest()

    def replace(self, key: str, data: bytes, version: str | None) -> None:
        path = self._folder / key
        with self._unfinished(path, data) as temporary, _locked(path.parent):
            try:
                found = self.read_version(key)[1]
            except ObjectMissingError:
                found = None
            if found != version:
                raise ObjectChangedError(str(path), key)
            os.replace(temporary, path)
            _sync(path.parent)

    @contextmanager
    def _unfinished(self, path: Path, source: Source) -> Iterator[str]:
        """A synced file with the content, under a hidden name; removed afterwards."""
        with _explained(path):
            _make_folder(path.parent)
            _make_folder(self._hidden)
            descriptor, temporary = tempfile.mkstemp(dir=self._hidden)
            try:
                with open(descriptor, "wb") as file:
                    os.fsync(_copy(source, file))
                yield temporary
            finally:
                Path(temporary).unlink(missing_ok=True)

    def delete(self, key: str) -> None:
        path = self._folder / key
        with _explained(path):
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                _sync(path.parent)

    def check_write_once(self) -> str | None:
        self._remove_stale()
        try:
            for token in ("first", "second"):
                self.create(WRITE_ONCE_CHECK, token.encode(), token=token)
        except ObjectExistsError:
            return None
        except StorageError as error:
            return str(error)
        return f"{self.url} lets a file be written twice; use a file system with exclusive hard links"

    def check_replace(self) -> str | None:
        try:
            refused = refuses_other_version(self)
        except StorageError as error:
            return str(error)
        return None if refused else f"{self.url} lets a file be replaced twice; use a file system with locks"

    def _remove_stale(self) -> None:
        """What killed processes left behind."""
        with _explained(self._hidden):
            if not self._hidden.is_dir():
                return
            for path in self._hidden.iterdir():
                if path.stat().st_mtime < time.time() - _STALE_SECONDS:
                    path.unlink(missing_ok=True)

    def sub(self, prefix: str) -> Storage:
        return LocalStorage(self._folder / prefix, hidden=self._hidden)

    def above(self) -> Storage | None:
        parent = self._folder.parent
        return None if parent == self._folder else LocalStorage(parent, hidden=self._hidden)


class _LocalGroup(Group):
    """Hidden files until :meth:`finish`, which syncs all of them before the first gets its name, and each folder once."""

    waits = False

    def __init__(self, store: LocalStorage, folder: Path, hidden: Path) -> None:
        super().__init__(store, "")
        self._folder = folder
        self._hidden = hidden
        self._unnamed = f"{hidden}/{uuid.uuid4()}"
        self._numbers = count()
        self._names: dict[str, str] = {}
        self._folders: set[str] = set()

    def create(self, key: str, source: Source) -> None:
        with _explained(f"{self._folder}/{key}"):
            if not self._folders:
                _make_folder(self._folder)
                _make_folder(self._hidden)
            self._make_folder(key.rpartition("/")[0])
            temporary = f"{self._unnamed}-{next(self._numbers)}"
            self._names[temporary] = key
            with open(temporary, "xb") as file:
                descriptor = _copy(source, file)
                # The kernel begins to write it out, so that there is little to wait for in the end.
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def _make_folder(self, key: str) -> None:
        if key not in self._folders:
            if key:
                self._make_folder(key.rpartition("/")[0])
                with suppress(FileExistsError):
                    os.mkdir(f"{self._folder}/{key}")
            self._folders.add(key)

    def finish(self) -> list[str]:
        self._all(_sync, self._names)
        self._all(self._name, self._names)
        self._all(_sync, [f"{self._folder}/{key}" for key in self._folders])
        return self._met

    def _name(self, temporary: str) -> None:
        key = self._names[temporary]
        path = f"{self._folder}/{key}"
        try:
            os.link(temporary, path)
        except FileExistsError:
            if not os.path.samefile(temporary, path):
                self._met.append(key)

    def _all(self, step: Callable[[str], None], paths: Iterable[str]) -> None:
        """A few at a time: a journal commits what several wait for in one go."""
        todo = list(paths)

        def every(first: int) -> None:
            for path in todo[first::_AT_ONCE]:
                with _explained(path):
                    step(path)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(every, range(_AT_ONCE)):
                pass

    def close(self) -> None:
        self._all(_remove, self._names)
        self._names.clear()
