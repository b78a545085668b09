"""Who takes batches out of a log, and how far each has applied it: kept beside the segments, for retention.

A position here is a lower bound, mirrored after loads; the true one is in the target. Objects are write-once and named by
seqno, the highest counts: so a late writer moves nothing back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import structlog

from airflow_provider_tungsten.replicator.errors import ConfigurationError, CorruptLogError, DivergedError
from airflow_provider_tungsten.replicator.storage import ObjectExistsError, ObjectMissingError
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.low_water import now

logger = structlog.get_logger(__name__)

FOLDER = "appliers/"
_REGISTERED = "registered.json"
_REMOVED = "removed.json"
_POSITION = "position-"
_WAY_OUT = "load the target anew under another applier name"


class Position(Protocol):
    """What of a target's position is mirrored."""

    @property
    def seqno(self) -> int: ...
    @property
    def epoch_number(self) -> int: ...
    @property
    def event_id(self) -> str: ...
    @property
    def watermark(self) -> int: ...
    @property
    def thl_uuid(self) -> str: ...


@dataclass(frozen=True)
class Applied:
    """How far an applier is at least.

    :param seqno: last known to be applied, with epoch number, event id and watermark (microseconds) of that record; -1:
        nothing of this log.
    :param time: when that was written, ISO 8601 in UTC; '' for nothing.
    """

    seqno: int = -1
    epoch_number: int = -1
    event_id: str = ""
    watermark: int = 0
    thl_uuid: str = ""
    time: str = ""


@dataclass(frozen=True)
class Removal:
    """Who gave an applier up, when, and how far it was."""

    writer: str
    time: str
    seqno: int


def register(log: Log, name: str, *, folder: str, token: str) -> None:
    """Makes the log hold, from now on, what this applier has not applied. To be called before it plans anything.

    :param folder: url of its plans and batches: another folder is another applier.
    :raises ConfigurationError: it was removed, or the name belongs to an applier of another folder.
    :raises DivergedError: it was registered with another log that lay in this place.
    """
    keys = set(_keys(log, name))
    if _REMOVED in keys:
        raise _removed(log, name)
    ours = {"folder": folder, "thl_uuid": _uuid(log)}
    if _REGISTERED not in keys:
        body = ours | {"writer": token, "time": now()}
        try:
            log.storage.create(_place(name, _REGISTERED), json.dumps(body).encode(), token=token)
            logger.info("applier registered", service=log.service, applier=name, folder=folder)
            return
        except ObjectExistsError:
            pass
    found = _read(log, name, _REGISTERED)
    if found.get("folder") != folder:
        raise ConfigurationError(
            f"applier {name} of the log {log.url} keeps its batches in {found.get('folder')}, not in {folder}: go back to "
            "that folder, or give the new one to an applier of another name"
        )
    if found.get("thl_uuid") != ours["thl_uuid"]:
        raise DivergedError(
            f"applier {name} was registered with THL {found.get('thl_uuid')}, the log in {log.url} is {ours['thl_uuid']}: it "
            f"was wiped or rebuilt. Bring the old log back, or {_WAY_OUT}"
        )


def check_not_removed(log: Log, name: str) -> None:
    """:raises ConfigurationError: the applier was removed from the log."""
    if _REMOVED in _keys(log, name):
        raise _removed(log, name)


def mirror(log: Log, name: str, position: Position, *, token: str) -> None:
    """Keeps an applied position, unless a later one is there.

    :param position: as it was read from the target, or committed to it.
    :raises ConfigurationError: the applier was removed from the log.
    """
    keys = list(_keys(log, name))
    if _REMOVED in keys:
        raise _removed(log, name)
    before = [key for key in keys if key.startswith(_POSITION)]
    key = f"{_POSITION}{position.seqno:019d}.json"
    if position.seqno < 0 or (before and before[-1] >= key):
        return
    applied = Applied(
        position.seqno,
        position.epoch_number,
        position.event_id,
        position.watermark,
        position.thl_uuid,
        now(),
    )
    try:
        log.storage.create(_place(name, key), json.dumps(asdict(applied)).encode(), token=token)
    except ObjectExistsError:
        pass  # another load of the same position
    for old in before:
        log.storage.delete(_place(name, old))


def rewind(log: Log, name: str) -> None:
    """Forgets how far an applier is, before its position is set back by hand: the log is kept for it whole until the next
    load."""
    for key in list(_keys(log, name)):
        if key.startswith(_POSITION):
            log.storage.delete(_place(name, key))


def positions(log: Log) -> dict[str, Applied]:
    """The appliers that the log is kept for, by name, each with the position known here."""
    uuid = _uuid(log)
    return {
        name: _newest(log, name, keys, uuid) for name, keys in _by_name(log).items() if _REMOVED not in keys
    }


def removed(log: Log) -> dict[str, Removal]:
    """The appliers that were given up."""
    names = [name for name, keys in _by_name(log).items() if _REMOVED in keys]
    return {name: Removal(**_read(log, name, _REMOVED)) for name in names}


def remove(log: Log, name: str, token: str) -> Removal:
    """Ends an applier for good: the log is no longer kept for it, and its name is not taken up again.

    :param token: who asks; kept in the record.
    :returns: the record; the first one's where it was removed before.
    :raises ConfigurationError: no such applier.
    """
    keys = list(_keys(log, name))
    if not keys:
        known = ", ".join(sorted(positions(log))) or "none"
        raise ConfigurationError(f"the log {log.url} has no applier {name!r}; it has: {known}")
    removal = Removal(token, now(), _newest(log, name, keys, _uuid(log)).seqno)
    try:
        log.storage.create(_place(name, _REMOVED), json.dumps(asdict(removal)).encode(), token=token)
    except ObjectExistsError:
        return Removal(**_read(log, name, _REMOVED))
    logger.warning("applier removed", service=log.service, applier=name, writer=token, seqno=removal.seqno)
    return removal


def _removed(log: Log, name: str) -> ConfigurationError:
    removal = Removal(**_read(log, name, _REMOVED))
    return ConfigurationError(
        f"applier {name} was removed from the log {log.url} by {removal.writer} at {removal.time}, at seqno {removal.seqno}: "
        "what it has not applied may be purged since. Take it out of the service's appliers; where the target is needed "
        f"again, {_WAY_OUT}"
    )


def _place(name: str, key: str) -> str:
    return f"{FOLDER}{name}/{key}"


def _keys(log: Log, name: str) -> Iterator[str]:
    """Names of an applier's objects, below its folder, in order."""
    folder = _place(name, "")
    return (item.key.removeprefix(folder) for item in log.storage.list(folder))


def _by_name(log: Log) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in log.storage.list(FOLDER):
        name, _, key = item.key.removeprefix(FOLDER).partition("/")
        found.setdefault(name, []).append(key)
    return found


def _uuid(log: Log) -> str:
    head = log.head()
    return head.uuid if head else ""


def _newest(log: Log, name: str, keys: list[str], uuid: str) -> Applied:
    while known := [key for key in keys if key.startswith(_POSITION)]:
        try:
            applied = Applied(**_read(log, name, known[-1]))
        except ObjectMissingError:
            keys = list(_keys(log, name))  # a load replaced it by a later one
            continue
        return applied if applied.thl_uuid == uuid else Applied()
    return Applied()


def _read(log: Log, name: str, key: str) -> dict[str, Any]:
    place = _place(name, key)
    try:
        body: dict[str, Any] = json.loads(log.storage.read(place))
    except ValueError as error:
        raise CorruptLogError(f"{log.url}/{place} is not a record of an applier: {error!r}") from error
    return body
