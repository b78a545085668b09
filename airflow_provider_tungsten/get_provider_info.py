"""What Airflow discovers: `airflow providers list`, `get` and `hooks` show it."""

from __future__ import annotations

from typing import Any

from airflow_provider_tungsten import __version__

INTEGRATION = "Tungsten"
PACKAGE = "airflow_provider_tungsten"
SSL_MODES = ("disabled", "preferred", "required", "verify_ca", "verify_identity")


def get_provider_info() -> dict[str, Any]:
    """The provider as `provider_info.schema.json` of Airflow 3 describes it.

    Every hook works on the connection types that the mysql and amazon providers bring. The one type declared here adds
    a form whose fields are TLS settings and a test of the binary log, for whoever prefers it to typing JSON.
    """
    return {
        "package-name": "airflow-provider-tungsten",
        "name": INTEGRATION,
        "description": "Replicates MySQL changes from the binary log into Amazon S3 and Amazon Redshift.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": INTEGRATION,
                "external-doc-url": "https://dev.mysql.com/doc/refman/8.4/en/binary-log.html",
                "tags": ["service"],
            }
        ],
        "operators": [_modules("operators", "binlog", "batch", "load", "redshift")],
        "hooks": [_modules("hooks", "binlog", "redshift", "storage")],
        "connection-types": [
            {
                "connection-type": "tungsten_mysql",
                "hook-class-name": f"{PACKAGE}.hooks.binlog.BinlogSourceHook",
                "hook-name": "MySQL binary log",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema"],
                    "relabeling": {"login": "User"},
                    "placeholders": {"port": "3306"},
                },
                "conn-fields": {
                    "ssl_mode": {
                        "label": "TLS mode",
                        "description": "As in MySQL's clients. Empty: verify_ca with a CA file, else preferred",
                        "schema": {
                            "type": ["string", "null"],
                            "enum": [*SSL_MODES, None],
                        },
                    },
                    "ssl_ca": _file("CA file"),
                    "ssl_cert": _file("Client certificate file"),
                    "ssl_key": _file("Client key file"),
                },
            }
        ],
    }


def _modules(room: str, *names: str) -> dict[str, Any]:
    return {
        "integration-name": INTEGRATION,
        "python-modules": [f"{PACKAGE}.{room}.{name}" for name in names],
    }


def _file(label: str) -> dict[str, Any]:
    return {"label": label, "description": "Path on the workers", "schema": {"type": ["string", "null"]}}
