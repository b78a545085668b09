"""`tungsten thl info`, `index` and `dsctl`: what a log holds, as its files' footers say it."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Annotated, Any

import typer

from airflow_provider_tungsten.replicator.cli import listing, logs, output
from airflow_provider_tungsten.replicator.cli.logs import Selection, open_log
from airflow_provider_tungsten.replicator.thl import appliers
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.segment import SegmentInfo


def info(
    as_json: output.AsJson = False,
    thl: logs.ThlUrl = None,
    service: logs.ServiceName = None,
    config: logs.ConfigFile = None,
) -> None:
    """Says what the log holds: size, files, seqnos, times, and who reads it.

    [bold]Example[/bold]

      tungsten thl info --config shop.yaml
    """
    with output.errors(as_json):
        log = open_log(thl, service, config)
        head = logs.head_of(log)
        sizes = _sizes(log, head.first)
        oldest = next(log.segments(head.first, head.first))
        found = {
            "logDirectory": log.url,
            "uuid": head.uuid,
            "logFiles": len(sizes),
            "logSizeInBytes": sum(sizes.values()),
            "oldestFile": oldest.key,
            "newestFile": head.segment.key,
            "minSeqno": head.first,
            "maxSeqno": head.last,
            "events": head.last - head.first + 1,
            "minTime": _time(oldest.first_watermark),
            "maxTime": _time(head.watermark),
            "latestEpochNumber": head.epoch_number,
            "latestEventId": head.event_id,
        }
        known = appliers.positions(log)
        if as_json:
            output.print_json(found | {"appliers": {name: asdict(at) for name, at in known.items()}})
            return
        output.print_fields((name, _text(value)) for name, value in found.items())
        for name, at in known.items():
            print(
                f"applier {name}: {f'applied up to seqno {at.seqno:,}, {at.event_id}' if at.time else 'nothing applied yet, as far as the log knows'}"
            )


def _time(watermark: int) -> str:
    """'' for that of a log which has met no transaction yet."""
    return listing.time_of(watermark) if watermark else ""


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def index(
    low: logs.Low = None,
    high: logs.High = None,
    as_json: output.AsJson = False,
    thl: logs.ThlUrl = None,
    service: logs.ServiceName = None,
    config: logs.ConfigFile = None,
) -> None:
    """Lists the log's files: what each holds, a line a file.

    [bold]Example[/bold]

      tungsten thl index --thl /var/lib/thl --service shop
    """
    with output.errors(as_json):
        log = open_log(thl, service, config)
        begin, end = Selection(low, high).range_in(log)
        sizes = _sizes(log, begin)
        entries = (_entry(info, sizes.get(info.key, 0)) for info in log.segments(begin, end))
        if as_json:
            for entry in entries:
                output.print_json(entry)
        else:
            rows = [[_text(value) for value in entry.values()] for entry in entries]
            output.print_rows([*_ENTRY], rows, right=("minSeqno", "maxSeqno", "rows", "bytes"))


_ENTRY = ("file", "minSeqno", "maxSeqno", "rows", "bytes", "minTime", "maxTime", "lastEventId")


def _entry(info: SegmentInfo, size: int) -> dict[str, Any]:
    rows = sum(rows for _, rows in info.tables.values())
    times = _time(info.first_watermark), _time(info.watermark)
    return dict(
        zip(_ENTRY, (info.key, info.first, info.last, rows, size, *times, info.event_id), strict=True)
    )


def _sizes(log: Log, first: int) -> dict[str, int]:
    """Bytes of the segments from the one on that holds ``first``, by name."""
    begin = next(log.segments(first, first))
    return {item.key: item.size for item in log.storage.list("thl-") if item.key >= begin.key}


def dsctl(
    seqno: Annotated[
        int, typer.Option("--seqno", "-seqno", help="Of the last transaction that is applied already.")
    ],
    as_json: output.AsJson = False,
    thl: logs.ThlUrl = None,
    service: logs.ServiceName = None,
    config: logs.ConfigFile = None,
) -> None:
    """Prints the command that sets an applier's position to a seqno of this log.

    [bold]Example[/bold]

      tungsten thl dsctl -seqno 4711 --config shop.yaml
    """
    with output.errors(as_json):
        log = open_log(thl, service, config)
        event = log.record(seqno)
        found = {
            "seqno": event.seqno,
            "epoch": event.epoch_number,
            "event-id": event.event_id,
            "source-id": event.source_id,
        }
        if as_json:
            output.print_json({name.replace("-id", "Id"): value for name, value in found.items()})
        else:
            print("tungsten position set", *(f"--{name} {shlex.quote(str(v))}" for name, v in found.items()))
