"""Where bundles and environments are made: what a killed run left there goes, and nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from relenv import workplace as workplaces
from relenv.store import hold, open_cache
from relenv.workplace import LONGEST, temporary, workplace

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SUN_PATH = 108
"""Of unix(7)."""
GONE = 2**22 + 1
"""No process has this number (proc(5), pid_max)."""


def test_what_is_held_stays_whoever_holds_it(tmp_path: Path) -> None:
    # in containers that share a cache, numbers of processes tell nothing of one another
    cache = open_cache(tmp_path / "data")
    left = cache.work / f"bundle-{GONE}-0f"
    left.mkdir(parents=True)
    lock = hold(left)
    with workplace(cache, "bundle") as mine:
        assert left.exists()
        with workplace(cache, "bundle"):
            assert mine.exists()
    os.close(lock)
    with workplace(cache, "bundle"):
        assert not left.exists()
    assert not mine.exists()


def test_what_installs_and_builds_has_its_temporary_files_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a socket in a directory of multiprocessing's in one that is as long as it may be has a path that the system takes
    assert LONGEST + len("/pymp-01234567/listener-01234567") < SUN_PATH
    monkeypatch.setattr(workplaces, "LONGEST", len(str(tmp_path / "tmp")))
    (tmp_path / "x").mkdir()
    assert temporary(tmp_path / "x") == {}
    assert temporary(tmp_path) == {"TMPDIR": str(tmp_path / "tmp")}
    assert (tmp_path / "tmp").is_dir()
