"""What the settings of every applier have in common, whatever its target: what it takes, how it is cut, where it lies."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow_provider_tungsten.replicator.batch.names import PLAIN, FileNames
from airflow_provider_tungsten.replicator.batch.presets import Csv
from airflow_provider_tungsten.replicator.filters.settings import Filters
from airflow_provider_tungsten.replicator.settings import Batches, Store, TableRules


class ApplierSettings(TableRules):
    """The part of an applier's settings that planning and writing batches go by.

    :cvar bytes_settings: fields that make the names and bytes of a batch's files.
    :cvar alone: whether ``files`` must be a place of this applier's own.
    :cvar is_feed: whether a batch is its readers' as soon as its manifest is written.
    :cvar needs_keys: whether rows are found again at the target, by the key of their table.
    :cvar copy_manifests: whether every table's files are listed for Redshift's COPY, too.
    :param type: which target.
    :param files: where batches lie, under ``<url>/<service>/<applier>/``.
    :param staging_folder: local folder in which batches are written first; an upload step then brings them to ``files``.
    :param filters: behind the service's.
    """

    bytes_settings: ClassVar[frozenset[str]] = frozenset({"include", "exclude", "exclude_columns", "csv"})
    alone: ClassVar[bool] = False
    is_feed: ClassVar[bool] = False
    needs_keys: ClassVar[bool] = True
    copy_manifests: ClassVar[bool] = False

    type: str
    files: Store
    staging_folder: str | None = None
    batches: Batches = Batches()
    csv: Csv = Csv()
    filters: Filters = ()

    @property
    def template(self) -> str:
        """The key template in effect."""
        return PLAIN

    @property
    def partitions(self) -> str | None:
        """The format of partitions by commit time; None: there are none."""
        return None

    def file_names(self, service: str, applier: str) -> FileNames:
        """:param service, applier: their names."""
        return FileNames(
            self.template,
            self.partitions,
            service=service,
            applier=applier,
            compression=self.csv.compression,
        )

    def bytes_made_of(self) -> dict[str, Any]:
        """Everything that makes a batch's names and bytes, besides version and range; JSON values."""
        return {
            "part_bytes": self.batches.part_bytes,
            **self.model_dump(mode="json", include=set(self.bytes_settings)),
        }
