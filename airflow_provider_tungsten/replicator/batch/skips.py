"""Transactions that one applier leaves out on purpose: who skipped which seqno, why, and what was in it, kept for good.

A skip is a write-once object beside the plans. Planning takes such a seqno for one without anything to load; the batch step
leaves it out of the files; and the seqnos left out are part of a batch manifest's name, so that a batch that was written
with them is made anew under another. What is applied stays applied.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass

from airflow_provider_tungsten.replicator.errors import CorruptLogError
from airflow_provider_tungsten.replicator.storage import ObjectExistsError, Storage

FOLDER = "_batches/skips/"
_KEY = re.compile(r"_batches/skips/(\d{19})\.json")


@dataclass(frozen=True)
class Skip:
    """One transaction that is left out.

    :param thl_uuid, event_id, gtid: of the record.
    :param tables: ``schema.table`` → rows (a statement: 0) by kind, of all tables, whatever the applier takes.
    :param who: who asked for it; ``why``: the reason given.
    :param time: when, ISO 8601 in UTC.
    """

    seqno: int
    thl_uuid: str
    event_id: str
    gtid: str
    commit_ts: int
    tables: dict[str, dict[str, int]]
    who: str
    why: str
    time: str


def write_skip(store: Storage, skip: Skip, token: str) -> bool:
    """:returns: False where the seqno was skipped before."""
    try:
        store.create(_key(skip.seqno), json.dumps(asdict(skip), ensure_ascii=False).encode(), token=token)
    except ObjectExistsError:
        return False
    return True


def take_back(store: Storage, seqno: int) -> None:
    """Of a skip that came too late."""
    store.delete(_key(seqno))


def read_skip(store: Storage, seqno: int) -> Skip | None:
    """The skip of one seqno, None where there is none."""
    return _read(store, seqno) if store.exists(_key(seqno)) else None


def list_skips(store: Storage) -> list[Skip]:
    """All skips of an applier, by seqno."""
    return [_read(store, seqno) for seqno in skipped(store)]


def skipped(store: Storage, first: int = 0, last: int | None = None) -> tuple[int, ...]:
    """The seqnos that are skipped between ``first`` and ``last``, by name alone."""
    found = []
    for item in store.list(FOLDER, _key(first - 1) if first > 0 else ""):
        match = _KEY.fullmatch(item.key)
        if match is None:
            raise CorruptLogError(f"{store.url}/{item.key} lies among the skips and is none; move it away")
        if last is not None and int(match[1]) > last:
            break
        found.append(int(match[1]))
    return tuple(found)


def _key(seqno: int) -> str:
    return f"{FOLDER}{seqno:019d}.json"


def _read(store: Storage, seqno: int) -> Skip:
    try:
        return Skip(**json.loads(store.read(_key(seqno))))
    except (ValueError, TypeError) as error:
        raise CorruptLogError(
            f"{store.url}/{_key(seqno)} is not a skip of this version: {error!r}"
        ) from error
