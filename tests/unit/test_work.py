"""Where bundles are made: what a killed run left there goes, and nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from relenv.bundle.assemble import _workplace
from relenv.context import Context
from relenv.environment import hold
from relenv.ui import open_ui

if TYPE_CHECKING:
    from pathlib import Path

GONE = 2**22 + 1
"""No process has this number (proc(5), pid_max)."""


def test_what_is_held_stays_whoever_holds_it(tmp_path: Path) -> None:
    # in containers that share a cache, numbers of processes tell nothing of one another
    context = Context(environ={"RELENV_DATA": str(tmp_path), "HOME": str(tmp_path)}, ui=open_ui(quiet=True), jobs=1)
    left = context.cache.work / f"bundle-{GONE}-0f"
    left.mkdir(parents=True)
    lock = hold(left)
    with _workplace(context) as mine:
        assert left.exists()
        with _workplace(context):
            assert mine.exists()
    os.close(lock)
    with _workplace(context):
        assert not left.exists()
    assert not mine.exists()
