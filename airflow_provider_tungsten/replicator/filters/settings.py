"""The filters of a service, as its file names them; what they do to a table is :mod:`.structure`'s and :mod:`.values`'s.

Names and parameters are Tungsten's where it has the filter (manual, "Replication Filters"), in snake_case. Lists stand in the
service file, or in a file of their own (``definitions_file``), which :mod:`.files` reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from airflow_provider_tungsten.replicator.settings import Model

Change = Literal["INSERT", "UPDATE", "DELETE"]
Verdict = Literal["allow", "deny"]


def _listed(value: Any) -> Any:
    """Tungsten's lists are texts with commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("give an absolute path: the service file may be read from anywhere")
    return value


def _pattern(parts: int, least: int) -> AfterValidator:
    def check(value: str) -> str:
        given = value.split(".")
        if not least <= len(given) <= parts or not all(given):
            raise ValueError(
                f"{value!r} is no pattern of {' or '.join(('schema', 'schema.table', 'schema.table.column')[least - 1 : parts])}"
            )
        return value

    return AfterValidator(check)


# Patterns know * and ? only, as Tungsten's.
TablePatterns = Annotated[tuple[Annotated[str, _pattern(2, 1)], ...], BeforeValidator(_listed)]
ColumnPatterns = Annotated[tuple[Annotated[str, _pattern(3, 3)], ...], BeforeValidator(_listed)]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_listed)]
Path = Annotated[str, AfterValidator(_absolute)]
Dotted = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]


class _Listed(Model):
    """A filter whose definitions stand in the service file or in a file of their own: exactly one of the two.

    :param definitions_file: absolute path, on every host that plans and writes batches.
    """

    definitions: tuple[Any, ...] = ()
    definitions_file: Path | None = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        if bool(self.definitions) == bool(self.definitions_file):
            raise ValueError("give either definitions or definitions_file")
        return self


class Replicate(Model):
    """Tables that take part. Among the service's filters, before any that renames, it holds for extraction too.

    :param do: ``schema`` or ``schema.table``; none: all.
    :param ignore: the same; wins over ``do``.
    """

    filter: Literal["replicate"]
    do: TablePatterns = ()
    ignore: TablePatterns = ()


class ReplicateColumns(Model):
    """Columns that take part.

    :param do: ``schema.table.column``; a table of which none speaks keeps all its columns.
    :param ignore: the same; wins over ``do``.
    """

    filter: Literal["replicatecolumns"]
    do: ColumnPatterns = ()
    ignore: ColumnPatterns = ()


class DroppedColumns(Model):
    """:param schema: like ``table`` and ``columns``: a name, or a pattern."""

    schema_: Text = Field(alias="schema")
    table: Text
    columns: Annotated[Texts, Field(min_length=1)]


class DropColumn(_Listed):
    """Leaves columns out."""

    filter: Literal["dropcolumn"]
    definitions: tuple[DroppedColumns, ...] = ()


class Renamed(Model):
    """One request. ``*`` on the left: any; ``-`` on the right: as it was.

    :param column: ``*`` where the table or its schema is renamed.
    """

    schema_: Text = Field(alias="schema")
    table: Text = "*"
    column: Text = "*"
    new_schema: Text = "-"
    new_table: Text = "-"
    new_column: Text = "-"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if finding := self._finding():
            raise ValueError(finding)
        return self

    def _finding(self) -> str | None:
        old = (self.schema_, self.table, self.column)
        new = (self.new_schema, self.new_table, self.new_column)
        if "-" in old:
            return "- stands on the left; it means: leave as it is, and belongs on the right"
        if "*" in new:
            return "* stands on the right; it means: any, and belongs on the left"
        if any("*" in name and name != "*" for name in old):
            return "a name with * in it: only * alone is understood"
        if new == ("-", "-", "-"):
            return "nothing is renamed"
        if any(before == after for before, after in zip(old, new, strict=True)):
            return "a name is renamed to itself: write - for what stays"
        if self.column != "*":
            return "a column cannot move to another table" if new[:2] != ("-", "-") else None
        if self.new_column != "-":
            return "new_column without a column"
        if self.new_schema != "-" and self.schema_ == "*":
            return "new_schema for every schema: name the schema"
        if self.new_table != "-" and self.table == "*":
            return "new_table for every table: name the table"
        return None


