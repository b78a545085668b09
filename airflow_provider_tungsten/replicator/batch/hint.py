"""The applied position, mirrored beside the batches: says without asking the target that there is nothing to do.

A hint, never more: what is applied is in the target, under its lock.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from airflow_provider_tungsten.replicator.storage import ObjectMissingError, Storage

KEY = "_position.json"


@dataclass(frozen=True)
class Hint:
    """What the target's position was after some load, perhaps not the latest.

    :param seqno: last applied; with epoch number and event id of that record, and the THL it comes from.
    :param transactions: seqnos that the last load which applied any had applied by then, in so many ``seconds``.
    """

    seqno: int
    epoch_number: int
    event_id: str
    thl_uuid: str
    transactions: int = 0
    seconds: float = 0.0


def read_hint(store: Storage) -> Hint | None:
    """None where there is no hint, or none that can be read: then the target is asked.

    :param store: the applier's folder.
    """
    try:
        return Hint(**json.loads(store.read(KEY)))
    except (ObjectMissingError, ValueError, TypeError):
        return None


def write_hint(store: Storage, hint: Hint) -> None:
    """Called after a load's COMMIT."""
    store.put(KEY, json.dumps(asdict(hint), sort_keys=True).encode())
