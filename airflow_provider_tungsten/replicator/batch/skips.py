"""Transactions that one applier leaves out on purpose: who skipped which seqno, why, and what was in it, kept for good.

A skip is a write-once object beside the plans. Planning takes such a seqno for one without anything to load; the batch step
leaves it out of the files; and the seqnos left out are part of a batch manifest's name, so that a batch that was written
with them is made anew under another. What is applied stays applied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from airflow_provider_tungsten.replicator.batch.manifest import Plan
from airflow_provider_tungsten.replicator.errors import CorruptLogError, GapError
from airflow_provider_tungsten.replicator.storage import ObjectExistsError, ObjectMissingError, Storage

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


@contextmanager
def closed(store: Storage, plan: Plan, writer: str) -> Iterator[None]:
    """Inside the block no skip joins the batch: this marks it and then looks for skips, who skips does so the other way round.
    Of two who meet at least one sees the other and gives way. A mark that a killed task left is the next attempt's.

    :param writer: token of who closes it.
    :raises GapError: see :func:`check_skips`.
    """
    key = _closed_key(plan)
    store.put(key, writer.encode())
    try:
        check_skips(store, plan)
        yield
    finally:
        store.delete(key)


def reopen(store: Storage, plan: Plan) -> None:
    """Removes the mark of a task that was killed, where all is done that it was for."""
    store.delete(_closed_key(plan))


def closed_by(store: Storage, plan: Plan) -> str | None:
    """Who is at the batch, or was killed at it."""
    try:
        return store.read(_closed_key(plan)).decode()
    except ObjectMissingError:
        return None


def check_skips(store: Storage, plan: Plan) -> None:
    """:raises GapError: other seqnos are skipped than those that the plan was read with."""
    if (now := skipped(store, plan.first, plan.last)) != plan.skipped:
        raise GapError(
            f"micro-batch {plan.first}-{plan.last}: seqnos {', '.join(map(str, now)) or '(none)'} are skipped since it was taken up; "
            "nothing of it is applied. Run the batch step (and the upload behind it) for that range, which writes it without them"
        )


def _closed_key(plan: Plan) -> str:
    return f"_batches/{plan.first:019d}.closed"


def _key(seqno: int) -> str:
    return f"{FOLDER}{seqno:019d}.json"


def _read(store: Storage, seqno: int) -> Skip:
    try:
        return Skip(**json.loads(store.read(_key(seqno))))
    except (ValueError, TypeError) as error:
        raise CorruptLogError(
            f"{store.url}/{_key(seqno)} is not a skip of this version: {error!r}"
        ) from error
