"""The transaction history log (THL): events, immutable segments, reading and appending."""

from __future__ import annotations
