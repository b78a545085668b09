"""What of a folder would be left after a power cut: file contents that were synced, under names whose folders were."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest


class Disk:
    """Watches every sync and every link below ``root``, which is there for good itself.

    :param before_link: called with the new name's path before each link.
    """

    def __init__(
        self, root: Path, patch: pytest.MonkeyPatch, before_link: Callable[[Disk, Path], None] | None = None
    ) -> None:
        self._root = root
        self._contents: set[int] = set()
        self._names: dict[int, set[str]] = defaultdict(set)
        self.syncs = 0
        sync, link = os.fsync, os.link

        def watched_sync(descriptor: int) -> None:
            sync(descriptor)
            self.syncs += 1
            found = os.fstat(descriptor)
            if stat.S_ISDIR(found.st_mode):
                self._names[found.st_ino].update(os.listdir(descriptor))
            else:
                self._contents.add(found.st_ino)

        def watched_link(source: str, target: Path) -> None:
            if before_link is not None:
                before_link(self, target)
            link(source, target)

        patch.setattr(os, "fsync", watched_sync)
        patch.setattr(os, "link", watched_link)

    def has_content(self, path: Path) -> bool:
        return path.stat().st_ino in self._contents

    def survives(self, path: Path) -> bool:
        if not self.has_content(path):
            return False
        while path != self._root:
            if path.name not in self._names[path.parent.stat().st_ino]:
                return False
            path = path.parent
        return True
