"""The measured source: a 14-column table, its single-row transactions and its bulk transactions."""

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


@dataclass(frozen=True)
class LogRange:
    """A piece of the server's log: one file, from where to where, and what is in it."""

    file: str
    start: int
    end: int
    transactions: int
    rows: int

    @property
    def megabytes(self) -> float:
        return (self.end - self.start) / 1e6


def _position(cursor: Any) -> tuple[str, int]:
    cursor.execute("SHOW BINARY LOG STATUS")
    row = cursor.fetchone()
    return row[0], row[1]


def prepare(connection: Any) -> None:
    """Makes the table and the procedure that runs single-row transactions on the server itself."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {SCHEMA}")
        cursor.execute(f"CREATE TABLE {SCHEMA}.t ({COLUMNS})")
        cursor.execute(f"CREATE TABLE {SCHEMA}.big LIKE {SCHEMA}.t")
        cursor.execute(
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
            END"""
        )


def small_transactions(connection: Any, total: int) -> LogRange:
    """Runs `total` single-row transactions (half inserts, 40 % updates, 10 % deletes) into a log file of their own."""
    with connection.cursor() as cursor:
        cursor.execute("FLUSH BINARY LOGS")
        file, start = _position(cursor)
        cursor.execute("SET autocommit = 1")
        cursor.execute(f"CALL {SCHEMA}.small({total})")
        end_file, end = _position(cursor)
        if end_file != file:
            raise RuntimeError("the workload does not fit into one log file")
    return LogRange(file, start, end, total, total)


def bulk_transaction(connection: Any, rows: int, note: int = 40) -> LogRange:
    """One transaction that inserts `rows` rows with texts of up to `note` characters, in a log file of its own."""
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION cte_max_recursion_depth = %s", (rows + 1,))
        cursor.execute(f"TRUNCATE {SCHEMA}.big")
        cursor.execute("FLUSH BINARY LOGS")
        file, start = _position(cursor)
        cursor.execute(
            f"INSERT INTO {SCHEMA}.big ({NAMES}) WITH RECURSIVE s(n) AS"
            f" (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows}) SELECT {VALUES.format(n='n', note=note)} FROM s"
        )
        connection.commit()
        end_file, end = _position(cursor)
        if end_file != file:
            raise RuntimeError("the workload does not fit into one log file")
    return LogRange(file, start, end, 1, rows)
