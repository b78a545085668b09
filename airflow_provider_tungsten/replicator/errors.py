"""The error families. A transient error may be retried; a terminal one needs a person first.

A message says what happened, where (file:position, seqno, schema.table.column) and how to mend it, and never
carries a secret or a row's value.
"""

from __future__ import annotations


class TungstenError(Exception):
    """Base of every error this package raises on purpose."""


class TransientError(TungstenError):
    """A later attempt may succeed without anyone changing anything."""


class TerminalError(TungstenError):
    """Another attempt would fail the same way."""


class SourceUnavailableError(TransientError):
    """MySQL cannot be reached, or the connection to it was lost."""


class StorageUnavailableError(TransientError):
    """The object store or the folder did not answer."""


class TargetUnavailableError(TransientError):
    """Redshift cannot be reached, the connection was lost, or it asks for a retry (1023, deadlock, lock timeout)."""


class WriteConflictError(TransientError):
    """Another writer won the race for a write-once object; the message says who."""


class ConfigurationError(TerminalError):
    """The service file or an argument is wrong; the message names field, value and what is allowed."""


class PreflightError(TerminalError):
    """The source, the store or the target is not fit for replication.

    :param findings: one line each, every one with its mend.
    """

    def __init__(self, subject: str, findings: list[str]) -> None:
        self.findings = findings
        super().__init__(f"{subject} is not ready:\n" + "\n".join(f"  - {finding}" for finding in findings))


class UnsupportedError(TerminalError):
    """The log holds something this version does not understand; nothing was skipped."""


class CorruptLogError(TerminalError):
    """A binlog event, a segment or a file does not hold what its own frame promises."""


class LogPurgedError(TerminalError):
    """The source no longer has the log at the position where reading must go on."""


class DivergedError(TerminalError):
    """Source, THL and target do not belong to the same history."""


class GapError(TerminalError):
    """The log lacks transactions at this place, or a batch does not follow what was applied before it."""


class RangeError(TerminalError):
    """A range of seqnos that does not exist; the message says which one does."""


class StorageError(TerminalError):
    """The store refuses: no such bucket, no permission, write-once not honoured."""


class DataError(TerminalError):
    """A value that the target cannot hold; the message names table, column, seqno and the settings that help."""


class TargetError(TerminalError):
    """Redshift refuses: a table that does not fit, a load error, a missing permission."""
