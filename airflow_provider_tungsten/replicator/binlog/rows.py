"""Row images to CSV text, counted, or rewritten without some columns. The work itself is compiled (`_images`, `_csv`).

Formats of the values: MySQL `sql/field.cc` (``Field::pack``) and `libs/mysql/binlog/event/rows_event.h`; canonical
text: the same for every target, one a type.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from itertools import repeat

from typing_extensions import Buffer

from airflow_provider_tungsten.replicator.binlog import _csv, _images, _reader, charsets
from airflow_provider_tungsten.replicator.binlog._charset import Charset
from airflow_provider_tungsten.replicator.binlog._csv import KINDS
from airflow_provider_tungsten.replicator.binlog._images import Op
from airflow_provider_tungsten.replicator.binlog._lines import Workspace
from airflow_provider_tungsten.replicator.binlog.constants import ColumnType
from airflow_provider_tungsten.replicator.binlog.definition import GEOMETRY_TYPES, Column, TableDefinition
from airflow_provider_tungsten.replicator.binlog.dialect import NULL_CANDIDATES, Dialect
from airflow_provider_tungsten.replicator.binlog.output import Output
from airflow_provider_tungsten.replicator.binlog.refusals import Encoded, SentinelCollision, ValueRefused
from airflow_provider_tungsten.replicator.binlog.table_map import char_bytes
from airflow_provider_tungsten.replicator.errors import CorruptLogError, UnsupportedError

__all__ = [
    "KINDS",
    "NULL_CANDIDATES",
    "SUPPORTED_TYPES",
    "CsvEncoder",
    "Encoded",
    "RowLayout",
    "RowReader",
    "SentinelCollision",
    "ValueRefused",
    "Workspace",
    "check_supported",
    "unsupported_columns",
]

Texts = tuple[str | None, ...]

_OPS = {
    "tinyint": Op.SIGNED,
    "smallint": Op.SIGNED,
    "mediumint": Op.SIGNED,
    "int": Op.SIGNED,
    "bigint": Op.SIGNED,
    "decimal": Op.DECIMAL,
    "float": Op.REAL,
    "double": Op.REAL,
    "bit": Op.BIT,
    "year": Op.YEAR,
    "date": Op.DATE,
    "time": Op.TIME,
    "datetime": Op.DATETIME,
    "timestamp": Op.TIMESTAMP,
    "char": Op.TEXT,
    "varchar": Op.TEXT,
    "tinytext": Op.TEXT,
    "text": Op.TEXT,
    "mediumtext": Op.TEXT,
    "longtext": Op.TEXT,
    "binary": Op.HEXADECIMAL,
    "varbinary": Op.HEXADECIMAL,
    "tinyblob": Op.HEXADECIMAL,
    "blob": Op.HEXADECIMAL,
    "mediumblob": Op.HEXADECIMAL,
    "longblob": Op.HEXADECIMAL,
    "enum": Op.ENUM,
    "set": Op.SET,
    "json": Op.JSON,
    "vector": Op.VECTOR,
    **dict.fromkeys(GEOMETRY_TYPES, Op.GEOMETRY),
}
_OLD_OPS: dict[int, Op] = {
    ColumnType.TIME: Op.OLD_TIME,
    ColumnType.DATETIME: Op.OLD_DATETIME,
    ColumnType.TIMESTAMP: Op.OLD_TIMESTAMP,
}
_COMPRESSED = frozenset({ColumnType.BLOB_COMPRESSED, ColumnType.VARCHAR_COMPRESSED})

_RFC_4180 = Dialect()
_AS_IT_IS = Output()
SUPPORTED_TYPES = frozenset(_OPS)
"""Type names (`Column.type`, and `DATA_TYPE` of `information_schema.columns`) that become CSV text."""

# op, bytes (or 0), bytes of the length in front (or 0), detail, precision, labels, character set of what is no UTF-8
_Field = tuple[Op, int, int, int, int, tuple[bytes, ...], Charset | None]


def unsupported_columns(definition: TableDefinition) -> list[str]:
    """One text per column that cannot become CSV text, e.g. ``shop.places.spot (geometry)``."""
    return [
        f"{definition.name}.{column.name} ({_described(column)})"
        for column in definition.columns
        if not _is_supported(column)
    ]


def _is_supported(column: Column) -> bool:
    return column.type in SUPPORTED_TYPES and (column.charset is None or column.charset in charsets.SUPPORTED)


def _described(column: Column) -> str:
    return f"{column.type} in {column.charset}" if column.charset else column.type


class RowLayout(_images.RowLayout):
    """Where the fields of a table's row images lie; columns of any type, unsupported ones included.

    ``count(payload, images_per_row)``: rows in it, an update's row being two images (2), others one (1).

    ``drop(payload, images, keep)``: the payload of ``images`` images (of an update: twice its rows) without the columns
    for which ``keep`` says False.

    :raises CorruptLogError: the images do not fit the payload exactly.
    """

    def __init__(self, definition: TableDefinition) -> None:
        super().__init__(definition.name, names(definition), fields(definition))


class CsvEncoder(_csv.CsvEncoder):
    """Row images of one table to lines of a dialect: '' is empty, and never NULL.

    :param definition: as logged; its row images are taken as they are.
    :param header: columns in front of the table's: opcode, seqno, row_id, primary_key, commit_timestamp, service, event_id, gtid.
    :param key: the columns of ``primary_key``, where not the definition's key: a logged column's index, or the text of one that a
        filter adds. Of several the values are joined by commas, with a backslash in front of commas and backslashes inside.
    :param timestamp_digits: of ``commit_timestamp``, behind the second's point.
    :param distinguish_updates: the rows of an update are UD and UI, not D and I.
    :param update_opcode: an update that leaves the key as it is, is one row U of the new image.
    :param output: which columns and rows are written, and what is changed in them or added.
    :param null: the text that stands for NULL where the dialect leaves it to a sentinel.
    :param max_text_bytes: a longer text (JSON and VECTOR included) in UTF-8 is refused; None: none is.
    :param max_binary_bytes, max_geometry_bytes: the same for values that are written in hexadecimal.
    :param workspace: buffers to share with other encoders of the same thread, which then take no more memory than one; for another
        thread, ``workspace`` is set to its own.

    ``encode(payload, kind, seqno=, row_id=, commit_ts=, event_id=, gtid=)`` → `Encoded`; ``commit_ts`` in microseconds
    since 1970 UTC. Every line takes a row id, counting up from ``row_id``; an update is a D row of the old image and an
    I row of the new one.

    ``titles(names)`` → the line that names the columns, header included.

    ``encode_run(run, start, row_id=, limit=)`` → `Encoded` and how many events it is made of: the same for a run's events
    (`thl.runs.RowRun`) from the one at ``run.places[start]`` on, at least one, until there are ``limit`` bytes. A ``sink`` is
    called with text when there are 4 MiB of it; what is left then is in the `Encoded`. Where it raises, ``failed`` is the place
    of the event among the run's columns.

    :raises UnsupportedError: column types or character sets that have no text yet; names them and how to exclude them.
    :raises SentinelCollision: (encode) a text equals ``null``.
    :raises ValueRefused: (encode) a NUL, a zero date, too long a text, bytes that are no text, or a text that the dialect
        cannot carry.
    :raises CorruptLogError: (encode) the images do not fit the payload exactly, or hold what is no value of their type.
    """

    def __init__(
        self,
        definition: TableDefinition,
        header: Sequence[str],
        *,
        dialect: Dialect = _RFC_4180,
        output: Output = _AS_IT_IS,
        null: str = NULL_CANDIDATES[0],
        service: str = "",
        key: Sequence[int | str] | None = None,
        timestamp_digits: int = 6,
        distinguish_updates: bool = False,
        update_opcode: bool = False,
        max_text_bytes: int | None = 65535,
        max_binary_bytes: int | None = 2 * 1024 * 1024,
        max_geometry_bytes: int | None = 1_048_447,
        refuse_nul: bool = True,
        refuse_zero_dates: bool = True,
        workspace: Workspace | None = None,
    ) -> None:
        made = zip(definition.columns, output.columns, strict=bool(output.columns))
        left_out = {column.name for column, choice in made if not choice.keep}
        check_supported(definition.without(left_out) if left_out else definition)
        if len(left_out) == len(definition.columns) and not (header or output.front or output.back):
            raise UnsupportedError(
                f"{definition.name}: its lines would have no column; add one to csv.header, or exclude the table"
            )
        super().__init__(
            definition.name,
            names(definition),
            fields(definition, numbered(definition, output)),
            header,
            key=[names(definition).index(name) for name in definition.primary_key] if key is None else key,
            dialect=dialect,
            null=null if dialect.null is None else dialect.null,
            output=output,
            service=service,
            timestamp_digits=timestamp_digits,
            distinguish_updates=distinguish_updates,
            update_opcode=update_opcode,
            max_text_bytes=max_text_bytes,
            max_binary_bytes=max_binary_bytes,
            max_geometry_bytes=max_geometry_bytes,
            refuse_nul=refuse_nul,
            refuse_zero_dates=refuse_zero_dates,
            workspace=workspace,
        )


class RowReader(_reader.RowReader):
    """Row images of one table as Python texts, in the canonical form of the lines but without dialect, limits or refusals.

    :param numbers: columns of ENUM and SET that are read as their numbers.
    :raises UnsupportedError: column types or character sets that have no text yet.
    """

    def __init__(self, definition: TableDefinition, *, numbers: Collection[str] = ()) -> None:
        check_supported(definition)
        super().__init__(definition.name, names(definition), fields(definition, numbers))
        self.inflates = any(column.code in _COMPRESSED for column in definition.columns)
        """Whether values of it may be many times what they take in a payload."""

    def changes(
        self, payload: Buffer, kind: str, *, most: int | None = None, large: int | None = None
    ) -> Iterator[tuple[Texts | None, Texts | None]]:
        """Of every row its image before and after the change, in the order of the log; None where the change has none. A text is
        None for NULL. What was read of a payload in a :class:`SpooledBuffer` is paged out.

        :param most: characters that are wanted of a text: of a longer one there are more than these, and perhaps not all.
        :param large: bytes of a value; the text of a larger one is a :class:`LargeText` where it is wanted whole.
        :raises ValueRefused: bytes that are no character of their character set.
        :raises CorruptLogError: the images do not fit the payload exactly, or hold what is no value of their type.
        """
        images = self.images(payload, most, large)
        if kind == "update":
            return _pairs(images)
        return zip(images, repeat(None)) if kind == "delete" else zip(repeat(None), images)


def _pairs(images: Iterator[Texts]) -> Iterator[tuple[Texts, Texts]]:
    for before in images:
        if (after := next(images, None)) is None:
            raise CorruptLogError("an update without its new row")
        yield before, after


def check_supported(definition: TableDefinition) -> None:
    """:raises UnsupportedError: columns that cannot become CSV text; names them and how to exclude them."""
    if unsupported := unsupported_columns(definition):
        columns = [text.rpartition(" (")[0] for text in unsupported]
        raise UnsupportedError(
            f"not supported yet: {', '.join(unsupported)}; exclude_columns: "
            f"[{', '.join(map(_quoted, columns))}] leaves them out, exclude: [{_quoted(definition.name)}] the table"
        )


def _quoted(text: str) -> str:
    return f'"{text}"'


def names(definition: TableDefinition) -> tuple[str, ...]:
    """Of the columns: what compiled walkers over its row images are made with, together with :func:`fields`."""
    return tuple(column.name for column in definition.columns)


def numbered(definition: TableDefinition, output: Output) -> set[str]:
    """Columns of ENUM and SET that are to be written as their numbers."""
    made = zip(definition.columns, output.columns, strict=bool(output.columns))
    return {column.name for column, choice in made for step in choice.transforms if step.kind == "number"}


def fields(definition: TableDefinition, numbers: Collection[str] = ()) -> list[_Field]:
    """
    :param numbers: columns of ENUM and SET that are read as their numbers.
    :raises CorruptLogError: a column that cannot be.
    """
    made = []
    for column in definition.columns:
        if (field := _field(column, column.name in numbers)) is None:
            raise CorruptLogError(
                f"{definition.name}.{column.name}: the definition of this {column.type} column is impossible"
            )
        made.append(field)
    return made


@lru_cache(maxsize=4096)
def _field(column: Column, as_number: bool) -> _Field | None:
    """None where there is no such column. Many tables have the same ones."""
    op = _OPS.get(column.type, Op.UNSUPPORTED)
    if as_number and op in (Op.ENUM, Op.SET):
        op = Op.UNSIGNED
    if op is Op.SIGNED and column.unsigned:
        op = Op.UNSIGNED
    charset = (
        charsets.decoder(column.charset)
        if op is Op.TEXT and column.charset and _is_supported(column)
        else None
    )
    if charset is not None:
        op = Op.CHARSET_TEXT
    op = _OLD_OPS.get(column.code, op)
    if column.code not in _CODES.get(op, (column.code,)):
        return None
    precision = detail = 0
    if column.code == ColumnType.NEWDECIMAL:
        precision, detail = column.meta & 0xFF, column.meta >> 8
    elif column.code in _FRACTIONAL:
        detail = column.meta
    elif column.type == "binary":
        detail = char_bytes(column.meta)
    elif column.code in _COMPRESSED:
        op, detail = Op.COMPRESSED, op
    size, prefix = _extent(column)
    if not _is_possible(column, size, prefix) or len(column.members) > _MOST_MEMBERS.get(column.code, 0):
        return None
    return op, size, prefix, detail, precision, tuple(label.encode() for label in column.members), charset


_FIXED = {
    ColumnType.TINY: 1,
    ColumnType.SHORT: 2,
    ColumnType.INT24: 3,
    ColumnType.LONG: 4,
    ColumnType.LONGLONG: 8,
    ColumnType.FLOAT: 4,
    ColumnType.DOUBLE: 8,
    ColumnType.YEAR: 1,
    ColumnType.DATE: 3,
    ColumnType.TIME: 3,
    ColumnType.TIMESTAMP: 4,
    ColumnType.DATETIME: 8,
}
# Type codes whose values an op reads; an op that is not here reads any number of bytes.
_INTEGERS = frozenset(
    {ColumnType.TINY, ColumnType.SHORT, ColumnType.INT24, ColumnType.LONG, ColumnType.LONGLONG}
)
_CODES: dict[Op, frozenset[ColumnType]] = {
    Op.SIGNED: _INTEGERS,
    Op.UNSIGNED: _INTEGERS | {ColumnType.ENUM, ColumnType.SET},
    Op.DECIMAL: frozenset({ColumnType.NEWDECIMAL}),
    Op.REAL: frozenset({ColumnType.FLOAT, ColumnType.DOUBLE}),
    Op.BIT: frozenset({ColumnType.BIT}),
    Op.YEAR: frozenset({ColumnType.YEAR}),
    Op.DATE: frozenset({ColumnType.DATE}),
    Op.TIME: frozenset({ColumnType.TIME2}),
    Op.DATETIME: frozenset({ColumnType.DATETIME2}),
    Op.TIMESTAMP: frozenset({ColumnType.TIMESTAMP2}),
    Op.ENUM: frozenset({ColumnType.ENUM}),
    Op.SET: frozenset({ColumnType.SET}),
}
_MOST_MEMBERS: dict[int, int] = {ColumnType.ENUM: 65535, ColumnType.SET: 64}
_FRACTIONAL = {ColumnType.TIMESTAMP2: 4, ColumnType.DATETIME2: 5, ColumnType.TIME2: 3}
_PREFIXED = frozenset(
    {
        ColumnType.BLOB,
        ColumnType.BLOB_COMPRESSED,
        ColumnType.JSON,
        ColumnType.GEOMETRY,
        ColumnType.VECTOR,
    }
)
_TEXTS = frozenset(
    {ColumnType.STRING, ColumnType.VARCHAR, ColumnType.VARCHAR_COMPRESSED, ColumnType.VAR_STRING}
)


def _extent(column: Column) -> tuple[int, int]:
    """Bytes of a value, or of the length in front of it."""
    code, meta = column.code, column.meta
    if code in _FIXED:
        return _FIXED[ColumnType(code)], 0
    if code in _FRACTIONAL:
        return _FRACTIONAL[ColumnType(code)] + (meta + 1) // 2, 0
    if code in _PREFIXED:
        return 0, meta
    if code == ColumnType.NEWDECIMAL:
        return _decimal_bytes(meta & 0xFF, meta >> 8), 0
    if code == ColumnType.BIT:
        return (meta >> 8) + bool(meta & 0xFF), 0
    if code in (ColumnType.ENUM, ColumnType.SET):
        return meta >> 8, 0
    length = char_bytes(meta) if code == ColumnType.STRING else meta
    return 0, 2 if length > 255 else 1


def _decimal_bytes(precision: int, scale: int) -> int:
    """Groups of nine digits take four bytes, what is left over fewer."""
    left_over = (0, 1, 1, 2, 2, 3, 3, 4, 4)
    whole = precision - scale
    return whole // 9 * 4 + left_over[whole % 9] + scale // 9 * 4 + left_over[scale % 9]


def _is_possible(column: Column, size: int, prefix: int) -> bool:
    code, meta = column.code, column.meta
    if code == ColumnType.NEWDECIMAL:
        return 1 <= meta & 0xFF <= 65 and meta >> 8 <= min(30, meta & 0xFF)
    if code in _FRACTIONAL:
        return meta <= 6
    if code in _PREFIXED:
        return 1 <= prefix <= 4
    if code == ColumnType.ENUM:
        return size in (1, 2)
    if code in (ColumnType.SET, ColumnType.BIT):
        return 1 <= size <= 8
    if code in (ColumnType.FLOAT, ColumnType.DOUBLE):
        return meta == size
    return code in _FIXED or code in _TEXTS
