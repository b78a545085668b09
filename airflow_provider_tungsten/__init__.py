"""Airflow provider that replicates MySQL into Amazon S3 and Amazon Redshift."""

from __future__ import annotations

__version__ = "0.1.0"
