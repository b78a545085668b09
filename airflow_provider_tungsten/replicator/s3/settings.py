"""The settings of an S3 applier."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import field_validator, model_validator

from airflow_provider_tungsten.replicator.batch import names
from airflow_provider_tungsten.replicator.batch.presets import S3Csv
from airflow_provider_tungsten.replicator.batch.settings import ApplierSettings
from airflow_provider_tungsten.replicator.settings import Store


class S3Applier(ApplierSettings):
    """An append-only feed of changes in ``files``, a folder of its own on S3 (or locally, on one host, to try it out).

    :param metadata: where the position lies, as ``<url>/applier/<service>/commitseqno.0``; None: ``_metadata`` in the
        applier's folder.
    :param partition_by: ``commit_timestamp``: a batch's rows of a table go to a file for each partition of their time.
    :param partition_format: the partition's name, strftime's ``%Y %m %d %H %M`` of the commit time in UTC.
    :param key_template: names of the files below the applier's folder; see :mod:`..batch.names`.
    """

    bytes_settings: ClassVar[frozenset[str]] = ApplierSettings.bytes_settings | {
        "partition_by",
        "partition_format",
        "key_template",
    }

    alone: ClassVar[bool] = True
    is_feed: ClassVar[bool] = True
    needs_keys: ClassVar[bool] = False

    type: Literal["s3"]
    csv: S3Csv = S3Csv()
    metadata: Store | None = None
    partition_by: Literal["commit_timestamp"] | None = None
    partition_format: str = names.PARTITION_FORMAT
    key_template: str | None = None

    @field_validator("partition_format")
    @classmethod
    def _partition_format(cls, value: str) -> str:
        names.check_partition_format(value)
        return value

    @model_validator(mode="after")
    def _key_template(self) -> S3Applier:
        names.check_template(self.template, partitioned=self.partition_by is not None)
        return self

    @property
    def template(self) -> str:
        if self.key_template is not None:
            return self.key_template
        return names.PARTITIONED if self.partition_by else names.PLAIN

    @property
    def partitions(self) -> str | None:
        return self.partition_format if self.partition_by else None
