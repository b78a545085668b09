"""Brings a batch from a local staging folder to the store that COPY reads from."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from airflow_provider_tungsten.replicator.batch.files import (
    Uploads,
    missing_files,
    put_manifest,
    read_manifest,
)
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Part
from airflow_provider_tungsten.replicator.errors import CorruptLogError, StorageError
from airflow_provider_tungsten.replicator.storage import Storage

_CHUNK = 1024 * 1024


def upload_batch(staging: Storage, store: Storage, first: int, last: int, *, token: str) -> BatchManifest:
    """Parts, then COPY manifests, then the batch manifest; what is there already is adopted.

    :param staging: the applier's folder in the staging folder.
    :param store: the applier's folder in the final store.
    :raises StorageError: the batch is neither staged nor stored.
    :raises CorruptLogError: a staged part does not hold what the manifest says.
    """
    stored = read_manifest(store, first, last)
    if stored is not None and not any(missing_files(store, stored)):
        return stored
    manifest = read_manifest(staging, first, last)
    if manifest is None:
        raise StorageError(
            f"batch {first}–{last} is not in the staging folder {staging.url}: write it first, on this host or a shared volume"
        )
    with tempfile.TemporaryDirectory(prefix="tungsten-upload-") as folder, Uploads(store, token) as uploads:
        parts = (part for table in manifest.tables for part in table.parts)
        for number, part in enumerate(parts):
            path = Path(folder) / str(number)
            _copy_checked(staging, part, path)
            uploads.put(part.key, path, part.size)
        uploads.wait()
        for table in manifest.tables:
            if table.copy_manifest:
                data = staging.read(table.copy_manifest)
                uploads.put(table.copy_manifest, data, len(data))
    return put_manifest(store, manifest, token)


def _copy_checked(staging: Storage, part: Part, path: Path) -> None:
    digest = hashlib.sha256()
    with staging.open(part.key) as source, path.open("wb") as target:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            target.write(chunk)
    if digest.hexdigest() != part.sha256:
        raise CorruptLogError(
            f"{staging.url}/{part.key} does not hold what its manifest says: remove the batch's manifest and files from the "
            "staging folder and write the batch anew"
        )
