"""What the files of a batch are called: key templates, partitions by commit time, percent-encoded names.

A template is checked when settings are loaded: no two files may have one name, and none lies in another table's folder.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from string import Formatter
from urllib.parse import quote

PLAIN = "{schema}/{table}/{from}-{to}.{part}-{hash}.{extension}"
PARTITIONED = "{schema}/{table}/{partition}/{from}-{to}.{part}-{hash}.{extension}"
PLACEHOLDERS = {
    "schema": "the table's schema, percent-encoded",
    "table": "the table, percent-encoded",
    "partition": "the partition that the rows' commit time lies in, as partition_format writes it",
    "from": "the batch's first seqno, 19 digits",
    "to": "its last seqno, 19 digits",
    "part": "number of the file among the table's (and partition's) in this batch, from 0000 on",
    "hash": "the first 16 hexadecimal digits of the SHA-256 of the file",
    "service": "the service's name",
    "applier": "the applier's name",
    "extension": "csv, csv.zst, csv.gz or csv.bz2",
}
PARTITION_FORMAT = "commit_hour=%Y-%m-%d-%H"

_EXTENSIONS = {"zstd": "csv.zst", "gzip": "csv.gz", "bzip2": "csv.bz2", "none": "csv"}
# Without one of these, two files of one content, or two versions of one file, would have the same name.
_NEEDED = ("schema", "table", "from", "part", "hash")
_LITERAL = re.compile(r"[A-Za-z0-9_.=/,+-]*")
_DIRECTIVE = re.compile(r"%(.?)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encoded(name: str) -> str:
    """Percent-encoded; also a leading dot or underscore, so that no name means a parent folder, hidden files, or a folder
    of our own."""
    text = quote(name, safe="")
    return f"%{ord(text[0]):02X}{text[1:]}" if text[:1] in (".", "_") else text


def check_partition_format(text: str) -> None:
    """:raises ValueError: not made of ``%Y %m %d %H %M`` and plain characters, or one that names a folder of our own."""
    directives = _DIRECTIVE.findall(text)
    if not directives or not set(directives) <= set("YmdHM"):
        raise ValueError("give the time as %Y, %m, %d, %H and %M, for example commit_hour=%Y-%m-%d-%H")
    _check_literal(_DIRECTIVE.sub("0", text))


def check_template(template: str, *, partitioned: bool) -> None:
    """Whether every file of an applier gets a name of its own, in a folder that is its table's alone.

    :raises ValueError: it does not; says what to change.
    """
    fields = _fields(template)
    needed = (*_NEEDED, "partition") if partitioned else _NEEDED
    if missing := [name for name in needed if name not in fields]:
        raise ValueError(f"two files would have one name: {{{'}, {'.join(missing)}}} is missing")
    if "partition" in fields and not partitioned:
        raise ValueError("{partition} needs partition_by")
    _check_literal(template.format_map(dict.fromkeys(PLACEHOLDERS, "x")))
    if not template.endswith("{extension}"):
        raise ValueError("readers tell the compression by the name's end: put {extension} there")
    folder = template.rpartition("/")[0]
    for name in ("schema", "table"):
        if not re.search(rf"(^|[/=]){{{name}}}(/|$)", folder) or template.count(f"{{{name}}}") > 1:
            raise ValueError(
                f"{{{name}}} must stand once, in the folders, alone or behind =, as in db={{schema}}/{{table}}/…: files of "
                "two tables would lie in one folder"
            )
    behind = max(template.index("{schema}"), template.index("{table}"))
    if partitioned and "/{partition}/" not in template[behind:]:
        raise ValueError(
            "{partition} must be folders below the table's: …/{partition}/…, behind {schema} and {table}"
        )


def _fields(template: str) -> list[str]:
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"not a template: {error}") from None
    for _, name, form, conversion in parsed:
        if name in PLACEHOLDERS and (form or conversion):
            raise ValueError(f"{{{name}}} stands alone in its braces, without ! and :")
        if name is not None and name not in PLACEHOLDERS:
            raise ValueError(
                f"{{{name}}} is no placeholder: {', '.join(f'{{{each}}}' for each in PLACEHOLDERS)}"
            )
    return [name for _, name, _, _ in parsed if name is not None]


def _check_literal(text: str) -> None:
    if not _LITERAL.fullmatch(text):
        raise ValueError("names are made of letters, digits and _ . = / , + -")
    if any(part == "" or part[0] in "._" for part in text.split("/")):
        raise ValueError(
            "no folder is without a name, and none begins with a dot or an underscore: those are hidden, or hold manifests"
        )


class FileNames:
    """The names of one applier's files.

    :param template: a checked one.
    :param partition_format: a checked one; None: no partitions.
    """

    def __init__(
        self, template: str, partition_format: str | None, *, service: str, applier: str, compression: str
    ) -> None:
        self._template = template
        self._fixed = {"service": service, "applier": applier, "extension": _EXTENSIONS[compression]}
        self._format = partition_format
        self._of_minute = lru_cache(maxsize=4096)(self._partition)

    @property
    def partitioned(self) -> bool:
        return self._format is not None

    def partition(self, commit_ts: int) -> str:
        """The partition that a commit time, in microseconds since 1970 UTC, lies in; '' without partitions."""
        return self._of_minute(commit_ts // 60_000_000) if self._format else ""

    def _partition(self, minute: int) -> str:
        return (_EPOCH + timedelta(minutes=minute)).strftime(self._format or "")

    def key(
        self, table: tuple[str, str], partition: str, span: tuple[int, int], part: int, sha256: str
    ) -> str:
        """The file's name below the applier's folder.

        :param span: the batch's first and last seqno.
        """
        schema, name = table
        return self._template.format_map(
            {
                **self._fixed,
                "schema": encoded(schema),
                "table": encoded(name),
                "partition": partition,
                "from": f"{span[0]:019d}",
                "to": f"{span[1]:019d}",
                "part": f"{part:04d}",
                "hash": sha256[:16],
            }
        )

    def folder(self, table: tuple[str, str], partition: str) -> str:
        """The folder below which all files of a table (and partition) lie, and no other's; without a slash at its end."""
        fixed = re.split(r"\{(?:from|to|part|hash)\}", self._template)[0].rpartition("/")[0]
        values = {
            **self._fixed,
            "schema": encoded(table[0]),
            "table": encoded(table[1]),
            "partition": partition,
        }
        return fixed.format_map(values)
