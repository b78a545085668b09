"""`tungsten run`: a service's steps in this process, once or for ever."""

from __future__ import annotations

import dataclasses
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import Annotated, Any

import typer

from airflow_provider_tungsten.replicator.cli import output
from airflow_provider_tungsten.replicator.cli.services import (
    AnyApplier,
    ServiceFile,
    live_connections,
)
from airflow_provider_tungsten.replicator.errors import ConfigurationError, TransientError
from airflow_provider_tungsten.replicator.runner import STEPS, Applied, Pass, Runner
from airflow_provider_tungsten.replicator.service import load_service
from airflow_provider_tungsten.replicator.storage import new_token


def run(
    config: ServiceFile,
    applier: AnyApplier = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C or SIGTERM.")
    ] = False,
    interval: Annotated[
        float, typer.Option(min=0.1, help="With --follow: seconds to wait when nothing is new.")
    ] = 5.0,
    step: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Take this step only: {', '.join(STEPS)}; may stand several times. [dim]Default: all[/dim]",
            show_default=False,
        ),
    ] = None,
    as_json: output.AsJson = False,
) -> None:
    """Replicates, without Airflow: extract, plan, batch, upload, load.

    The fastest way to try a service, or to debug one. One pass takes what the
    source has now, as a run of the DAG does; [bold]--follow[/bold] takes one after
    the other, and waits when something does not answer. Airflow may run the same
    service before, afterwards, even meanwhile: who comes second finds the work done.

    Ctrl-C (or SIGTERM) ends it behind the transaction or the batch at work, with
    status 0; a second Ctrl-C at once, with 130. Nothing is lost either way.

    Connections are Airflow's, from the environment: AIRFLOW_CONN_<ID> as a URI or
    JSON. For S3 without one, boto3 searches for credentials itself.

    [bold]Examples[/bold]

      export AIRFLOW_CONN_MYSQL_SHOP='mysql://tungsten:secret@127.0.0.1:3306/'

      tungsten run --config shop.yaml

      tungsten run --config shop.yaml --follow --json

      tungsten run --config shop.yaml --step extract
    """
    with output.errors(as_json):
        service = load_service(config)
        if unknown := set(step or ()) - set(STEPS):
            raise ConfigurationError(f"--step {', '.join(sorted(unknown))}: there are {', '.join(STEPS)}")
        names = [applier] if applier else sorted(service.appliers)
        with _stopping() as stop, output.progress(not as_json) as say:
            runner = Runner(
                service,
                live_connections(),
                steps=step or STEPS,
                appliers=names,
                token=new_token("tungsten run"),
                tell=say or (lambda text: None),
                stop=stop.is_set,
            )
            if not follow:
                _show(runner.once(), as_json)
                return
            _follow(runner, stop, interval, as_json)


def _follow(runner: Runner, stop: Event, interval: float, as_json: bool) -> None:
    while not stop.is_set():
        try:
            done = runner.once()
        except TransientError as error:
            output.warn(f"{error}; next attempt in {interval:g} s")
            stop.wait(interval)
            continue
        if not done.idle:
            _show(done, as_json)
        elif not done.stopped:
            stop.wait(interval)


@contextmanager
def _stopping() -> Iterator[Event]:
    """Set by the first SIGINT or SIGTERM; the second one interrupts as ever."""
    stop = Event()

    def ask(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[number])

    before: dict[int, Any] = {
        number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(done: Pass, as_json: bool) -> None:
    if as_json:
        output.print_json(dataclasses.asdict(done))
        sys.stdout.flush()  # somebody may wait for the line at the other end of a pipe
        return
    output.print_fields(_described(done))
    loads = [one.load for one in done.appliers if one.load is not None]
    for warning in [
        *(done.extract.warnings if done.extract else ()),
        *(w for load in loads for w in load.warnings),
    ]:
        output.warn(warning)


def _described(done: Pass) -> Iterator[tuple[str, str]]:
    if (extract := done.extract) is not None:
        added = "nothing new" if extract.first is None else f"seqno {extract.first:,} to {extract.last:,}"
        at = extract.event_id.partition(";")[0]
        yield "extract", f"{added}: {extract.transactions:,} transactions, {extract.rows:,} rows, up to {at}"
    for one in done.appliers:
        yield one.applier, ", ".join(_parts(one)) or "nothing new"
    if done.stopped:
        yield "ended", "as asked; the next run goes on here"


def _parts(one: Applied) -> Iterator[str]:
    if one.written:
        yield f"{one.written:,} of {one.planned:,} batches written, {one.rows:,} rows"
    elif one.planned:
        yield f"{one.planned:,} batches due"
    if one.load is not None:
        at = one.load.position
        what = "nothing new" if one.load.first is None else f"seqno {one.load.first:,} to {one.load.last:,}"
        yield f"loaded {what} in {one.load.seconds:.1f} s, now at seqno {at.seqno:,} ({at.event_id.partition(';')[0]})"
