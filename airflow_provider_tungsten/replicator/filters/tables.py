"""Which tables and columns take part, by pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import translate
from functools import lru_cache


def _compiled(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern) for pattern in patterns) or r"(?!)")


class TableFilter:
    """Selects ``schema.table`` by include and exclude patterns, and columns by exclude patterns.

    Patterns are shell-like (``*``, ``?``, ``[…]``) and match whole names, case and all. MySQL's own schemas never take
    part. A column that is part of the primary key can be excluded only by whoever accepts a table without that key.
    """

    SYSTEM_SCHEMAS = frozenset({"mysql", "information_schema", "performance_schema", "sys"})

    def __init__(
        self,
        include: Iterable[str] = ("*.*",),
        exclude: Iterable[str] = (),
        exclude_columns: Sequence[str] = (),
    ) -> None:
        self._include = _compiled(include)
        self._exclude = _compiled(exclude)
        self._exclude_columns = _compiled(exclude_columns)
        self.has_column_rules = bool(exclude_columns)
        self.includes = lru_cache(maxsize=65536)(self._includes)

    def _includes(self, schema: str, table: str) -> bool:
        if schema in self.SYSTEM_SCHEMAS:
            return False
        name = f"{schema}.{table}"
        return bool(self._include.match(name)) and not self._exclude.match(name)

    def excluded_columns(self, schema: str, table: str, columns: Iterable[str]) -> set[str]:
        """Those of ``columns`` that must not be seen."""
        return {name for name in columns if self._exclude_columns.match(f"{schema}.{table}.{name}")}
