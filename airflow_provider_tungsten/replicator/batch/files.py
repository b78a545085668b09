"""Names and whereabouts of a batch's objects: what they are called, whether they are all there, how the manifest is put."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from os.path import commonprefix
from threading import Lock
from types import TracebackType
from typing import BinaryIO

from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Part, Plan, TableBatch
from airflow_provider_tungsten.replicator.batch.names import encoded
from airflow_provider_tungsten.replicator.batch.skips import closed
from airflow_provider_tungsten.replicator.errors import CorruptLogError, DivergedError, StorageError
from airflow_provider_tungsten.replicator.storage import ObjectExistsError, Storage

# Many small files wait for the store's answers together; of large ones, which take memory, a few at a time do.
_UPLOADS = 16
_UPLOAD_BYTES = 64 * 1024 * 1024
# Written sooner than handed to another thread, where no answer is waited for.
_SMALL = 1024 * 1024


def manifest_key(first: int, last: int, skipped: Sequence[int] = ()) -> str:
    """:param skipped: seqnos that are left out: a batch without them is another than the one with them."""
    digest = hashlib.sha256(json.dumps([*skipped]).encode()).hexdigest()[:16]
    return f"_batches/{first:019d}-{last:019d}{f'.without-{digest}' if skipped else ''}.json"


def gap_key(seqno: int) -> str:
    """Name of the object that acknowledges the gap record ``seqno``."""
    return f"_batches/{seqno:019d}.gap-acknowledged.json"


def table_stem(schema: str, table: str, first: int, last: int) -> str:
    """What the names of all files of one table in one batch begin with, where the key template is the default one."""
    return f"{encoded(schema)}/{encoded(table)}/{first:019d}-{last:019d}"


def copy_manifest(parts: Sequence[Part], url: str) -> bytes:
    """What COPY reads: every file with its size, all of them mandatory.

    https://docs.aws.amazon.com/redshift/latest/dg/loading-data-files-using-manifest.html

    :param url: of the applier's folder in the store that COPY reads from.
    """
    entries = [
        {"url": f"{url}/{part.key}", "mandatory": True, "meta": {"content_length": part.size}}
        for part in parts
    ]
    return json.dumps({"entries": entries}, ensure_ascii=False, separators=(",", ":")).encode()


def read_manifest(store: Storage, plan: Plan) -> BatchManifest | None:
    """The batch manifest of that plan's range, None where the batch does not exist.

    :param store: the applier's folder.
    """
    key = manifest_key(plan.first, plan.last, plan.skipped)
    if not store.exists(key):
        return None
    try:
        return BatchManifest.from_json(store.read(key))
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptLogError(
            f"{store.url}/{key} is not a batch manifest of this version: {error!r}"
        ) from error


def missing_files(store: Storage, manifest: BatchManifest) -> Iterator[str]:
    """Names of the files that the manifest promises and the store does not hold in that size."""
    for table in manifest.tables:
        yield from absent_files(store, manifest.plan, table)


def absent_files(store: Storage, plan: Plan, table: TableBatch) -> Iterator[str]:
    """The same of one table's share: one listing where its files alone begin alike, else one a file."""
    stem = commonprefix(table.keys)
    prefixes = [stem] if f"{plan.first:019d}" in stem else table.keys
    sizes = {info.key: info.size for prefix in prefixes for info in store.list(prefix)}
    yield from (part.key for part in table.parts if sizes.get(part.key) != part.size)
    if table.copy_manifest and table.copy_manifest not in sizes:
        yield table.copy_manifest


def publish(store: Storage, manifest: BatchManifest, token: str) -> BatchManifest:
    """:func:`put_manifest` into a feed, whose batches are their readers' from then on: no skip joins meanwhile, and a range has
    one manifest.

    :raises GapError: another seqno is skipped by now.
    :raises StorageError: the range is in the feed with other seqnos left out.
    """
    plan = manifest.plan
    with closed(store, plan, token):
        key = manifest_key(plan.first, plan.last, plan.skipped)
        for info in store.list(manifest_key(plan.first, plan.last).removesuffix(".json")):
            if info.key != key:
                raise StorageError(
                    f"{store.url}/{info.key} is in the feed, so that seqnos {', '.join(map(str, plan.skipped)) or '(none)'} cannot be "
                    "what is left out of that batch: a skip was cut off. Remove its record from _batches/skips/"
                )
        return put_manifest(store, manifest, token)


