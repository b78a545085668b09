"""Where reading begins, and with which catalog: a catalog is true of its own moment only."""

from __future__ import annotations

from airflow_provider_tungsten.replicator.errors import PreflightError
from airflow_provider_tungsten.replicator.schema.catalog import Catalog
from airflow_provider_tungsten.replicator.schema.dump import catalog_at
from airflow_provider_tungsten.replicator.schema.server import catalog_now, folds_names
from airflow_provider_tungsten.replicator.service import Start
from airflow_provider_tungsten.replicator.source.connection import explained
from airflow_provider_tungsten.replicator.source.position import Source, first_place
from airflow_provider_tungsten.replicator.thl.event import Resume


def begin(source: Source, start: Start, schema_dump: str | None) -> tuple[Resume, Catalog | None]:
    """The place that `start` means, and the catalog that reading from there on needs, if it needs one.

    :raises PreflightError: the log does not name columns, and nobody else does for that place.
    :raises ConfigurationError: no such place, no such dump, or a dump of another place.
    :raises LogPurgedError, SourceUnavailableError: as :func:`first_place`, :func:`catalog_now`.
    """
    if start.at == "now":
        if source.facts.names_columns:
            return first_place(source, start), None
        at_end, catalog = catalog_now(source)
        return first_place(at_end, start), catalog
    if schema_dump is not None:
        place = first_place(source, start)
        with explained(source.replica.endpoint):
            folds = folds_names(source.connection)
        return place, catalog_at(schema_dump, place.event_id, folds=folds)
    if not source.facts.names_columns:
        raise PreflightError(
            f"MySQL at {source.replica.endpoint}",
            [
                "binlog_row_metadata is MINIMAL, so the log does not name columns and keys, and how tables looked in the "
                "past is not known: start at `now`, or name in source.schema_dump a file that mysqldump --no-data "
                "--source-data --databases … wrote at the place of the start, or SET PERSIST binlog_row_metadata = "
                "'FULL' and start behind that"
            ],
        )
    return first_place(source, start), None
