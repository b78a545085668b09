"""`tungsten heartbeat`, `skip`, `reposition` and `applier`: what an operator does to a service now and then."""

from __future__ import annotations

import getpass
import re
from dataclasses import asdict
from typing import Annotated

import typer

from airflow_provider_tungsten.replicator import extractor, skipping
from airflow_provider_tungsten.replicator.cli import output
from airflow_provider_tungsten.replicator.cli.services import (
    ApplierName,
    ServiceFile,
    branch_of,
    live_connections,
    say,
    thl_store,
)
from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.positions import applied_seqno
from airflow_provider_tungsten.replicator.service import Start, load_service
from airflow_provider_tungsten.replicator.source.heartbeat import beat
from airflow_provider_tungsten.replicator.storage import new_token
from airflow_provider_tungsten.replicator.thl import appliers
from airflow_provider_tungsten.replicator.thl.log import Log
from airflow_provider_tungsten.replicator.thl.low_water import now

By = Annotated[
    str | None,
    typer.Option("--by", help="Who does it; kept in the record. [dim]Default: the user here[/dim]"),
]
_SKIPPED_AT_ONCE = 1000
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

applier_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="The appliers that a log is kept for: retention never deletes what one of them has not applied.",
    epilog=output.STATUSES,
)


def heartbeat(
    config: ServiceFile,
    name: Annotated[
        str, typer.Option("--name", "-name", help="What the record in the log is called.")
    ] = "manual",
    as_json: output.AsJson = False,
) -> None:
    """Changes the heartbeat's row at the source, which the log then holds as a record.

    The row is in the source's own tungsten_<service>.heartbeat, which is made where
    it is missing; no target gets it. Its way through log and load shows the lag of
    a source on which nothing else happens.

    [bold]Example[/bold]

      tungsten heartbeat --config shop.yaml --name before_upgrade
    """
    with output.errors(as_json):
        service = load_service(config)
        beat(live_connections().mysql(service.source.connection), service.service, name)
        say(as_json, f"heartbeat {name} written", service=service.service, name=name)


def reposition(
    config: ServiceFile,
    to: Annotated[
        str, typer.Option("--to", help="now, earliest, file:position, or a GTID set to go on behind.")
    ],
    by: By = None,
    yes: Yes = False,
    as_json: output.AsJson = False,
) -> None:
    """Lets reading go on elsewhere at the source: the way out where its log is lost or damaged.

    What lies between is not in the log then: a [bold]gap[/bold] record says so, at which every
    applier stops. Bring its target to the state at the new place, then let it pass
    with [bold]tungsten position acknowledge-gap[/bold].

    [bold]Examples[/bold]

      tungsten reposition --config shop.yaml --to now

      tungsten reposition --config shop.yaml --to mysql-bin.000012:4 --yes
    """
    with output.errors(as_json):
        service = load_service(config)
        start = Start.parse(to)
        if not yes:
            output.confirm(f"Let service {service.service} go on at {to}, with a gap in its log?")
        gap = extractor.reposition(
            service,
            live_connections().mysql(service.source.connection),
            thl_store(service),
            start,
            token=new_token("tungsten reposition"),
            reason=f"{by or getpass.getuser()} tungsten reposition {now()}",
        )
        text = (
            f"the log goes on at {gap.event_id.partition(';')[0]}, behind a gap record at seqno {gap.seqno}"
        )
        say(as_json, text, seqno=gap.seqno, event_id=gap.event_id)


def skip(
    config: ServiceFile,
    seqno: Annotated[
        list[str],
        typer.Option(
            "--seqno", "-seqno", help="The transaction to leave out; several as 4711,4713 or 4711-4715."
        ),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the skip for good.")],
    applier: ApplierName = None,
    by: By = None,
    as_json: output.AsJson = False,
) -> None:
    """Leaves whole transactions out of what an applier applies.

    Who, why, when and what was in it is kept for good, and [bold]tungsten status[/bold] shows it
    ever after. The target then differs from the source by what was skipped: see
    what that is with [bold]tungsten thl list -seqno[/bold], and mend the target's rows.
    Of several all are skipped, or none where one cannot be.

    [bold]Examples[/bold]

      tungsten skip --config shop.yaml --seqno 4711 --reason 'row repaired by hand, ticket 17'

      tungsten skip --config shop.yaml --seqno 4711-4715,4720 --reason 'test data'
    """
    with output.errors(as_json):
        seqnos = _seqnos(seqno)
        branch = branch_of(load_service(config), applier)

        def applied() -> int:
            return applied_seqno(branch, live_connections().redshift)

        if len(seqnos) > 1:
            for each in seqnos:
                skipping.check(branch, each, applied=applied)
        for each in seqnos:
            made = skipping.skip(
                branch,
                each,
                applied=applied,
                who=by or getpass.getuser(),
                why=reason,
                token=new_token("tungsten skip"),
            )
            tables = ", ".join(
                f"{table}: {rows} {kind}"
                for table, kinds in made.tables.items()
                for kind, rows in kinds.items()
            )
            text = (
                f"applier {branch.name} leaves out seqno {made.seqno} ({made.event_id}): {tables}; by {made.who}, "
                f"{made.time}: {made.why}"
            )
            say(as_json, text, **asdict(made))


def _seqnos(given: list[str]) -> list[int]:
    """:raises ConfigurationError: neither numbers nor ranges of them."""
    found: set[int] = set()
    for part in ",".join(given).split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not 0 <= last - first < _SKIPPED_AT_ONCE:
            raise ConfigurationError(
                f"--seqno {part}: write a seqno, several as 4711,4713, or {_SKIPPED_AT_ONCE} at most as 4711-4715"
            )
        found.update(range(first, last + 1))
    return sorted(found)


@applier_app.command("list")
def list_(config: ServiceFile, as_json: output.AsJson = False) -> None:
    """Prints the appliers of a log, each with the position that the log knows of."""
    with output.errors(as_json):
        log = _log(config)
        known, gone = appliers.positions(log), appliers.removed(log)
        if as_json:
            output.print_json(
                [{"name": name, "removed": False, **asdict(one)} for name, one in sorted(known.items())]
                + [{"name": name, "removed": True, **asdict(one)} for name, one in sorted(gone.items())]
            )
            return
        rows = [(name, str(one.seqno), one.event_id, one.time) for name, one in sorted(known.items())]
        rows += [
            (name, str(one.seqno), f"removed by {one.writer}", one.time) for name, one in sorted(gone.items())
        ]
        output.print_rows(("applier", "seqno", "event id", "time"), rows, right=("seqno",))


@applier_app.command()
def remove(
    config: ServiceFile,
    name: Annotated[str, typer.Argument(help="The applier to give up.")],
    by: By = None,
    yes: Yes = False,
    as_json: output.AsJson = False,
) -> None:
    """Gives an applier up for good: the log is no longer kept for it.

    Its name cannot be used again on this log, and its target stays as it is. Take
    it out of the service's file, too.

    [bold]Example[/bold]

      tungsten applier remove --config shop.yaml old_lake
    """
    with output.errors(as_json):
        log = _log(config)
        if not yes:
            output.confirm(f"Give up applier {name} of the log {log.url} for good?")
        removal = appliers.remove(log, name, new_token(f"{by or getpass.getuser()} tungsten applier remove"))
        say(as_json, f"applier {name} is removed, at seqno {removal.seqno}", name=name, **asdict(removal))


def _log(config: ServiceFile) -> Log:
    service = load_service(config)
    return Log(thl_store(service), service.service)
