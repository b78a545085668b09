"""Throws broken binlogs at everything that reads them: ``python -m tests.fuzz --events 1000000 --seed 7``.

Material is the corpus (TUNGSTEN_CORPUS), logs made by hand, and what ``--logs`` names; ``--fresh`` adds logs that a MySQL started for it
writes. Ends with status 1 where there was a fault; ``--only N`` runs event N of that seed alone.

With AddressSanitizer, in a copy of the checkout, two commands:

    CXXFLAGS="-fsanitize=address -fno-omit-frame-pointer" LDFLAGS="-fsanitize=address" python setup.py build_ext --inplace --force
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so)" PYTHONMALLOC=malloc \\
        ASAN_OPTIONS=detect_leaks=0 python -m tests.fuzz --events 200000 --no-memory-limit
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.corpus.reading import FOLDER
from tests.fuzz import made
from tests.fuzz.material import material_of
from tests.fuzz.run import described, one, run, summary


def corpus_files() -> Iterator[Path]:
    return (path for path in sorted(FOLDER.rglob("*")) if path.is_file())


def _fresh(folder: Path) -> list[Path]:
    """Logs of a server of this machine: every section of the corpus' own SQL in a file of its own."""
    from tests.stack.mysql import MySQL

    with MySQL(folder) as server:
        script = (FOLDER / "mysql-9.7.4" / "probe.sql").read_bytes()
        server.client("mysql", "--force", "--default-character-set=utf8mb4", stdin=script)
        return [path for path in sorted(server.data.glob("mysql-bin.0*"))]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="N")
    parser.add_argument("--logs", type=Path, nargs="*", default=[])
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--no-memory-limit", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tungsten-fuzz-") as folder:
        paths = [*corpus_files(), *options.logs]
        if options.fresh:
            paths += _fresh(Path(folder))
        material = material_of([*(path.read_bytes() for path in paths), *made.logs()])
    print(described(material))
    if options.only is not None:
        print("accepted" if one(material, options.seed, options.only) else "refused")
        return 0
    report = run(material, events=options.events, seed=options.seed, limit_memory=not options.no_memory_limit)
    print("\n".join(report.faults))
    print(summary(report))
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
