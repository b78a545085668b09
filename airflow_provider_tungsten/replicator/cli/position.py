"""`tungsten position`: what an applier has applied, as Tungsten's dsctl shows and sets it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Any

import typer

from airflow_provider_tungsten.replicator.branch import Branch
from airflow_provider_tungsten.replicator.cli import output
from airflow_provider_tungsten.replicator.cli.services import (
    ApplierName,
    ServiceFile,
    branch_of,
    live_connections,
    say,
)
from airflow_provider_tungsten.replicator.positions import (
    PositionStore,
    open_positions,
    reset_position,
    set_position,
)
from airflow_provider_tungsten.replicator.service import load_service
from airflow_provider_tungsten.replicator.storage import new_token

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="""Shows and sets what an applier has applied, as Tungsten's dsctl.

    The position lies in the target, with the data: in trep_commit_seqno on Redshift,
    in commitseqno.0 of an S3 applier. A target of one's own keeps it itself.
    """,
    epilog=output.STATUSES,
)


@app.command()
def get(config: ServiceFile, applier: ApplierName = None, as_json: output.AsJson = False) -> None:
    """Prints the position as it stands in the target.

    [bold]--json[/bold] prints an array as dsctl get does, empty where nothing is applied.
    """
    with output.errors(as_json), _opened(config, applier) as (_, store):
        found = store.read()
        fields = found.fields if found and found.position.seqno >= 0 else None
        if as_json:
            output.print_json([fields] if fields else [])
        elif fields:
            output.print_fields((name, str(value)) for name, value in fields.items())
        else:
            print("nothing is applied yet")


@app.command("set")
def set_(
    config: ServiceFile,
    seqno: Annotated[int, typer.Option("--seqno", "-seqno", min=0, help="Last seqno that the target holds.")],
    epoch: Annotated[int, typer.Option("--epoch", "-epoch", help="Its epoch number.")],
    event_id: Annotated[str, typer.Option("--event-id", "-event-id", help="Its event id.")],
    source_id: Annotated[str, typer.Option("--source-id", "-source-id", help="Its source id.")],
    applier: ApplierName = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a position that is there.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Makes the next load begin behind a seqno, whose data the target must hold.

    All four belong to one record of the log, as [bold]tungsten thl dsctl[/bold] prints them, and
    the seqno must be the end of a micro-batch; else nothing is changed.

    [bold]Example[/bold]

      tungsten position set --config shop.yaml --seqno 4711 --epoch 0 \\
        --event-id 'mysql-bin.000007:0000000000001234;-1' --source-id db:3306
    """
    with output.errors(as_json), _opened(config, applier) as (branch, store):
        new = set_position(
            branch,
            store,
            seqno=seqno,
            epoch_number=epoch,
            event_id=event_id,
            source_id=source_id,
            force=force,
        )
        text = f"applier {branch.name} goes on behind seqno {new.seqno} ({new.event_id})"
        say(as_json, text, applier=branch.name, seqno=new.seqno, event_id=new.event_id)


@app.command()
def reset(
    config: ServiceFile,
    applier: ApplierName = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Forgets the position: the next load begins with the first micro-batch.

    The target's tables stay as they are.
    """
    with output.errors(as_json), _opened(config, applier) as (branch, store):
        if not yes:
            output.confirm(f"Forget what applier {branch.name} has applied?")
        old = reset_position(branch, store)
        was = old.seqno if old else -1
        had = f"it was seqno {was}" if was >= 0 else "it had none"
        say(
            as_json,
            f"applier {branch.name} has no position any more; {had}",
            applier=branch.name,
            was=was,
        )


@app.command("acknowledge-gap")
def acknowledge_gap(
    config: ServiceFile,
    seqno: Annotated[int, typer.Option("--seqno", "-seqno", min=0, help="Seqno of the gap record.")],
    applier: ApplierName = None,
    as_json: output.AsJson = False,
) -> None:
    """Lets an applier pass a gap record.

    To be done once the target is in the state from which the log goes on behind it.
    """
    with output.errors(as_json):
        branch = branch_of(load_service(config), applier)
        branch.chain.acknowledge_gap(seqno, new_token("tungsten position acknowledge-gap"))
        say(
            as_json,
            f"applier {branch.name} may pass the gap at seqno {seqno}",
            applier=branch.name,
            seqno=seqno,
        )


@contextmanager
def _opened(config: Any, applier: str | None) -> Iterator[tuple[Branch, PositionStore]]:
    branch = branch_of(load_service(config), applier)
    with closing(open_positions(branch, live_connections().redshift)) as store:
        yield branch, store
