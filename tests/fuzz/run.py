"""Runs the targets in a child process, so that a crash, a hang or hunger for memory is seen, and the dice that led to it.

An event's number and the seed give the dice; nothing else does.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import random
import resource
import signal
import struct
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa

from airflow_provider_tungsten.replicator.binlog.constants import event_name
from tests.fuzz.material import Material
from tests.fuzz.targets import TARGETS

EVENT_SECONDS = 20.0
SPARE_MEMORY = 1024 * 1024 * 1024
_NOTE = struct.Struct("<QQQ")  # number of the event just begun, events done, accepted ones
_NAMES = [name for name, (_, share) in TARGETS.items() for _ in range(share)]


@dataclass
class Report:
    """:param faults: one text each: the event's number, its target, what went wrong."""

    events: int = 0
    accepted: int = 0
    seconds: float = 0
    faults: list[str] = field(default_factory=list)


def run(
    material: Material, *, events: int, seed: int, first: int = 0, limit_memory: bool = True, faults: int = 10
) -> Report:
    """Tries events `first` to `first + events`; goes on behind a fault until there are `faults` of them."""
    report = Report()
    began = time.monotonic()
    at, end = first, first + events
    context = multiprocessing.get_context("fork")
    with mmap.mmap(-1, _NOTE.size) as note:
        while at < end and len(report.faults) < faults:
            _NOTE.pack_into(note, 0, at, 0, 0)
            receiver, sender = context.Pipe(duplex=False)
            child = context.Process(target=_child, args=(material, seed, at, end, note, limit_memory, sender))
            child.start()
            sender.close()
            hung = _watch(child, note)
            number, done, accepted = _NOTE.unpack_from(note)
            report.events += done
            report.accepted += accepted
            text = _received(receiver)
            if hung:
                text = f"hangs: no end after {EVENT_SECONDS:g} s"
            elif child.exitcode:
                text = text or f"the process died: {_ending(child.exitcode)}"
            if text:
                report.faults.append(f"event {number} ({target_of(seed, number)}): {text}")
                report.events += 1
            at = number + 1
    report.seconds = time.monotonic() - began
    return report


def target_of(seed: int, number: int) -> str:
    return _NAMES[_dice(seed, number).randrange(len(_NAMES))]


def _dice(seed: int, number: int) -> random.Random:
    return random.Random(seed << 40 | number)


def _watch(child: multiprocessing.process.BaseProcess, note: mmap.mmap) -> bool:
    """Waits for the child's end; kills it when an event takes too long, and says so."""
    last, since = -1, time.monotonic()
    while child.is_alive():
        child.join(0.2)
        number = _NOTE.unpack_from(note)[0]
        if number != last:
            last, since = number, time.monotonic()
        elif time.monotonic() - since > EVENT_SECONDS:
            os.kill(child.pid or 0, signal.SIGKILL)
            child.join()
            return True
    return False


def _received(receiver: Connection) -> str:
    try:
        return str(receiver.recv())
    except EOFError:
        return ""


def _ending(code: int) -> str:
    return f"status {code}" if code > 0 else signal.Signals(-code).name


def _child(
    material: Material,
    seed: int,
    first: int,
    end: int,
    note: mmap.mmap,
    limit_memory: bool,
    sender: Connection,
) -> None:
    if limit_memory:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + SPARE_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        # Arrow's own allocator takes address space far ahead of what it uses.
        pa.set_memory_pool(pa.system_memory_pool())
    done = accepted = 0
    for number in range(first, end):
        _NOTE.pack_into(note, 0, number, done, accepted)
        dice = _dice(seed, number)
        target, _ = TARGETS[_NAMES[dice.randrange(len(_NAMES))]]
        try:
            accepted += target(material, dice)
        except Exception:
            sender.send(traceback.format_exc()[-4000:])
            return
        done += 1
    _NOTE.pack_into(note, 0, end - 1, done, accepted)


def one(material: Material, seed: int, number: int) -> bool:
    """A single event in this process, for a debugger."""
    dice = _dice(seed, number)
    return TARGETS[_NAMES[dice.randrange(len(_NAMES))]][0](material, dice)


def described(material: Material) -> str:
    """How many events of which type there are to be broken; each type is as likely as any other."""
    lines = [f"{event_name(kind)}: {count:,}" for kind, count in material.coverage().items()]
    return "\n".join(
        [
            *lines,
            f"{sum(material.coverage().values()):,} events, {len(material.images):,} of rows with images",
        ]
    )


def summary(report: Report) -> str:
    kinds = Counter(fault.rstrip().rpartition("\n")[2][:200] for fault in report.faults)
    head = (
        f"{report.events:,} events, {report.accepted:,} accepted, {report.seconds:.0f} s, "
        f"{len(report.faults)} faults"
    )
    return "\n".join([head, *(f"{count} x {kind}" for kind, count in kinds.items())])
