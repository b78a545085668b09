"""The one exception the gateway's own refusals travel in; how it looks on the wire is wire.py's business."""

from __future__ import annotations


class SqlError(Exception):
    """A statement that fails: SQLSTATE, Redshift's message, and a detail that says how to mend it."""

    def __init__(self, code: str, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail


def syntax_error(near: str, detail: str | None = None) -> SqlError:
    """Redshift's answer to what its grammar does not have; ``detail`` names the missing feature."""
    return SqlError("42601", f'syntax error at or near "{near}"', detail)


def unsupported(message: str, detail: str | None = None) -> SqlError:
    """A feature that Redshift itself, or this gateway, does not have."""
    return SqlError("0A000", message, detail)
