"""`tungsten status` and `tungsten qs`: how far a service is, under Tungsten's names of the figures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from airflow_provider_tungsten import __version__
from airflow_provider_tungsten.replicator.cli import output
from airflow_provider_tungsten.replicator.cli.services import (
    AnyApplier,
    ServiceFile,
    branches_of,
    live_connections,
)
from airflow_provider_tungsten.replicator.service import load_service
from airflow_provider_tungsten.replicator.status import ApplierStatus, Status, read_status

Refresh = Annotated[
    float | None, typer.Option("-r", "--refresh", min=0.1, help="Again every so many seconds, until Ctrl-C.")
]
Times = Annotated[int | None, typer.Option("-c", "--count", min=1, help="With -r: end after so many times.")]

# Tungsten's names of figures: ours → theirs.
_SERVICE = {
    "service": "serviceName",
    "source_id": "sourceId",
    "epoch_number": "latestEpochNumber",
    "first": "minimumStoredSeqNo",
    "last": "maximumStoredSeqNo",
    "event_id": "lastExtractedEventId",
    "current_event_id": "currentEventId",
    "log": "maximumStoredSeqNo",
}
_APPLIER = {
    "name": "name",
    "type": "type",
    "seqno": "appliedLastSeqno",
    "event_id": "appliedLastEventId",
    "epoch_number": "appliedLastEpochNumber",
    "applied_latency": "appliedLatency",
    "relative_latency": "relativeLatency",
    "behind": "transactionsBehind",
    "catch_up": "estimatedTimeToCatchUp",
    "skips": "skippedSeqnos",
    "gaps": "gaps",
}


def status(
    config: ServiceFile,
    applier: AnyApplier = None,
    refresh: Refresh = None,
    count: Times = None,
    as_json: output.AsJson = False,
) -> None:
    """Shows how far source, log and appliers are, as Tungsten's trepctl status.

    A figure that is not to be had, since somebody does not answer, is missing, and
    what is shown in its place says why; the others are shown all the same.

    There is no process that could be offline: [bold]state[/bold] is ONLINE where the next run
    can go on; OFFLINE:NORMAL before the first one, while there is no log; else
    OFFLINE:ERROR, and pendingExceptionMessage says what the next run would meet.

    Exit status 3 when one of them is OFFLINE:ERROR, else 0.

    [bold]Examples[/bold]

      tungsten status --config shop.yaml

      tungsten status --config shop.yaml --json | jq '.appliers[].appliedLatency'

      tungsten status --config shop.yaml -r 5
    """
    _repeat(config, applier, refresh, count, as_json, _fields)


def qs(
    config: ServiceFile,
    applier: AnyApplier = None,
    refresh: Refresh = None,
    count: Times = None,
    as_json: output.AsJson = False,
) -> None:
    """Quick status: state, latency, last seqno, how long it takes to catch up.

    The same figures as [bold]status[/bold], the most important ones in a few lines.

    [bold]Examples[/bold]

      tungsten qs --config shop.yaml

      tungsten qs --config shop.yaml --applier redshift -r 2
    """
    _repeat(config, applier, refresh, count, as_json, _quick)


def _repeat(config: Any, applier: Any, refresh: Any, count: Any, as_json: bool, describe: Any) -> None:
    with output.errors(as_json), output.interruptible() as sleep:
        service = load_service(config)
        done = 0
        while True:
            found = read_status(service, branches_of(service, applier), live_connections())
            if as_json:
                output.print_json(as_tungsten(found))
            else:
                output.begin_again(first=not done)
                output.print_fields(describe(found))
            sys.stdout.flush()
            done += 1
            if refresh is None or done == count:
                break
            sleep(refresh)
    if found.error or any(one.error for one in found.appliers):
        raise typer.Exit(output.NEEDS_A_PERSON)


def as_tungsten(found: Status) -> dict[str, Any]:
    """Under Tungsten's names; what is missing is null and explained in ``missing``."""
    values = asdict(found)
    return {
        "serviceName": found.service,
        "state": _state(found, found.error),
        **({"pendingExceptionMessage": output.explained(found.error)} if found.error else {}),
        **{theirs: values[ours] for ours, theirs in _SERVICE.items() if ours in values},
        "currentTimeMillis": int(found.time * 1000),
        "timezone": "UTC",
        "version": __version__,
        "appliers": [_applier(found, one) for one in found.appliers],
        "missing": {_SERVICE.get(name, name): why for name, why in found.missing.items()},
    }


