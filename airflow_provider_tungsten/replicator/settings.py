"""What the settings of a service are made of: names, patterns, places, sizes. The service itself is another module's."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from airflow_provider_tungsten.replicator.filters.tables import TableFilter, TableNames

MIB = 1024 * 1024
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Patterns = tuple[Annotated[str, Field(pattern=r"^[^.]+\..+$")], ...]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TableRules(Model):
    """Patterns for tables (``schema.table``) and columns (``schema.table.column``); shell-like wildcards."""

    include: Patterns = ("*.*",)
    exclude: Patterns = ()
    exclude_columns: tuple[Annotated[str, Field(pattern=r"^[^.]+\.[^.]+\..+$")], ...] = ()

    def table_filter(self, names: TableNames | None = None) -> TableFilter:
        return TableFilter(self.include, self.exclude, self.exclude_columns, names)


class Encryption(Model):
    """Server-side encryption asked of S3 for every object; both None: the bucket's default."""

    sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    kms_key_id: str | None = None

    @model_validator(mode="after")
    def _key_needs_kms(self) -> Encryption:
        if self.kms_key_id and (self.sse is None or self.sse == "AES256"):
            raise ValueError("kms_key_id needs sse: aws:kms or aws:kms:dsse")
        return self


class Store(Model):
    """A folder or ``s3://bucket/prefix``.

    :param connection: Airflow connection of type ``aws``; not used for a folder.
    """

    url: str
    connection: str = "aws_default"
    encryption: Encryption = Encryption()

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if re.match(r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/|$)", value) or value.startswith("/"):
            return value.rstrip("/") or "/"
        raise ValueError("give s3://bucket/prefix or an absolute folder")


class Batches(Model):
    """How the log is cut into micro-batches and how many a run takes.

    :param per_run: plans made by one run at most; the rest waits for the next run.
    :param per_task: micro-batches that one mapped task writes when there are many.
    :param max_tasks: mapped tasks at most; ``per_task`` grows beyond its setting to keep to it.
    :param part_bytes: uncompressed CSV bytes after which a table's next part begins.
    """

    max_transactions: int = Field(default=100_000, ge=1)
    max_rows: int = Field(default=500_000, ge=1)
    max_bytes: int = Field(default=256 * MIB, ge=1)
    per_run: int = Field(default=500, ge=1)
    per_task: int = Field(default=10, ge=1)
    max_tasks: int = Field(default=8, ge=1, le=1000)
    part_bytes: int = Field(default=256 * MIB, ge=MIB, le=1024 * MIB)
