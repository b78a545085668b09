"""What stands against a Redshift applier before its first load, as far as asking shows it; nothing is changed there.

Whether the role of COPY may read the files only a COPY tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_provider_tungsten.replicator.batch.tables import AppliedTables
from airflow_provider_tungsten.replicator.binlog.definition import TableDefinition
from airflow_provider_tungsten.replicator.errors import TargetError, UnsupportedError
from airflow_provider_tungsten.replicator.redshift import ddl
from airflow_provider_tungsten.replicator.redshift.ddl import Names, Relation, quote
from airflow_provider_tungsten.replicator.redshift.session import Session

_WHO = "SELECT current_user, current_database(), has_database_privilege(current_user, current_database(), 'CREATE')"
_ON_SCHEMA = (
    "SELECT has_schema_privilege(current_user, %s, 'USAGE'), has_schema_privilege(current_user, %s, 'CREATE')"
)


def findings(
    session: Session, names: Names, tables: AppliedTables, definitions: Iterable[TableDefinition]
) -> list[str]:
    """
    :param definitions: of the source's tables.
    :raises TargetError, TargetUnavailableError: see :class:`Session`.
    """
    fit: dict[str, tuple[Relation, TableDefinition]] = {}
    found: list[str] = []
    for source in definitions:
        if not tables.includes(source.schema, source.table):
            continue
        try:
            definition = tables.applied(source.json).definition
            ddl.live_columns(definition)
            fit[source.name] = names.live(definition.schema, definition.table), definition
        except (TargetError, UnsupportedError) as error:
            found.append(str(error))
    with session.transaction():
        schemas = sorted({live.schema for live, _ in fit.values()} | {names.staging_schema})
        found += _privileges(session, schemas)
        for live, definition in fit.values():
            rows = session.query(ddl.COLUMNS, live, doing=f"look up the columns of {live}")
            if rows:
                found += ddl.misfits(live, definition, ddl.found_columns(rows))
    return found


def _privileges(session: Session, schemas: list[str]) -> Iterator[str]:
    [(user, database, may_create)] = session.query(_WHO, doing="look up privileges")
    for schema in schemas:
        [(exists,)] = session.query(ddl.SCHEMA_EXISTS, (schema,), doing=f"look up schema {schema}")
        if not exists:
            if not may_create:
                yield (
                    f"schema {schema} is missing, and user {user} may not make it: GRANT CREATE ON DATABASE "
                    f"{quote(database)} TO {quote(user)}, or make it and grant USAGE and CREATE on it"
                )
            continue
        [rights] = session.query(_ON_SCHEMA, (schema, schema), doing=f"look up privileges on schema {schema}")
        if lacking := [name for name, has in zip(("USAGE", "CREATE"), rights, strict=True) if not has]:
            yield (
                f"user {user} lacks {' and '.join(lacking)} on schema {schema}: "
                f"GRANT {', '.join(lacking)} ON SCHEMA {quote(schema)} TO {quote(user)}"
            )
