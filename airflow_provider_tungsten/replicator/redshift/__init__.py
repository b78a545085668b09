"""The Redshift applier: types, DDL, COPY and merge, position, load errors."""

from __future__ import annotations
