"""Broken and hostile binlogs, by the million: only our own errors, no crash, no hang, no bytes passed over in silence."""

from __future__ import annotations
