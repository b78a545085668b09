"""Catalogs beside the log: write-once objects named by their content, which the log's resume points name."""

from __future__ import annotations

import re

import zstandard

from airflow_provider_tungsten.replicator.errors import CorruptLogError
from airflow_provider_tungsten.replicator.schema.catalog import Catalog
from airflow_provider_tungsten.replicator.storage import ObjectExistsError, ObjectMissingError, Storage

_NAME = re.compile(r"catalog-([0-9a-f]{64})\.json\.zst")
_MAX_BYTES = 1 << 30


def name_of(catalog: Catalog | None) -> str:
    """The object's name; '' for no catalog."""
    return "" if catalog is None else f"catalog-{catalog.digest}.json.zst"


def write_catalog(storage: Storage, catalog: Catalog, *, token: str) -> None:
    """Writes it unless it is there.

    :param storage: the folder of the log.
    """
    name = name_of(catalog)
    if storage.exists(name):
        return
    try:
        storage.create(name, zstandard.compress(catalog.to_bytes(), 3), token=token)
    except ObjectExistsError:
        pass  # of this name it has this content, whoever wrote it


def read_catalog(storage: Storage, name: str) -> Catalog | None:
    """The catalog of a resume point; None where that names none.

    :raises CorruptLogError: it is missing, or is not what its name says.
    """
    if not name:
        return None
    place = f"{storage.url}/{name}"
    match = _NAME.fullmatch(name)
    try:
        raw = zstandard.ZstdDecompressor().decompress(storage.read(name), max_output_size=_MAX_BYTES)
    except ObjectMissingError:
        raise CorruptLogError(
            f"{place}, which the log's end names, is missing; restore it from a copy"
        ) from None
    except zstandard.ZstdError as error:
        raise CorruptLogError(f"{place} cannot be decompressed ({error})") from None
    catalog = Catalog.from_bytes(raw)
    if match is None or catalog.digest != match[1]:
        raise CorruptLogError(f"{place} does not hold what its name says; restore it from a copy")
    return catalog
