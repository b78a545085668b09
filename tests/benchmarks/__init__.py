"""Measurements on real servers; run by `make bench`, asserted by nothing."""

from __future__ import annotations
