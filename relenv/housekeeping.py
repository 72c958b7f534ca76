"""What is in the cache, when it was last used, and what can go."""

from __future__ import annotations

import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.store import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from relenv.store import Cache

DAY = 86400.0
"""Seconds."""
KEPT = ("relenv-cache.json", "CACHEDIR.TAG", "locks")
"""What makes a directory a cache: prune leaves it, whatever is asked for."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of thing in the cache."""

    name: str
    pattern: re.Pattern[str]
    """Of its path in the cache."""
    stays: bool = False
    """Whether its age says nothing: it goes with everything or not at all."""


KINDS = (
    Kind(name="interpreters, for bundles", pattern=re.compile(r"store/python-[^/]+\.pack-[^/]+")),
    Kind(name="interpreters", pattern=re.compile(r"store/python-[^/]+")),
    Kind(name="interpreters, as tarballs", pattern=re.compile(r"store/tarball-[^/]+")),
    Kind(name="libraries and their like", pattern=re.compile(r"store/[^/]+")),
    Kind(name="toolchains", pattern=re.compile(r"toolchains/[^/]+")),
    Kind(name="sources", pattern=re.compile(r"downloads/[^/]+")),
    Kind(name="pip's wheels", pattern=re.compile(r"pip[^/]*")),
    Kind(name="logs of builds", pattern=re.compile(r"logs/[^/]+")),
    Kind(name="left over", pattern=re.compile(r"work/[^/]+")),
    Kind(name="lists of sources", pattern=re.compile(r"(apt|resolved|buildenv)/[^/]+"), stays=True),
    Kind(name="unknown", pattern=re.compile(r".+"), stays=True),
)
"""The first that matches is it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Something in the cache that has a name of its own, and goes as a whole."""

    kind: str
    path: Path
    size: int
    """Bytes on the disk."""
    used: float
    """When it was last used, in seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What pruning came to."""

    removed: tuple[Entry, ...]
    busy: tuple[Entry, ...]
    """What would have gone, but a program runs from it."""


def survey(cache: Cache) -> tuple[Entry, ...]:
    """Return everything in the cache, in a fixed order."""
    return tuple(_entry(cache, path) for path in _paths(cache.root))


def _paths(root: Path) -> Iterator[Path]:
    split = ("store", "toolchains", "downloads", "logs", "work", "apt", "resolved", "buildenv")
    for path in sorted(root.iterdir()):
        if path.name in split and path.is_dir() and not path.is_symlink():
            yield from sorted(path.iterdir())
        elif path.name not in KEPT:
            yield path


def _entry(cache: Cache, path: Path) -> Entry:
    place = path.relative_to(cache.root).as_posix()
    kind = next(kind for kind in KINDS if kind.pattern.fullmatch(place))
    size = used = 0.0
    with suppress(FileNotFoundError):
        size, used = _size(path), path.lstat().st_mtime
    return Entry(kind=kind.name, path=path, size=int(size), used=used)


def _size(path: Path) -> int:
    """Return the bytes that would be free if it went; of a file with several names, those of one."""
    seen: dict[tuple[int, int], int] = {}

    def count(status: os.stat_result) -> None:
        seen[status.st_dev, status.st_ino] = status.st_blocks * 512

    count(path.lstat())
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            with suppress(FileNotFoundError):
                count(os.lstat(f"{folder}/{name}"))
    return sum(seen.values())


def choose(entries: Sequence[Entry], *, older_than: float, everything: bool, now: float) -> tuple[Entry, ...]:
    """Return what can go.

    Args:
        entries: of `survey`.
        older_than: days since the last use.
        everything: whether nothing is to stay.
        now: the time, in seconds since 1970.
    """
    stays = {kind.name for kind in KINDS if kind.stays}
    logged = {entry.path.name for entry in entries if entry.path.parent.name == "store"}

    def goes(entry: Entry) -> bool:
        if everything or entry.kind == "left over":
            return True
        if entry.kind == "logs of builds" and entry.path.name not in logged:
            return True
        return entry.kind not in stays and now - entry.used > older_than * DAY

    return tuple(entry for entry in entries if goes(entry))


def prune(
    cache: Cache, chosen: Sequence[Entry], *, dry: bool = False, tell: Callable[[Entry], None] = lambda _: None
) -> Pruned:
    """Remove entries, each of them as a whole: it loses its name first.

    To be called by the cache's only user (`Cache.alone`).

    Args:
        cache: the cache.
        chosen: of `choose`.
        dry: only say what would be removed.
        tell: is told of each before it goes.
    """
    running = programs_below(cache.root)
    busy = tuple(entry for entry in chosen if any(path.is_relative_to(entry.path) for path in running))
    removed = tuple(entry for entry in chosen if entry not in busy)
    for entry in () if dry else removed:
        tell(entry)
        gone = cache.work / f"gone-{secrets.token_hex(4)}"
        gone.parent.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            entry.path.rename(gone)
        remove_tree(gone)
    if not dry:
        # nobody else is here, so nobody holds one
        for lock in (cache.root / "locks").glob("*.lock"):
            lock.unlink(missing_ok=True)
    return Pruned(removed=removed, busy=busy)


def programs_below(root: Path, processes: Path = Path("/proc")) -> set[Path]:
    """Return the files below a directory that processes have mapped: programs, and the libraries they loaded.

    Args:
        root: the directory.
        processes: where proc(5) is. What belongs to other users cannot be seen, nor can it use a private cache.
    """
    found = set()
    for maps in processes.glob("[0-9]*/maps"):
        with suppress(OSError):
            for line in maps.read_text(errors="replace").splitlines():
                # address, permissions, offset, device, inode, path
                name = line.split(maxsplit=5)[5:]
                if name and name[0].startswith(f"{root}/"):
                    found.add(Path(name[0]))
    return found


def summary(entries: Sequence[Entry]) -> Mapping[str, tuple[int, int, float]]:
    """Return for each kind that there is how many, how many bytes, and when one was last used."""
    by_kind = {kind.name: [entry for entry in entries if entry.kind == kind.name] for kind in KINDS}
    return {
        name: (len(some), sum(entry.size for entry in some), max(entry.used for entry in some))
        for name, some in by_kind.items()
        if some
    }


def ago(seconds: float, *, now: float | None = None) -> str:
    """Return how long ago a time was, as people say it: `today`, `3 days ago`."""
    days = int(((time.time() if now is None else now) - seconds) / DAY)
    return "today" if days < 1 else "yesterday" if days == 1 else f"{days} days ago"
