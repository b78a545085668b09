"""Where a log begins after a purge: write-once records beside its segments, the highest of which holds.

A record is there before anything is deleted; nothing below it is read or written again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from airflow_provider_tungsten.replicator.errors import CorruptLogError
from airflow_provider_tungsten.replicator.storage import ObjectExistsError, ObjectMissingError, Storage

FOLDER = "low-water/"
# A listing of a folder that changes meanwhile may miss the record that just came, and then the one that just went.
_KEPT = 2


@dataclass(frozen=True)
class LowWater:
    """The log's beginning, and the last record that was purged, which whoever goes on behind it must name.

    :param seqno: first that the log holds.
    :param thl_uuid: of the log.
    :param epoch_number, event_id, watermark: of record ``seqno - 1``; the watermark in microseconds.
    :param writer: token of who purged.
    :param time: when, ISO 8601 in UTC.
    """

    seqno: int
    thl_uuid: str
    epoch_number: int
    event_id: str
    watermark: int
    writer: str
    time: str


def now() -> str:
    """The time as records keep it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _key(seqno: int) -> str:
    return f"{FOLDER}{seqno:019d}.json"


def _keys(storage: Storage) -> list[str]:
    return [item.key for item in storage.list(FOLDER)]


def find_low_water(storage: Storage) -> int | None:
    """The first seqno that the log holds, by the record's name alone; None where nothing was ever purged.

    :param storage: the folder of the segments.
    """
    keys = _keys(storage)
    if not keys:
        return None
    digits = keys[-1].removeprefix(FOLDER).removesuffix(".json")
    if not digits.isdigit() or _key(int(digits)) != keys[-1]:
        raise CorruptLogError(
            f"{storage.url}/{keys[-1]} lies among the log's low-water records and is none; move it away"
        )
    return int(digits)


def read_low_water(storage: Storage) -> LowWater | None:
    """The same with what it holds.

    :raises CorruptLogError: not a record of this version.
    """
    while (seqno := find_low_water(storage)) is not None:
        try:
            return LowWater(**json.loads(storage.read(_key(seqno))))
        except ObjectMissingError:
            continue  # a later purge wrote a higher one and cleared this one away
        except (ValueError, TypeError) as error:
            raise CorruptLogError(
                f"{storage.url}/{_key(seqno)} is not a low-water record of this version: {error!r}"
            ) from error
    return None


def write_low_water(storage: Storage, low_water: LowWater) -> None:
    """Durable when this returns; another purge may have written it, or a higher one, already."""
    data = json.dumps(asdict(low_water), sort_keys=True).encode()
    try:
        storage.create(_key(low_water.seqno), data, token=low_water.writer)
    except ObjectExistsError:
        return  # of this name it says the same, whoever wrote it


def clear_low_water(storage: Storage) -> None:
    """Removes records that higher ones have replaced."""
    for key in _keys(storage)[:-_KEPT]:
        storage.delete(key)
