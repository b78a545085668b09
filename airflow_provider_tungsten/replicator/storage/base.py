"""What a store is: the interface, and the errors that both kinds of store raise."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from airflow_provider_tungsten.replicator.errors import StorageError, WriteConflictError


class ObjectInfo(NamedTuple):
    """An object's name, relative to its store, and its size in bytes."""

    key: str
    size: int


class ObjectMissingError(StorageError):
    """There is no object of that name."""

    def __init__(self, place: str, key: str) -> None:
        self.key = key
        super().__init__(f"{place} does not exist")


class ObjectExistsError(WriteConflictError):
    """A write-once object was already there, and another writer's token is on it.

    :param token: the winner's; '' where the store does not tell.
    """

    def __init__(self, place: str, key: str, token: str) -> None:
        self.key = key
        self.token = token
        super().__init__(f"{place} was already written by {token or 'another writer, which left no name'}")


class ObjectChangedError(WriteConflictError):
    """The object is no longer of the version that was to be replaced."""

    def __init__(self, place: str, key: str) -> None:
        self.key = key
        super().__init__(f"{place} was changed by another writer since it was read")


WRITE_ONCE_CHECK = "_write_once_check"

Source = bytes | Path | BinaryIO


@contextmanager
def opened(source: Source) -> Iterator[tuple[BinaryIO, int]]:
    """The content as a file at its beginning, and its size. A file that came open stays open."""
    if isinstance(source, bytes):
        yield io.BytesIO(source), len(source)
    elif isinstance(source, Path):
        with source.open("rb") as file:
            yield file, os.fstat(file.fileno()).st_size
    else:
        size = source.seek(0, io.SEEK_END)
        source.seek(0)
        yield source, size


class Storage(Protocol):
    """A folder of objects. Keys are relative to it, their parts joined by ``/``.

    Every method raises StorageUnavailableError where a later attempt may succeed (timeout, lost connection,
    throttling, 5xx) and StorageError where the store refuses (no such bucket, no permission, disk full).
    """

    @property
    def url(self) -> str:
        """The folder, or ``s3://bucket/prefix``."""

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with ``prefix`` and sorts behind ``start_after``, in byte order; fetched as they are
        asked for, on S3 a page of 1,000 at a time."""

    def read(self, key: str) -> bytes:
        """The whole object.

        :raises ObjectMissingError: no such object.
        """

    def open(self, key: str) -> BinaryIO:
        """The object as a seekable file; on S3 only the ranges that are read are fetched.

        :raises ObjectMissingError: no such object.
        """

    def exists(self, key: str) -> bool:
        """Whether there is an object of that name."""

    def create(self, key: str, source: Source, *, token: str) -> None:
        """Writes an object that is not there yet, durably, whole or not at all, signed with ``token``.

        An object that carries our token is our own, written by an attempt whose answer was lost: that is success.

        :param source: the content, or a local file that holds it, by path or open.
        :param token: of :func:`new_token`.
        :raises ObjectExistsError: another writer's object is there.
        """

    def group(self, token: str) -> Group:
        """For many objects whose names hold a hash of their content: see :class:`Group`."""

    def put(self, key: str, data: bytes) -> None:
        """Writes or overwrites; for hints only, since nothing stops two writers."""

    def read_version(self, key: str) -> tuple[bytes, str]:
        """The whole object, and what :meth:`replace` knows this version of it by.

        :raises ObjectMissingError: no such object.
        """

    def replace(self, key: str, data: bytes, version: str | None) -> None:
        """Writes the object, durably, whole or not at all, if it is of that version; None: if it is not there.

        :raises ObjectChangedError: it is of another. What is there then may be this very ``data``: the answer to a write that
            was repeated can get lost.
        """

    def delete(self, key: str) -> None:
        """Removes the object; one that is not there is no error."""

    def check_write_once(self) -> str | None:
        """Tries whether the store refuses to write an object twice, with one of its own, ``_write_once_check``, which stays: so
        whoever is killed leaves what everybody leaves.

        :returns: None where it does, else what is wrong and how to mend it.
        """

    def check_replace(self) -> str | None:
        """The same for replacing an object of another version, which is removed again."""

    def sub(self, prefix: str) -> Storage:
        """The same store, one folder down."""

    def above(self) -> Storage | None:
        """The same store, one folder up; None: this is the bucket, or the root folder."""


class Group:
    """Many new objects, which are all there, whole and durable, when :meth:`finish` returns, and maybe not before.

    In a folder that costs a fraction of making each durable by itself; a store that has no such thing writes each at once.

    :cvar waits: whether :meth:`create` waits for a store's answer, so that many at a time are faster than one by one.
    """

    waits = True

    def __init__(self, store: Storage, token: str) -> None:
        self._store = store
        self._token = token
        self._met: list[str] = []

    def create(self, key: str, source: Source) -> None:
        """Takes an object's content; from any number of threads. Errors are the store's."""
        try:
            self._store.create(key, source, token=self._token)
        except ObjectExistsError:
            self._met.append(key)

    def finish(self) -> list[str]:
        """:returns: keys of objects that another writer made before; they are durable, too."""
        return self._met

    def close(self) -> None:
        """Removes what lies about of an unfinished group."""


def refuses_other_version(store: Storage) -> bool:
    """Whether :meth:`Storage.replace` does, tried on an object that is removed again."""
    key = f"_replace_check-{uuid.uuid4()}"
    try:
        store.replace(key, b"first", None)
        _, version = store.read_version(key)
        store.replace(key, b"second", version)
        try:
            store.replace(key, b"third", version)
        except ObjectChangedError:
            return True
    finally:
        store.delete(key)
    return False