def _applier(found: Status, one: ApplierStatus) -> dict[str, Any]:
    values = asdict(one)
    return {
        "name": one.name,
        "state": _state(found, one.error),
        **({"pendingExceptionMessage": output.explained(one.error)} if one.error else {}),
        **{theirs: values[ours] for ours, theirs in _APPLIER.items()},
        "missing": {_APPLIER.get(name, name): why for name, why in one.missing.items()},
    }


def _state(found: Status, error: str | None) -> str:
    if error:
        return "OFFLINE:ERROR"
    return "ONLINE" if found.begun else "OFFLINE:NORMAL"


def _fields(found: Status) -> Iterator[tuple[str, str]]:
    values = as_tungsten(found)
    appliers, missing = values.pop("appliers"), values.pop("missing")
    yield from _told(values, missing)
    for one in appliers:
        missing = one.pop("missing")
        yield "", ""
        yield from _told({"applier": one.pop("name"), **one}, missing)


def _told(values: dict[str, Any], missing: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if name in ("skippedSeqnos", "gaps"):
            yield name, "\n".join(_skip_or_gap(item) for item in value) or "none"
        elif name in missing:
            yield (
                name,
                f"{_shown(value)} ({missing[name]})" if value is not None else f"unknown: {missing[name]}",
            )
        else:
            yield name, _shown(value)


def _shown(value: Any) -> str:
    return "-" if value in (None, "") else f"{value:.3f}" if isinstance(value, float) else str(value)


def _skip_or_gap(item: dict[str, Any]) -> str:
    if "who" in item:
        tables = ", ".join(item["tables"])
        return f"{item['seqno']}: skipped by {item['who']} at {item['time']}: {item['why']} ({tables})"
    state = "acknowledged" if item["acknowledged"] else "not acknowledged"
    return f"{item['seqno']}: gap, {state} ({item['reason']})"


def _quick(found: Status) -> Iterator[tuple[str, str]]:
    at = datetime.fromtimestamp(found.time, UTC)
    yield found.service, f"{_state(found, found.error)} at {at:%Y-%m-%d %H:%M:%S} UTC"
    if trouble := found.error or found.missing.get("log"):
        yield "", output.explained(trouble)
    if found.last is not None:
        yield (
            "stored",
            f"seqno {found.first:,} to {found.last:,}, epoch {found.epoch_number}, up to {found.event_id}",
        )
    if found.current_event_id is not None:
        yield "source is at", found.current_event_id
    for one in found.appliers:
        yield one.name, f"{_state(found, one.error)}{f': {output.explained(one.error)}' if one.error else ''}"
        yield (
            "  last applied",
            "nothing yet" if one.seqno in (None, -1) else f"seqno {one.seqno:,} ({one.event_id})",
        )
        yield "  latency", _seconds(one.applied_latency, "from commit to commit")
        yield "  complete to", _seconds(one.relative_latency, "ago at the source")
        yield "  behind", "-" if one.behind is None else f"{one.behind:,} transactions"
        yield "  to catch up", _seconds(one.catch_up, "estimated")
        if one.skips:
            yield "  skipped", ", ".join(str(skip.seqno) for skip in one.skips)


def _seconds(value: float | None, what: str) -> str:
    return "unknown" if value is None else f"{value:,.1f} s {what}"
