"""The command line: starts a gateway and keeps it until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from redshift_gateway.backend import BackendError
from redshift_gateway.gateway import Gateway, Settings


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="redshift-gateway", description="A local Amazon Redshift over PostgreSQL."
    )
    parser.add_argument("--listen", default="127.0.0.1:5439", help="HOST:PORT; port 0 takes a free one")
    parser.add_argument("--backend-host", required=True, help="PostgreSQL's host or socket directory")
    parser.add_argument("--backend-port", type=int, default=5432)
    parser.add_argument("--backend-user", default="postgres", help="a superuser that PostgreSQL trusts")
    parser.add_argument("--database", default="dev", help="made when missing")
    parser.add_argument("--user", default="awsuser")
    parser.add_argument("--password", required=True)
    parser.add_argument("--authentication", choices=["md5", "cleartext"], default="md5")
    parser.add_argument(
        "--tls-dir", type=Path, help="folder of gateway.crt and gateway.key, made when missing"
    )
    parser.add_argument("--no-tls", action="store_true", help="refuse TLS; else --tls-dir is needed")
    parser.add_argument("--s3-endpoint", help="default: AWS_ENDPOINT_URL")
    arguments = parser.parse_args()
    if not arguments.no_tls and arguments.tls_dir is None:
        parser.error("give --tls-dir, or --no-tls")
    return arguments


def _settings(arguments: argparse.Namespace) -> Settings:
    host, _, port = arguments.listen.rpartition(":")
    return Settings(
        backend_host=arguments.backend_host,
        backend_port=arguments.backend_port,
        backend_user=arguments.backend_user,
        database=arguments.database,
        user=arguments.user,
        password=arguments.password,
        host=host or "127.0.0.1",
        port=int(port),
        tls_dir=None if arguments.no_tls else arguments.tls_dir,
        s3_endpoint=arguments.s3_endpoint,
        authentication=arguments.authentication,
    )


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        gateway = Gateway(_settings(_arguments())).start()
    except (BackendError, OSError, RuntimeError, ValueError) as error:
        sys.exit(f"redshift-gateway cannot start: {error}")
    print(f"redshift gateway ready on {gateway.settings.host}:{gateway.port}", flush=True)
    ended.wait()
    gateway.stop()


if __name__ == "__main__":
    main()
