"""What a pip that was killed leaves behind, taken away before the next one runs.

pip writes INSTALLER and the final RECORD last. What has only the wheel's own RECORD it takes for installed; what has
none it does not replace: "uninstall-no-record-file". What it was about to replace lies beside it under a name with
a tilde, which each later pip warns of. So each run leaves a mark while it is under way, and a mark whose process has
gone says from when on such things are remains. Nothing else is touched.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MARK = ".relenv-pip-"
"""How the name of a mark in site-packages begins. What follows is random: two containers have the same numbers."""
ROUNDED = 1.0
"""Seconds that a file system may round times down by."""


@dataclass(frozen=True, kw_only=True)
class Remains:
    """Something that a killed pip left."""

    path: Path
    distribution: str = ""
    """`name 1.0`, if this was noted of a distribution that is not installed, then."""


@contextmanager
def under_way(prefix: Path) -> Iterator[tuple[Remains, ...]]:
    """Count as one of the environment's pips during the body.

    Gives what killed ones had left, which is gone by then: only where no other pip is under way, since what that one
    does looks the same (flock(2) of site-packages: it ends with its process).

    Args:
        prefix: the environment.
    """
    with _locks(prefix) as locks:
        gone = _cleared(locks)
        marks = [site / f"{MARK}{os.urandom(4).hex()}" for site in locks]
        try:
            for mark in marks:
                with suppress(OSError):  # read-only: nothing will be installed either
                    mark.touch()
            for lock in locks.values():
                with suppress(OSError):
                    fcntl.flock(lock, fcntl.LOCK_SH)
            yield gone
        finally:
            for mark in marks:
                with suppress(OSError):
                    mark.unlink()


def take_away(prefix: Path) -> tuple[Remains, ...]:
    """Take away what killed pips left, unless another one is under way; return what that was.

    Args:
        prefix: the environment.
    """
    with _locks(prefix) as locks:
        return _cleared(locks)


@contextmanager
def _locks(prefix: Path) -> Iterator[dict[Path, int]]:
    """Give an open descriptor for each site-packages directory."""
    locks = {site: os.open(site, os.O_RDONLY | os.O_CLOEXEC) for site in records.site_packages(prefix)}
    try:
        yield locks
    finally:
        for lock in locks.values():
            os.close(lock)


def _cleared(locks: Mapping[Path, int]) -> tuple[Remains, ...]:
    # where a lock cannot be had at all, nobody knows whether they are alone
    return tuple(found for site, lock in locks.items() if _alone(lock) for found in _clear(site))


def _alone(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _clear(site: Path) -> Iterator[Remains]:
    found = remains(site)
    for one in found:
        # what cannot be removed is as it was
        with suppress(OSError):
            if one.path.is_dir():
                shutil.rmtree(one.path)
            else:
                one.path.unlink()
            yield one
    for mark in site.glob(f"{MARK}*"):
        with suppress(OSError):
            mark.unlink()


def remains(site: Path) -> list[Remains]:
    """Return what killed pips left, if any were killed.

    Args:
        site: the site-packages directory of an environment in which no pip is under way.
    """
    begun = [mark.stat().st_mtime for mark in site.glob(f"{MARK}*")]
    if not begun:
        return []
    since = min(begun) - ROUNDED
    stashed = [path for path in site.glob("~*") if path.lstat().st_ctime >= since]
    halves = [path for path in _noted(site) if not _is_whole(path) and path.lstat().st_ctime >= since]
    ours = [
        path for folder in (site.parents[2] / "bin", site / "pip", *site.glob("*.dist-info")) for path in _parts(folder)
    ]
    return [
        *(Remains(path=path, distribution=_replaced(site, path)) for path in stashed),
        *(Remains(path=path) for path in ours),
        *(Remains(path=path, distribution=_distribution(path)) for path in halves),
    ]


def incomplete(site: Path) -> list[Path]:
    """Return the .dist-info directories without a RECORD, by name."""
    return [path for path in _noted(site) if not (path / "RECORD").is_file()]


def _noted(site: Path) -> list[Path]:
    return sorted(path for path in site.glob("*.dist-info") if not path.name.startswith("~"))


def _is_whole(path: Path) -> bool:
    return (path / "RECORD").is_file() and (path / "INSTALLER").is_file()


def _parts(folder: Path) -> list[Path]:
    """Return what `records` was about to rename."""
    return sorted(folder.glob(".relenv-*.part"))


def _replaced(site: Path, path: Path) -> str:
    """Return which distribution was put aside to be replaced, and is not there now; empty for what is none."""
    try:
        head = (path / "METADATA").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        return ""
    fields = dict(re.findall(r"^(Name|Version): *(\S+)", head, re.MULTILINE))
    name = _normal(fields.get("Name", ""))
    there = {_normal(one.name.partition("-")[0]) for one in _noted(site) if _is_whole(one)}
    return "" if not name or name in there else f"{fields['Name']} {fields.get('Version', '')}".strip()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _distribution(path: Path) -> str:
    return path.name.removesuffix(".dist-info").replace("-", " ", 1)
