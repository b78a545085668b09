"""Reads a dialect's lines back, after its description and not with our code."""

from __future__ import annotations

from airflow_provider_tungsten.replicator.binlog.dialect import Dialect

_LETTERS = {"n": "\n", "r": "\r"}


def read(text: str, dialect: Dialect, null: str) -> list[list[str | None]]:
    """Lines of fields, None for NULL."""
    reader = _Reader(text, dialect, null)
    lines = []
    while reader.at < len(text):
        lines.append(reader.line())
    return lines


class _Reader:
    def __init__(self, text: str, dialect: Dialect, null: str) -> None:
        self.text, self.dialect, self.null = text, dialect, null
        self.at = 0

    def _here(self, what: str) -> bool:
        return self.text.startswith(what, self.at)

    def line(self) -> list[str | None]:
        fields = []
        while True:
            fields.append(self._field())
            if self._here(self.dialect.record_separator):
                self.at += len(self.dialect.record_separator)
                return fields
            assert self._here(self.dialect.field_separator), self.text[self.at :]
            self.at += 1

    def _field(self) -> str | None:
        if self.dialect.use_quotes != "never" and self._here(self.dialect.quote):
            return self._quoted()
        start, value = self.at, ""
        same = self.dialect.use_quotes != "never" and self.dialect.escape == self.dialect.quote
        escapes = bool(self.dialect.escaped_characters) and not same
        while not self._here(self.dialect.field_separator) and not self._here(self.dialect.record_separator):
            value += self._escaped() if escapes and self._here(self.dialect.escape) else self._taken()
        return None if self.text[start : self.at] == self.null else value

    def _quoted(self) -> str:
        value = ""
        self.at += 1
        quote, escape = self.dialect.quote, self.dialect.escape
        while True:
            if escape == quote and self._here(quote + quote):
                self.at += 1
                value += self._taken()
            elif escape != quote and self._here(escape):
                value += self._escaped()
            elif self._here(quote):
                self.at += 1
                return value
            else:
                value += self._taken()

    def _taken(self) -> str:
        self.at += 1
        return self.text[self.at - 1]

    def _escaped(self) -> str:
        self.at += 1
        character = self._taken()
        return _LETTERS.get(character, character)
