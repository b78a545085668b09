"""What bytes mean in every character set: every code of it, compared with the servers' own answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

import pytest

from airflow_provider_tungsten.replicator.binlog import charsets
from airflow_provider_tungsten.replicator.binlog.rows import ValueRefused
from tests.integration.value_log import Log
from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL

WIDE = {"ucs2", "utf16", "utf16le", "utf32"}
UTF8 = {"utf8", "utf8mb3", "utf8mb4"}
TABLES = sorted(charsets.SUPPORTED - WIDE - UTF8)
BYTES = [bytes((byte,)) for byte in range(256)]
PAIRS = [bytes(pair) for pair in product(range(256), repeat=2)]
TRIPLES = [bytes((0x8F, *pair)) for pair in product(range(0xA1, 0xFF), repeat=2)]
# Codes that the servers answer with the sign for what is no character; all others that lack one they answer with "?".
NO_CHARACTER = {
    "big5": {b"\xa1\x5a", b"\xa1\xc3", b"\xa1\xc5", b"\xa1\xfe", b"\xa2\x40", b"\xa2\xcc", b"\xa2\xce"},
    "tis620": {bytes((byte,)) for byte in b"\xa0\xdb\xdc\xdd\xde\xfc\xfd\xfe\xff"},
}


@pytest.fixture(params=["mysql", "mariadb"])
def server(request: pytest.FixtureRequest) -> MySQL:
    found: MySQL = request.getfixturevalue(request.param)
    return found


def ours(charset: str, code: bytes) -> str | None:
    try:
        return charsets.decode(code, charset)
    except UnicodeDecodeError:
        return None


def ascii_in(charset: str, text: str) -> bytes:
    return text.encode(
        "ascii" if charset not in WIDE else "utf-16-le" if charset == "utf16le" else "utf-16-be"
    )


def theirs(server: MySQL, database: str, charset: str) -> Iterator[tuple[bytes, str]]:
    """Each code in table `codes`, and the text of it with two exclamation marks behind it."""
    mark = ascii_in(charset, "!!").hex()
    text = f"CAST(CONVERT(CONVERT(CONCAT(b, 0x{mark}) USING {charset}) USING utf8mb4) AS BINARY)"
    rows = server.execute("SET sql_mode=''", f"SELECT b, IFNULL({text}, '') FROM codes", database=database)
    for code, answer in rows:
        yield code, answer.decode("utf-8", "surrogatepass")


def fill(server: MySQL, database: str, codes: Iterable[bytes]) -> None:
    codes = list(codes)
    server.execute("DROP TABLE IF EXISTS codes", "CREATE TABLE codes (b VARBINARY(4))", database=database)
    for at in range(0, len(codes), 16384):
        values = ",".join(f"(0x{code.hex()})" for code in codes[at : at + 16384])
        server.execute(f"INSERT INTO codes VALUES {values}", database=database)


def text_of(charset: str, code: bytes, answer: str) -> str | None:
    """What a server takes the code for; it replaces what is no text by question marks, or ends the text there."""
    text = answer.removesuffix("!!")
    questions = code == ascii_in(charset, "?") if charset in WIDE else code.count(b"?")
    is_text = (
        text != answer
        and text.count("?") == questions
        and not any("\ud800" <= one < "\ue000" for one in text)
    )
    return text if is_text and code not in NO_CHARACTER.get(charset, ()) else None


def compare(server: MySQL, database: str, names: Iterable[str]) -> None:
    for charset in names:
        wrong = [
            (code.hex(), ours(charset, code), answer)
            for code, answer in theirs(server, database, charset)
            if ours(charset, code) != text_of(charset, code, answer)
        ]
        assert wrong == [], charset


def known(server: MySQL, names: Iterable[str]) -> list[str]:
    found = {
        name for (name,) in server.execute("SELECT character_set_name FROM information_schema.character_sets")
    }
    return sorted(found & set(names))


def test_character_sets_and_collations_are_the_servers(server: MySQL) -> None:
    sizes = dict(server.execute("SELECT character_set_name, maxlen FROM information_schema.character_sets"))
    assert set(sizes) <= charsets.SUPPORTED | {"binary"}
    assert {name: charsets.max_bytes(name) for name in sizes} == sizes
    is_mariadb = isinstance(server, MariaDB)
    table = "collation_character_set_applicability" if is_mariadb else "collations"
    collations = dict(server.execute(f"SELECT id, character_set_name FROM information_schema.{table}"))
    assert {number: charsets.charset_name(number) for number in collations} == collations


def test_every_byte_and_pair_of_bytes(server: MySQL, database_of: str) -> None:
    fill(server, database_of, BYTES)
    compare(server, database_of, known(server, TABLES))
    fill(server, database_of, PAIRS)
    compare(server, database_of, known(server, [name for name in TABLES if charsets.max_bytes(name) > 1]))
    compare(server, database_of, ["ucs2", "utf16", "utf16le"])
    fill(server, database_of, TRIPLES)
    compare(server, database_of, ["eucjpms", "ujis"])


def test_every_code_of_four_bytes_in_gb18030(mysql: MySQL) -> None:
    for lead in range(0x81, 0xFF):
        tails = product(range(0x30, 0x3A), range(0x81, 0xFF), range(0x30, 0x3A))
        codes = [bytes((lead, *tail)) for tail in tails]
        ((text,),) = mysql.execute(f"SELECT CONVERT(_gb18030 0x{b' '.join(codes).hex()} USING utf8mb4)")
        decoded = [ours("gb18030", code) or "?" for code in codes]
        assert decoded == text.split(" ")


@pytest.mark.parametrize("charset", ["utf16", "utf16le", "utf32"])
def test_every_plane_of_unicode(server: MySQL, charset: str) -> None:
    codec = {"utf16": "utf-16-be", "utf16le": "utf-16-le", "utf32": "utf-32-be"}[charset]
    for plane in range(17):
        text = "".join(
            chr(point) for point in range(plane << 16, plane + 1 << 16) if not 0xD800 <= point < 0xE000
        )
        raw = text.encode(codec)
        (((answer),),) = server.execute(f"SELECT CONVERT(_{charset} 0x{raw.hex()} USING utf8mb4)")
        assert charsets.decode(raw, charset) == answer == text


@pytest.fixture
def database_of(server: MySQL) -> Iterator[str]:
    server.execute("DROP DATABASE IF EXISTS codes_of", "CREATE DATABASE codes_of")
    yield "codes_of"
    server.execute("DROP DATABASE codes_of")


# What can be written in it, and is not ASCII where it has more.
SAMPLES = {
    **{name: "žščřÁé" for name in ("cp1250", "cp852", "keybcs2", "latin2", "macce")},
    **{name: "Привет ё" for name in ("cp1251", "cp866", "koi8r", "koi8u")},
    **{name: "ÄÖÅé" for name in ("cp850", "dec8", "hp8", "latin1", "latin5", "macroman", "swe7")},
    **{name: "日本語ｶﾅ" for name in ("cp932", "eucjpms", "sjis", "ujis")},
    **{name: "中文字" for name in ("big5", "gb2312", "gbk")},
    **{name: "中é😀\U0010ffff" for name in ("gb18030", "utf16", "utf16le", "utf32", "utf8mb4")},
    **{name: "中é\uffff" for name in ("ucs2", "utf8mb3")},
    **{
        "armscii8": "Աբ«",
        "ascii": "plain",
        "cp1256": "مرحبا",
        "cp1257": "ąčę",
        "latin7": "ąčę",
        "euckr": "한국어똠",
    },
    **{"geostd8": "აბ№", "greek": "αβγ", "hebrew": "שלום", "tis620": "ไทย"},
}


def test_columns_and_labels_in_every_character_set(server: MySQL, database_of: str) -> None:
    log = Log(server, database_of)
    names = known(server, charsets.SUPPORTED)
    with log.connection:
        columns = [
            f"t_{name} VARCHAR(30) CHARACTER SET {name}, c_{name} CHAR(20) CHARACTER SET {name},"
            f" b_{name} TEXT CHARACTER SET {name}, e_{name} ENUM('{SAMPLES[name]}') CHARACTER SET {name},"
            f" s_{name} SET('x', '{SAMPLES[name]}') CHARACTER SET {name}"
            for name in names
        ]
        log.run(f"CREATE TABLE t (id INT PRIMARY KEY, {', '.join(columns)}) ENGINE=InnoDB")
        values = ", ".join(
            f"'a{text} ', '{text}', REPEAT('{text}', 50), 1, 3" for text in (SAMPLES[name] for name in names)
        )
        change = log.changes(
            f"INSERT INTO t VALUES (1, {values})", "UPDATE t SET id = 2", "DELETE FROM t WHERE id = 3"
        )
        assert change.inserted[1:] == log.select("SELECT * FROM t")
        assert change.deleted[0][1:] == change.inserted[1][1:]


def test_bytes_that_are_wrong_are_refused_by_name(server: MySQL, database_of: str) -> None:
    log = Log(server, database_of)
    with log.connection:
        log.run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(10) CHARACTER SET cp1251)")
        with pytest.raises(ValueRefused, match="column v holds bytes that are no character"):
            log.changes("INSERT INTO t VALUES (1, _cp1251 0xCF98)")
