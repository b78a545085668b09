"""Redshift's COPY statement: parsed into a frozen description, unknown or unbuilt options refused. Loads nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from redshift_gateway.errors import SqlError, syntax_error, unsupported
from redshift_gateway.tokens import Kind, Token, identifier

_ARN = r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=.@/-]+"
_ROLE = re.compile(rf"default|{_ARN}(?:,{_ARN})*")
_FLAGS = {"BZIP2", "GZIP", "ZSTD", "MANIFEST", "EMPTYASNULL", "TRUNCATECOLUMNS", "EXPLICIT_IDS", "CSV"}
_SWITCHES = {
    "COMPUPDATE": {"ON", "OFF", "TRUE", "FALSE", "PRESET"},
    "STATUPDATE": {"ON", "OFF", "TRUE", "FALSE"},
}
_TEXTS = {
    "NULL", "DELIMITER", "QUOTE", "REGION", "TIMEFORMAT", "DATEFORMAT", "IAM_ROLE", "CREDENTIALS", "ENCODING",
    "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN",
}  # fmt: skip
_NUMBERS = {"IGNOREHEADER", "MAXERROR", "COMPROWS"}
_UNBUILT = {
    "JSON", "PARQUET", "ORC", "AVRO", "FIXEDWIDTH", "SHAPEFILE", "LZOP", "BLANKSASNULL", "TRIMBLANKS",
    "ACCEPTINVCHARS", "ACCEPTANYDATE", "ROUNDEC", "FILLRECORD", "IGNOREBLANKLINES", "ESCAPE", "REMOVEQUOTES",
    "NOLOAD", "IGNOREALLERRORS", "READRATIO", "SSH", "MASTER_SYMMETRIC_KEY", "ENCRYPTED",
}  # fmt: skip
_TIME_FORMATS = {"auto", "YYYY-MM-DD HH:MI:SS", "YYYY-MM-DD HH24:MI:SS"}
_DATE_FORMATS = {"auto", "YYYY-MM-DD"}


class Compression(Enum):
    """How the objects are packed."""

    NONE = "none"
    BZIP2 = "bzip2"
    GZIP = "gzip"
    ZSTD = "zstd"


@dataclass(frozen=True)
class CopyStatement:
    """One ``COPY … FROM 's3://…' … CSV``.

    ``table`` is the quoted, folded name as SQL; ``columns`` are folded names, None without a list.
    """

    table: str
    table_name: str
    columns: tuple[str, ...] | None
    source: str
    manifest: bool = False
    compression: Compression = Compression.NONE
    null: str = r"\N"
    delimiter: str = ","
    quote: str = '"'
    ignore_header: int = 0
    empty_as_null: bool = False
    truncate_columns: bool = False
    explicit_ids: bool = False


def parse_copy(tokens: list[Token]) -> CopyStatement:
    """Parse the significant tokens of a statement that begins with COPY.

    Grammar: Amazon Redshift Database Developer Guide, "COPY" and its parameter pages. Raises SqlError.
    """
    source_at = next((i for i, token in enumerate(tokens) if token.upper == "FROM"), None)
    if source_at is None or source_at + 1 >= len(tokens):
        raise syntax_error(tokens[-1].text, "COPY loads FROM 's3://…' only; Redshift has no COPY TO.")
    if tokens[source_at + 1].kind is not Kind.STRING:
        raise unsupported(
            "LOAD source is not supported. (Hint: only S3 or DynamoDB or EMR based load is allowed)"
        )
    source = tokens[source_at + 1].value
    if not re.fullmatch(r"s3://[^/]+/.+", source):
        raise unsupported(
            f"LOAD source is not supported: {source}", "The gateway loads from s3://bucket/key only."
        )
    table, columns = _target(tokens[1:source_at])
    options = _options(tokens[source_at + 2 :])
    sql_name = ".".join(identifier(token.name) for token in table[::2])
    return _statement(sql_name, table[-1].name, columns, source, options)


def _target(tokens: list[Token]) -> tuple[list[Token], tuple[str, ...] | None]:
    opening = next((i for i, token in enumerate(tokens) if token.upper == "("), len(tokens))
    table = tokens[:opening]
    if not table or not all(t.is_name if i % 2 == 0 else t.upper == "." for i, t in enumerate(table)):
        raise syntax_error(tokens[0].text if tokens else "FROM", "COPY needs a table name.")
    if opening == len(tokens):
        return table, None
    inner = tokens[opening + 1 : -1]
    names, commas = inner[::2], inner[1::2]
    well_formed = (
        len(inner) % 2 == 1 and all(t.is_name for t in names) and all(t.upper == "," for t in commas)
    )
    if tokens[-1].upper != ")" or not well_formed:
        raise syntax_error("(", "The column list of COPY is a list of plain column names.")
    return table, tuple(token.name for token in names)


def _options(tokens: list[Token]) -> dict[str, str]:
    """Every option with its value as text (flags with an empty one)."""
    options: dict[str, str] = {}
    position = 0

    def at(index: int) -> Token | None:
        return tokens[index] if index < len(tokens) else None

    while (token := at(position)) is not None:
        word = token.upper
        position += 1
        if word in ("WITH", "AS", "FORMAT"):
            continue
        if word in _UNBUILT:
            raise unsupported(f"COPY option {word} is not built into this gateway")
        if word in options:
            raise syntax_error(token.text, f"COPY option {word} is given twice.")
        if word in _FLAGS:
            options[word] = ""
            continue
        if word not in _TEXTS and word not in _NUMBERS and word not in _SWITCHES:
            raise syntax_error(token.text, "COPY has no such option.")
        value = at(position)
        if value is not None and value.upper == "AS":
            position += 1
            value = at(position)
        if word in _SWITCHES:
            if value is not None and value.upper in _SWITCHES[word]:
                position += 1
            options[word] = ""
            continue
        options[word] = _value(token, value)
        position += 1
    return options


def _value(option: Token, value: Token | None) -> str:
    if value is not None:
        if option.upper in _NUMBERS and value.kind is Kind.NUMBER and value.text.isdigit():
            return value.text
        if option.upper not in _NUMBERS and value.kind is Kind.STRING:
            return value.value
        if (option.upper, value.upper) in (("IAM_ROLE", "DEFAULT"), ("ENCODING", "UTF8")):
            return value.text.lower()
    raise syntax_error(
        value.text if value else option.text, f"COPY option {option.upper} needs a value of its kind."
    )


def _statement(
    table: str, name: str, columns: tuple[str, ...] | None, source: str, options: dict[str, str]
) -> CopyStatement:
    if "CSV" not in options:
        raise unsupported("COPY without FORMAT CSV is not built into this gateway")
    _check_authorization(options)
    if options.get("TIMEFORMAT", "auto") not in _TIME_FORMATS:
        raise unsupported("COPY TIMEFORMAT: this gateway reads 'auto' and 'YYYY-MM-DD HH:MI:SS' only")
    if options.get("DATEFORMAT", "auto") not in _DATE_FORMATS:
        raise unsupported("COPY DATEFORMAT: this gateway reads 'auto' and 'YYYY-MM-DD' only")
    if options.get("MAXERROR", "0") != "0":
        raise unsupported("COPY MAXERROR other than 0 is not built into this gateway")
    if options.get("ENCODING", "utf8").lower() != "utf8":
        raise unsupported("COPY ENCODING: this gateway reads UTF8 only")
    packed = [kind for kind in Compression if kind.name in options]
    if len(packed) > 1:
        raise syntax_error(packed[1].name, "Only one compression can be given.")
    compression = packed[0] if packed else Compression.NONE
    delimiter = {r"\t": "\t"}.get(options.get("DELIMITER", ","), options.get("DELIMITER", ","))
    quote = options.get("QUOTE", '"')
    null = options.get("NULL", r"\N")
    _check_characters(delimiter, quote, null)
    return CopyStatement(
        table, name, columns, source, "MANIFEST" in options, compression, null, delimiter, quote,
        int(options.get("IGNOREHEADER", "0")), "EMPTYASNULL" in options, "TRUNCATECOLUMNS" in options,
        "EXPLICIT_IDS" in options,
    )  # fmt: skip


def _check_authorization(options: dict[str, str]) -> None:
    given = [key for key in ("IAM_ROLE", "CREDENTIALS", "ACCESS_KEY_ID") if key in options]
    if len(given) != 1:
        raise SqlError("42601", "COPY needs exactly one of IAM_ROLE, CREDENTIALS and ACCESS_KEY_ID")
    role = options.get("IAM_ROLE")
    if role is not None and not _ROLE.fullmatch(role):
        raise SqlError("XX000", f"Invalid IAM role: {role}", "Write IAM_ROLE default or a role's ARN.")
    if "ACCESS_KEY_ID" in options and "SECRET_ACCESS_KEY" not in options:
        raise SqlError("42601", "COPY ACCESS_KEY_ID needs SECRET_ACCESS_KEY")


def _check_characters(delimiter: str, quote: str, null: str) -> None:
    for option, character in (("DELIMITER", delimiter), ("QUOTE", quote)):
        if len(character) != 1 or not character.isascii() or character in "\r\n\0":
            raise SqlError(
                "42601", f"COPY {option} must be a single ASCII character other than CR, LF and NUL"
            )
    if delimiter == quote:
        raise SqlError("42601", "COPY DELIMITER and QUOTE must differ")
    if any(character in null for character in (delimiter, quote, "\r", "\n", "\0")):
        raise unsupported("COPY NULL AS: the text must not hold the delimiter, the quote, CR, LF or NUL")
