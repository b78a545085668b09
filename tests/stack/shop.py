"""The demo's source: a shop database with every supported type, and a writer that keeps it busy."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

SCHEMA = "shop"

TABLES = {
    "customers": """
        id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, email VARCHAR(120) NOT NULL, name VARCHAR(80),
        country CHAR(2) CHARACTER SET latin1, city VARCHAR(60) CHARACTER SET latin1, about TEXT,
        born DATE, vip BIT(1) NOT NULL DEFAULT 0, tags SET('new','loyal','wholesale','export'),
        created DATETIME(6) NOT NULL, seen TIMESTAMP(3) NULL, UNIQUE KEY (email)""",
    "products": """
        sku VARCHAR(24) PRIMARY KEY, title VARCHAR(120) NOT NULL, price DECIMAL(12,4) NOT NULL,
        weight FLOAT, volume DOUBLE, state ENUM('draft','on sale','sold out','retired') NOT NULL,
        attributes JSON, picture BLOB, checksum BINARY(16), year_made YEAR, stock_delta SMALLINT NOT NULL DEFAULT 0""",
    "orders": """
        id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, customer_id INT UNSIGNED NOT NULL,
        placed TIMESTAMP(6) NOT NULL, due DATE, total DECIMAL(14,2) NOT NULL DEFAULT 0,
        status ENUM('open','paid','sent','cancelled') NOT NULL DEFAULT 'open', note VARCHAR(200)""",
    "order lines": """
        order_id BIGINT UNSIGNED NOT NULL, line_no TINYINT UNSIGNED NOT NULL, sku VARCHAR(24) NOT NULL,
        quantity MEDIUMINT NOT NULL, `unit-price` DECIMAL(12,4) NOT NULL, gift TINYINT(1) NOT NULL DEFAULT 0,
        PRIMARY KEY (order_id, line_no)""",
    "stock": """
        warehouse CHAR(8) NOT NULL, sku VARCHAR(24) NOT NULL, units INT NOT NULL, counted TIME(2),
        opens TIME, PRIMARY KEY (warehouse, sku)""",
    "sessions": """
        token VARBINARY(20) PRIMARY KEY, customer_id INT UNSIGNED, flags BIT(12) NOT NULL, started DATETIME NOT NULL,
        payload MEDIUMTEXT, hits INT UNSIGNED NOT NULL DEFAULT 0""",
    "every_type": """
        id BIGINT PRIMARY KEY, ti TINYINT, tu TINYINT UNSIGNED, si SMALLINT, su SMALLINT UNSIGNED, mi MEDIUMINT,
        mu MEDIUMINT UNSIGNED, i INT, iu INT UNSIGNED, bi BIGINT, bu BIGINT UNSIGNED, de DECIMAL(38,10), d0 DECIMAL(10,0),
        f FLOAT, d DOUBLE, b1 BIT(1), b9 BIT(9), b64 BIT(64), y YEAR, da DATE, t0 TIME, t6 TIME(6), dt0 DATETIME,
        dt3 DATETIME(3), dt6 DATETIME(6), ts0 TIMESTAMP NULL, ts2 TIMESTAMP(2) NULL, ts6 TIMESTAMP(6) NULL,
        c CHAR(20), cl CHAR(20) CHARACTER SET latin1, v VARCHAR(300), vl VARCHAR(300) CHARACTER SET latin1,
        x TEXT, xl TEXT CHARACTER SET latin1, xt TINYTEXT, xm MEDIUMTEXT, xg LONGTEXT, bn BINARY(8), vb VARBINARY(300),
        bt TINYBLOB, bb BLOB, bm MEDIUMBLOB, bg LONGBLOB, e ENUM('', 'a', 'b,c', 'd"é'), s SET('x','y y','z"'), j JSON""",
}

_TEXTS = [
    "",
    "plain",
    "comma, quote \" and 'single'",
    "two\nlines\r\nand a\ttab",
    "\\N",
    "NULL",
    "trailing blank ",
    "emoji 🦊 ünïcode 漢字",
    "back\\slash",
    '"',
    " ",
]
_LATIN = ["", "café", "naïve £ÿ", "plain", 'quote " and, comma', "€"]


def create(connection: Any) -> None:
    """Makes the empty database; the log then holds its whole history."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {SCHEMA} CHARACTER SET utf8mb4")
        for table, columns in TABLES.items():
            cursor.execute(f"CREATE TABLE {SCHEMA}.`{table}` ({columns})")


