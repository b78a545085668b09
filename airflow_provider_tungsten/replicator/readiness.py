"""Whether a service can begin: source, stores and targets are asked, and everything that stands against it is told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field

from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.branch import Branch
from airflow_provider_tungsten.replicator.custom.settings import check_target
from airflow_provider_tungsten.replicator.errors import PreflightError, TransientError, TungstenError
from airflow_provider_tungsten.replicator.redshift.settings import RedshiftApplier
from airflow_provider_tungsten.replicator.runner import Connections
from airflow_provider_tungsten.replicator.s3.settings import S3Applier
from airflow_provider_tungsten.replicator.schema.definitions import source_definitions
from airflow_provider_tungsten.replicator.service import Service
from airflow_provider_tungsten.replicator.source.connection import connect
from airflow_provider_tungsten.replicator.source.preflight import preflight
from airflow_provider_tungsten.replicator.thl.log import Log


@dataclass
class Readiness:
    """What came out.

    :param findings: (what was looked at, what stands against it, with its mend).
    :param warnings: likewise; works, but.
    :param unasked: likewise; what did not answer, so that it is not known.
    """

    findings: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    unasked: list[tuple[str, str]] = field(default_factory=list)

    def ask(self, subject: str, questions: Callable[[], Iterable[str]]) -> None:
        """Takes down what the questions find, and how they end."""
        try:
            found = list(questions())
        except PreflightError as error:
            found = error.findings
        except TransientError as error:
            self.unasked.append((subject, str(error)))
            return
        except TungstenError as error:
            found = [str(error)]
        known = [finding for _, finding in self.findings]
        self.findings += [(subject, finding) for finding in found if finding not in known]


def check(service: Service, branches: Iterable[Branch], connections: Connections) -> Readiness:
    """Asks everybody."""
    result = Readiness()
    definitions: list[TableDefinition] = []
    log = Log(connections.store(service.thl), service.service)

    def source() -> Iterable[str]:
        endpoint = connections.mysql(service.source.connection)
        with closing(connect(endpoint)) as connection:
            facts = preflight(
                connection, endpoint, service, connections.store(service.thl), first_start=log.head() is None
            )
        result.warnings.extend(("source", warning) for warning in facts.warnings)
        return ()

    def tables() -> Iterable[str]:
        endpoint = connections.mysql(service.source.connection)
        definitions.extend(source_definitions(endpoint, service.extracted_tables()))
        return ()

    result.ask("source", source)
    if not result.unasked:
        result.ask("source", tables)
    result.ask("thl", lambda: _some(connections.store(service.thl).check_write_once()))
    for branch in branches:
        _ask_applier(result, branch, connections, definitions)
    return result


def _ask_applier(
    result: Readiness, branch: Branch, connections: Connections, definitions: list[TableDefinition]
) -> None:
    subject = f"applier {branch.name}"

    def warn(texts: Iterable[str]) -> None:
        result.warnings.extend((subject, text) for text in texts)

    result.ask(subject, lambda: _stores(branch))
    result.ask(subject, lambda: _target(branch, connections, definitions, warn))


def _some(*findings: str | None) -> list[str]:
    return [finding for finding in findings if finding]


def _stores(branch: Branch) -> list[str]:
    staging = branch.staging.check_write_once() if branch.staging is not None else None
    return _some(branch.folder.check_write_once(), staging)


def _target(
    branch: Branch,
    connections: Connections,
    definitions: list[TableDefinition],
    warn: Callable[[Iterable[str]], None],
) -> Iterable[str]:
    applier = branch.applier
    if isinstance(applier, RedshiftApplier):
        from airflow_provider_tungsten.replicator.redshift import preflight as redshift
        from airflow_provider_tungsten.replicator.redshift.ddl import Names
        from airflow_provider_tungsten.replicator.redshift.session import Session

        opened = Session.of(applier, connections.redshift(applier.connection, applier.files.connection))
        with closing(opened) as session:
            names = Names.of(branch.service.service, applier)
            return redshift.findings(session, names, branch.chain.tables, definitions)
    if isinstance(applier, S3Applier):
        from airflow_provider_tungsten.replicator.s3 import preflight as s3

        warn(s3.warnings(branch.service, branch.name))
        return s3.findings(branch.service, branch.name, branch.log, branch.folder, branch.open_store)
    check_target(applier)
    return ()
