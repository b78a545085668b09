"""Which tables and columns take part, by pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase, translate
from functools import lru_cache
from typing import Protocol

HEARTBEAT_TABLE = "heartbeat"
_OWN_SCHEMAS = "tungsten_"


def heartbeat_schema(service: str) -> str:
    """The schema on the source that a service keeps its heartbeat in."""
    return f"{_OWN_SCHEMAS}{service}"


def _compiled(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern) for pattern in patterns) or r"(?!)")


class TableNames(Protocol):
    """What filters make of tables' names; see `names.Names`."""

    def target(self, schema: str, table: str) -> tuple[str, str] | None:
        """None: the table does not take part."""

    def touches(self, schema: str) -> bool:
        """Whether a table of the schema may take part."""


class TableFilter:
    """Selects ``schema.table`` by include and exclude patterns, and columns by exclude patterns.

    Patterns are shell-like (``*``, ``?``, ``[…]``) and match whole names, case and all. MySQL's own schemas never take
    part; ``tungsten_….heartbeat``, a service's own table, only where a pattern names its schema; and `names` may leave out
    more. A column that is part of the primary key can be excluded only by whoever accepts a table without that key.
    """

    SYSTEM_SCHEMAS = frozenset({"mysql", "information_schema", "performance_schema", "sys"})

    def __init__(
        self,
        include: Iterable[str] = ("*.*",),
        exclude: Iterable[str] = (),
        exclude_columns: Sequence[str] = (),
        names: TableNames | None = None,
    ) -> None:
        self._names = names
        include, exclude = tuple(include), tuple(exclude)
        self._include = _compiled(include)
        self._exclude = _compiled(exclude)
        self._include_heartbeats = _compiled(name for name in include if name.startswith(_OWN_SCHEMAS))
        self._include_schemas = tuple(pattern.partition(".")[0] for pattern in include)
        self._exclude_schemas = tuple(
            pattern.removesuffix(".*") for pattern in exclude if pattern.endswith(".*")
        )
        self._exclude_columns = _compiled(exclude_columns)
        self.has_column_rules = bool(exclude_columns)
        self.includes = lru_cache(maxsize=65536)(self._includes)

    def _includes(self, schema: str, table: str) -> bool:
        if schema in self.SYSTEM_SCHEMAS:
            return False
        name = f"{schema}.{table}"
        is_heartbeat = table == HEARTBEAT_TABLE and schema.startswith(_OWN_SCHEMAS)
        include = self._include_heartbeats if is_heartbeat else self._include
        if not include.match(name) or self._exclude.match(name):
            return False
        return self._names is None or self._names.target(schema, table) is not None

    def touches(self, schema: str, table: str) -> bool:
        """Whether a statement on that table may concern an included one; ``table`` '' stands for all of the schema."""
        if table:
            return self.includes(schema, table)
        if schema in self.SYSTEM_SCHEMAS or any(fnmatchcase(schema, name) for name in self._exclude_schemas):
            return False
        if schema and self._names is not None and not self._names.touches(schema):
            return False
        # A dot in a schema's name, or no name at all: which patterns are meant cannot be told.
        return not schema or "." in schema or any(fnmatchcase(schema, name) for name in self._include_schemas)

    def excluded_columns(self, schema: str, table: str, columns: Iterable[str]) -> set[str]:
        """Those of ``columns`` that must not be seen."""
        if not self.has_column_rules:
            return set()
        return {name for name in columns if self._exclude_columns.match(f"{schema}.{table}.{name}")}