class Writer:
    """Changes the shop's tables at random, transaction by transaction, the same way for the same seed.

    :param connect: gives a new root connection (autocommit off) to the source.
    """

    def __init__(self, connect: Callable[[], Any], seed: int = 7) -> None:
        self._connection = connect()
        self._connection.autocommit(False)
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._next_id = 0
        self.transactions = 0
        self.rows = 0
        self.error: Exception | None = None

    def fill(self, customers: int = 400, products: int = 300) -> None:
        """First content: customers, products, stock, a few sessions, every type's edges."""
        self._transaction(lambda: [self._customer() for _ in range(customers)])
        self._transaction(lambda: [self._product(number) for number in range(products)])
        self._transaction(lambda: [self._every_type() for _ in range(60)])

    def start(self, pause: float = 0.005) -> None:
        """Goes on writing in a thread until :meth:`stop`."""
        self._thread = threading.Thread(target=self._run, args=(pause,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """:raises Exception: what ended the writer, if anything did."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        self._connection.close()
        if self.error:
            raise self.error

    def _run(self, pause: float) -> None:
        try:
            while not self._stop.wait(pause):
                self.step()
        except Exception as error:
            self.error = error

    def step(self) -> None:
        """One random transaction."""
        action = self._random.choices(
            [
                self._order,
                self._pay,
                self._customer_change,
                self._move_product,
                self._count_stock,
                self._session,
                self._every_type_change,
                self._forget,
                self._rolled_back,
            ],
            [30, 20, 15, 4, 10, 10, 8, 4, 3],
        )[0]
        self._transaction(action)

    def _transaction(self, action: Callable[[], Any]) -> None:
        try:
            keep = action() is not False
        except BaseException:
            self._connection.rollback()
            raise
        if keep:
            self._connection.commit()
            self.transactions += 1
        else:
            self._connection.rollback()

    def _execute(self, sql: str, *values: Any) -> int:
        with self._connection.cursor() as cursor:
            count: int = cursor.execute(sql, values)
        self.rows += count
        return count

    def _insert(self, table: str, **values: Any) -> None:
        names = ", ".join(f"`{name}`" for name in values)
        marks = ", ".join(["%s"] * len(values))
        self._execute(f"INSERT INTO {SCHEMA}.`{table}` ({names}) VALUES ({marks})", *values.values())

    def _scalar(self, sql: str) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
        return row[0] if row else None

    def _any(self, table: str, column: str) -> Any:
        return self._scalar(f"SELECT `{column}` FROM {SCHEMA}.`{table}` ORDER BY RAND() LIMIT 1")

    def _now(self) -> datetime:
        return datetime.now(UTC).replace(tzinfo=None)

    def _customer(self) -> None:
        self._next_id += 1
        r = self._random
        self._insert(
            "customers",
            email=f"c{self._next_id}@example.com",
            name=r.choice(_TEXTS),
            country=r.choice(["DE", "FR", "BR", "JP", None]),
            city=r.choice(_LATIN),
            about=r.choice([None, *_TEXTS]),
            born=r.choice([None, f"{r.randint(1930, 2010)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}"]),
            vip=r.random() < 0.1,
            tags=r.choice([None, "", "new", "new,loyal", "loyal,export"]),
            created=self._now(),
            seen=r.choice([None, self._now()]),
        )

    def _product(self, number: int) -> None:
        r = self._random
        attributes = {
            "colour": r.choice(["red", "blü", None]),
            "size": r.choice([1, 2.5, -3, 1e300]),
            "tags": ["a", {"b": []}],
        }
        self._insert(
            "products",
            sku=f"SKU-{number:05}",
            title=r.choice(_TEXTS),
            price=Decimal(r.randint(1, 10**8)) / 10000,
            weight=r.choice([None, 1.1, 0.001, 3.4e38, r.random()]),
            volume=r.choice([None, 1e300, 5e-324, -0.1, r.random()]),
            state=r.choice(["draft", "on sale", "sold out"]),
            attributes=r.choice([None, "null", json.dumps(attributes)]),
            picture=r.choice([None, b"", bytes(range(256)), r.randbytes(64)]),
            checksum=r.choice([None, r.randbytes(12) + b"\0\0\0\0"]),
            year_made=r.choice([None, 1901, 2155, r.randint(1990, 2026)]),
        )
        for warehouse in ("north", "south"):
            self._insert("stock", warehouse=warehouse, sku=f"SKU-{number:05}", units=r.randint(0, 500))

    def _every_type(self) -> None:
        self._next_id += 1
        self._insert("every_type", id=self._next_id, **self._values())

    def _values(self) -> dict[str, Any]:
        r = self._random
        if r.random() < 0.1:
            return dict.fromkeys(
                (
                    "ti",
                    "tu",
                    "bu",
                    "de",
                    "f",
                    "d",
                    "b64",
                    "y",
                    "da",
                    "t6",
                    "ts6",
                    "c",
                    "x",
                    "bb",
                    "e",
                    "s",
                    "j",
                )
            )

        def signed(bits: int) -> int:
            return r.choice(
                [
                    -(2 ** (bits - 1)),
                    2 ** (bits - 1) - 1,
                    0,
                    -1,
                    r.randrange(-(2 ** (bits - 1)), 2 ** (bits - 1)),
                ]
            )

        def unsigned(bits: int) -> int:
            return r.choice([0, 2**bits - 1, 2 ** (bits - 1), r.randrange(2**bits)])

        moment = datetime(1970, 1, 2) + timedelta(microseconds=r.randrange(2_100_000_000_000_000))
        span = r.choice(["-838:59:59", "838:59:59", "00:00:00", "-00:00:01", "12:34:56"])
        return {
            "ti": signed(8), "tu": unsigned(8), "si": signed(16), "su": unsigned(16), "mi": signed(24), "mu": unsigned(24),
            "i": signed(32), "iu": unsigned(32), "bi": signed(64), "bu": unsigned(64),
            "de": r.choice([Decimal("9" * 28 + "." + "9" * 10), Decimal("-0.0000000001"), Decimal(r.randrange(10**12)) / 1000]),
            "d0": r.randint(-(10**10) + 1, 10**10 - 1), "f": r.choice([1.1, -3.402823e38, 1.17549e-38, 16777217.0, r.random()]),
            "d": r.choice([5e-324, 1.7976931348623157e308, -0.0, 0.1, r.random()]),
            "b1": r.randint(0, 1), "b9": unsigned(9), "b64": unsigned(64), "y": r.choice([1901, 2155, 2000]),
            "da": r.choice(["1000-01-01", "9999-12-31", moment.date()]), "t0": span,
            "t6": r.choice([span, "-00:00:00.000001", "-838:59:58.999999", "01:02:03.045600"]),
            "dt0": moment.replace(microsecond=0), "dt3": r.choice(["1000-01-01 00:00:00.001", moment]),
            "dt6": r.choice(["9999-12-31 23:59:59.999999", moment]), "ts0": moment.replace(microsecond=0),
            "ts2": moment, "ts6": r.choice(["1970-01-01 00:00:01.000000", "2038-01-19 03:14:07.999999", moment]),
            "c": r.choice(_TEXTS)[:20], "cl": r.choice(_LATIN), "v": r.choice(_TEXTS), "vl": r.choice(_LATIN),
            "x": r.choice(_TEXTS) * r.randint(1, 50), "xl": r.choice(_LATIN), "xt": r.choice(_TEXTS),
            "xm": r.choice(_TEXTS) * 100, "xg": r.choice(_TEXTS), "bn": r.randbytes(5) + b"\0\0\0", "vb": r.randbytes(r.randint(0, 300)),
            "bt": r.randbytes(9), "bb": r.randbytes(300), "bm": r.randbytes(1000), "bg": b"\0\xff",
            "e": r.choice(["", "a", "b,c", 'd"é']), "s": r.choice(["", "x", "x,y y", 'y y,z"']),
            "j": r.choice(['{"a": 1, "b": [true, null, "x\\n\\u0001"], "": -0.5}', "[]", "1", '"s"', "18446744073709551615", "1.0"]),
        }  # fmt: skip

    def _order(self) -> None:
        r = self._random
        self._insert(
            "orders",
            customer_id=self._any("customers", "id"),
            placed=self._now(),
            note=r.choice([None, *_TEXTS]),
        )
        order = self._scalar("SELECT LAST_INSERT_ID()")
        for line in range(1, r.randint(2, 5)):
            sku, price = self._any("products", "sku"), Decimal(r.randint(1, 10**6)) / 100
            self._insert(
                "order lines",
                order_id=order,
                line_no=line,
                sku=sku,
                quantity=r.randint(1, 9),
                **{"unit-price": price},
            )
            self._execute(f"UPDATE {SCHEMA}.stock SET units = units - 1 WHERE sku = %s", sku)
        self._execute(
            f"UPDATE {SCHEMA}.orders SET total = (SELECT SUM(quantity * `unit-price`) FROM {SCHEMA}.`order lines`"
            " WHERE order_id = %s) WHERE id = %s", order, order,
        )  # fmt: skip

    def _pay(self) -> None:
        order = self._any("orders", "id")
        status = self._random.choice(["paid", "sent", "cancelled"])
        self._execute(
            f"UPDATE {SCHEMA}.orders SET status = %s, due = CURRENT_DATE WHERE id = %s", status, order
        )

    def _customer_change(self) -> None:
        self._customer()
        self._execute(
            f"UPDATE {SCHEMA}.customers SET about = %s, seen = %s WHERE id = %s",
            self._random.choice(_TEXTS), self._now(), self._any("customers", "id"),
        )  # fmt: skip

    def _move_product(self) -> None:
        """A key change, in two tables at once."""
        sku = self._any("products", "sku")
        moved = f"{sku.split('/')[0]}/{self._random.randrange(10**6)}"
        for table in ("products", "stock", "order lines"):
            self._execute(f"UPDATE {SCHEMA}.`{table}` SET sku = %s WHERE sku = %s", moved, sku)

    def _count_stock(self) -> None:
        self._execute(
            f"UPDATE {SCHEMA}.stock SET units = %s, counted = %s, opens = '08:30' WHERE sku = %s",
            self._random.randint(-5, 900), self._random.choice(["-12:00:00.25", "17:45:59.99", None]), self._any("products", "sku"),
        )  # fmt: skip

    def _session(self) -> None:
        self._insert(
            "sessions", token=self._random.randbytes(20), customer_id=self._any("customers", "id"), flags=self._random.randrange(4096),
            started=self._now().replace(microsecond=0), payload=self._random.choice(_TEXTS) * self._random.randint(1, 200),
        )  # fmt: skip
        self._execute(f"UPDATE {SCHEMA}.sessions SET hits = hits + 1 ORDER BY RAND() LIMIT 3")

    def _every_type_change(self) -> None:
        values = self._values()
        assignments = ", ".join(f"`{name}` = %s" for name in values)
        self._execute(
            f"UPDATE {SCHEMA}.every_type SET {assignments} WHERE id = %s",
            *values.values(),
            self._any("every_type", "id"),
        )
        self._every_type()

    def _forget(self) -> None:
        order = self._any("orders", "id")
        self._execute(f"DELETE FROM {SCHEMA}.`order lines` WHERE order_id = %s", order)
        self._execute(f"DELETE FROM {SCHEMA}.orders WHERE id = %s", order)
        self._execute(f"DELETE FROM {SCHEMA}.sessions ORDER BY RAND() LIMIT 1")

    def _rolled_back(self) -> bool:
        self._customer()
        self._execute(f"DELETE FROM {SCHEMA}.`order lines` LIMIT 5")
        return False