def put_manifest(store: Storage, manifest: BatchManifest, token: str) -> BatchManifest:
    """Puts the batch manifest, last of all; where another writer was first, its batch is the one that exists.

    :raises StorageError: the manifest that is there promises files that are gone and that we do not make.
    :raises DivergedError: it was made from another plan.
    """
    plan = manifest.plan
    key = manifest_key(plan.first, plan.last, plan.skipped)
    try:
        store.create(key, manifest.to_json(), token=token)
        return manifest
    except ObjectExistsError:
        pass
    winner = read_manifest(store, plan)
    if winner is None:
        raise StorageError(f"{store.url}/{key} is refused as existing, but it is not there")
    if winner.plan != plan:
        raise DivergedError(
            f"{store.url}/{key} was made from another plan (THL {winner.plan.thl_uuid}, planned by {winner.plan.writer}) than the "
            f"one at hand (THL {plan.thl_uuid}, planned by {plan.writer}): folder and log do not belong together"
        )
    if winner != manifest and (gone := list(missing_files(store, winner))):
        raise StorageError(
            f"{store.url}: files of batch {plan.first}–{plan.last} are gone ({', '.join(gone[:3])} …) and are not made anew under the "
            "present settings: restore them, or go back to the settings that the batch was written with"
        )
    return winner


class Uploads:
    """Write-once puts of files whose name holds a hash of their content, a few at a time.

    When the context is left normally they are all there, and durable; or those of them that are to be kept, and no others.
    """

    def __init__(self, store: Storage, token: str) -> None:
        self._store = store
        self._group = store.group(token)
        self._sizes: dict[str, int] = {}
        self._kept: Set[str] | None = None
        self._pool = ThreadPoolExecutor(_UPLOADS)
        self._lock = Lock()
        self._running: deque[tuple[Future[None], int]] = deque()
        self._bytes = 0

    def keep(self, keys: Set[str]) -> None:
        """Of all that was put, or is still to be put."""
        self._kept = keys

    def put(self, key: str, source: bytes | BinaryIO, size: int) -> None:
        """From any number of threads.

        :param source: the content, or an open file, which is closed when it is stored.
        """
        self._sizes[key] = size
        if size <= _SMALL and not self._group.waits:
            self._put(key, source)
            return
        with self._lock:
            while self._running and (len(self._running) >= _UPLOADS or self._bytes + size > _UPLOAD_BYTES):
                self._wait_for_one()
            self._running.append((self._pool.submit(self._put, key, source), size))
            self._bytes += size

    def _put(self, key: str, source: bytes | BinaryIO) -> None:
        self._group.create(key, source)
        if not isinstance(source, bytes):
            source.close()

    def wait(self) -> None:
        """:raises StorageError, StorageUnavailableError: of the first put that failed."""
        while self._running:
            self._wait_for_one()

    def _wait_for_one(self) -> None:
        future, size = self._running.popleft()
        self._bytes -= size
        future.result()

    def __enter__(self) -> Uploads:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.wait()
                met = self._group.finish()
                kept = self._sizes.keys() if self._kept is None else self._kept
                # Of the others, who made the same before may remove them first.
                for key in kept & set(met):
                    self._check(key, self._sizes[key])
                for key in self._sizes.keys() - kept:
                    self._store.delete(key)
        finally:
            self._pool.shutdown(cancel_futures=True)
            self._group.close()

    def _check(self, key: str, size: int) -> None:
        found = next(self._store.list(key), None)
        if found is None or found.key != key or found.size != size:
            raise StorageError(
                f"{self._store.url}/{key} is there, but not with the {size} bytes that its name stands for: remove it, then "
                "run the task again"
            )
