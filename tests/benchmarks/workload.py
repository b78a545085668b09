"""The measured source: a 14-column table, its single-row transactions, its bulk transactions, and many such tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SCHEMA = "bench"
COLUMNS = """
    id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, customer INT UNSIGNED NOT NULL, state TINYINT NOT NULL,
    amount DECIMAL(12,2) NOT NULL, rate DOUBLE, name VARCHAR(64) NOT NULL, city VARCHAR(32) CHARACTER SET latin1,
    kind ENUM('a','b','c') NOT NULL, flags BIT(8), born DATE, created DATETIME(6) NOT NULL, seen TIMESTAMP NULL,
    note VARCHAR(200), code CHAR(8)"""
VALUES = """
    {n} MOD 100000, {n} MOD 5, {n} / 7, {n} / 3, CONCAT('customer number ', {n}), 'Zürich', 1 + {n} MOD 3, {n} MOD 256,
    '2001-02-03', '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05', IF({n} MOD 4, REPEAT('x', {n} MOD {note}), NULL), 'CODE-01'"""
NAMES = "customer, state, amount, rate, name, city, kind, flags, born, created, seen, note, code"


BULK_TRANSACTION = 100_000
TOUCH = 20


@dataclass(frozen=True)
class LogRange:
    """A piece of the server's log, from `start` in `file` to the log's end, and what is in it."""

    file: str
    start: int
    size: int
    transactions: int
    rows: int

    @property
    def megabytes(self) -> float:
        return self.size / 1e6


class Workload:
    """Makes logs on a server; each begins with a log file of its own.

    :param connection: of a user who may do everything, with autocommit.
    """

    def __init__(self, connection: Any, *, mysql: bool = True) -> None:
        self._cursor = connection.cursor()
        self._mysql = mysql
        self._run(f"CREATE DATABASE {SCHEMA}", f"CREATE TABLE {SCHEMA}.t ({COLUMNS})")
        self._run(f"CREATE TABLE {SCHEMA}.big LIKE {SCHEMA}.t")
        self._run(
            f"""CREATE PROCEDURE {SCHEMA}.small(total INT)
            BEGIN
                DECLARE n INT DEFAULT 0;
                WHILE n < total DO
                    INSERT INTO {SCHEMA}.t ({NAMES}) VALUES ({VALUES.format(n="n", note=40)});
                    IF n MOD 10 < 8 THEN
                        UPDATE {SCHEMA}.t SET amount = amount + 1, state = 3 WHERE id = LAST_INSERT_ID();
                    ELSE
                        DELETE FROM {SCHEMA}.t WHERE id = LAST_INSERT_ID();
                    END IF;
                    SET n = n + 2;
                END WHILE;
            END""",
            f"""CREATE PROCEDURE {SCHEMA}.spread(total INT, tables INT)
            BEGIN
                DECLARE n INT DEFAULT 0;
                WHILE n < total DO
                    SET @insert = CONCAT('INSERT INTO {SCHEMA}.s', n DIV {TOUCH} MOD tables, ' ({NAMES})
                        SELECT {NAMES} FROM {SCHEMA}.big ORDER BY id LIMIT {TOUCH}');
                    PREPARE touch FROM @insert;
                    EXECUTE touch;
                    SET n = n + {TOUCH};
                END WHILE;
            END""",
        )

    def _run(self, *statements: str) -> None:
        for statement in statements:
            self._cursor.execute(statement)

    def large(self, rows: int, megabytes: int) -> LogRange:
        """Rows of one text each, of so many MB."""
        self._run(
            f"CREATE TABLE {SCHEMA}.large (id INT PRIMARY KEY AUTO_INCREMENT, v LONGTEXT CHARACTER SET utf8mb4)"
        )
        insert = (
            f"INSERT INTO {SCHEMA}.large (v) SELECT REPEAT('a long text, ', {megabytes * 1_000_000 // 13})"
        )
        return self._logged(insert, rows, rows, rows)

    def _logged(self, statement: str, times: int, transactions: int, rows: int) -> LogRange:
        self._run("FLUSH BINARY LOGS", "SHOW BINARY LOG STATUS" if self._mysql else "SHOW MASTER STATUS")
        file, start, *_ = self._cursor.fetchone()
        for _ in range(times):
            self._run(statement)
        self._run("SHOW BINARY LOGS")
        size = sum(bytes_ for name, bytes_, *_ in self._cursor.fetchall() if name >= file)
        return LogRange(file, start, size - start, transactions, rows)

    def small_transactions(self, total: int) -> LogRange:
        """`total` single-row transactions: half inserts, 40 % updates, 10 % deletes."""
        return self._logged(f"CALL {SCHEMA}.small({total})", 1, total, total)

    def bulk(
        self, rows: int, *, each: int = BULK_TRANSACTION, note: int = 40, compressed: bool = False
    ) -> LogRange:
        """Rows inserted by transactions of `each`, with texts of up to `note` characters."""
        # MySQL alone has compression of transactions; MariaDB has another name for the limit of a recursion.
        depth = "cte_max_recursion_depth" if self._mysql else "max_recursive_iterations"
        self._run(f"SET SESSION {depth} = {each + 1}")
        if compressed:
            self._run("SET SESSION binlog_transaction_compression = 1")
        insert = (
            f"INSERT INTO {SCHEMA}.big ({NAMES}) WITH RECURSIVE s(n) AS"
            f" (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {each}) SELECT {VALUES.format(n='n', note=note)} FROM s"
        )
        log = self._logged(insert, rows // each, rows // each, rows)
        if compressed:
            self._run("SET SESSION binlog_transaction_compression = 0")
        return log

    def interleaved(self, rows: int, tables: int) -> LogRange:
        """Transactions of a few rows each, one table after the other, round and round."""
        self._run(*(f"CREATE TABLE IF NOT EXISTS {SCHEMA}.s{n} LIKE {SCHEMA}.t" for n in range(tables)))
        return self._logged(f"CALL {SCHEMA}.spread({rows}, {tables})", 1, rows // TOUCH, rows)
