"""The service that a command is about, its appliers, and their connections: options that several commands have."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import typer

from airflow_provider_tungsten.replicator.branch import Branch, open_branch
from airflow_provider_tungsten.replicator.cli import output
from airflow_provider_tungsten.replicator.connections import mysql_endpoint, open_store, redshift_connect
from airflow_provider_tungsten.replicator.runner import Connections
from airflow_provider_tungsten.replicator.service import Service
from airflow_provider_tungsten.replicator.settings import Store
from airflow_provider_tungsten.replicator.storage import Storage

ServiceFile = Annotated[
    Path,
    typer.Option(
        "--config",
        "-conf",
        envvar="TUNGSTEN_CONFIG",
        help="The service's file.",
    ),
]
ApplierName = Annotated[
    str | None,
    typer.Option("--applier", help="Name of the applier; not needed when there is only one."),
]
AnyApplier = Annotated[
    str | None,
    typer.Option("--applier", help="Only this applier. [dim]Default: all[/dim]"),
]


@lru_cache
def _open(store: Store) -> Storage:
    return open_store(store)


def live_connections() -> Connections:
    """By the environment; a store's client is made once."""
    return Connections(mysql=mysql_endpoint, store=_open, redshift=redshift_connect)


def branch_of(service: Service, applier: str | None) -> Branch:
    """:raises ConfigurationError: no such applier, or several to choose from; a connection that is missing or wrong."""
    return open_branch(service, applier, _open)


def branches_of(service: Service, applier: str | None) -> list[Branch]:
    """The one of that name; None: all, in order of their names.

    :raises ConfigurationError: see :func:`branch_of`.
    """
    return [branch_of(service, name) for name in ([applier] if applier else sorted(service.appliers))]


def thl_store(service: Service) -> Storage:
    """Where the service's log lies."""
    return _open(service.thl)


def say(as_json: bool, text: str, **values: Any) -> None:
    """What was done: a sentence, or its values as JSON."""
    if as_json:
        output.print_json(values)
    else:
        print(text)
