r"""What stands in CSV files: the dialect by Tungsten's presets and properties, header columns, opcodes, compression.

Presets and properties: Tungsten's ``CsvSpecification``; where its preset would lose or confuse values ours differs, see
docs/csv.md.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from airflow_provider_tungsten.replicator.binlog.dialect import Dialect, Quotes
from airflow_provider_tungsten.replicator.settings import Model

HeaderColumn = Literal[
    "opcode", "seqno", "row_id", "primary_key", "commit_timestamp", "service", "event_id", "gtid"
]
NullPolicy = Literal["sentinel", "null_value", "skip", "empty_string"]

# What Tungsten's policy `skip` writes.
SKIPPED = "null"

_QUOTED = {"use_quotes": "always", "quote": '"', "escape": "\\", "escaped_characters": "\\"}
_DEFAULT: dict[str, Any] = {
    "field_separator": ",",
    "record_separator": "\n",
    "use_quotes": "always",
    "quote": '"',
    "escape": '"',
    "escaped_characters": "",
    "suppressed_characters": "",
    "null_policy": "null_value",
    "null_value": "null",
    "use_headers": False,
}
PRESETS: dict[str, dict[str, Any]] = {
    "default": _DEFAULT,
    "hive": _DEFAULT
    | {
        "field_separator": "\x01",
        "use_quotes": "never",
        "quote": "",
        "escape": "\\",
        "escaped_characters": "\x01\\\n\r",
        "null_value": "\\N",
    },
    "mysql": _DEFAULT | _QUOTED | {"null_value": "\\N"},
    "oracle": _DEFAULT | _QUOTED | {"null_value": "\\N"},
    "vertica": _DEFAULT | _QUOTED | {"null_policy": "skip", "null_value": None},
    "redshift": _DEFAULT | {"use_quotes": "needed", "null_policy": "sentinel", "null_value": None},
    "custom": _DEFAULT,
}
"""Every property of every preset; ``custom`` begins with those of ``default``."""

_JAVA_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|[btnfr\"'\\0])")
_JAVA = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "'": "'", "\\": "\\", "0": "\0"}


def from_java(text: str) -> str:
    r"""The text with Java's escapes decoded (``\u0001``, ``\t`` …); any other backslash stands for itself."""

    def character(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if code[0] == "u" else _JAVA[code]

    return _JAVA_ESCAPE.sub(character, text)


class Csv(Model):
    """What stands in the files.

    :param preset: the dialect; each property below that is given overrides the preset's.
    :param null_policy: what NULL is: a ``sentinel`` (a text that no value of the table and batch equals, recorded in the
        manifest), the ``null_value``, the bare word ``null`` (``skip``, as Tungsten writes it), or nothing (``empty_string``).
    :param use_headers: the first line of every file names the columns.
    :param header: columns in front of the table's; their names begin with ``header_prefix``.
    :param timestamp_digits: of ``commit_timestamp``, behind the second's point.
    :param distinguish_updates: the rows of an update are UD and UI, not D and I.
    :param update_opcode: an update that leaves the primary key as it is, is one row U of the new values.
    """

    preset: Literal["default", "hive", "mysql", "oracle", "vertica", "redshift", "custom"] = "default"
    field_separator: str | None = None
    record_separator: str | None = None
    use_quotes: Quotes | None = None
    quote: str | None = None
    escape: str | None = None
    escaped_characters: str | None = None
    suppressed_characters: str | None = None
    null_policy: NullPolicy | None = None
    null_value: str | None = None
    use_headers: bool | None = None

    header: tuple[HeaderColumn, ...] = ("opcode", "seqno", "row_id", "commit_timestamp")
    header_prefix: str = "tungsten_"
    timestamp_digits: int = Field(default=6, ge=0, le=6)
    distinguish_updates: bool = False
    update_opcode: bool = False
    compression: Literal["zstd", "gzip", "bzip2", "none"] = "zstd"

    @model_validator(mode="before")
    @classmethod
    def _known(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = dict(data)
        if data.pop("collapse_field_separators", False):
            raise ValueError(
                "collapse_field_separators tells a reader to take several separators for one, and empty values would vanish: "
                "leave it out"
            )
        if unknown := sorted(map(str, data.keys() - cls.model_fields.keys())):
            raise ValueError(f"no property {', '.join(unknown)}; there are: {', '.join(cls.model_fields)}")
        return data

    @field_validator(
        "field_separator",
        "record_separator",
        "quote",
        "escape",
        "escaped_characters",
        "suppressed_characters",
        "null_value",
    )
    @classmethod
    def _java_escapes(cls, value: str | None) -> str | None:
        return None if value is None else from_java(value)

    @field_validator("use_quotes", mode="before")
    @classmethod
    def _tungsten_quotes(cls, value: Any) -> Any:
        return {True: "always", False: "never"}[value] if isinstance(value, bool) else value

    @field_validator("header")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a header column stands twice")
        return value

    @model_validator(mode="after")
    def _possible(self) -> Csv:
        if self.null_value is not None and self.effective("null_policy") != "null_value":
            raise ValueError(
                f"null_value goes with null_policy: null_value, which is {self.effective('null_policy')} here: write both, or neither"
            )
        if self.effective("null_policy") == "null_value" and self.effective("null_value") is None:
            raise ValueError("null_policy: null_value needs a null_value")
        _ = self.dialect  # made now, so that an impossible one is refused with the settings
        return self

    def effective(self, name: str) -> Any:
        """The dialect's property in effect."""
        given = getattr(self, name)
        return PRESETS[self.preset][name] if given is None else given

    @cached_property
    def dialect(self) -> Dialect:
        policy = self.effective("null_policy")
        nulls = {
            "sentinel": None,
            "skip": SKIPPED,
            "empty_string": "",
            "null_value": self.effective("null_value"),
        }
        return Dialect(
            field_separator=self.effective("field_separator"),
            record_separator=self.effective("record_separator"),
            quote=self.effective("quote"),
            use_quotes=self.effective("use_quotes"),
            escape=self.effective("escape"),
            escaped_characters=self.effective("escaped_characters"),
            suppressed_characters=self.effective("suppressed_characters"),
            null=nulls[policy],
        )

    @property
    def limits(self) -> dict[str, Any]:
        """What the encoder refuses because of the target, by its parameters' names; here nothing."""
        return {
            "max_text_bytes": None,
            "max_binary_bytes": None,
            "max_geometry_bytes": None,
            "refuse_nul": False,
            "refuse_zero_dates": False,
        }

    @cached_property
    def header_names(self) -> tuple[str, ...]:
        return tuple(self.header_prefix + name for name in self.header)


class RedshiftCsv(Csv):
    """For COPY and merge: the statements expect the ``redshift`` preset as it is."""

    preset: Literal["redshift"] = "redshift"

    @model_validator(mode="after")
    def _as_copy_reads_it(self) -> RedshiftCsv:
        changed = [name for name in PRESETS["redshift"] if getattr(self, name) is not None]
        if changed:
            raise ValueError(
                f"COPY is told to read the redshift preset as it is: leave {', '.join(changed)} out (an S3 applier takes any dialect)"
            )
        missing = {"opcode", "seqno", "row_id"} - set(self.header)
        if missing:
            raise ValueError(f"header: the merge needs {', '.join(sorted(missing))} too")
        return self

    @property
    def limits(self) -> dict[str, Any]:
        """The encoder's own, which are Redshift's."""
        return {}


class S3Csv(Csv):
    """Of a change feed: what the manual of Tungsten's S3 applier shows."""

    header: tuple[HeaderColumn, ...] = ("opcode", "seqno", "primary_key", "commit_timestamp")
    timestamp_digits: int = Field(default=3, ge=0, le=6)
