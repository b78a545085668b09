"""Puts the shim schema, functions and views into the PostgreSQL database behind the gateway; safe to run again."""

from __future__ import annotations

from importlib.resources import files

from redshift_gateway.backend import Backend
from redshift_gateway.tokens import identifier, literal

MAINTENANCE_DATABASE = "postgres"


def install(host: str, port: int, backend_user: str, database: str, user: str) -> None:
    """Create the database (UTF-8, binary sort order as Redshift has it) and the login's role when missing, then the shims.

    Raises BackendError with PostgreSQL's own words, RuntimeError for a database in another encoding.
    """
    backend = Backend(host, port)
    try:
        backend.start({"user": backend_user, "database": MAINTENANCE_DATABASE})
        if not backend.query(f"SELECT FROM pg_database WHERE datname = {literal(database)}"):
            backend.query(
                f"CREATE DATABASE {identifier(database)} TEMPLATE template0 ENCODING 'UTF8'"
                " LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"
            )
        if not backend.query(f"SELECT FROM pg_roles WHERE rolname = {literal(user)}"):
            backend.query(f"CREATE ROLE {identifier(user)} SUPERUSER NOLOGIN")
    finally:
        backend.terminate()
    backend = Backend(host, port)
    try:
        backend.start({"user": backend_user, "database": database})
        if backend.query("SHOW server_encoding") != [["UTF8"]]:
            raise RuntimeError(f"database {database} is not in UTF8: drop it and let the gateway create it")
        backend.query(files(__package__).joinpath("shims.sql").read_text().replace(":'user'", literal(user)))
    finally:
        backend.terminate()
