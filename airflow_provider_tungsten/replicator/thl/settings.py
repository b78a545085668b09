"""How long a log is kept."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field, field_validator

from airflow_provider_tungsten.replicator.settings import Model

_SHORT = re.compile(r"(\d+)([dhms])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


class Retention(Model):
    """What may go once every applier has taken it: whole segments, the oldest first. None: no limit of that kind.

    :param max_age: of a segment's last commit: ``7d`` (or ``h``, ``m``, ``s``), or an ISO 8601 duration (``P7D``).
    :param max_bytes: of all segments together; beyond it the oldest go.
    """

    max_age: Annotated[timedelta, Field(gt=timedelta(0))] | None = None
    max_bytes: int | None = Field(default=None, ge=1)

    @field_validator("max_age", mode="before")
    @classmethod
    def _short_age(cls, value: Any) -> Any:
        if isinstance(value, int | float):
            raise ValueError("give a number with its unit, like 7d, 12h, 30m or P7D")
        if isinstance(value, str) and (match := _SHORT.fullmatch(value.strip())):
            return timedelta(**{_UNITS[match[2]]: int(match[1])})
        return value
