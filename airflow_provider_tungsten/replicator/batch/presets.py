"""What stands in CSV files: header columns in front of the table's, compression."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from airflow_provider_tungsten.replicator.settings import Model

HeaderColumn = Literal["opcode", "seqno", "row_id", "commit_timestamp", "service", "event_id", "gtid"]


class Csv(Model):
    """What stands in the files. The NULL sentinel is chosen per table and batch and recorded in the manifest."""

    header: tuple[HeaderColumn, ...] = ("opcode", "seqno", "row_id", "commit_timestamp")
    header_prefix: str = "tungsten_"
    compression: Literal["zstd", "gzip", "none"] = "zstd"

    @field_validator("header")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a header column stands twice")
        return value
