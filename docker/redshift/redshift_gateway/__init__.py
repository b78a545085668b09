"""A local Amazon Redshift: a PostgreSQL-wire gateway that gives stock PostgreSQL Redshift's COPY, DDL and manners."""

from __future__ import annotations

from redshift_gateway.gateway import Gateway, Settings

__all__ = ["Gateway", "Settings"]
