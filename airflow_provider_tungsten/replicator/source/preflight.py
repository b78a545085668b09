"""Whether a MySQL server is fit to be replicated by a service: every finding at once, each with its mend.

What sessions can change while the log is read is watched by the extractor, too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pymysql.constants import ER
from pymysql.err import OperationalError

from airflow_provider_tungsten.replicator.binlog import charsets
from airflow_provider_tungsten.replicator.binlog.rows import SUPPORTED_TYPES
from airflow_provider_tungsten.replicator.errors import PreflightError
from airflow_provider_tungsten.replicator.filters.tables import TableFilter
from airflow_provider_tungsten.replicator.service import Service
from airflow_provider_tungsten.replicator.source import mariadb
from airflow_provider_tungsten.replicator.source.connection import (
    Connection,
    MySQLEndpoint,
    explained,
    grant,
    rows,
)
from airflow_provider_tungsten.replicator.source.heartbeat import (
    READ_ONLY_MEND,
    heartbeat_exists,
    heartbeat_grant,
    heartbeat_lacks,
)
from airflow_provider_tungsten.replicator.source.server import (
    Server,
    ServerFacts,
    Version,
    case_finding,
    checked_server,
    clock_offset,
    log_end,
    log_status,
)
from airflow_provider_tungsten.replicator.source.tables import examined, unmatched
from airflow_provider_tungsten.replicator.storage import Storage

Variables = dict[str, str]

_REPLICA_WORDS: Version = (8, 0, 22)  # SHOW REPLICAS, SHOW REPLICA STATUS
_LOGGED_CASCADES: Version = (9, 6, 0)
_NAMED_AT_MOST = 20
_SHOWN = 400
_NOT_TOLD = frozenset({ER.SPECIFIC_ACCESS_DENIED_ERROR, ER.XAER_RMERR})
_CLOCK_SECONDS = 5.0
_READ_ONLY = ("read_only", "super_read_only", "innodb_read_only")

_VARIABLES = (
    *("aurora_version", "binlog_expire_logs_auto_purge", "binlog_expire_logs_seconds", "binlog_format"),
    *("binlog_legacy_event_pos", "expire_logs_days"),
    *("binlog_row_image", "binlog_row_metadata", "gtid_mode", "gtid_purged"),
    *("innodb_native_foreign_keys", "log_bin", "log_replica_updates", "log_slave_updates", "server_id"),
    *("lower_case_table_names", "server_uuid", "sync_binlog"),
    *_READ_ONLY,
)
# Setting → the value that is needed, and why.
_NEEDED = {
    "binlog_format": ("ROW", "other formats log statements, not rows"),
    "binlog_row_image": ("FULL", "other images lack columns"),
}
_NEEDED_OF_MARIADB = {
    "binlog_row_metadata": (
        "FULL",
        "without it the log does not name columns and keys, which are followed through DDL for MySQL alone",
    )
}


def report_host(service: str) -> str:
    """The name under which a service's sessions stand in SHOW REPLICAS."""
    return f"tungsten-{service}"


def preflight(
    connection: Connection,
    endpoint: MySQLEndpoint,
    service: Service,
    storage: Storage,
    *,
    first_start: bool = False,
) -> ServerFacts:
    """Asks all questions; writes nothing but the store's own probe.

    :param first_start: there is no log yet, so transactions that are prepared now matter.
    :raises PreflightError: with all findings.
    :raises SourceUnavailableError, StorageUnavailableError: somebody did not answer.
    """
    with explained(endpoint):
        server = checked_server(connection, endpoint)
        examination = _Examination(connection, endpoint, service, server)
        findings = [*examination.findings()]
        if first_start:
            examination.ask_for_prepared()
    if (finding := storage.check_write_once()) is not None:
        findings.append(finding)
    if findings:
        raise PreflightError(f"MySQL at {endpoint}, for service {service.service},", findings)
    return examination.facts()


