"""`tungsten thl`: the log as Tungsten's `thl` shows it. Shapes of events are `listing`'s, files of them `export`'s."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from airflow_provider_tungsten.replicator.cli import listing, logs, output
from airflow_provider_tungsten.replicator.cli.export import export
from airflow_provider_tungsten.replicator.cli.logs import Selection, open_log
from airflow_provider_tungsten.replicator.cli.purge import purge
from airflow_provider_tungsten.replicator.cli.sql import as_sql
from airflow_provider_tungsten.replicator.thl import appliers
from airflow_provider_tungsten.replicator.thl.event import ThlEvent
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.segment import SegmentInfo

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    help="""Looks into the THL, the log of all replicated transactions.

    Which log is meant: [bold]--thl[/bold] and [bold]--service[/bold], or [bold]--config[/bold] with the
    service's file; also from TUNGSTEN_THL, TUNGSTEN_SERVICE, TUNGSTEN_CONFIG in
    the environment. Tungsten's options work with one dash, too: -low, -seqno.
    """,
    epilog=output.STATUSES,
)

Headers = Annotated[
    bool,
    typer.Option("--headers", "-headers", help="One line an event, tab-separated; no statements, no rows."),
]
Specs = Annotated[bool, typer.Option("--specs", "-specs", help="Columns with their types.")]
Sql = Annotated[bool, typer.Option("--sql", "-sql", help="As SQL: rows as INSERT, UPDATE, DELETE.")]


@app.command("list")
def list_(
    low: logs.Low = None,
    high: logs.High = None,
    seqno: logs.Seqno = None,
    first: logs.First = None,
    last: logs.Last = None,
    file: logs.File = None,
    headers: Headers = False,
    specs: Specs = False,
    sql: Sql = False,
    as_json: output.AsJson = False,
    thl: logs.ThlUrl = None,
    service: logs.ServiceName = None,
    config: logs.ConfigFile = None,
) -> None:
    """Prints events, rows decoded.

    Values are shown as they go into files; control characters as \\n or \\x1b,
    and what is longer than 1,000 characters is cut. [bold]--json[/bold] prints one
    object a line, with whole values. Times are UTC.

    [bold]Examples[/bold]

      tungsten thl list -seqno 4711 --config shop.yaml

      tungsten thl list -low 4700 -high 4800 -headers --thl /var/lib/thl --service shop

      tungsten thl list -last 10 -json --config shop.yaml | jq -c '.rows[]?'
    """
    with output.errors(as_json):
        log = open_log(thl, service, config)
        begin, end = Selection(low, high, seqno, first, last, file).range_in(log)
        _print_events(_events(log, begin, end, headers), _printer(log.service, headers, specs, sql, as_json))


@app.command()
def tail(
    count: Annotated[int, typer.Option("-n", min=0, help="So many seqnos of the log's end.")] = 10,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is appended, until Ctrl-C.")
    ] = False,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between looks for new segments.")] = 1.0,
    headers: Headers = False,
    specs: Specs = False,
    sql: Sql = False,
    as_json: output.AsJson = False,
    thl: logs.ThlUrl = None,
    service: logs.ServiceName = None,
    config: logs.ConfigFile = None,
) -> None:
    """Prints the log's end, and with [bold]-f[/bold] what comes.

    A task appends whole segments, so what comes appears when a segment is written.

    [bold]Examples[/bold]

      tungsten thl tail -f -headers --config shop.yaml

      tungsten thl tail -n 1 --thl s3://bucket/thl --service shop
    """
    with output.errors(as_json):
        log = open_log(thl, service, config)
        show = _printer(log.service, headers, specs, sql, as_json)
        head = log.head()
        if head is None and not follow:
            Selection(last=count).range_in(log)
        done = head.last if head else -1
        if head and count:
            _print_events(_events(log, max(head.first, done - count + 1), done, headers), show)
        while follow:
            head = log.head()
            if head is not None and head.last > done:
                _print_events(_events(log, max(head.first, done + 1), head.last, headers), show)
                done = head.last
            time.sleep(interval)


def _events(log: Log, first: int, last: int, headers: bool) -> Iterator[ThlEvent]:
    return log.scan(first, last) if headers else log.read(first, last)


def _printer(service: str, headers: bool, specs: bool, sql: bool, as_json: bool) -> Callable[[ThlEvent], str]:
    if as_json:
        return lambda event: output.json_line(listing.as_object(event, service, headers=headers, specs=specs))
    if headers:
        return listing.header_line
    if sql:
        return as_sql
    if output.in_colour():
        return lambda event: "\n".join(listing.coloured(listing.lines(event, service, specs=specs)))
    return lambda event: "\n".join(listing.lines(event, service, specs=specs))


def _print_events(events: Iterator[ThlEvent], show: Callable[[ThlEvent], str]) -> None:
    for event in events:
        sys.stdout.write(show(event) + "\n")
    sys.stdout.flush()


@app.command()
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
                f"applier {name}: {f'applied up to seqno {at.seqno:,}, {at.event_id}' if at.time else 'nothing applied yet'}"
            )


def _time(watermark: int) -> str:
    """'' for that of a log which has met no transaction yet."""
    return listing.time_of(watermark) if watermark else ""


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


@app.command()
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


@app.command()
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


app.command()(export)
app.command()(purge)
