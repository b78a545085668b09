"""From a range of seqnos to per-table CSV files: the chain of plans, parts and manifests."""

from __future__ import annotations
