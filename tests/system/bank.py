"""A small source for the system tests: accounts and their entries, changed in every way a transaction can."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.stack.compare import TableResult, compare
from tests.stack.mysql import MySQL
from tests.stack.redshift import Redshift

TABLES = ["accounts", "entries"]


class Bank:
    """A database of two tables.

    :param schema: its name, also in the target.
    """

    def __init__(self, mysql: MySQL, schema: str) -> None:
        self.mysql = mysql
        self.schema = schema
        self._random = random.Random(7)
        self._last = 0
        mysql.execute(
            f"CREATE DATABASE {schema}",
            f"CREATE TABLE {schema}.accounts (id INT PRIMARY KEY, owner VARCHAR(40), balance INT NOT NULL)",
            f"CREATE TABLE {schema}.entries (account INT, number INT, text VARCHAR(40), PRIMARY KEY (account, number))",
        )

    def work(self, transactions: int) -> None:
        """So many transactions: new accounts, transfers over both tables, moved keys, deletes, a rollback in between."""
        with (
            self.mysql.connect(autocommit=False, database=self.schema) as connection,
            connection.cursor() as cursor,
        ):
            for number in range(transactions):
                self._last += 1
                cursor.execute(
                    "INSERT INTO accounts VALUES (%s, %s, 0)",
                    (self._last, f"owner {self._last}, \"the\" 'first'"),
                )
                other = self._random.randint(1, self._last)
                cursor.execute(
                    "UPDATE accounts SET balance = balance + 1 WHERE id IN (%s, %s)", (other, self._last)
                )
                cursor.execute("INSERT INTO entries VALUES (%s, %s, NULL)", (self._last, number))
                cursor.execute("UPDATE entries SET account = account + 1000000 WHERE account = %s", (other,))
                if number % 5 == 0:
                    cursor.execute("DELETE FROM accounts WHERE id = %s", (other,))
                if number % 7 == 3:
                    connection.rollback()
                else:
                    connection.commit()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Transactions go on inside the block."""
        end = threading.Event()

        def go_on() -> None:
            while not end.wait(0.5):
                self.work(1)

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def differences(self, redshift: Redshift) -> list[TableResult]:
        """Tables whose rows in the target are not the source's."""
        with self.mysql.connect() as source, redshift.connect() as target:
            results = compare(source, target, self.schema, TABLES)
        assert all(result.source_rows for result in results)
        return [result for result in results if not result.equal]
