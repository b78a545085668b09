"""Where an applier's position is kept, as an operator reads and sets it; loads move it themselves, together with the data."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing
from typing import Protocol

from airflow_provider_tungsten.replicator.batch.hint import Hint, write_hint
from airflow_provider_tungsten.replicator.batch.position import Position, Recorded
from airflow_provider_tungsten.replicator.branch import Branch
from airflow_provider_tungsten.replicator.custom.settings import CustomApplier
from airflow_provider_tungsten.replicator.errors import ConfigurationError, RangeError
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier
from airflow_provider_tungsten.replicator.s3.settings import S3Applier
from airflow_provider_tungsten.replicator.storage import new_token
from airflow_provider_tungsten.replicator.targets import RedshiftConnector, open_target
from airflow_provider_tungsten.replicator.thl import appliers
from airflow_provider_tungsten.replicator.thl.event import ThlEvent


class PositionStore(Protocol):
    """The position of one applier."""

    def read(self) -> Recorded | None:
        """What is written; None where nothing is. Nothing is made or locked for it."""

    def held(self) -> AbstractContextManager[Recorded | None]:
        """What is written, kept from moving until the end of the block, which an error undoes."""

    def write(self, new: Position | None) -> None:
        """Inside :meth:`held`: the position from now on; None: none."""

    def close(self) -> None:
        """Closes what was opened."""


def open_positions(branch: Branch, redshift: RedshiftConnector) -> PositionStore:
    """Where an applier's position is kept; nothing is contacted yet.

    :param redshift: as :func:`.targets.open_target` takes it.
    :raises ConfigurationError: a target that keeps its position where only its own class knows.
    """
    applier = branch.applier
    if isinstance(applier, RedshiftApplier):
        from airflow_provider_tungsten.replicator.redshift.control import RedshiftPosition

        connect = redshift(applier.connection, applier.files.connection)
        return RedshiftPosition(connect, branch.service.service, branch.name, applier, branch.folder)
    if isinstance(applier, S3Applier):
        from airflow_provider_tungsten.replicator.s3.control import S3Position

        return S3Position(
            branch.service.service,
            branch.name,
            applier,
            branch.folder,
            branch.open_store,
            token=new_token("tungsten position"),
        )
    raise ConfigurationError(
        f"applier {branch.name} is of type {applier.type}: its class alone knows where its position is kept"
    )


def applied_seqno(branch: Branch, redshift: RedshiftConnector) -> int:
    """The last seqno that is applied, -1 before the first; where loads take a lock, read under it."""
    if isinstance(branch.applier, CustomApplier):
        return applied(branch, redshift)[0].seqno
    with closing(open_positions(branch, redshift)) as store, store.held() as found:
        return found.position.seqno if found else -1


def applied(branch: Branch, redshift: RedshiftConnector) -> tuple[Position, float | None]:
    """What is applied, as the target says, and the latency with which it was; None: it does not tell."""
    if isinstance(branch.applier, CustomApplier):
        target = open_target(branch, redshift, token=new_token("tungsten"))
        try:
            return target.prepare(), None
        finally:
            target.release()
    with closing(open_positions(branch, redshift)) as store:
        found = store.read()
    if found is None or found.position.seqno < 0:
        return Position(), None
    return found.position, found.applied_latency


def set_position(
    branch: Branch,
    store: PositionStore,
    *,
    seqno: int,
    epoch_number: int,
    event_id: str,
    source_id: str,
    force: bool,
) -> Position:
    """Makes an applier go on behind a seqno, whose data the target must hold.

    :param force: another position may be overwritten.
    :raises RangeError: that is not a record of the log, or not the end of a micro-batch.
    :raises ConfigurationError: there is a position, and ``force`` is not given.
    """
    record = _checked(branch, seqno, epoch_number, event_id, source_id)
    head = branch.log.head()
    assert head is not None
    new = Position(seqno, record.epoch_number, record.event_id, record.source_id, head.uuid, record.watermark)
    with store.held() as current:
        if current is not None and current.position.seqno >= 0 and not force:
            raise ConfigurationError(
                f"applier {branch.name} has a position, seqno {current.position.seqno} ({current.position.event_id}); "
                "--force overwrites it"
            )
        if current is not None and new.seqno < current.position.seqno:
            appliers.rewind(branch.log, branch.name)
        store.write(new)
    write_hint(branch.folder, Hint(new.seqno, new.epoch_number, new.event_id, new.thl_uuid))
    return new


def reset_position(branch: Branch, store: PositionStore) -> Position | None:
    """Forgets what an applier has applied: its next load begins with the log's first batch.

    :returns: what it was.
    """
    with store.held() as current:
        appliers.rewind(branch.log, branch.name)
        store.write(None)
    nothing = Position()
    write_hint(branch.folder, Hint(nothing.seqno, nothing.epoch_number, nothing.event_id, nothing.thl_uuid))
    return current.position if current else None


def _checked(branch: Branch, seqno: int, epoch_number: int, event_id: str, source_id: str) -> ThlEvent:
    record = branch.log.record(seqno)
    given = {"epoch": epoch_number, "event id": event_id, "source id": source_id}
    known = {"epoch": record.epoch_number, "event id": record.event_id, "source id": record.source_id}
    if wrong := [name for name in given if given[name] != known[name]]:
        raise RangeError(
            f"seqno {seqno} of the log {branch.log.url} has "
            + ", ".join(f"{name} {known[name]}, not {given[name]}" for name in wrong)
            + ": that position belongs to another log, or another past of it"
        )
    plans = list(branch.chain.locate(seqno, seqno))
    if not plans:
        raise RangeError(
            f"seqno {seqno} is not planned yet: the micro-batches reach to {branch.chain.end()}. Plan first: "
            "tungsten run --step plan"
        )
    if plans[0].last != seqno:
        ends = [str(end) for end in (plans[0].first - 1, plans[0].last) if end >= 0]
        raise RangeError(
            f"seqno {seqno} is inside micro-batch {plans[0].first}-{plans[0].last}: a position is the end of one, "
            f"here {' or '.join(ends)}"
        )
    return record
