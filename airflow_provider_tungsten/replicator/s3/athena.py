"""A feed's tables for Amazon Athena: DDL out of the settings and a table's definition, or why Athena cannot read them.

Athena User Guide: "Open CSV SerDe", "Lazy Simple SerDe", "Partition projection", "Names for databases, tables, and columns".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from airflow_provider_tungsten.replicator.batch.manifest import BatchManifest
from airflow_provider_tungsten.replicator.binlog.definition import Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.dialect import Dialect
from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.s3.settings import S3Applier
from airflow_provider_tungsten.replicator.storage import Storage

_WAY_OUT = "choose csv: {preset: hive}, with which Athena tells NULL from every text"
_MANIFEST = re.compile(r"_batches/\d{19}-\d{19}(\.without-\w+)?\.json")
_INTEGERS = {"tinyint": 0, "smallint": 1, "mediumint": 2, "int": 2, "bigint": 3, "year": 1}
_WIDER = ("tinyint", "smallint", "int", "bigint", "decimal(20,0)")
_JAVA = {"Y": "yyyy", "m": "MM", "d": "dd", "H": "HH", "M": "mm"}
_RANGES = {"m": "1,12", "d": "1,31", "H": "0,23", "M": "0,59"}
_UNITS = {"M": "MINUTES", "H": "HOURS", "d": "DAYS", "m": "MONTHS", "Y": "YEARS"}
_BEGIN = datetime(2000, 1, 1)
_LINE_BREAKS = {"\n", "\r"}


def first_time(applier: S3Applier, folder: Storage) -> datetime | None:
    """A time, in UTC, before which no partition of the feed lies; None: there are no partitions yet.

    :param folder: the feed's.
    """
    if applier.partitions is None:
        return None
    for info in folder.list("_batches/"):
        if _MANIFEST.fullmatch(info.key):
            tables = BatchManifest.from_json(folder.read(info.key)).tables
            if partitions := [part.partition for table in tables for part in table.parts]:
                # Clocks go back a little, so that a later batch may hold an earlier commit.
                return datetime.strptime(min(partitions), applier.partitions) - timedelta(days=1)
    return None


def create_table(
    applier: S3Applier,
    names: tuple[str, str],
    url: str,
    definition: TableDefinition,
    database: str,
    first: datetime | None = None,
) -> str:
    """``CREATE EXTERNAL TABLE`` over all files of a table; partitions are projected, so that none has ever to be added.

    :param names: the service's and the applier's.
    :param url: ``<files>/<service>/<applier>``, on S3.
    :param definition: of the columns that are in the files.
    :param database: Athena's.
    :param first: as :func:`first_time` tells: each partition from there on costs a query that does not name partitions one request.
    :raises ConfigurationError: Athena cannot read such files, or partitions; says what to set.
    """
    if not url.startswith("s3://"):
        raise ConfigurationError(f"Athena reads from s3:// only, the files lie in {url}")
    reader = _reader(applier.csv.dialect)
    typed = reader[0].startswith("DELIMITED")
    columns = [
        (name, "bigint" if typed and name.endswith("seqno") else "string")
        for name in applier.csv.header_names
    ]
    columns += [(column.name, _type(column) if typed else "string") for column in definition.columns]
    folder = applier.file_names(*names).folder((definition.schema, definition.table), "")
    location = f"{url}/{folder.rstrip('/')}/"
    keys, properties = (
        _projection(applier.partitions, location, first or _BEGIN) if applier.partitions else ([], {})
    )
    if applier.csv.effective("use_headers"):
        properties["skip.header.line.count"] = "1"
    lines = [f"CREATE EXTERNAL TABLE IF NOT EXISTS {_quoted(database)}.{_quoted(_table_name(definition))} ("]
    lines += [",\n".join(f"  {_quoted(name)} {kind}" for name, kind in _distinct(columns, keys)), ")"]
    if keys:
        lines.append(f"PARTITIONED BY ({', '.join(f'{_quoted(key)} string' for key in keys)})")
    lines += [f"ROW FORMAT {reader[0]}", *reader[1:], "STORED AS TEXTFILE", f"LOCATION {_text(location)}"]
    if properties:
        pairs = ",\n".join(f"  {_text(name)} = {_text(value)}" for name, value in properties.items())
        lines.append(f"TBLPROPERTIES (\n{pairs}\n)")
    return "\n".join(lines)


def _reader(dialect: Dialect) -> list[str]:
    """Lines behind ROW FORMAT.

    :raises ConfigurationError: neither of Athena's readers takes the dialect.
    """
    if dialect.record_separator != "\n":
        raise ConfigurationError(
            f"Athena ends a row at a line feed only, not at {dialect.record_separator!r}: {_WAY_OUT}"
        )
    if dialect.use_quotes != "never" and dialect.escape == dialect.quote:
        raise ConfigurationError(
            "Athena ends a row at a line break inside quotes too, and its reader of quoted CSV wants an escape that is not the quote: "
            + _WAY_OUT
        )
    suppressed = set(dialect.suppressed_characters)
    escaped = set(dialect.escaped_characters) if dialect.escapes else set()
    if not suppressed | escaped >= _LINE_BREAKS:
        raise ConfigurationError(
            "Athena takes a line break inside a value for the end of the row, and this dialect writes it as it is: take line breaks out "
            f"of values (csv.suppressed_characters: '\\n\\r'), or {_WAY_OUT}"
        )
    if dialect.null is None:
        raise ConfigurationError(
            f"Athena knows one text for NULL, and this dialect has one for each batch: {_WAY_OUT}"
        )
    if dialect.use_quotes == "never":
        # Where nothing is escaped, an escape is a text like any other.
        escape = f" ESCAPED BY {_text(dialect.escape)}" if dialect.escapes else ""
        return [
            f"DELIMITED FIELDS TERMINATED BY {_text(dialect.field_separator)}{escape}",
            "LINES TERMINATED BY '\\n'",
            f"NULL DEFINED AS {_text(dialect.null)}",
        ]
    if not suppressed >= _LINE_BREAKS:
        raise ConfigurationError(
            "Athena's reader of quoted CSV leaves the escape out and keeps what is behind it, so that a line break would be the letter n: "
            f"take line breaks out of values (csv.suppressed_characters: '\\n\\r'), or {_WAY_OUT}"
        )
    pairs = {
        "separatorChar": dialect.field_separator,
        "quoteChar": dialect.quote,
        "escapeChar": dialect.escape,
    }
    given = ", ".join(f"{_text(name)} = {_text(value)}" for name, value in pairs.items())
    return ["SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'", f"WITH SERDEPROPERTIES ({given})"]


def _projection(partition_format: str, location: str, first: datetime) -> tuple[list[str], dict[str, str]]:
    """Partition columns, and the table properties that let Athena work out their values.

    :raises ConfigurationError: the partitions' folders are not of the form ``key=value``, or their values no line of times.
    """
    properties = {"projection.enabled": "true"}
    keys, folders = [], []
    for folder in partition_format.split("/"):
        key, equals, form = folder.partition("=")
        codes = re.findall("%(.)", form)
        if not equals or not codes or not re.fullmatch("[a-z][a-z0-9_]*", key) or key in keys:
            raise _unprojected(partition_format, "folders key=value, each with a part of the time")
        if form != f"%{codes[0]}" and not "YmdHM".startswith("".join(codes)):
            raise _unprojected(
                partition_format, f"the parts of {key} from the year on, largest first, once each"
            )
        keys.append(key)
        folders.append(f"{key}=${{{key}}}")
        found = _projected(form, codes, first)
        properties |= {f"projection.{key}.{name}": value for name, value in found.items()}
    properties["storage.location.template"] = location + "/".join(folders) + "/"
    return keys, properties


def _unprojected(partition_format: str, wanted: str) -> ConfigurationError:
    return ConfigurationError(
        f"partition_format {partition_format}: Athena wants {wanted}, as in commit_hour=%Y-%m-%d-%H or year=%Y/month=%m/day=%d"
    )


def _projected(form: str, codes: list[str], first: datetime) -> dict[str, str]:
    if form == f"%{codes[0]}" and codes[0] in _RANGES:
        return {"type": "integer", "range": _RANGES[codes[0]], "digits": "2"}
    java = "".join(_java(part) for part in re.findall("%.|[^%]+", form))
    return {
        "type": "date",
        "format": java,
        "range": f"{first.strftime(form)},NOW",
        "interval": "1",
        "interval.unit": _UNITS[codes[-1]],
    }


def _java(part: str) -> str:
    if part.startswith("%"):
        return _JAVA[part[1]]
    return f"'{part}'" if re.search("[A-Za-z]", part) else part


def _type(column: Column) -> str:
    """What takes every value of the column exactly; text for what nothing does."""
    if column.type in _INTEGERS:
        return _WIDER[_INTEGERS[column.type] + column.unsigned]
    if column.type == "decimal" and (column.length or 0) <= 38:
        return f"decimal({column.length},{column.scale or 0})"
    return column.type if column.type in ("float", "double") else "string"


def _distinct(columns: list[tuple[str, str]], taken: list[str]) -> Iterator[tuple[str, str]]:
    """Athena's names are lower case, letters, digits and ``_``; columns are told by their place, so names may change."""
    used = set(taken)
    for original, kind in columns:
        name = _plain(original)
        number = 2
        while name in used:
            name = f"{_plain(original)}_{number}"
            number += 1
        used.add(name)
        yield name, kind


def _table_name(definition: TableDefinition) -> str:
    return _plain(f"{definition.schema}_{definition.table}")


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9_]", "_", name.lower())


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _text(value: str) -> str:
    """A literal of Hive's DDL."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + "".join(char if char >= " " else f"\\{ord(char):03o}" for char in escaped) + "'"
