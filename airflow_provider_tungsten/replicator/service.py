"""A service's configuration: one MySQL source, one THL, one or more appliers. From YAML or from Python.

Connections are named, not described: a hook or the command line turns a name into a live connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator, model_validator

from airflow_provider_tungsten.replicator.custom.settings import CustomApplier
from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.filters.names import Names
from airflow_provider_tungsten.replicator.filters.settings import CaseTransform, Filters, Rename, Replicate
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier
from airflow_provider_tungsten.replicator.s3.settings import S3Applier
from airflow_provider_tungsten.replicator.settings import (
    MIB,
    Model,
    Name,
    Patterns,
    Store,
    TableRules,
)
from airflow_provider_tungsten.replicator.thl.settings import Retention

_EVENT_ID = re.compile(r"^[^:,\s]+\.\d+:\d+(;|$)")
_GTID_SET = re.compile(r"^[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}:")


class Start(Model):
    """Where the very first extraction begins; give exactly one. Later ones go on where the THL ends."""

    at: Literal["earliest", "now"] | None = None
    event_id: str | None = None
    gtid_set: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Start:
        if sum(value is not None for value in (self.at, self.event_id, self.gtid_set)) != 1:
            raise ValueError("give exactly one of: earliest, now, {event_id: file:position}, {gtid_set: …}")
        return self

    @classmethod
    def parse(cls, text: str) -> Start:
        """``now``, ``earliest``, ``file:position`` or a GTID set.

        :raises ConfigurationError: none of these.
        """
        field = "at" if text in ("now", "earliest") else "event_id" if _EVENT_ID.match(text) else "gtid_set"
        if field == "gtid_set" and not _GTID_SET.match(text):
            raise ConfigurationError(f"{text!r} is none of: now, earliest, file:position, a GTID set")
        return cls.model_validate({field: text})

    @field_validator("event_id")
    @classmethod
    def _event_id(cls, value: str | None) -> str | None:
        if value is not None and not _EVENT_ID.match(value):
            raise ValueError("not an event id, like mysql-bin.000002:134613")
        return value


class Limits(Model):
    """An extraction ends at the first of these, or at the head the server had when it began."""

    max_transactions: int = Field(default=5_000_000, ge=1)
    max_bytes: int = Field(default=8 * 1024 * MIB, ge=1)
    max_seconds: float = Field(default=600, gt=0)


class Source(TableRules):
    """The MySQL server, by an Airflow connection of type ``mysql``.

    :param server_id: replica id of this service; no other replica of the server may use it.
    :param accept_unlogged_cascades: tables whose cascading foreign keys the server does not log, known and accepted.
    :param min_retention_hours: what preflight asks of the server's binlog retention.
    :param verify_checksum: whether the checksums of binlog events are compared.
    :param spool_bytes: a transaction larger than this waits for its commit on disk, not in memory.
    :param schema_dump: file of ``mysqldump --no-data``, taken where the first extraction begins; needed for a start in the
        past of a server whose ``binlog_row_metadata`` is MINIMAL.
    :param heartbeat: each extraction begins with a change of ``tungsten_<service>.heartbeat`` on the server, so that the
        log's end, and lag with it, is true where nothing else is committed.
    """

    connection: str
    server_id: int = Field(ge=1, le=2**32 - 1)
    start: Start = Start(at="now")
    limits: Limits = Limits()
    accept_unlogged_cascades: Patterns = ()
    min_retention_hours: float = Field(default=24, ge=0)
    verify_checksum: bool = True
    spool_bytes: int = Field(default=32 * MIB, ge=MIB, le=512 * MIB)
    schema_dump: str | None = None
    heartbeat: bool = False

    @field_validator("start", mode="before")
    @classmethod
    def _short_start(cls, value: Any) -> Any:
        return {"at": value} if isinstance(value, str) else value


class Thl(Store):
    """The log's place, the size of its segments, and how long they are kept.

    :param retention: what may be purged after a load, once all appliers have taken it; None: nothing ever.
    """

    segment_bytes: int = Field(default=128 * MIB, ge=1)
    segment_events: int = Field(default=500_000, ge=1)
    retention: Retention | None = None


def _of_redshift(value: Any) -> Any:
    """An applier that does not say its type is Redshift's."""
    return {"type": "redshift", **value} if isinstance(value, Mapping) else value


Applier = Annotated[
    RedshiftApplier | S3Applier | CustomApplier, Field(discriminator="type"), BeforeValidator(_of_redshift)
]


