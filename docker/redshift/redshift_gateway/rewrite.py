"""What becomes of a statement's text: passed on (perhaps rewritten), run by the gateway itself, or refused."""

from __future__ import annotations

from dataclasses import dataclass

from redshift_gateway import ddl, strict
from redshift_gateway.copy_statement import CopyStatement, parse_copy
from redshift_gateway.errors import syntax_error
from redshift_gateway.tokens import Kind, Token, identifier, significant, split_statements, text, tokenize
from redshift_gateway.types import ColumnType, column_type


@dataclass(frozen=True)
class Forward:
    """SQL for PostgreSQL. ``domains`` are the VARBYTE lengths it needs; ``alone`` what must not run in a transaction."""

    sql: str
    domains: frozenset[int] = frozenset()
    alone: str | None = None


@dataclass(frozen=True)
class Truncate:
    """TRUNCATE of one table; commits the transaction it runs in."""

    table: str


@dataclass(frozen=True)
class Resize:
    """ALTER COLUMN … TYPE VARCHAR(length) by ``sql``; what the column is now decides whether Redshift allows it."""

    table: str
    column: str
    length: int
    sql: str


Special = Truncate | Resize | CopyStatement
"""What the gateway runs itself."""
Plan = Forward | Special


def plan(sql: str) -> list[Plan]:
    """One plan a statement of ``sql``, in order; none for an empty text. Raises SqlError for what Redshift refuses."""
    return [_plan(statement) for statement in split_statements(tokenize(sql))]


def _plan(tokens: list[Token]) -> Plan:
    strict.check_identifiers(tokens)
    words = significant(tokens)
    first = words[0].upper
    if first == "COPY":
        return parse_copy(words)
    if first == "TRUNCATE":
        return _truncate(words)
    strict.check(words)
    if first == "CREATE" and ddl.is_create_table(words):
        changed = ddl.create_table(words)
        rest = _words(changed.query)
        return Forward(f"{changed.sql} {rest}".strip(), changed.domains)
    if first == "ALTER" and words[1].upper == "TABLE":
        changed = ddl.alter_table(words)
        if changed.resized is not None:
            return Resize(*changed.resized, changed.sql)
        return Forward(changed.sql, changed.domains, changed.alone)
    if first in ("VACUUM", "ANALYZE", "ANALYSE"):
        return Forward(_maintenance(words), alone="VACUUM" if first == "VACUUM" else None)
    if first in ("SET", "SHOW", "RESET") and (ignored := _redshift_setting(words)) is not None:
        return Forward(ignored)
    return Forward(_words(tokens))


def _truncate(words: list[Token]) -> Truncate:
    names = words[2:] if words[1:] and words[1].upper == "TABLE" else words[1:]
    if not names or not all(t.is_name if i % 2 == 0 else t.upper == "." for i, t in enumerate(names)):
        raise syntax_error(words[-1].text, "TRUNCATE takes one table and no options.")
    return Truncate(".".join(identifier(token.name) for token in names[::2]))


def _words(tokens: list[Token]) -> str:
    """The text with Redshift's words in PostgreSQL's: SYSDATE, NVL, casts to its types, quoted names folded."""
    output: list[str] = []
    before = ""
    index = 0
    while index < len(tokens):
        token = tokens[index]
        shape = _cast(tokens[index:]) if before in ("::", "AS") and token.upper in _CAST_TYPES else None
        if shape is not None:
            output.append("bytea" if shape.varbyte else shape.sql)
            index = _behind(tokens, index, shape.tokens)
        else:
            output.append(_word(token, before, tokens, index))
            index += 1
        if token.kind is not Kind.SPACE:
            before = token.upper
    return "".join(output)


_CAST_TYPES = {"SUPER", "VARBYTE", "VARBINARY", "VARCHAR", "NVARCHAR"}


def _cast(tokens: list[Token]) -> ColumnType | None:
    """The type a cast names, where PostgreSQL needs another word for it."""
    words = significant(tokens)
    if words[0].upper == "VARCHAR" and [t.upper for t in words[1:3]] != ["(", "MAX"]:
        return None
    return column_type(words, words[0].text)


def _behind(tokens: list[Token], index: int, count: int) -> int:
    """The index behind ``count`` significant tokens."""
    while count:
        count -= tokens[index].kind is not Kind.SPACE
        index += 1
    return index


def _word(token: Token, before: str, tokens: list[Token], index: int) -> str:
    if token.kind is Kind.QUOTED:
        return identifier(token.name)
    if token.kind is not Kind.WORD or before == ".":
        return token.text
    if token.text.startswith("#"):
        return identifier(token.name)
    if token.upper == "SYSDATE":
        return "pg_catalog.sysdate()"
    if token.upper == "NVL" and _next(tokens, index) == "(":
        return "COALESCE"
    return token.text


def _next(tokens: list[Token], index: int) -> str:
    return next((t.upper for t in tokens[index + 1 :] if t.kind is not Kind.SPACE), "")


def _maintenance(words: list[Token]) -> str:
    """VACUUM and ANALYZE with Redshift's own variants left out."""
    command = words[0].upper.replace("ANALYSE", "ANALYZE")
    noise = {"FULL", "SORT", "DELETE", "ONLY", "REINDEX", "RECLUSTER", "BOOST", "VERBOSE"}
    names: list[str] = []
    for token in words[1:]:
        if token.upper in noise and not names:
            continue
        if token.upper in ("TO", "BOOST", "(", "PREDICATE", "ALL"):
            break
        names.append(identifier(token.name) if token.is_name else token.text)
    return f"{command} {''.join(names)}".strip()


_REDSHIFT_SETTINGS = {
    "query_group", "enable_result_cache_for_session", "enable_case_sensitive_identifier", "wlm_query_slot_count",
    "json_parse_truncate_strings", "json_serialization_enable", "describe_field_name_in_uppercase",
    "analyze_threshold_percent", "downcase_delimited_identifier", "query_priority", "mv_enable_aqmv_for_session",
}  # fmt: skip


def _redshift_setting(words: list[Token]) -> str | None:
    """A setting only Redshift has, kept under a name of the gateway's own."""
    at = 2 if words[1:] and words[1].upper in ("SESSION", "LOCAL") else 1
    if at >= len(words) or words[at].name not in _REDSHIFT_SETTINGS:
        return None
    return f"{text(words[:at])} redshift_gateway.{words[at].name} {text(words[at + 1 :])}".rstrip()
