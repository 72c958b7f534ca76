"""What is in the cache, when it was last used, and what can go.

What goes loses its name at once, under the locks that whoever makes or uses it takes: nobody waits for them here, and
what is locked stays. Then it is removed under its new name in `work`; what an interrupted prune leaves there goes with
the next.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.errors import CacheError
from relenv.store import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

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
    lock: str = r"\1"
    """The lock under which it is made, by the groups of the pattern; empty: only the cache's only user may touch it."""
    serves: str = r"\g<0>"
    """The place in the cache that it is of use with."""
    planned: bool = False
    """Whether `relenv.current` can tell if it is of use."""
    stays: bool = False
    """Whether its age says nothing."""
    waste: bool = False
    """Whether it is what something that was interrupted has left behind."""


STORED = r"store/(\w[^/]*)"
"""What begins with a dot there is unfinished."""

KINDS = (
    Kind(
        name="parts of bundles",
        pattern=re.compile(r"store/((?:trimmed|layer|builder)-(python-[^-/]+-[^-/]+)-[^/]+)"),
        serves=r"store/\2",
        planned=True,
    ),
    Kind(name="parts of bundles", pattern=re.compile(r"store/((?:trimmed|layer|builder)-fetched-[^/]+)")),
    Kind(name="interpreters", pattern=re.compile(r"store/(python-[^/]+)"), planned=True),
    Kind(name="interpreters, fetched", pattern=re.compile(r"store/(fetched-[^/]+)")),
    Kind(name="interpreters, as tarballs", pattern=re.compile(r"store/(tarball-[^/]+)"), planned=True),
    Kind(name="libraries and their like", pattern=re.compile(STORED), planned=True),
    Kind(name="left over", pattern=re.compile(r"store/\.([^/]+)\.\w+\.part"), waste=True),
    Kind(
        name="toolchains",
        pattern=re.compile(r"toolchains/(([^/]+?)(-tools-\w+)?)"),
        serves=r"toolchains/\2",
        planned=True,
    ),
    Kind(name="left over", pattern=re.compile(r"downloads/([^/]+)\.(part|copy|pip)"), waste=True),
    Kind(name="bases of images", pattern=re.compile(r"downloads/(oci-[^/]+)")),
    Kind(name="sources", pattern=re.compile(r"downloads/([^/]+)"), planned=True),
    Kind(name="wheels of pip and uv", pattern=re.compile(r"(pip[^/]*|uv)")),
    Kind(name="what was resolved", pattern=re.compile(r"(resolutions)")),
    Kind(name="what was bundled", pattern=re.compile(r"(bundled)")),
    Kind(name="documents of bundles", pattern=re.compile(r"(documents)")),
    Kind(name="logs of builds", pattern=re.compile(r"logs/([^/]+)"), serves=r"store/\1"),
    Kind(name="left over", pattern=re.compile(r"work/([^/]+)\.(partial|\d+)"), waste=True),
    Kind(name="left over", pattern=re.compile(r"work/(gone-\w+)"), waste=True),
    Kind(name="left over", pattern=re.compile(r"work/[^/]+"), lock="", waste=True),
    Kind(name="lists of sources", pattern=re.compile(r"apt/([^/]+)"), lock=r"apt-\1", stays=True),
    Kind(name="lists of sources", pattern=re.compile(r"resolved/([^/]+)\.json"), lock=r"resolved-\1", stays=True),
    Kind(name="names for build tools", pattern=re.compile(r"buildenv/[^/]+"), lock="", stays=True),
    Kind(name="unknown", pattern=re.compile(r".+"), lock="", stays=True),
)
"""The first that matches is it. Several may be shown as one."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Something in the cache that has a name of its own, and goes as a whole."""

    kind: Kind
    place: str
    """Its path in the cache: `store/zlib-1.3.1-<key>`."""
    path: Path
    size: int
    """Bytes on the disk."""
    used: float
    """When it was last used, in seconds since 1970."""

    @property
    def lock(self) -> str:
        """The lock under which it is made; empty if there is none."""
        return self._fill(self.kind.lock)

    @property
    def serves(self) -> str:
        """The place in the cache that it is of use with."""
        return self._fill(self.kind.serves)

    def _fill(self, template: str) -> str:
        match = self.kind.pattern.fullmatch(self.place)
        return match.expand(template) if match else ""


