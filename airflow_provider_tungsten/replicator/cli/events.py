"""`tungsten thl list` and `tail`: events as Tungsten's `thl` shows them. Their shapes are `listing`'s business."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, NamedTuple

import typer

from airflow_provider_tungsten.replicator.binlog.refusals import ValueRefused
from airflow_provider_tungsten.replicator.cli import listing, logs, output
from airflow_provider_tungsten.replicator.cli.logs import Selection, open_log
from airflow_provider_tungsten.replicator.cli.sql import as_sql, sql_pieces
from airflow_provider_tungsten.replicator.thl.event import ThlEvent
from airflow_provider_tungsten.replicator.thl.log import Log

Headers = Annotated[
    bool,
    typer.Option("--headers", "-headers", help="One line an event, tab-separated; no statements, no rows."),
]
Specs = Annotated[bool, typer.Option("--specs", "-specs", help="Columns with their types.")]
Sql = Annotated[bool, typer.Option("--sql", "-sql", help="As SQL: rows as INSERT, UPDATE, DELETE.")]


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
        _print_events(_events(log, begin, end, headers), _form(log.service, headers, specs, sql, as_json))


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
    with output.errors(as_json), output.interruptible() as sleep:
        log = open_log(thl, service, config)
        show = _form(log.service, headers, specs, sql, as_json)
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
            sleep(interval)


def _events(log: Log, first: int, last: int, headers: bool) -> Iterator[ThlEvent]:
    return log.scan(first, last) if headers else log.read(first, last)


class _Form(NamedTuple):
    """How an event is shown: at once, or in pieces where it is large."""

    whole: Callable[[ThlEvent], str]
    pieces: Callable[[ThlEvent], Iterator[str]]


def _form(service: str, headers: bool, specs: bool, sql: bool, as_json: bool) -> _Form:
    def lines(event: ThlEvent, large: bool) -> Iterator[str]:
        return colours(listing.lines(event, service, specs=specs, large=large))

    colours = listing.coloured if output.in_colour() else iter
    if as_json:
        return _Form(
            lambda event: (
                output.json_line(listing.as_object(event, service, headers=headers, specs=specs)) + "\n"
            ),
            partial(listing.json_pieces, service=service, specs=specs),
        )
    if headers:
        return _Form(lambda event: listing.header_line(event) + "\n", lambda event: iter(()))
    if sql:
        return _Form(as_sql, sql_pieces)
    return _Form(
        lambda event: "\n".join(lines(event, False)) + "\n",
        lambda event: (f"{line}\n" for line in lines(event, True)),
    )


def _print_events(events: Iterator[ThlEvent], form: _Form) -> None:
    for event in events:
        try:
            if not listing.is_large(event):
                sys.stdout.write(form.whole(event))
            else:
                # Of an event that cannot be shown whole nothing is.
                for _ in form.pieces(event):
                    pass
                for piece in form.pieces(event):
                    sys.stdout.write(piece)
        except ValueRefused as error:
            raise listing.refused(event, error) from error
        del event  # or it would be in memory beside the next
    sys.stdout.flush()
