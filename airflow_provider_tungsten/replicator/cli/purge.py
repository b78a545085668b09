"""`tungsten thl purge`: asks, and has retention delete. What may go is retention's business."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ByteSize, Field, TypeAdapter, ValidationError

from airflow_provider_tungsten.replicator.cli import logs, output
from airflow_provider_tungsten.replicator.cli.logs import open_log
from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.storage import new_token
from airflow_provider_tungsten.replicator.thl import retention
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.retention import Purged
from airflow_provider_tungsten.replicator.thl.segment import Head
from airflow_provider_tungsten.replicator.thl.settings import Retention

PositiveSize = Annotated[ByteSize, Field(ge=1)]


def purge(
    low: Annotated[
        int | None,
        typer.Option("--low", "-low", help="The log's first seqno: nothing is cut out of the middle."),
    ] = None,
    high: Annotated[
        int | None, typer.Option("--high", "-high", help="The files that end here or before.")
    ] = None,
    before: Annotated[int | None, typer.Option(help="The files that end before this seqno.")] = None,
    keep: Annotated[str | None, typer.Option(help="The files older than that: 7d, 12h, 30m.")] = None,
    keep_bytes: Annotated[str | None, typer.Option(help="The oldest files beyond that: 500MB, 10GB.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: output.AsJson = False,
    thl: logs.ThlUrl = None,
    service: logs.ServiceName = None,
    config: logs.ConfigFile = None,
) -> None:
    """Deletes the old end of the log: whole files, oldest first.

    What an applier still needs stays, and so does the newest file. Give
    [bold]--config[/bold] where you can: an applier of the service that has not
    begun yet is only known from there.

    [bold]Examples[/bold]

      tungsten thl purge -high 4700 --config shop.yaml

      tungsten thl purge --keep 7d --keep-bytes 100GB -y --config shop.yaml
    """
    with output.errors(as_json):
        thl, service, config = logs.told(thl, service, config)
        log = open_log(thl, service, config)
        through = _through(logs.head_of(log), low, high, before)
        if (through is None) == (keep is None and keep_bytes is None):
            raise ConfigurationError("say what goes: --high or --before a seqno, or --keep and --keep-bytes")
        limits = _limits(keep, keep_bytes)
        run = partial(
            retention.purge,
            log,
            expected=_appliers(log, config, dry_run) if config else (),
            token=new_token("tungsten thl purge"),
            retention=None if through is not None else limits,
            through=through,
        )
        planned = run(dry_run=True)
        if not planned.segments or dry_run:
            _show_purged(planned, as_json, done=False)
            return
        if not yes:
            output.confirm(
                f"Delete {planned.segments:,} files, {planned.bytes:,} bytes, all before seqno {planned.first}?"
            )
        _show_purged(run(), as_json, done=True)


def _appliers(log: Log, config: Path, dry_run: bool) -> Collection[str]:
    """Names of the service's appliers, whose positions the log knows rightly."""
    # Imported here: whoever says --thl and --service need not wait for the settings of all appliers.
    from airflow_provider_tungsten.replicator.connections import open_store
    from airflow_provider_tungsten.replicator.targets import keep_for_feeds

    service = logs.service_in(config)
    if not dry_run:
        keep_for_feeds(service, log, open_store)
    return service.appliers


def _limits(keep: str | None, keep_bytes: str | None) -> Retention:
    try:
        size = None if keep_bytes is None else TypeAdapter(PositiveSize).validate_python(keep_bytes)
    except ValidationError:
        raise ConfigurationError(
            f"--keep-bytes {keep_bytes} is no size: write one like 500MB or 10GB"
        ) from None
    try:
        return Retention.model_validate({"max_age": keep, "max_bytes": size})
    except ValidationError:
        raise ConfigurationError(f"--keep {keep} is no age: write one like 7d, 12h or 30m") from None


def _through(head: Head, low: int | None, high: int | None, before: int | None) -> int | None:
    if low is not None and low != head.first:
        raise ConfigurationError(
            f"a log is purged from its old end only: it begins at seqno {head.first}, not {low}"
        )
    if high is not None and before is not None:
        raise ConfigurationError("give one of --high and --before")
    return before - 1 if before is not None else high


def _show_purged(purged: Purged, as_json: bool, *, done: bool) -> None:
    if as_json:
        output.print_json(asdict(purged) | {"purged": done})
        return
    files = f"{purged.segments:,} files, {purged.bytes:,} bytes"
    print(f"{'deleted' if done else 'to delete'}: {files if purged.segments else 'nothing'}")
    print(f"the log {'begins' if done or not purged.segments else 'would begin'} at seqno {purged.first}")
    if purged.held_by:
        print(f"no more goes: {purged.held_by}")
