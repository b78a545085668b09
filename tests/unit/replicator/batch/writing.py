"""Plans and writes the batches of a small log, and reads what was written."""

from __future__ import annotations

import csv
import io
from typing import Any

import zstandard

from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest, Plan, TableBatch
from airflow_provider_tungsten.replicator.batch.writer import write_batch
from airflow_provider_tungsten.replicator.storage import Storage, new_token
from airflow_provider_tungsten.replicator.storage.base import WRITE_ONCE_CHECK
from tests.unit.replicator.batch.logs import (
    Logbook,
    make_service,
)


def plans(book: Logbook, **applier: Any) -> list[Plan]:
    return book.chain(**applier).extend(token="planner", limit=100, waiting=False)


def write(book: Logbook, plan: Plan, **applier: Any) -> BatchManifest:
    return write_batch(book.log, plan, make_service(**applier), "redshift", book.store, token=new_token())


def contents(store: Storage) -> dict[str, bytes]:
    return {
        info.key: store.read(info.key)
        for info in store.list()
        if not info.key.endswith((".plan.json", WRITE_ONCE_CHECK))
    }


def text(store: Storage, table: TableBatch) -> str:
    data = b""
    for part in table.parts:
        stored = store.read(part.key)
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(stored)) as reader:
            data += reader.read()
    return data.decode()


def cells(store: Storage, table: TableBatch) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text(store, table))))
