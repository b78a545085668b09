"""Binlog files of many servers, each read to the right rows or to the right refusal."""

from __future__ import annotations
