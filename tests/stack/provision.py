"""Brings what the stack needs from the operating system: packages, and root folders of MySQL and MariaDB in the cache.

Runs before the virtual environment exists, so it needs the standard library only:
`python3 -m tests.stack.provision packages|mysql|mariadb`.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

MINIMUM_MYSQL = (8, 0)
MYSQL_PACKAGES = ("mysql-server-core", "mysql-client-core")
MARIADB_PACKAGES = ("mariadb-server-core", "mariadb-client-core", "mariadb-client")
POSTGRESQL = Path("/usr/lib/postgresql")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class Missing(RuntimeError):
    """Something the stack needs is not there; the message says what to install or run."""


def cache() -> Path:
    """The folder outside every checkout for what is costly to make: TUNGSTEN_CACHE, else the user's cache folder."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("TUNGSTEN_CACHE") or home / "airflow-provider-tungsten")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the cache's lock of that name; a second process waits."""
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def mysqld_on_path() -> Path | None:
    """A MySQL server of at least 8.0 on the PATH; MariaDB, which also calls itself mysqld, is none."""
    found = shutil.which("mysqld")
    if not found:
        return None
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    number = re.search(r"Ver (\d+)\.(\d+)", version)
    if "MariaDB" in version or not number or (int(number[1]), int(number[2])) < MINIMUM_MYSQL:
        return None
    return Path(found)


def mysql_root() -> Path:
    """The root folder to run the cached MySQL server in; it may not be there yet."""
    return cache() / "mysql-root"


def make_mysql() -> None:
    """Install MySQL from Debian's sid into the cache unless a server is there; the folder appears when it is whole."""
    if mysqld_on_path():
        return
    _make_root(
        mysql_root(),
        "sid",
        MYSQL_PACKAGES,
        what="MySQL",
        size="650 MB",
        otherwise=f"Install MySQL {MINIMUM_MYSQL[0]}.{MINIMUM_MYSQL[1]} or later yourself, so that mysqld is on the PATH",
    )


def mariadb_root() -> Path:
    """The root folder to run the cached MariaDB server in; it may not be there yet."""
    return cache() / "mariadb-root"


def make_mariadb() -> None:
    """Install MariaDB 10.11 from Debian 12 into the cache unless it is there; the folder appears when it is whole."""
    _make_root(
        mariadb_root(),
        "bookworm",
        MARIADB_PACKAGES,
        what="MariaDB",
        size="350 MB",
        otherwise="The tests with MariaDB need it",
    )


def _make_root(
    root: Path, suite: str, packages: Sequence[str], *, what: str, size: str, otherwise: str
) -> None:
    """Install `packages` of a Debian `suite`, with the little that they need, into the folder `root`."""
    with locked(root.name):
        if root.exists():
            return
        if not KEYRING.exists():
            raise Missing(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
        building = root.with_name(f"{root.name}.building")
        shutil.rmtree(building, ignore_errors=True)
        print(f"Installing {what} into the cache (about 30 s, {size})", flush=True)
        include = "--include=" + ",".join(packages)
        command = ["debootstrap", "--variant=minbase", f"--keyring={KEYRING}", include, suite, str(building)]
        log = root.with_name(f"{root.name}.log")
        with log.open("wb") as output:
            done = subprocess.run(
                [*command, *debian_mirror()], stdout=output, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode:
            tail = log.read_text(errors="replace")[-1000:]
            raise Missing(f"debootstrap of {what} failed ({log}):\n{tail}\n{otherwise}")
        for folder in ("var/lib/mysql", "var/lib/mysql-files"):
            (building / folder).mkdir(parents=True, exist_ok=True)
        shutil.rmtree(building / "var/cache/apt", ignore_errors=True)
        building.rename(root)


def debian_mirror() -> Sequence[str]:
    """The mirror this machine's apt has Debian from; none on another distribution, where debootstrap knows one."""
    query = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)", "Created-By: Packages"]
    listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    return [line.split()[2] for line in listed.splitlines() if line.startswith("Debian Debian ")][:1]


def postgresql_programs() -> Path:
    """The folder of PostgreSQL's programs, the newest version's."""
    found = sorted(POSTGRESQL.glob("*/bin"), key=lambda folder: int(folder.parent.name))
    if not found:
        raise Missing("there is no PostgreSQL: run `make setup`, or apt-get install postgresql")
    return found[-1]


def needed_packages() -> list[str]:
    """What apt has to install so that the package builds, MySQL and MariaDB can be fetched and PostgreSQL is there."""
    wanted = ["build-essential", "ca-certificates", "default-libmysqlclient-dev", "pkg-config"]
    if sys.base_prefix == "/usr":
        wanted += ["python3-dev", "python3-venv"]
    if not mariadb_root().exists() or not (mysqld_on_path() or mysql_root().exists()):
        wanted += ["debian-archive-keyring", "debootstrap"]
    if not list(POSTGRESQL.glob("*/bin/initdb")):
        wanted += ["postgresql"]
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n", *wanted]
    listed = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    installed = {line.split()[1] for line in listed if line.startswith("installed ")}
    return [package for package in wanted if package not in installed]


def install_packages() -> None:
    """Install what is missing with apt; Missing where that cannot be done, with what to install."""
    if not shutil.which("dpkg-query"):
        raise Missing("the stack needs Debian or Ubuntu, for their packages of MySQL and PostgreSQL")
    packages = needed_packages()
    if not packages:
        return
    if os.geteuid() != 0:
        raise Missing(f"as root: apt-get install {' '.join(packages)}")
    print("Installing", *packages, flush=True)
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_postgresql_cluster():
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            if subprocess.run(
                [*apt, *command], env=environment, stdout=subprocess.DEVNULL, check=False
            ).returncode:
                raise Missing(f"apt-get {command[0]} failed; by hand: apt-get install {' '.join(packages)}")


@contextmanager
def _no_postgresql_cluster() -> Iterator[None]:
    """While PostgreSQL is installed: only its programs are wanted, not the cluster and service it would set up."""
    setting = Path("/etc/postgresql-common/createcluster.d/no-cluster-for-tests.conf")
    setting.parent.mkdir(parents=True, exist_ok=True)
    setting.write_text("create_main_cluster = false\n")
    try:
        yield
    finally:
        setting.unlink()


def main() -> None:
    steps = {"packages": install_packages, "mysql": make_mysql, "mariadb": make_mariadb}
    try:
        steps[sys.argv[1]]()
    except Missing as missing:
        sys.exit(f"set-up: {missing}")


if __name__ == "__main__":
    main()
