"""The settings of a Redshift applier."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from airflow_provider_tungsten.replicator.batch.presets import RedshiftCsv
from airflow_provider_tungsten.replicator.batch.settings import ApplierSettings


class RedshiftApplier(ApplierSettings):
    """A Redshift target: files go to ``files``, on S3, COPY and merge through ``connection``.

    :param connection: Airflow connection of type ``redshift``.
    :param iam_role: ``default`` or the ARN (or comma-separated chain) of the role that COPY uses.
    :param region: of the bucket, where it is not the cluster's.
    :param target_schema: template of the live tables' schema; ``{schema}`` is the source's.
    :param staging_schema: template of the schema of staging tables and of ``trep_commit_seqno``.
    :param lock_timeout_seconds: how long a load waits for another load of the same applier.
    """

    copy_manifests: ClassVar[bool] = True

    type: Literal["redshift"] = "redshift"
    connection: str = "redshift_default"
    csv: RedshiftCsv = RedshiftCsv()
    iam_role: Annotated[str, Field(pattern=r"^(default|arn:[\w:/+=,.@-]+)$")] = "default"
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")] | None = None
    target_schema: str = "{schema}"
    staging_schema: str = "tungsten_{service}"
    staging_prefix: str = "stage_xxx_"
    lock_timeout_seconds: float = Field(default=600, gt=0)
    statement_timeout_seconds: float = Field(default=3600, gt=0)

    @model_validator(mode="after")
    def _copy_reads_s3(self) -> RedshiftApplier:
        if not self.files.url.startswith("s3://"):
            raise ValueError(
                "files.url: COPY reads from s3:// only; use staging_folder to write locally first"
            )
        return self
