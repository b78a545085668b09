"""The applier's position as Tungsten's manual has it: a JSON object, all values strings, moved by compare and swap.

The manual's object has no place for the log's uuid; `_owner.json` beside it says which applier and log it belongs to.
"""

from __future__ import annotations

import json

from airflow_provider_tungsten.replicator.batch.claims import KEY as OWNER_KEY
from airflow_provider_tungsten.replicator.batch.claims import Owner, claim, owner_of
from airflow_provider_tungsten.replicator.batch.position import Position
from airflow_provider_tungsten.replicator.errors import CorruptLogError, PreflightError
from airflow_provider_tungsten.replicator.storage import ObjectMissingError, Storage

KEY = "commitseqno.0"


def to_json(position: Position, now: float) -> bytes:
    """Tungsten 7.1 manual, "Amazon S3 CSV Applier"; keys and their order are the manual's.

    :param now: seconds since 1970 UTC; ``appliedLatency`` is counted from the commit at the source to it.
    """
    fields = {
        "sourceId": position.source_id,
        "epochNumber": position.epoch_number,
        "fragno": 0,
        "eventId": position.event_id,
        "seqno": position.seqno,
        "lastFrag": "true",
        "extractedTstamp": position.watermark // 1000,
        "appliedLatency": max(0, int(now - position.watermark / 1_000_000)),
        "shardId": "",
    }
    return json.dumps({name: str(value) for name, value in fields.items()}, indent=2).encode() + b"\n"


def from_json(data: bytes, thl_uuid: str) -> Position:
    """:raises ValueError, KeyError, TypeError: not such an object."""
    fields = json.loads(data)
    if fields["lastFrag"] != "true":
        raise ValueError("it lies inside a transaction")
    return Position(
        seqno=int(fields["seqno"]),
        epoch_number=int(fields["epochNumber"]),
        event_id=str(fields["eventId"]),
        source_id=str(fields["sourceId"]),
        thl_uuid=thl_uuid,
        watermark=int(fields["extractedTstamp"]) * 1000,
    )


class PositionFile:
    """One applier's position.

    :param place: ``<metadata>/applier/<service>``.
    """

    def __init__(self, place: Storage, service: str, applier: str) -> None:
        self._place = place
        self._service = service
        self._applier = applier
        self.url = f"{place.url}/{KEY}"

    def read(self) -> tuple[Position, str | None]:
        """The position, and its version; ``Position()`` and None where there is none yet.

        :raises PreflightError: it is another applier's.
        :raises CorruptLogError: it cannot be read, or does not say whose it is.
        """
        data, version = self._read()
        # Behind the position: it is written before the first one is.
        owner = owner_of(self._place)
        if owner is not None and (owner.service, owner.applier) != (self._service, self._applier):
            raise PreflightError(
                f"applier {self._applier} of service {self._service}",
                [f"{self.url} is the position of {owner}: give another metadata.url"],
            )
        if version is None:
            return Position(), None
        if owner is None:
            raise CorruptLogError(
                f"{self.url} is there, but not {OWNER_KEY} beside it, which says what log it belongs to: bring it back, or move the "
                "position away too to apply everything again from the first batch, which writes no file anew"
            )
        try:
            return from_json(data, owner.thl_uuid), version
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptLogError(f"{self.url} is not a position: {error!r}") from error

    def _read(self) -> tuple[bytes, str | None]:
        try:
            return self._place.read_version(KEY)
        except ObjectMissingError:
            return b"", None

    def move(self, position: Position, version: str | None, now: float, token: str) -> None:
        """:param version: of the position that is to be replaced; None: there was none.

        :raises ObjectChangedError: there is another by now, which may be this very one.
        :raises PreflightError: the place is another's.
        """
        if version is None:
            claim(self._place, Owner(self._service, self._applier, position.thl_uuid), token=token)
        self._place.replace(KEY, to_json(position, now), version)
