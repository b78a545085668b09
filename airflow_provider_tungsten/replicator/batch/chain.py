"""The chain of plans: boundaries decided once, write-once objects that follow each other from seqno 0 on.

What a micro-batch may hold is the cutter's; this module extends the chain to the log's head and selects out of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice

from airflow_provider_tungsten.replicator.batch import claims
from airflow_provider_tungsten.replicator.batch.claims import Owner
from airflow_provider_tungsten.replicator.batch.cutter import Piece, pieces
from airflow_provider_tungsten.replicator.batch.files import gap_key
from airflow_provider_tungsten.replicator.batch.manifest import FORMAT, Plan
from airflow_provider_tungsten.replicator.batch.skips import skipped
from airflow_provider_tungsten.replicator.batch.spans import COLUMNS, spans
from airflow_provider_tungsten.replicator.batch.tables import AppliedTables
from airflow_provider_tungsten.replicator.errors import (
    CorruptLogError,
    DivergedError,
    GapError,
    PreflightError,
    RangeError,
    UnsupportedError,
)
from airflow_provider_tungsten.replicator.filters import files, pipeline
from airflow_provider_tungsten.replicator.service import Service
from airflow_provider_tungsten.replicator.storage import ObjectExistsError, Storage
from airflow_provider_tungsten.replicator.thl import appliers
from airflow_provider_tungsten.replicator.thl.event import Kind
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.low_water import LowWater, read_low_water
from airflow_provider_tungsten.replicator.thl.segment import Head

FOLDER = "_batches/"
_PLAN = re.compile(r"_batches/(\d{19})\.plan\.json")
# Plans and manifests in turn: as many names as S3 gives in one answer.
_PAGE = 500
_READERS = 8


def plan_key(first: int) -> str:
    """Object name of the plan that begins at ``first``, below the applier's folder."""
    return f"{FOLDER}{first:019d}.plan.json"


def fingerprint(service: Service, applier_name: str) -> str:
    """Of everything that makes a batch's names and bytes, besides the range."""
    applier = service.applier(applier_name)
    filters = pipeline.fingerprint(files.complete((*service.filters, *applier.filters)))
    body = {"format": FORMAT, "filters": filters, **applier.bytes_made_of()}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def check_range(log: Log, first: int | None, last: int | None) -> None:
    """A range of seqnos given by hand; None: open at that end.

    :raises RangeError: it is empty or reaches beyond the log; the message says what exists.
    """
    head = log.head()
    if head is None:
        raise RangeError("the THL does not exist yet: there are no seqnos to choose from")
    lowest = log.first_seqno()
    purged = f"; what lies before {lowest}, the low-water mark, was purged and is gone" if lowest else ""
    exists = f"the THL holds seqnos {lowest} to {head.last}{purged}"
    for name, seqno in (("from_seqno", first), ("to_seqno", last)):
        if seqno is not None and not lowest <= seqno <= head.last:
            raise RangeError(f"{name} {seqno} does not exist: {exists}")
    if first is not None and last is not None and first > last:
        raise RangeError(f"from_seqno {first} lies behind to_seqno {last}: {exists}")


