"""MySQL over the wire: connection, preflight and the binlog stream."""

from __future__ import annotations