@dataclass(frozen=True, kw_only=True)
class Busy:
    """Something that would have gone, but stays."""

    entry: Entry
    why: str


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What pruning came to."""

    removed: tuple[Entry, ...]
    busy: tuple[Busy, ...]


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
    return Entry(kind=kind, place=place, path=path, size=int(size), used=used)


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


def choose(
    entries: Sequence[Entry],
    *,
    usable: Collection[str] = (),
    older_than: float | None = None,
    everything: bool = False,
    now: float,
) -> tuple[Entry, ...]:
    """Return what can go: what was left behind, what is of no use to this relenv, logs of what is not there.

    Args:
        entries: of `survey`.
        usable: of `relenv.current.usable`; not asked for when everything is to go.
        older_than: days since the last use, after which what is of use goes too.
        everything: whether nothing is to stay.
        now: the time, in seconds since 1970.
    """

    def goes(entry: Entry) -> bool:
        if everything or entry.kind.waste:
            return True
        if entry.kind.planned and entry.serves not in usable:
            return True
        return not entry.kind.stays and older_than is not None and now - entry.used > older_than * DAY

    staying = {entry.place for entry in entries if not goes(entry)}

    def orphaned(entry: Entry) -> bool:
        return entry.kind.name == "logs of builds" and entry.serves not in staying

    return tuple(entry for entry in entries if entry.place not in staying or orphaned(entry))


def prune(
    cache: Cache, chosen: Sequence[Entry], *, dry: bool = False, tell: Callable[[Entry], None] = lambda _: None
) -> Pruned:
    """Remove entries, each of them as a whole. What another process makes or uses stays, and what cannot be removed.

    Args:
        cache: the cache.
        chosen: of `choose`.
        dry: only find out what would be removed.
        tell: is told of each before it is removed.

    Raises:
        CacheError: another process is pruning this cache.
    """
    with cache.locked("prune") as first:
        if not first:
            raise CacheError(f"another relenv is pruning the cache {cache.root}", hint="try again when it is done")
        away, busy = _put_away(cache, chosen, dry=dry)
        stuck = () if dry else tuple(_removed(away, tell))
    stay = {one.entry.place for one in stuck}
    return Pruned(removed=tuple(entry for entry, _ in away if entry.place not in stay), busy=(*busy, *stuck))


def _removed(away: Sequence[tuple[Entry, Path]], tell: Callable[[Entry], None]) -> Iterator[Busy]:
    """Remove what has lost its name; yield what cannot be: something in it may be another user's."""
    for entry, gone in away:
        tell(entry)
        try:
            remove_tree(gone)
        except OSError as error:
            yield Busy(entry=entry, why=f"{gone} cannot be removed whole ({error.strerror})")


def _put_away(cache: Cache, chosen: Sequence[Entry], *, dry: bool) -> tuple[list[tuple[Entry, Path]], tuple[Busy, ...]]:
    """Take the names of entries away; return those with the names to remove them by, and those that stay."""
    away, busy = [], []
    with cache.alone() as alone:
        running = programs_below(cache.root)
        for entry in chosen:
            with _claimed(cache, entry, running, alone=alone) as why:
                if why:
                    busy.append(Busy(entry=entry, why=why))
                    continue
                try:
                    away.append((entry, entry.path if dry else cache.put_away(entry.path)))
                except FileNotFoundError:
                    pass
                except OSError as error:  # one that stays must not keep the others
                    busy.append(Busy(entry=entry, why=f"it cannot be removed ({error.strerror})"))
        if alone and not dry:
            _forget_locks(cache)
    return away, tuple(busy)


@contextmanager
def _claimed(cache: Cache, entry: Entry, running: Collection[Path], *, alone: bool) -> Iterator[str]:
    """Hold the locks of an entry for the body, and give why it must stay; empty if it need not."""
    with ExitStack() as stack:
        if any(path.is_relative_to(entry.path) for path in running):
            yield "a program that runs came from it"
        elif not entry.lock:
            yield "" if alone else "another relenv is at work, and may be using it"
        elif not stack.enter_context(cache.locked(entry.lock)):
            yield "another relenv is making it"
        elif not stack.enter_context(cache.unused(entry.lock)):
            yield "another relenv is using it"
        else:
            yield ""


def _forget_locks(cache: Cache) -> None:
    """Remove the files of locks. Nobody else is here, so nobody holds one, but for that of pruning itself."""
    for path in (cache.root / "locks").iterdir():
        if path.suffix in (".lock", ".use") and path.name != "prune.lock":
            path.unlink(missing_ok=True)


def programs_below(root: Path, processes: Path = Path("/proc")) -> set[Path]:
    """Return what below a directory processes run, have mapped (as the libraries they loaded) or stand in.

    Args:
        root: the directory.
        processes: where proc(5) is. What belongs to other users cannot be seen, nor can it use a private cache.
    """
    return {Path(name) for name in _names_in_use(processes) if name.startswith(f"{root}/")}


def _names_in_use(processes: Path) -> Iterator[str]:
    for process in processes.glob("[0-9]*"):
        for link in ("exe", "cwd"):
            with suppress(OSError):
                yield os.readlink(process / link)  # noqa: PTH115 - what it says, not a path to go on with
        with suppress(OSError):
            for line in (process / "maps").read_text(errors="surrogateescape").splitlines():
                # address, permissions, offset, device, inode, path
                yield from line.split(maxsplit=5)[5:]


def summary(entries: Sequence[Entry]) -> Mapping[str, tuple[int, int, float]]:
    """Return for each kind that there is how many, how many bytes, and when one was last used."""
    by_kind = {kind.name: [entry for entry in entries if entry.kind.name == kind.name] for kind in KINDS}
    return {
        name: (len(some), sum(entry.size for entry in some), max(entry.used for entry in some))
        for name, some in by_kind.items()
        if some
    }


def ago(seconds: float, *, now: float | None = None) -> str:
    """Return how long ago a time was, as people say it: `today`, `3 days ago`."""
    days = int(((time.time() if now is None else now) - seconds) / DAY)
    return "today" if days < 1 else "yesterday" if days == 1 else f"{days} days ago"
