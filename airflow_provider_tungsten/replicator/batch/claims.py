"""Whose a place is: written down once, so that no two appliers ever put their files or positions into one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from airflow_provider_tungsten.replicator.errors import CorruptLogError, PreflightError, StorageError
from airflow_provider_tungsten.replicator.storage import ObjectExistsError, ObjectMissingError, Storage
from airflow_provider_tungsten.replicator.storage.base import WRITE_ONCE_CHECK

KEY = "_owner.json"


@dataclass(frozen=True)
class Owner:
    """One applier of one service, and the log that it applies."""

    service: str
    applier: str
    thl_uuid: str

    def __str__(self) -> str:
        return f"applier {self.applier} of service {self.service} (THL {self.thl_uuid})"


def owner_of(place: Storage) -> Owner | None:
    """Who has claimed it; None: nobody.

    :raises CorruptLogError: the claim cannot be read.
    """
    try:
        return Owner(**json.loads(place.read(KEY)))
    except ObjectMissingError:
        return None
    except (ValueError, TypeError) as error:
        raise CorruptLogError(f"{place.url}/{KEY} does not say whose the place is: {error!r}") from error


def claim(place: Storage, owner: Owner, *, token: str) -> bool:
    """Makes the place the owner's.

    :returns: whether it was nobody's before.
    :raises PreflightError: it is another's.
    """
    try:
        place.create(KEY, json.dumps(asdict(owner), sort_keys=True).encode(), token=token)
    except ObjectExistsError:
        if finding := claimed_by_another(place, owner):
            raise PreflightError(str(owner), [finding]) from None
        return False
    return True


def claimed_by_another(place: Storage, owner: Owner) -> str | None:
    """What is wrong with the place and how to mend it; None: it is the owner's, or nobody's."""
    found = owner_of(place)
    if found is None or found == owner:
        return None
    if (found.service, found.applier) == (owner.service, owner.applier):
        return (
            f"{place.url} holds the changes of THL {found.thl_uuid}, the log is {owner.thl_uuid}: it was wiped, rebuilt or "
            "restored, or two installations call a service and an applier the same. Bring the old log back, or give another place"
        )
    return f"{place.url} belongs to {found}: give another bucket or prefix"


def files_of(folder: Storage) -> Storage:
    """``<files>``, of an applier's folder ``<files>/<service>/<applier>``."""
    above = folder.above()
    files = above.above() if above else None
    assert files is not None
    return files


def findings(folder: Storage, owner: Owner, *, alone: bool) -> Iterator[str]:
    """What stands against an applier's beginning in its folder, each with how to mend it.

    :param folder: ``<files>/<service>/<applier>``.
    :param alone: nothing of anybody else's may lie below ``<files>``.
    """
    files = files_of(folder)
    place: Storage | None = files
    while place is not None:
        try:
            finding = claimed_by_another(place, owner)
        except StorageError:
            # A role that may not look above its prefix is well made. What lies at the prefix itself must be readable.
            if place is files:
                raise
            finding = None
        if finding:
            yield finding
        place = place.above()
    if not alone:
        return
    own = f"{owner.service}/{owner.applier}/"
    # A preflight leaves its probe, under whatever names it was asked for.
    strange = (
        info.key
        for info in files.list()
        if info.key != KEY and not info.key.startswith(own) and not info.key.endswith("/" + WRITE_ONCE_CHECK)
    )
    if (key := next(strange, None)) is not None:
        yield f"{files.url} holds {key}, which is not this applier's: give a bucket or prefix with nothing else in it"


def take(folder: Storage, owner: Owner, *, token: str) -> None:
    """Claims ``<files>`` for an applier that is to be alone there and has not planned anything yet.

    :param folder: ``<files>/<service>/<applier>``.
    :raises PreflightError: it is another's, or what is another's lies above or below it.
    """
    files = files_of(folder)
    # Claimed before it is looked around, so that of two who come at once at least one sees the other.
    new = claim(files, owner, token=token)
    if found := list(findings(folder, owner, alone=True)):
        if new:
            files.delete(KEY)
        raise PreflightError(str(owner), found)
