"""Fetches the salt of masked values; it is kept out of settings, fingerprints, logs and messages."""

from __future__ import annotations

import os
from pathlib import Path

from airflow_provider_tungsten.replicator.errors import ConfigurationError
from airflow_provider_tungsten.replicator.filters.settings import Salt

_SHORTEST = 16  # bytes: a shorter one can be guessed, and with it what was masked


def salt(source: Salt) -> bytes:
    """The salt's bytes; of a file without the line break at its end.

    :raises ConfigurationError: it is not there, or too short.
    """
    if source.env is not None:
        where = f"environment variable {source.env}"
        text = os.environ.get(source.env)
        if text is None:
            raise ConfigurationError(
                f"filter mask: the {where}, which holds the salt, is not set on this host"
            )
        found = text.encode()
    else:
        where = str(source.file)
        try:
            found = Path(where).read_bytes().rstrip(b"\r\n")
        except OSError as error:
            raise ConfigurationError(
                f"filter mask: cannot read the salt in {where}: {error.strerror}"
            ) from None
    if len(found) < _SHORTEST:
        raise ConfigurationError(
            f"filter mask: the salt in {where} is shorter than {_SHORTEST} bytes and could be guessed: take a longer one "
            "(openssl rand -hex 32)"
        )
    return found