class _Examination:
    """The checks, over one set of answers."""

    def __init__(
        self, connection: Connection, endpoint: MySQLEndpoint, service: Service, server: Server
    ) -> None:
        self._connection = connection
        self._endpoint = endpoint
        self._service = service
        self._source = service.source
        self._filter = service.extracted_tables()
        self._server = server
        self._warnings: list[str] = []
        self._keyed: set[tuple[str, str]] = set()
        self._clock_offset = 0.0
        self._prepared_xids: tuple[str, ...] = ()
        self._status: dict[str, Any] = {}
        marks = ", ".join(["%s"] * len(_VARIABLES))
        found = rows(connection, f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({marks})", _VARIABLES)
        self._variables: Variables = {row["Variable_name"]: row["Value"] for row in found}
        self._managed = bool(
            rows(
                connection,
                "SELECT 1 FROM information_schema.tables"
                " WHERE table_schema = 'mysql' AND table_name = 'rds_configuration'",
            )
        )

    def facts(self) -> ServerFacts:
        return ServerFacts(
            version=self._server.version,
            mariadb=self._server.mariadb,
            server_uuid=mariadb.identity(self._variables)
            if self._server.mariadb
            else self._variables["server_uuid"],
            gtids=self._variables.get("gtid_mode") == "ON",
            names_columns=self._variables.get("binlog_row_metadata") == "FULL",
            **log_end(self._status),
            clock_offset=self._clock_offset,
            gtid_purged=re.sub(r"\s", "", self._variables.get("gtid_purged", "")),
            prepared_xids=self._prepared_xids,
            warnings=tuple(self._warnings),
            folds_names=self._variables["lower_case_table_names"] == "1",
        )

    def findings(self) -> Iterator[str]:
        checks: tuple[Callable[[], Iterable[str]], ...] = (
            self._log,
            self._retention,
            self._replica,
            self._server_id,
            self._log_filters,
            self._select_privilege,
            self._included,
            self._unfit_tables,
            self._filters,
            self._tables_without_key,
            self._unsupported_columns,
            self._cascades,
            self._clock,
            self._heartbeat,
        )
        lacking: list[str] = []
        for check in checks:
            try:
                yield from check()
            except OperationalError as error:
                if error.args[0] != ER.SPECIFIC_ACCESS_DENIED_ERROR:
                    raise
                lacking.append(str(error.args[1]))
        for text in dict.fromkeys(lacking):
            yield f"a privilege is missing ({text}): {self._grant()}"

    def _grant(self) -> str:
        return (mariadb.grant if self._server.mariadb else grant)(self._endpoint.user)

    def _log(self) -> Iterator[str]:
        if self._variables["log_bin"] != "ON":
            mend = "start the server with log-bin"
            if "aurora_version" in self._variables:
                mend = "set binlog_format = ROW in the DB cluster parameter group, and read from the cluster's writer"
            elif self._managed:
                mend = "switch automated backups on; a read replica needs its own"
            yield f"the binary log is off (log_bin): {mend}"
        for name, (needed, reason) in (
            _NEEDED | (_NEEDED_OF_MARIADB if self._server.mariadb else {})
        ).items():
            value = self._variables.get(name, needed)
            if value.upper() != needed:
                yield f"{name} is {value}, {reason}: {self._setting(name, repr(needed))}"
        if self._server.mariadb and (finding := mariadb.offset_finding(self._variables)):
            yield finding
        if finding := case_finding(self._variables["lower_case_table_names"]):
            yield finding
        if self._variables.get("sync_binlog") != "1":
            self._warnings.append(
                f"sync_binlog is {self._variables.get('sync_binlog')}: a crash of the source can take back "
                f"transactions that were read already; {self._setting('sync_binlog', '1')}"
            )

    def _setting(self, name: str, value: str) -> str:
        """How a variable is set there; managed servers take it from their parameter group alone."""
        if self._server.mariadb and not self._managed:
            return mariadb.setting(name, value)
        return f"{'in the DB parameter group set' if self._managed else 'SET PERSIST'} {name} = {value}"

    def _retention(self) -> Iterator[str]:
        if self._managed:
            yield from self._managed_retention()
            return
        seconds = mariadb.retention_seconds(self._variables)
        needed = int(self._source.min_retention_hours * 3600)
        kept = not seconds or self._variables.get("binlog_expire_logs_auto_purge", "ON") == "OFF"
        if not kept and seconds < needed:
            yield (
                f"the binary log is kept for {seconds / 3600:g} hours (binlog_expire_logs_seconds), less than "
                f"source.min_retention_hours: {self._setting('binlog_expire_logs_seconds', str(needed))}"
            )

    def _managed_retention(self) -> Iterator[str]:
        """Amazon RDS and Aurora purge by a setting of their own, whatever MySQL's variable says; NULL: at once."""
        found = rows(
            self._connection,
            "SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'",
        )
        hours = float(found[0]["value"] or 0) if found else 0.0
        needed = self._source.min_retention_hours
        if hours < needed:
            yield (
                f"the binary log is kept for {hours:g} hours (binlog retention hours), less than "
                "source.min_retention_hours: "
                f"CALL mysql.rds_set_configuration('binlog retention hours', {max(24, math.ceil(needed))})"
            )

    def _replica(self) -> Iterator[str]:
        logs_updates = self._variables.get("log_replica_updates", self._variables.get("log_slave_updates"))
        if logs_updates != "ON" and self._is_replica():
            yield (
                "the server is a replica and does not log what it replicates (log_replica_updates): "
                "start it with log-replica-updates, or read from its source"
            )

    def _is_replica(self) -> bool:
        word = "REPLICA" if self._server.since(_REPLICA_WORDS) else "SLAVE"
        if self._server.mariadb:
            word = "ALL SLAVES"
        return bool(rows(self._connection, f"SHOW {word} STATUS"))

    def _heartbeat(self) -> Iterator[str]:
        """A row written to a replica would be a transaction that its source does not have."""
        if not self._source.heartbeat:
            return
        if found := [name for name in _READ_ONLY if self._variables.get(name, "OFF") not in ("OFF", "0")]:
            yield f"source.heartbeat writes a row, and the server is read-only ({', '.join(found)}): {READ_ONLY_MEND}"
        elif self._is_replica():
            yield f"source.heartbeat writes a row, and the server is a replica: {READ_ONLY_MEND}"
        else:
            service = self._service.service
            exists = heartbeat_exists(self._connection, service)
            if lacking := heartbeat_lacks(self._grants(), service, exists=exists):
                mend = heartbeat_grant(self._endpoint.user, service)
                yield f"source.heartbeat needs the privilege {', '.join(lacking)}: {mend}"

    def _server_id(self) -> Iterator[str]:
        ours = self._source.server_id
        mend = "choose another source.server_id, one that no replica uses"
        if ours == int(self._variables["server_id"]):
            yield f"server_id {ours} is the server's own: {mend}"
        word = "REPLICAS" if self._server.since(_REPLICA_WORDS) else "SLAVE HOSTS"
        for replica in rows(self._connection, f"SHOW {word}"):
            if replica["Server_id" if "Server_id" in replica else "Server_Id"] != ours:
                continue
            if replica["Host"] != report_host(self._service.service):
                yield f"server_id {ours} is in use by replica {replica['Host'] or '(no name)'}: {mend}"

    def _log_filters(self) -> Iterator[str]:
        self._status = log_status(self._connection, self._server)
        for column, option in (("Binlog_Do_DB", "binlog-do-db"), ("Binlog_Ignore_DB", "binlog-ignore-db")):
            if value := self._status.get(column):
                yield f"{option} is set ({value}), so that changes are missing from the log: start without it"

    def _grants(self) -> list[str]:
        role = rows(self._connection, "SELECT CURRENT_ROLE() AS role")[0]["role"]
        using = "" if role in (None, "NONE") else f" USING {role}"
        # MariaDB's tells those of the role, too, and knows no USING.
        whose = "" if self._server.mariadb else f" FOR CURRENT_USER(){using}"
        return [next(iter(row.values())) for row in rows(self._connection, f"SHOW GRANTS{whose}")]

    def _select_privilege(self) -> Iterator[str]:
        scopes = []
        for row in self._grants():
            match = re.match(r"GRANT (.+?) ON (.+?) TO ", row)
            if match and re.search(r"\b(SELECT|ALL PRIVILEGES)\b", match[1]):
                scopes.append(match[2])
        if not scopes:
            yield f"the privilege SELECT is missing, so tables cannot be examined: {self._grant()}"
        elif "*.*" not in scopes:
            self._warnings.append(
                f"only tables of {', '.join(scopes)} were examined: SELECT is granted on no others"
            )

    def _included(self) -> Iterator[str]:
        if lost := unmatched(self._connection, self._source.include):
            self._warnings.append(
                f"source.include: no table fits {', '.join(lost)}; correct the pattern, unless the table is yet to come"
            )
        yield from ()

    def _unfit_tables(self) -> Iterator[str]:
        if self._server.mariadb:
            yield from mariadb.unfit_tables(self._connection, self._filter.includes)

    def _filters(self) -> Iterator[str]:
        found = examined(self._connection, self._service)
        self._warnings += found.warnings
        self._keyed = found.keyed
        yield from found.findings

    def _tables_without_key(self) -> Iterator[str]:
        keys_matter = "" if self._filter.has_column_rules else " AND k.column_name IS NULL"
        found = rows(
            self._connection,
            "SELECT t.table_schema AS s, t.table_name AS t, k.column_name AS c"
            " FROM information_schema.tables t LEFT JOIN information_schema.key_column_usage k"
            " ON k.table_schema = t.table_schema AND k.table_name = t.table_name AND k.constraint_name = 'PRIMARY'"
            f" WHERE t.table_type = 'BASE TABLE'{keys_matter}",
        )
        lacking = {
            (row["s"], row["t"])
            for row in found
            if self._filter.includes(row["s"], row["t"])
            and (row["s"], row["t"]) not in self._keyed
            and (row["c"] is None or self._filter.excluded_columns(row["s"], row["t"], [row["c"]]))
        }
        appliers = self._service.appliers.values()
        merged = [applier.table_filter() for applier in appliers if applier.needs_keys]
        needed = {table for table in lacking if any(rules.includes(*table) for rules in merged)}
        if lacking - needed:
            self._warnings.append(
                f"no primary key: {_names(lacking - needed)}; the feed has their changes, with NULL for primary_key"
            )
        if needed:
            yield (
                f"no primary key: {_names(needed)}; rows cannot be told apart in the target. Add a key "
                "(ALTER TABLE … ADD PRIMARY KEY) or filter custompkey, or name the tables in source.exclude"
            )

    def _unsupported_columns(self) -> Iterator[str]:
        found = rows(
            self._connection,
            "SELECT c.table_schema AS s, c.table_name AS t, c.column_name AS c, c.data_type AS type,"
            # MySQL has none for labels in binary.
            " IF(c.data_type IN ('enum', 'set'), IFNULL(c.character_set_name, 'binary'), c.character_set_name) AS charset"
            " FROM information_schema.columns c JOIN information_schema.tables t"
            " ON t.table_schema = c.table_schema AND t.table_name = c.table_name"
            " WHERE t.table_type = 'BASE TABLE'"
            " HAVING type NOT IN %s OR charset NOT IN %s ORDER BY 1, 2, c.ordinal_position",
            [sorted(SUPPORTED_TYPES), sorted(charsets.SUPPORTED)],
        )
        for row in found:
            schema, table, column, kind = row["s"], row["t"], row["c"], row["type"]
            if not self._filter.includes(schema, table):
                continue
            if not self._filter.excluded_columns(schema, table, [column]):
                what = f"type {kind}" if kind not in SUPPORTED_TYPES else f"character set {row['charset']}"
                name = f"{schema}.{table}.{column}"
                yield (
                    f"{name}: {what} is not supported; name it in source.exclude_columns ({name}), "
                    f"or the table in source.exclude ({schema}.{table})"
                )

    def _cascades(self) -> Iterator[str]:
        native = self._variables.get("innodb_native_foreign_keys", "OFF") == "ON"
        if self._server.since(_LOGGED_CASCADES) and not native:
            return
        accepted = TableFilter(self._source.accept_unlogged_cascades)
        unlogged = {table for table in self._cascading() if not accepted.includes(*table)}
        if unlogged:
            mend = "SET PERSIST_ONLY innodb_native_foreign_keys = OFF and restart, " if native else ""
            yield (
                f"cascading foreign keys that this server does not log: {_names(unlogged)}; rows changed by a "
                f"cascade would be missed. {mend}Drop the ON DELETE/ON UPDATE action, exclude the tables, or accept "
                "it in source.accept_unlogged_cascades"
            )

    def _cascading(self) -> set[tuple[str, str]]:
        if self._server.mariadb:
            return mariadb.cascading(self._connection, self._filter.includes)
        acting = "('CASCADE', 'SET NULL', 'SET DEFAULT')"
        found = rows(
            self._connection,
            "SELECT constraint_schema AS s, table_name AS t FROM information_schema.referential_constraints"
            f" WHERE delete_rule IN {acting} OR update_rule IN {acting}",
        )
        return {(row["s"], row["t"]) for row in found if self._filter.includes(row["s"], row["t"])}

    def ask_for_prepared(self) -> None:
        """Sets what :class:`ServerFacts` says of prepared XA transactions; a warning where the user may not ask."""
        try:
            if self._server.mariadb:
                self._prepared_xids = mariadb.prepared_xids(self._connection)
            else:
                self._prepared_xids = tuple(
                    _xid(row) for row in rows(self._connection, "XA RECOVER CONVERT XID")
                )
        except OperationalError as error:
            if error.args[0] not in _NOT_TOLD:
                raise
            self._warnings.append(
                "XA transactions that are prepared now cannot be asked for; extraction would stop at their XA COMMIT: "
                f"GRANT XA_RECOVER_ADMIN ON *.* TO '{self._endpoint.user}'@'%'"
            )
            return
        if self._prepared_xids:
            self._warnings.append(
                f"XA transactions are prepared and undecided: {shortened(', '.join(self._prepared_xids))}. Their rows stand "
                "in the binlog before this log begins: XA COMMIT of one will stop extraction, XA ROLLBACK will not"
            )

    def _clock(self) -> Iterator[str]:
        self._clock_offset = clock_offset(self._connection)
        if abs(self._clock_offset) > _CLOCK_SECONDS:
            where, how = ("ahead of", "low") if self._clock_offset > 0 else ("behind", "high")
            self._warnings.append(
                f"the source's clock is {abs(self._clock_offset):.1f} s {where} ours: lag and relativeLatency allow for "
                f"it, appliedLatency, which loads record by our clock, is too {how} by that much"
            )
        yield from ()


def _xid(row: dict[str, Any]) -> str:
    """As XA_PREPARE events give it, see :class:`~.events.XaPrepare`."""
    digits = row["data"].removeprefix("0x").lower()
    middle = 2 * row["gtrid_length"]
    return f"X'{digits[:middle]}',X'{digits[middle:]}',{row['formatID']}"


def shortened(text: str) -> str:
    """A list for a message, which may have a thousand parts."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _names(tables: set[tuple[str, str]]) -> str:
    names = sorted(f"{schema}.{table}" for schema, table in tables)
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