class Rename(_Listed):
    """New names for schemas, tables, columns; a column is looked for as s.t, s.*, *.t, *.*, case and all.

    :param definitions_file: CSV: origSchema,origTable,origCol,newSchema,newTable,newCol; ``#`` begins a comment.
    """

    filter: Literal["rename"]
    definitions: tuple[Renamed, ...] = ()


class CaseTransform(Model):
    """Names of schemas, tables and columns in one case."""

    filter: Literal["casetransform"]
    to_upper_case: bool = True


class SkipEventByType(Model):
    """Rows of operations that are denied are not written.

    :param default: for what is not named; ``__default`` in the file.
    :param tables: schema → table → operation → ``allow`` or ``deny``.
    """

    filter: Literal["skipeventbytype"]
    default: Verdict | Mapping[Change, Verdict] = Field(default="allow", alias="__default")
    definitions: Mapping[Text, Mapping[Text, Mapping[Change, Verdict]]] = {}
    definitions_file: Path | None = None

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.definitions_file and self.model_fields_set & {"definitions", "default"}:
            raise ValueError("give either definitions_file or __default and definitions")
        return self


class DroppedValues(Model):
    """:param values: texts; a value that is one of them, in its canonical text, drops its row."""

    schema_: Text = Field(alias="schema")
    table: Text
    column: Text
    values: Annotated[tuple[str, ...], Field(min_length=1)]


class DropOnValueFilter(_Listed):
    """INSERTs with certain values are not written; UPDATEs and DELETEs are."""

    filter: Literal["droponvalue"]
    definitions: tuple[DroppedValues, ...] = ()


class _Columns(Model):
    """:param columns: ``schema.table.column`` patterns."""

    columns: ColumnPatterns = ("*.*.*",)


class ZeroDate2Null(_Columns):
    """The zero date (0000-00-00) becomes NULL; columns of a key are left alone."""

    filter: Literal["zerodate2null"]


class EnumToString(_Columns):
    """ENUM as its label, which it is without this filter, too; or as its number."""

    filter: Literal["enumtostring"]
    keep_numbers: bool = False


class SetToString(_Columns):
    """SET as its labels with commas, which it is without this filter, too; or as the number that its bits are."""

    filter: Literal["settostring"]
    keep_numbers: bool = False


class Keyed(Model):
    """:param columns: of the key, in its order; names, no patterns."""

    schema_: Text = Field(alias="schema")
    table: Text
    columns: Annotated[Texts, Field(min_length=1)]


class CustomPkey(_Listed):
    """A key for a table that has none, or another one. It must be unique and never NULL."""

    filter: Literal["custompkey"]
    definitions: tuple[Keyed, ...] = ()


class RowAddDbName(Model):
    """A column with the name of the schema that the row comes from.

    :param tables: patterns.
    :param adddbhash: a second column with the CRC-32 of that name, a number.
    :param addkey: the name becomes part of the key.
    """

    filter: Literal["rowadddbname"]
    tables: TablePatterns = ("*.*",)
    fieldname: Text = "dbname"
    adddbhash: bool = True
    fieldhashname: Text = "dbname_hash"
    addkey: bool = True


class CustomCdc(Model):
    """Columns CDC_OP_TYPE (I, U, D), CDC_TIMESTAMP (the commit), CDC_SEQUENCE_NUMBER (the seqno).

    :param tables: patterns.
    :param cdc_columns_at_front: before the table's columns, not behind them.
    """

    filter: Literal["customcdc"]
    tables: TablePatterns = ("*.*",)
    cdc_columns_at_front: bool = False
    op_type: Text = "CDC_OP_TYPE"
    timestamp: Text = "CDC_TIMESTAMP"
    sequence_number: Text = "CDC_SEQUENCE_NUMBER"


