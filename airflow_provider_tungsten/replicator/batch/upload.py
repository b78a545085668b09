"""Brings a batch from a local staging folder to the store that COPY reads from."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from airflow_provider_tungsten.replicator.batch.files import (
    Uploads,
    missing_files,
    publish,
    put_manifest,
    read_manifest,
)
from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Part, Plan
from airflow_provider_tungsten.replicator.batch.skips import reopen
from airflow_provider_tungsten.replicator.errors import CorruptLogError, StorageError
from airflow_provider_tungsten.replicator.storage import Storage

_CHUNK = 1024 * 1024


def upload_batch(
    staging: Storage, store: Storage, plan: Plan, *, token: str, is_feed: bool = False
) -> BatchManifest:
    """Parts, then COPY manifests, then the batch manifest; what is there already is adopted.

    :param staging: the applier's folder in the staging folder.
    :param store: the applier's folder in the final store.
    :param is_feed: the batch is its readers' from then on.
    :raises StorageError: the batch is neither staged nor stored.
    :raises CorruptLogError: a staged part does not hold what the manifest says.
    """
    stored = read_manifest(store, plan)
    if stored is not None and not any(missing_files(store, stored)):
        if is_feed:
            reopen(store, plan)
        return stored
    manifest = read_manifest(staging, plan)
    if manifest is None:
        raise StorageError(
            f"batch {plan.first}–{plan.last} is not in the staging folder {staging.url}: write it first, on this host or a shared volume"
        )
    with Uploads(store, token) as uploads:
        for part in (part for table in manifest.tables for part in table.parts):
            uploads.put(part.key, _checked(staging, part), part.size)
        uploads.wait()
        for table in manifest.tables:
            if table.copy_manifest:
                data = staging.read(table.copy_manifest)
                uploads.put(table.copy_manifest, data, len(data))
    return (publish if is_feed else put_manifest)(store, manifest, token)


def _checked(staging: Storage, part: Part) -> BinaryIO:
    """The part, open."""
    file, digest = staging.open(part.key), hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    if digest.hexdigest() != part.sha256:
        file.close()
        raise CorruptLogError(
            f"{staging.url}/{part.key} does not hold what its manifest says: remove the batch's manifest and files from the "
            "staging folder and write the batch anew"
        )
    return file