class Chain:
    """The plans of one applier.

    :param store: the applier's folder, ``<files>/<service>/<applier>``.
    """

    def __init__(self, store: Storage, log: Log, service: Service, applier_name: str) -> None:
        self.store = store
        self.log = log
        self._service = service.service
        self._applier_name = applier_name
        self._applier = service.applier(applier_name)
        self._tables = AppliedTables(self._applier, service.filters)
        self.fingerprint = fingerprint(service, applier_name)

    @property
    def tables(self) -> AppliedTables:
        """What the applier takes."""
        return self._tables

    # Reading the chain

    def plans(self, first: int = 0) -> Iterator[Plan]:
        """Plans that begin at ``first`` or later, in order; read ahead a little, never all at once.

        :raises CorruptLogError: one is missing between two others.
        """
        keys = (plan_key(begin) for begin in self._firsts(first))
        read = partial(self._read, skipped=skipped(self.store, first))
        expected = None
        with ThreadPoolExecutor(_READERS) as pool:
            while page := list(islice(keys, 4 * _READERS)):
                for plan in pool.map(read, page):
                    if expected is not None and plan.first != expected:
                        raise CorruptLogError(
                            f"{self.store.url}: the plans have a hole: {plan_key(expected)} is missing before {plan.first}"
                        )
                    expected = plan.last + 1
                    yield plan

    def end(self) -> int:
        """The last seqno that is planned, -1 when none is."""
        last = self._last_plan()
        return -1 if last is None else last.last

    def pending(self, position: int, through: int | None = None) -> Iterator[Plan]:
        """The plans behind an applied position, as far as ``through`` is covered.

        :param position: seqno, -1 when nothing is applied.
        :raises GapError: the position is not the end of a planned batch.
        """
        before = self._containing(position) if position >= 0 else None
        if (before.last if before else -1) != position:
            raise GapError(
                f"the applied position {position} is not the end of a micro-batch of {self.store.url}; "
                + (f"the one there is {before.first}–{before.last}" if before else "nothing is planned yet")
                + ". Set it to one that is: tungsten position set, or reset to begin with the first"
            )
        for plan in self.plans(position + 1):
            if through is not None and plan.first > through:
                return
            yield plan

    def locate(self, first: int, last: int) -> Iterator[Plan]:
        """The plans that overlap ``first``–``last``."""
        begin = self._containing(first)
        for plan in self.plans(0 if begin is None else begin.first):
            if plan.first > last:
                return
            if plan.last >= first:
                yield plan

    def plans_in_interval(self, after_us: int, until_us: int) -> tuple[int, int] | None:
        """First and last seqno of the batches whose watermark lies in (after, until], microseconds; None: no batch.

        Watermarks never go back along the log, so every batch lies in exactly one of adjoining intervals.
        """
        seqnos = self.log.seqnos_between(after_us, until_us)
        if seqnos is None:
            return None
        begin, end = self._containing(seqnos[0]), self._containing(seqnos[1])
        if begin is None or end is None or begin.last < seqnos[0]:
            return None
        last = end.last if end.last <= seqnos[1] else end.first - 1
        return (begin.first, last) if begin.first <= last else None

    # Extending it

    def extend(self, *, token: str, limit: int, waiting: bool, through: int | None = None) -> list[Plan]:
        """Plans on from the chain's end to the log's head, at most ``limit`` micro-batches.

        The last piece, which more log would make grow, is left to grow while an earlier batch waits to be applied or
        there is nothing in it to load; ``through`` cuts it all the same as long as the chain ends before that seqno.

        :param waiting: a planned batch is not applied yet.
        :param through: seqno up to which an explicit range asks for plans; planning stops where it is covered.
        :returns: the plans that joined the chain meanwhile, another writer's included.
        :raises GapError: an unacknowledged gap is all that could come next (or lies before ``through``).
        :raises UnsupportedError: likewise, for what the applier refuses. While there are batches to apply before the
            obstacle, they are returned first.
        :raises DivergedError: the log is not the one that the chain was made from.
        :raises PreflightError: the chain would begin in a store that cannot be written or does not honour write-once.
        :raises ConfigurationError: the applier was removed from the log, or has another folder than it registered with.
        """
        made: list[Plan] = []
        if (head := self.log.head()) is not None:
            if next(self._firsts(0), None) is None:
                # Before the log knows the folder: one that is refused can be changed.
                self._check_store(Owner(self._service, self._applier_name, head.uuid), token)
            appliers.register(self.log, self._applier_name, folder=self.store.url, token=token)
        try:
            while len(made) < limit and self._extend(made, token, limit, waiting, through):
                pass
        except (GapError, UnsupportedError):
            if through is not None or not (made or waiting):
                raise
        return made

    def _extend(self, made: list[Plan], token: str, limit: int, waiting: bool, through: int | None) -> bool:
        """One pass from the chain's end; True when another writer's plan ends elsewhere, so that a new pass is due."""
        previous, head = self._last_plan(), self.log.head()
        if head is None:
            return False
        self._check_start(previous, head, token)
        if previous is None and (low_water := read_low_water(self.log.storage)):
            previous = self._write(self._purged_plan(low_water, token), (), token)
            made.append(previous)
            if len(made) >= limit:
                return False
        begin = previous.last + 1 if previous else 0
        if begin > head.last:
            return False
        left_out = skipped(self.store, begin, head.last)
        cut = pieces(
            spans(self.log.scan_columns(begin, head.last, COLUMNS), self._tables, left_out),
            self._applier.batches,
            lambda seqno: self.store.exists(gap_key(seqno)),
        )
        for piece in cut:
            if through is not None and piece.first > through:
                return False
            if piece.tail and through is None and (waiting or piece.effect == "records"):
                continue  # to the log's end, or to the obstacle before which it waits
            plan = self._write(self._plan(piece, previous, head, token), left_out, token)
            made.append(plan)
            if plan.last != piece.last:
                return True
            if len(made) >= limit:
                return False
            previous = plan
        return False

    def _check_start(self, previous: Plan | None, head: Head, token: str) -> None:
        """The log still holds what the chain's last plan ended with, and what comes next; or it is known what was purged."""
        low_water = read_low_water(self.log.storage)
        if previous is None and low_water and not self.store.exists(gap_key(low_water.seqno - 1)):
            raise GapError(
                f"{self.store.url}: the THL begins at seqno {low_water.seqno}, what lies before was purged, and this applier "
                f"begins now. Bring the target's tables to the state behind {low_water.event_id}, or a later one, by a copy of "
                f"the source's; then trigger the DAG with its parameter `acknowledge_gap` set to {low_water.seqno - 1}"
            )
        if previous is not None:
            if low_water and previous.last < low_water.seqno - 1:
                raise GapError(
                    f"{self.store.url}: planning goes on behind seqno {previous.last}, but the THL begins at "
                    f"{low_water.seqno}: what lies between was purged before this applier took it. Load the target anew under "
                    "a new applier name"
                )
            if self._record(previous.last, head, low_water) != (previous.epoch_number, previous.event_id) or (
                head.uuid != previous.thl_uuid
            ):
                raise self._diverged(previous, head)
            if self._applier.alone:
                owner = Owner(self._service, self._applier_name, head.uuid)
                claims.claim(claims.files_of(self.store), owner, token=token)

    def _record(self, seqno: int, head: Head, low_water: LowWater | None) -> tuple[int, str] | None:
        """Epoch number and event id of a record, the last one that was purged included; None beyond the log's end."""
        if seqno > head.last:
            return None
        if low_water and seqno == low_water.seqno - 1:
            return low_water.epoch_number, low_water.event_id
        record = self.log.record(seqno)
        return record.epoch_number, record.event_id

    def _check_store(self, owner: Owner, token: str) -> None:
        """Before the first plan is made: write-once is honoured, and the place is nobody else's."""
        found = list(claims.findings(self.store, owner, alone=self._applier.alone))
        if not found and (finding := self.store.check_write_once()):
            found = [finding]
        if found:
            raise PreflightError(f"the store of applier {self._applier_name}", found)
        if self._applier.alone:
            claims.take(self.store, owner, token=token)

    def _diverged(self, plan: Plan, head: Head) -> DivergedError:
        return DivergedError(
            f"the THL was wiped, rebuilt or restored: the plans of {self.store.url} belong to THL {plan.thl_uuid} and end with "
            f"seqno {plan.last} ({plan.event_id}), the log is {head.uuid} and ends with seqno {head.last} ({head.event_id}). "
            "Bring the old log back, or load the target anew under a new applier name"
        )

    def _plan(self, piece: Piece, previous: Plan | None, head: Head, token: str) -> Plan:
        return Plan(
            service=self._service,
            applier=self._applier_name,
            thl_uuid=head.uuid,
            first=piece.first,
            last=piece.last,
            previous_epoch=previous.epoch_number if previous else -1,
            previous_event_id=previous.event_id if previous else "",
            epoch_number=piece.epoch_number,
            event_id=piece.event_id,
            watermark=piece.watermark,
            effect=piece.effect,
            transactions=piece.transactions,
            rows=piece.rows,
            image_bytes=piece.image_bytes,
            fingerprint=self.fingerprint,
            writer=token,
        )

    def _purged_plan(self, low_water: LowWater, token: str) -> Plan:
        """Takes the place of what was purged, where the target is known to have it."""
        last = Piece(
            0,
            low_water.seqno - 1,
            low_water.epoch_number,
            event_id=low_water.event_id,
            watermark=low_water.watermark,
        )
        head = self.log.head()
        assert head is not None
        return self._plan(last, None, head, token)

    def _write(self, plan: Plan, skipped: tuple[int, ...], token: str) -> Plan:
        """The plan that is in the chain afterwards: ours, or the winner's."""
        try:
            self.store.create(plan_key(plan.first), plan.to_json(), token=token)
        except ObjectExistsError:
            return self._read(plan_key(plan.first), skipped)
        return _without(plan, skipped)

    def acknowledge_gap(self, seqno: int, token: str) -> None:
        """Lets planning pass the gap record ``seqno``: the target is known to be in the state from which the log goes on. Or
        begin there, where it is the last one that was purged.

        :raises RangeError: no such record, or it is no gap.
        """
        low_water = read_low_water(self.log.storage)
        if low_water is None or seqno != low_water.seqno - 1:
            kind = self.log.record(seqno).kind
            if kind != Kind.GAP:
                raise RangeError(
                    f"seqno {seqno} is no gap record but {kind}: there is nothing to acknowledge"
                )
        try:
            content = json.dumps({"seqno": seqno, "writer": token}).encode()
            self.store.create(gap_key(seqno), content, token=token)
        except ObjectExistsError:
            return  # acknowledged once is acknowledged

    # Finding plans by seqno

    def _read(self, key: str, skipped: tuple[int, ...]) -> Plan:
        try:
            return _without(Plan.from_json(self.store.read(key)), skipped)
        except (ValueError, TypeError, KeyError) as error:
            raise CorruptLogError(
                f"{self.store.url}/{key} is not a plan of this version: {error!r}"
            ) from error

    def _firsts(self, begin: int) -> Iterator[int]:
        """First seqnos of the plans that begin at ``begin`` or later, in order, by name alone."""
        start_after = plan_key(begin - 1) if begin > 0 else ""
        for info in self.store.list(FOLDER, start_after=start_after):
            if match := _PLAN.fullmatch(info.key):
                yield int(match[1])

    def _last_plan(self) -> Plan | None:
        last = self._log_end()
        while (beyond := next(self._firsts(last + 1), None)) is not None:
            last = self._log_end()  # again: both may have grown since
            if beyond > last:
                raise DivergedError(
                    f"the THL was wiped, rebuilt or restored: {self.store.url} has a plan that begins at seqno {beyond}, the log "
                    f"ends with {last}. Bring the old log back, or load the target anew under a new applier name"
                )
        return self._containing(last)

    def _log_end(self) -> int:
        head = self.log.head()
        return -1 if head is None else head.last

    def _containing(self, seqno: int) -> Plan | None:
        """The last plan that begins at ``seqno`` or before, by bisection over names: a chain may be millions long."""
        low, high, found = 0, seqno, None
        while low <= high:
            middle = (low + high) // 2
            page = [first for first in islice(self._firsts(middle), _PAGE) if first <= high]
            if not page:
                high = middle - 1
                continue
            found = page[-1]
            if len(page) < _PAGE:
                break
            low = found + 1
        return None if found is None else self._read(plan_key(found), skipped(self.store, found))


def _without(plan: Plan, skipped: tuple[int, ...]) -> Plan:
    """:param skipped: all seqnos that are skipped, from its first on."""
    return replace(plan, skipped=tuple(seqno for seqno in skipped if plan.first <= seqno <= plan.last))
