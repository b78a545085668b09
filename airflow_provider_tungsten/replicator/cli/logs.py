"""The log that a command is about, and what of it: options that several commands have."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import TypeAdapter

from airflow_provider_tungsten.replicator.errors import ConfigurationError, RangeError
from airflow_provider_tungsten.replicator.settings import Name, Store
from airflow_provider_tungsten.replicator.storage import Storage, open_storage
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.segment import Head, SegmentInfo, key_of

if TYPE_CHECKING:
    from airflow_provider_tungsten.replicator.service import Service

# The environment is read in `told`: it is asked only where no option tells.
ThlUrl = Annotated[
    str | None,
    typer.Option(
        "--thl",
        "-thl",
        help="Where logs lie: a folder or s3://bucket/prefix. The service's is <thl>/<service>/. "
        "[dim]Environment: TUNGSTEN_THL[/dim]",
    ),
]
ServiceName = Annotated[
    str | None,
    typer.Option(
        "--service", "-service", help="Name of the stream. [dim]Environment: TUNGSTEN_SERVICE[/dim]"
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-conf",
        help="The service's file, instead of --thl and --service. [dim]Environment: TUNGSTEN_CONFIG[/dim]",
    ),
]
Low = Annotated[
    int | None, typer.Option("--low", "-low", help="From this seqno on. [dim]Default: the first[/dim]")
]
High = Annotated[
    int | None, typer.Option("--high", "-high", help="Up to this seqno. [dim]Default: the last[/dim]")
]
Seqno = Annotated[int | None, typer.Option("--seqno", "-seqno", help="Only this seqno.")]
First = Annotated[
    int | None, typer.Option("--first", "-first", min=1, help="The first so many seqnos of the range.")
]
Last = Annotated[
    int | None, typer.Option("--last", "-last", min=1, help="The last so many seqnos of the range.")
]
File = Annotated[
    str | None, typer.Option("--file", "-file", help="Only this segment, as [bold]thl index[/bold] names it.")
]


def open_place(url: str) -> Storage:
    """The store at a URL or a folder, which may be relative here; S3 by boto3's own credentials.

    :raises pydantic.ValidationError: neither.
    """
    return open_storage(Store(url=url if "://" in url else str(Path(url).absolute())).url)


def service_in(config: Path) -> Service:
    """:raises ConfigurationError: no service's file."""
    # Imported here: whoever says --thl and --service need not wait for the settings of all appliers.
    from airflow_provider_tungsten.replicator.service import load_service

    return load_service(config)


def told(
    thl: str | None, service: str | None, config: Path | None
) -> tuple[str | None, str | None, Path | None]:
    """The three options, each from the environment where nothing on the command line stands against it."""
    at, name, file = (os.environ.get(f"TUNGSTEN_{of}") or None for of in ("THL", "SERVICE", "CONFIG"))
    if not (thl or service or config):
        return at, name, Path(file) if file else None
    return (thl, service, config) if config else (thl or at, service or name, None)


def open_log(thl: str | None, service: str | None, config: Path | None) -> Log:
    """The log of ``service`` below ``thl``, or that of the service in the file ``config``; see :func:`told`.

    :raises ConfigurationError: neither is told, or both; a wrong file.
    """
    thl, service, config = told(thl, service, config)
    if bool(thl or service) == bool(config):
        raise ConfigurationError(
            "say which log: either --thl URL and --service NAME, or --config FILE of the service; what TUNGSTEN_THL, "
            "TUNGSTEN_SERVICE and TUNGSTEN_CONFIG hold counts, too"
        )
    if config is None:
        if not (thl and service):
            raise ConfigurationError(
                "--thl and --service belong together: give both, or --config FILE of the service"
            )
        return Log(open_place(thl), TypeAdapter(Name).validate_python(service))
    known = service_in(config)
    if not known.thl.url.startswith("s3://"):
        return Log(open_storage(known.thl.url), known.service)
    # Imported here: connections bring the drivers of all servers along.
    from airflow_provider_tungsten.replicator.connections import open_store

    return Log(open_store(known.thl), known.service)


def head_of(log: Log) -> Head:
    """:raises RangeError: the log is empty."""
    head = log.head()
    if head is None:
        raise RangeError(
            f"{log.url} holds no log yet: extract first, or see whether --thl and --service are the right ones"
        )
    return head


def segment_called(log: Log, name: str) -> SegmentInfo:
    """The footer of the segment of that name.

    :raises RangeError: the log has no such segment.
    """
    digits = name.removeprefix("thl-").removesuffix(".parquet")
    if digits.isdigit() and key_of(int(digits)) == name and log.storage.exists(name):
        return next(log.segments(int(digits), int(digits)))
    raise RangeError(f"{log.url} has no segment {name}; tungsten thl index lists those it has")


@dataclass(frozen=True)
class Selection:
    """What of a log is meant, as the options say it."""

    low: int | None = None
    high: int | None = None
    seqno: int | None = None
    first: int | None = None
    last: int | None = None
    file: str | None = None

    def range_in(self, log: Log) -> tuple[int, int]:
        """First and last seqno; ``high`` may lie beyond the end of the log.

        :raises ConfigurationError: options that exclude each other.
        :raises RangeError: the log does not hold them.
        """
        low, high = self._bounds(log)
        if low is not None and high is not None and low > high:
            raise ConfigurationError(f"-low {low} is behind -high {high}: that is no range")
        head = head_of(log)
        if low is not None and high is None and low > head.last:
            high = low
        low = head.first if low is None else low
        high = head.last if high is None else high
        if self.seqno is None and low <= head.last:
            high = min(high, head.last)
        if self.first is not None:
            high = min(high, low + self.first - 1)
        if self.last is not None:
            low = max(low, high - self.last + 1)
        if low < head.first or high > head.last or low > high:
            asked = f"seqno {low} is" if low == high else f"seqnos {low} to {high} are"
            raise RangeError(f"{asked} not in the log {log.url}: it holds {head.first} to {head.last}")
        return low, high

    def _bounds(self, log: Log) -> tuple[int | None, int | None]:
        ways = {
            "-seqno": self.seqno is not None,
            "-file": self.file is not None,
            "-low or -high": self.low is not None or self.high is not None,
        }
        if (
            sum(ways.values()) > 1
            or (self.seqno is not None and (self.first or self.last))
            or (self.first and self.last)
        ):
            raise ConfigurationError(
                "give one of -seqno, -file, or -low and -high; and with a range one of -first and -last"
            )
        if self.file is not None:
            info = segment_called(log, self.file)
            return info.first, info.last
        if self.seqno is not None:
            return self.seqno, self.seqno
        return self.low, self.high
