"""Bytes of a MySQL binary log to events to rows. No I/O."""

from __future__ import annotations