def _overlap(one: str, other: str) -> bool:
    """Whether one of two places lies in the other, or both are the same."""
    folders = [url.rstrip("/") + "/" for url in (one, other)]
    return folders[0].startswith(folders[1]) or folders[1].startswith(folders[0])


class Service(Model):
    """One named replication stream.

    :param filters: for all appliers, in this order and before their own; those of `replicate` that stand before any that
        renames hold for extraction, too.
    :param schedule: cron expression of the DAG's data intervals, in UTC; None: only by hand.
    """

    service: Name
    source: Source
    thl: Thl
    filters: Filters = ()
    appliers: Mapping[Name, Applier] = Field(min_length=1)
    schedule: str | None = "* * * * *"

    @model_validator(mode="after")
    def _places_of_their_own(self) -> Service:
        places = {"thl.url": self.thl.url}
        places |= {f"appliers.{name}.files.url": applier.files.url for name, applier in self.appliers.items()}
        for name, applier in self.appliers.items():
            mine = f"appliers.{name}.files.url"
            for other, url in places.items():
                if applier.alone and other != mine and _overlap(applier.files.url, url):
                    raise ValueError(
                        f"{mine} and {other} overlap ({applier.files.url}, {url}): a feed needs a place of its own"
                    )
        metadata = [
            applier.metadata.url
            for applier in self.appliers.values()
            if isinstance(applier, S3Applier) and applier.metadata
        ]
        if len(set(metadata)) < len(metadata):
            raise ValueError("two appliers have one metadata.url: their positions would be one file")
        return self

    def extracted_tables(self) -> TableFilter:
        """What the source's rules and the service's first `replicate` filters let into the log."""
        first = takewhile(lambda each: not isinstance(each, Rename | CaseTransform), self.filters)
        names = Names(tuple(each for each in first if isinstance(each, Replicate)))
        return self.source.table_filter(names)

    def applier(self, name: str) -> Applier:
        """:raises ConfigurationError: no applier of that name."""
        if name not in self.appliers:
            raise ConfigurationError(
                f"service {self.service} has no applier {name!r}; it has: {', '.join(sorted(self.appliers))}"
            )
        return self.appliers[name]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _allowed(place: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of which the last of `place`, as pydantic writes it, is none."""
    models: list[type[BaseModel]] = [Service]
    parts = iter(place[:-1])
    for part in parts:
        below = [_fields(model)[part] for model in models if part in _fields(model)]
        if below:
            models = [model for kind in below for model in _models(kind)]
            if any(get_origin(kind) in (Mapping, tuple) for kind in below):
                next(parts, None)  # a key, a number
        else:
            models = [model for model in models if part in _tags(model)]
    return sorted({name for model in models for name in _fields(model)})


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    fields = _fields(model)
    return get_args(fields.get("type") or fields.get("filter"))


def _explain(origin: str, error: ValidationError) -> ConfigurationError:
    lines = []
    for item in error.errors():
        loc = item["loc"]
        if loc[:1] == ("appliers",) and len(loc) > 2:
            loc = (*loc[:2], *loc[3:])  # between an applier's name and its fields, pydantic has its type
        place = ".".join(str(part) for part in loc) or "the service"
        given = (
            ""
            if isinstance(item["input"], dict) or item["type"] == "missing" or "sha256" in item["loc"]
            else f" (given: {item['input']!r})"
        )
        known = (
            f"; there are: {', '.join(_allowed(item['loc']))}" if item["type"] == "extra_forbidden" else ""
        )
        said = item["msg"].removeprefix("Value error, ")
        if item["type"] == "union_tag_not_found":
            said = f"it lacks {item['ctx']['discriminator']}"
        lines.append(f"  - {place}: {said}{known}{given}")
    return ConfigurationError(f"{origin} is not a valid service:\n" + "\n".join(lines))


def parse_service(data: Mapping[str, Any], origin: str = "the service") -> Service:
    """:raises ConfigurationError: every wrong field with its value and what is allowed."""
    try:
        return Service.model_validate(data)
    except ValidationError as error:
        raise _explain(origin, error) from None


def load_service(path: str | Path) -> Service:
    """Reads a service file.

    :raises ConfigurationError: no such file, not YAML, or a wrong field.
    """
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read service file {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from None
    if not isinstance(data, Mapping):
        raise ConfigurationError(
            f"{path} is not a service: give a mapping with service, source, thl, appliers"
        )
    return parse_service(data, str(path))
