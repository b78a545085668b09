"""The wheel that is given away, and what an installation that cannot compile says."""

from __future__ import annotations
