"""What PostgreSQL would accept and Redshift does not: refused, so that nothing is written that fails in production."""

from __future__ import annotations

from redshift_gateway.errors import SqlError, syntax_error, unsupported
from redshift_gateway.tokens import MAX_IDENTIFIER, Token

RESERVED = frozenset(
    """
    AES128 AES256 ALL ALLOWOVERWRITE ANALYSE ANALYZE AND ANY ARRAY AS ASC AUTHORIZATION AZ64 BACKUP BETWEEN BINARY
    BLANKSASNULL BOTH BYTEDICT BZIP2 CASE CAST CHECK COLLATE COLUMN CONNECT CONSTRAINT CREATE CREDENTIALS CROSS
    CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURRENT_USER_ID DEFAULT DEFERRABLE DEFLATE DEFRAG DELTA
    DELTA32K DESC DISABLE DISTINCT DO ELSE EMPTYASNULL ENABLE ENCODE ENCRYPT ENCRYPTION END EXCEPT EXPLICIT FALSE FOR
    FOREIGN FREEZE FROM FULL GLOBALDICT256 GLOBALDICT64K GRANT GROUP GZIP HAVING IDENTITY IGNORE ILIKE IN INITIALLY
    INNER INTERSECT INTERVAL INTO IS ISNULL JOIN LANGUAGE LEADING LEFT LIKE LIMIT LOCALTIME LOCALTIMESTAMP LUN LUNS LZO
    LZOP MINUS MOSTLY16 MOSTLY32 MOSTLY8 NATURAL NEW NOT NOTNULL NULL NULLS OFF OFFLINE OFFSET OID OLD ON ONLY OPEN OR
    ORDER OUTER OVERLAPS PARALLEL PARTITION PERCENT PERMISSIONS PIVOT PLACING PRIMARY RAW READRATIO RECOVER REFERENCES
    REJECTLOG RESORT RESPECT RESTORE RIGHT SELECT SESSION_USER SIMILAR SNAPSHOT SOME SYSDATE SYSTEM TABLE TAG TDES
    TEXT255 TEXT32K THEN TIMESTAMP TO TOP TRAILING TRUE TRUNCATECOLUMNS UNION UNIQUE UNNEST UNPIVOT USER USING VERBOSE
    WALLET WHEN WHERE WITH WITHOUT
    """.split()  # noqa: SIM905 - a list of 150 words, read as a text
)
"""Database Developer Guide, "Reserved words"."""

_NOT_CREATED = {"INDEX", "SEQUENCE", "TRIGGER", "EXTENSION", "RULE", "TYPE", "DOMAIN", "UNLOGGED", "OPERATOR"}
_NO_SETTING = {"lock_timeout", "idle_in_transaction_session_timeout", "work_mem", "synchronous_commit"}
_PHRASES = [
    ("ON", "CONFLICT", "Redshift has no INSERT … ON CONFLICT."),
    ("DISTINCT", "ON", "Redshift has no SELECT DISTINCT ON."),
    ("FILTER", "(", "Redshift has no FILTER clause."),
    ("DISTINCT", "FROM", "Redshift has no IS [NOT] DISTINCT FROM."),
    ("MATCHED", "AND", "Redshift's MERGE takes no condition after MATCHED."),
]


def check_identifiers(tokens: list[Token]) -> None:
    """Refuse names PostgreSQL would silently cut (over 63 bytes; Redshift itself allows 127)."""
    for token in tokens:
        if token.is_name and (length := len(token.name.encode())) > MAX_IDENTIFIER:
            raise SqlError(
                "42622",
                f'identifier "{token.name}" has {length} bytes, this gateway holds {MAX_IDENTIFIER}',
                "Redshift allows 127 bytes; the PostgreSQL behind the gateway does not. Use a shorter name.",
            )


def check(words: list[Token]) -> None:
    """Refuse statements that Redshift's grammar does not have. ``words`` are the significant tokens."""
    upper = [token.upper for token in words]
    pairs = set(zip(upper, upper[1:], strict=False))
    for first, second, detail in _PHRASES:
        if (first, second) in pairs:
            raise syntax_error(second, detail)
    if upper[0] in ("INSERT", "UPDATE", "DELETE", "WITH") and "RETURNING" in upper:
        raise syntax_error("RETURNING", "Redshift has no RETURNING.")
    if upper[0] == "CREATE":
        _check_create(upper)
    elif upper[0] == "DELETE":
        _check_no_alias(words, 2 if upper[1:2] == ["FROM"] else 1, ("USING", "WHERE"))
    elif upper[0] == "MERGE":
        _check_no_alias(words, 2, ("USING",))
    elif upper[0] == "SET" and words[-1] is not words[0] and words[1].name in _NO_SETTING:
        raise SqlError("42704", f'unrecognized configuration parameter "{words[1].name}"')


def _check_create(upper: list[str]) -> None:
    kind = next(
        (w for w in upper[1:] if w not in ("OR", "REPLACE", "UNIQUE", "LOCAL", "TEMP", "TEMPORARY")), ""
    )
    if kind in _NOT_CREATED:
        raise unsupported(f'SQL command "CREATE {kind}" not supported on Redshift tables.')


def _check_no_alias(words: list[Token], at: int, followers: tuple[str, ...]) -> None:
    """Redshift's DELETE and MERGE take no alias for their target."""
    at += 1
    while at + 1 < len(words) and words[at].upper == ".":
        at += 2
    if at < len(words) and words[at].upper not in followers:
        raise syntax_error(words[at].text, "Redshift takes no alias for the target table.")
