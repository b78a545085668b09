"""What the server itself answered to SELECT in the end, and the same made of the log: changes replayed into tables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tests.corpus.reading import Row

Cells = dict[str, str | None]


class Tables:
    """Tables in memory. A row is found again by its key, or where it has none by all of its values."""

    def __init__(self, keys: dict[str, tuple[str, ...]]) -> None:
        self._keys = keys
        self.rows: dict[str, list[Cells]] = {}

    def apply(self, rows: Iterable[Row]) -> None:
        for row in rows:
            table = self.rows.setdefault(row.table, [])
            cells = row.by_name
            key = self._keys.get(row.table) or row.names
            if row.opcode == "I":
                table.append(cells)
                continue
            at = next(
                (i for i, old in enumerate(table) if all(old.get(name) == cells[name] for name in key)), None
            )
            assert at is not None, f"{row.place}: {row.table} has no row {[cells[name] for name in key]}"
            assert table[at] == cells, (
                f"{row.place}: the old image of a row of {row.table} is not what it was"
            )
            del table[at]


def selected(path: Path) -> dict[str, list[Cells]]:
    """Table → rows by column name, out of what the `mysql` client drew. Where it cut lines off, the last cell is a
    beginning and ends in ``…``."""
    tables: dict[str, list[Cells]] = {}
    for section in path.read_text().split("## ")[1:]:
        table, _, drawing = section.partition("\n")
        lines = re.findall(r"^\|.*(?:\n[^|+\n].*)*", drawing, re.MULTILINE)
        if not lines:
            continue
        names = [cell.strip() for cell in lines[0].strip("|").split(" | ")]
        tables[table] = [_cells(names, line) for line in lines[1:]]
    return tables


def _cells(names: list[str], line: str) -> Cells:
    cells = [cell.strip() for cell in line.strip("|").split(" | ")]
    if not line.endswith("|") and cells[-1] != "NULL":
        cells[-1] += "…"
    return {name: None if cell == "NULL" else cell for name, cell in zip(names, cells, strict=False)}


def same(kind: str, ours: str | None, shown: str | None) -> bool:
    """:param kind: the column's type: the client draws some otherwise than the canonical text has them."""
    if ours is None or shown is None:
        return ours is shown
    if kind == "bit":
        return int(ours) == int(shown, 16)
    if kind == "vector":
        return True  # drawn as bytes, compared with the listing
    if kind in ("geometry", "point"):
        return bytes.fromhex(ours) == _ewkb(bytes.fromhex(shown[2:]))
    if shown.startswith("0x"):
        return ours == shown[2:].lower()
    if kind == "float":
        return f"{float(ours):.6g}" == f"{float(shown):.6g}"
    if kind in ("int", "double"):
        return float(ours) == float(shown)
    if shown.endswith("…"):
        return ours.startswith(shown[:-1].rstrip(" "))
    return ours.strip() == shown


def _ewkb(value: bytes) -> bytes:
    """MySQL's own form, SRID in front of WKB, as EWKB; no SRID is 0."""
    srid, order, kind, rest = value[:4], value[4:5], int.from_bytes(value[5:9], "little"), value[9:]
    if not any(srid):
        return value[4:]
    return order + (kind | 0x20000000).to_bytes(4, "little") + srid + rest
