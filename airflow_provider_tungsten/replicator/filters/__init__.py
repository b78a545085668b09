"""What may enter or leave the log, table by table and column by column."""

from __future__ import annotations
