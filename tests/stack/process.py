"""Starts and ends server processes so that none outlives us, however we end; knows no server in particular.

Every server is the first process of a PID and mount namespace of its own: when we are gone, be it by kill -9, the
kernel ends its whole process tree and undoes its mounts.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

TAIL = 2000
PORTS = range(10_000, 32_000)


class ServerError(RuntimeError):
    """A server did not start, or ended by itself; the message ends with the tail of its log."""


class Process:
    """A running server: `argv`, started at once, its output appended to `log`.

    Only the main thread may start one: the kernel takes the end of the starting thread for the end of its parent.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "servers are started from the main thread: they end with the thread that started them"
            )
        if os.geteuid() != 0:
            raise RuntimeError("the servers need root: for namespaces of their own and for MySQL's chroot")
        # Changing the user resets the parent-death signal, so it is asked for anew behind the change.
        as_user = (
            ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--pdeathsig=KILL")
            if user
            else ()
        )
        namespace = (
            "setpriv",
            "--pdeathsig=KILL",
            "unshare",
            "--fork",
            "--pid",
            "--mount-proc",
            "--kill-child",
        )
        self.log = log
        self.name = Path(argv[0]).name
        with log.open("ab") as output:
            self._outer = subprocess.Popen(
                [*namespace, *as_user, *map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else {**os.environ, **env},
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self._outer.poll() is None

    @property
    def pid(self) -> int:
        """The server's own process id, as seen from here."""
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        if not children:
            raise ServerError(f"{self.name} is not running")
        return int(children[0])

    def pid_of(self, inner: int) -> int:
        """The process id, as seen from here, of what the server's own namespace knows as process `inner`."""
        namespace = os.readlink(f"/proc/{self.pid}/ns/pid")
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(process / "ns/pid") == namespace and _inner_pid(process) == inner:
                    return int(process.name)
            except (FileNotFoundError, PermissionError):
                continue  # it has ended, or is none of ours
        raise ServerError(f"{self.name} has no process {inner}")

    def wait_until(self, ready: Callable[[], bool], *, seconds: float = 60, every: float = 0.05) -> None:
        """Return when `ready`, asked `every` so many seconds, says so; ServerError when the process ends first or `seconds` have passed."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.alive:
                raise ServerError(f"{self.name} ended with status {self._outer.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} was not ready after {seconds:.0f} s:\n{self.tail()}")
            time.sleep(every)

    def finish(self, *, seconds: float = 120) -> None:
        """Wait for a process that ends by itself; ServerError unless all went well."""
        if self._outer.wait(seconds):
            raise ServerError(f"{self.name} ended with status {self._outer.returncode}:\n{self.tail()}")

    def tail(self) -> str:
        return self.log.read_bytes()[-TAIL:].decode(errors="replace")

    def stop(self, *, seconds: float = 30, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """Ask the server to end, insist after `seconds`. Fine on one that has ended."""
        if self.alive:
            try:
                os.kill(self.pid, with_signal)
                self._outer.wait(seconds)
            except (subprocess.TimeoutExpired, ServerError, ProcessLookupError):
                self.kill()

    def kill(self) -> None:
        """End the server and all its children at once (kill -9); when this returns they are gone."""
        if self.alive:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except (ServerError, ProcessLookupError):
                self._outer.kill()
            self._outer.wait()


class Server(ABC):
    """One server of the stack: `start` it, or use it as a context manager. `launch` and `wait` are its two halves."""

    @abstractmethod
    def launch(self) -> None:
        """Start it without waiting until it answers."""

    @abstractmethod
    def wait(self) -> None:
        """Return when it answers; ServerError when it ends or takes too long."""

    @abstractmethod
    def stop(self) -> None:
        """End it. Fine on one that was never started."""

    def start(self) -> Self:
        try:
            self.launch()
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _inner_pid(process: Path) -> int:
    line = next(line for line in (process / "status").read_text().splitlines() if line.startswith("NSpid:"))
    return int(line.split()[-1])


def free_port() -> int:
    """A free loopback port below the range that the kernel takes clients' ports from, so that it stays free."""
    for port in random.SystemRandom().sample(PORTS, k=len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError(f"no port between {PORTS.start} and {PORTS.stop} is free")


def answers(port: int) -> bool:
    """Whether something listens on the loopback `port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def new_password() -> str:
    return secrets.token_urlsafe(18)