class Salt(Model):
    """Where a salt is kept: an environment variable, or a file; of 16 bytes at least."""

    env: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")] | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError(
                "give exactly one of: env, file; the salt itself does not belong into the service file"
            )
        return self


class Mask(Model):
    """Values that nobody may see; exactly one way of hiding them. NULL stays NULL, but for ``constant``.

    :param to_null: NULL instead of every value.
    :param constant: this text instead of every value, NULL included.
    :param keep_last: the last so many characters, nothing in front of them; a shorter value is kept whole.
    :param sha256: hexadecimal SHA-256 of the salt and the value's bytes (text in UTF-8).
    """

    filter: Literal["mask"]
    columns: Annotated[ColumnPatterns, Field(min_length=1)]
    to_null: bool = False
    constant: str | None = None
    keep_last: int | None = Field(default=None, ge=1, le=65535)
    sha256: Salt | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        ways = (self.to_null, self.constant is not None, self.keep_last is not None, self.sha256 is not None)
        if sum(ways) != 1:
            raise ValueError("give exactly one of: to_null, constant, keep_last, sha256")
        return self


_CAST = re.compile(
    r"^(smallint|int|bigint|double|boolean|date|datetime(\([0-6]\))?|varchar\([1-9]\d{0,4}\)|decimal\([1-9]\d?,\d\d?\))$"
)


def _castable(value: str) -> str:
    text = value.lower().replace(" ", "")
    if not _CAST.match(text):
        raise ValueError(
            f"{value!r} is none of: smallint, int, bigint, decimal(p,s), double, boolean, date, datetime, datetime(f), varchar(n)"
        )
    if text.startswith("decimal"):
        precision, scale = map(int, re.findall(r"\d+", text))
        if precision > 38 or scale > min(precision, 37):
            raise ValueError("decimal: a precision of 38 at most, and a scale that is no greater, 37 at most")
    return text


class Cast(Model):
    """Another type; a value that is none of it is refused, with column and seqno.

    :param type: ``smallint``, ``int``, ``bigint``, ``decimal(p,s)``, ``double``, ``boolean``, ``date``, ``datetime(f)``,
        ``varchar(n)``.
    """

    filter: Literal["cast"]
    columns: Annotated[ColumnPatterns, Field(min_length=1)]
    type: Annotated[str, AfterValidator(_castable)]


class TruncateText(_Columns):
    """Long texts are cut, never inside a character.

    :param length: in ``unit``.
    """

    filter: Literal["truncatetext"]
    length: int = Field(ge=1, le=65535)
    unit: Literal["characters", "bytes"] = "characters"


class NoCreateDbIfNotExists(Model):
    """No statement CREATE DATABASE IF NOT EXISTS at the target: none ever gets there; known for Tungsten's sake."""

    filter: Literal["nocreatedbifnotexists"]


class Python(Model):
    """A callable of one's own, for rows or for the values of columns.

    :param callable: dotted path; see ``filters.python`` for what it is given and what it gives.
    :param tables: patterns; for rows.
    :param columns: patterns; for values, one by one.
    """

    filter: Literal["python"]
    callable: Dotted
    tables: TablePatterns = ()
    columns: ColumnPatterns = ()

    @model_validator(mode="after")
    def _either(self) -> Self:
        if bool(self.tables) == bool(self.columns):
            raise ValueError("give either tables (a callable for rows) or columns (a callable for values)")
        return self


Filter = Annotated[
    Replicate
    | ReplicateColumns
    | DropColumn
    | Rename
    | CaseTransform
    | SkipEventByType
    | DropOnValueFilter
    | ZeroDate2Null
    | EnumToString
    | SetToString
    | CustomPkey
    | RowAddDbName
    | CustomCdc
    | Mask
    | Cast
    | TruncateText
    | NoCreateDbIfNotExists
    | Python,
    Field(discriminator="filter"),
]
Filters = tuple[Filter, ...]
