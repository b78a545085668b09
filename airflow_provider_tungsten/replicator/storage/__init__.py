"""One small interface over a local folder and S3: list, read, write once, delete. What the objects mean is others' business."""

from __future__ import annotations

import os
import socket
import uuid
from typing import TYPE_CHECKING

from airflow_provider_tungsten.replicator.storage.base import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectInfo,
    ObjectMissingError,
    Storage,
)
from airflow_provider_tungsten.replicator.storage.local import LocalStorage

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from airflow_provider_tungsten.replicator.settings import Encryption

__all__ = [
    "LocalStorage",
    "ObjectChangedError",
    "ObjectExistsError",
    "ObjectInfo",
    "ObjectMissingError",
    "Storage",
    "new_token",
    "open_storage",
]


def open_storage(
    url: str, *, s3_client: S3Client | None = None, encryption: Encryption | None = None
) -> Storage:
    """The store at ``url``: an absolute folder (made when first written to) or ``s3://bucket/prefix``.

    :param s3_client: boto3 client; None: one made of boto3's own defaults.
    :param encryption: server-side encryption asked for every S3 object; without meaning for a folder.
    """
    if url.startswith("s3://"):
        # Half a second of imports, which a command on a local log need not wait for.
        from airflow_provider_tungsten.replicator.storage.s3 import S3Storage

        return S3Storage(url, client=s3_client, encryption=encryption)
    return LocalStorage(url)


def new_token(who: str = "") -> str:
    """What a writer signs its objects with: ``who host:pid uuid``, ASCII, never the same twice.

    :param who: e.g. ``dag_id/run_id/task_id/try 1``.
    """
    name = " ".join(who.encode("ascii", "backslashreplace").decode().split())[:500]
    return f"{name} {socket.gethostname()}:{os.getpid()} {uuid.uuid4()}".strip()
