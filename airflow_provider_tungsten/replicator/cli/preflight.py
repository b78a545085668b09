"""`tungsten preflight`: whether a service can begin, and what to mend first."""

from __future__ import annotations

import typer

from airflow_provider_tungsten.replicator.cli import output
from airflow_provider_tungsten.replicator.cli.services import (
    AnyApplier,
    ServiceFile,
    branches_of,
    live_connections,
)
from airflow_provider_tungsten.replicator.readiness import Readiness, check
from airflow_provider_tungsten.replicator.service import load_service


def preflight(config: ServiceFile, applier: AnyApplier = None, as_json: output.AsJson = False) -> None:
    """Checks source, stores and targets: every finding at once, each with its mend.

    The source's settings, privileges, retention and tables; whether the stores
    write an object once only; what the target's user may do, and whether tables
    that are there take the source's rows. Writes nothing but the stores' own probe.

    Exit status 0 when the service can begin, 3 with findings, 4 when somebody did
    not answer and nothing else was found.

    [bold]Example[/bold]

      tungsten preflight --config shop.yaml
    """
    with output.errors(as_json):
        service = load_service(config)
        found = check(service, branches_of(service, applier), live_connections())
        _show(found, as_json)
    if found.findings:
        raise typer.Exit(output.NEEDS_A_PERSON)
    if found.unasked:
        raise typer.Exit(output.TRY_AGAIN)


def _show(found: Readiness, as_json: bool) -> None:
    kinds = {"finding": found.findings, "unanswered": found.unasked, "warning": found.warnings}
    if as_json:
        output.print_json(
            {
                "ready": not (found.findings or found.unasked),
                **{
                    f"{kind}s" if kind != "unanswered" else kind: [
                        {"subject": subject, "text": text} for subject, text in items
                    ]
                    for kind, items in kinds.items()
                },
            }
        )
        return
    for kind, items in kinds.items():
        for subject, text in items:
            print(f"{kind}: {subject}: {text}")
    if not (found.findings or found.unasked):
        print("ready")
