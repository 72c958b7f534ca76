"""Where a tarball comes from: the cache, the user's directories, its URLs, the system's source archive, the index.

Every one is known by its sha256: where it comes from is a matter of speed, never of trust.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from relenv import index
from relenv.apt import SourceArchive
from relenv.checksums import mismatch, sha256_of
from relenv.errors import ChecksumError, SourceError
from relenv.store import part_of, remove_tree, write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from relenv.recipes.model import Source
    from relenv.store import Cache
    from relenv.ui import Ui

SIGNIFICANT = 16
"""How many digits of a sha256 tell files of one name apart."""


@dataclass(frozen=True, kw_only=True)
class Obtained:
    """A tarball that is here, and is what was pinned."""

    source: Source
    path: Path
    """In the cache."""
    origin: str
    """Where it was got in this run: `cache`, `source-dir`, a URL, or `apt openssl 3.5.7-1~deb13u2 (trixie)`."""


class Web(Protocol):
    """What has a URL: a `relenv.download.Fetcher`."""

    def fetch(self, url: str, into: Path, *, sha256: str, ui: Ui, label: str) -> None:
        """Fetch a file with this checksum, or raise FetchError."""


class Archive(Protocol):
    """The last resort: a `relenv.apt.SourceArchive`."""

    def fetch(self, source: Source, into: Path, *, label: str) -> str:
        """Put the tarball into `into` and return where it came from, or raise SourceError."""


@dataclass(frozen=True, kw_only=True)
class _Missed:
    """A tarball that is not to be had, and what was tried."""

    source: Source
    tried: tuple[str, ...]
    mismatch: ChecksumError | None


class _WrongFileError(ChecksumError):
    """What the user gave is not what is pinned; nothing else is tried behind the user's back."""


class Sources:
    """Obtains tarballs. Safe to use from several threads and processes.

    Args:
        cache: keeps what was obtained, in `downloads`.
        source_dirs: directories of the user's that are looked into first; never written to.
        fetcher: gets what has a URL.
        environ: the environment for the programs of the source archive, and for pip.
        ui: hears of what takes a while.
        offline: look in the cache and in source_dirs only.
        archive: the system's source archive, in place of the one that apt knows.
    """

    def __init__(
        self,
        *,
        cache: Cache,
        source_dirs: Sequence[Path],
        fetcher: Web,
        environ: Mapping[str, str],
        ui: Ui,
        offline: bool = False,
        archive: Archive | None = None,
    ) -> None:
        self._cache, self._ui, self._fetcher, self._environ = cache, ui, fetcher, environ
        self._source_dirs, self._offline = tuple(source_dirs), offline
        self._archive = archive or SourceArchive(cache=cache, environ=environ, ui=ui)
        self._origins: dict[str, str] = {}

    def obtain(self, source: Source) -> Obtained:
        """Return the tarball, from the first place that has it.

        Raises:
            SourceError: no place has it; the hint lists what was tried.
            ChecksumError: a file of the user's, or all that was found, is not what is pinned.
            OSError: it cannot be written; the disk may be full.
        """
        found = self._look(source)
        if isinstance(found, _Missed):
            raise _refusal(f"{title(source)} {self._lacks('is not', 'cannot be')}", [found])
        return found

    def newest(self, candidates: Sequence[Source]) -> Obtained:
        """Return the first of several releases, newest first, that can be obtained.

        Raises:
            SourceError, ChecksumError, OSError: as `obtain`, once none of them can be.
        """
        missed = []
        for source in candidates:
            found = self._look(source)
            if isinstance(found, Obtained):
                return found
            missed.append(found)
        titles = ", ".join(title(source) for source in candidates)
        raise _refusal(f"none of these {self._lacks('is', 'can be')}: {titles}", missed)

    def resolve(self, name: str, candidates: Sequence[Source]) -> Source:
        """Return which release to take of those of a component, newest first.

        It is what `newest` finds; the choice is recorded in the cache and stands, tarball or no tarball,
        until the list of candidates changes or the user gives the file of a newer one. A list of one leaves
        no choice: it is returned as it is.

        Args:
            name: the component's: `openssl`.
            candidates: its releases.

        Raises:
            SourceError, ChecksumError, OSError: as `newest`.
        """
        if len(candidates) == 1:
            return candidates[0]
        with self._cache.lock(f"resolved-{name}", self._ui):
            record = self._record(name, candidates)
            chosen = record.read()
            if chosen and not any(self._given(newer) for newer in candidates[: candidates.index(chosen)]):
                return chosen
            source = self.newest(candidates).source
            record.write(source)
            return source

    def _lacks(self, there: str, obtained: str) -> str:
        return f"{there} here, and --offline asks no network" if self._offline else f"{obtained} obtained here"

    def possible(self, name: str, candidates: Sequence[Source]) -> Sequence[Source]:
        """Return which of a component's releases `resolve` may return as things are: the recorded one, or any."""
        chosen = self._record(name, candidates).read()
        return [chosen] if chosen else candidates

    def _record(self, name: str, candidates: Sequence[Source]) -> _Record:
        return _Record(path=self._cache.root / "resolved" / f"{name}.json", candidates=tuple(candidates))

    def _look(self, source: Source) -> Obtained | _Missed:
        path = cached_tarball(self._cache, source)
        tried: list[str] = []
        wrong: ChecksumError | None = None
        with self._cache.lock(path.name, self._ui):
            path.parent.mkdir(parents=True, exist_ok=True)
            for attempt in self._places(source, path):
                try:
                    origin = attempt()
                except _WrongFileError:
                    raise
                except ChecksumError as error:
                    self._ui.warn(f"{error.message}; looking elsewhere")
                    wrong = error
                    tried.append(error.message)
                except SourceError as error:
                    tried.append(error.message)
                else:
                    part_of(path).unlink(missing_ok=True)  # of a URL that failed before another place had it
                    origin = self._origins.setdefault(source.sha256, origin)
                    return Obtained(source=source, path=path, origin=origin)
        return _Missed(source=source, tried=tuple(tried), mismatch=wrong)

    def _places(self, source: Source, path: Path) -> Iterator[Callable[[], str]]:
        """Yield what may bring the tarball to `path`: returns its origin or raises SourceError."""
        yield partial(self._from_cache, source, path)
        yield partial(self._from_source_dirs, source, path)
        if self._offline:
            return
        for url in source.urls:
            yield partial(self._from_url, source, path, url)
        if source.apt:
            yield partial(self._archive.fetch, source, path, label=title(source))
        if source.index:
            yield partial(self._from_index, source, path)

    def _from_cache(self, source: Source, path: Path) -> str:
        self._cache.use(path)
        if not path.is_file():
            raise SourceError("cache: not there")
        if sha256_of(path) != source.sha256:
            self._ui.warn(f"{path} was damaged; it is removed and obtained again")
            path.unlink()
            raise SourceError("cache: it was damaged")
        return "cache"

    def _from_source_dirs(self, source: Source, path: Path) -> str:
        given = self._given(source)
        if given is None:
            where = ", ".join(str(folder) for folder in self._source_dirs)
            raise SourceError(f"--source-dir {where}: not there" if where else "--source-dir: none given")
        _keep(given, path, source.sha256)
        return "source-dir"

    def _given(self, source: Source) -> Path | None:
        """Return the user's file of that name."""
        names = dict.fromkeys([source.filename, *(_basename(url) for url in source.urls)])
        paths = (folder / name for folder in self._source_dirs for name in names if name)
        return next((path for path in paths if path.is_file()), None)

    def _from_url(self, source: Source, path: Path, url: str) -> str:
        self._fetcher.fetch(url, path, sha256=source.sha256, ui=self._ui, label=title(source))
        return url

    def _from_index(self, source: Source, path: Path) -> str:
        folder = path.with_name(f"{path.name}.pip")
        remove_tree(folder)
        try:
            wheel = index.download(
                source.index, sha256=source.sha256, into=folder, what=title(source), environ=self._environ
            )
            wheel.replace(path)
        finally:
            remove_tree(folder)
        return f"pip download {source.index}"


@dataclass(frozen=True, kw_only=True)
class _Record:
    """What was chosen of a component's releases, by the list that there was to choose from."""

    path: Path
    candidates: tuple[Source, ...]

    @property
    def _key(self) -> str:
        sums = "\n".join(source.sha256 for source in self.candidates)
        return hashlib.sha256(sums.encode()).hexdigest()

    def _all(self) -> dict[str, object]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # damaged: only a choice is lost
            return {}
        return found if isinstance(found, dict) else {}

    def read(self) -> Source | None:
        """Return the recorded choice, if there is one for this list."""
        sha256 = self._all().get(self._key)
        return next((source for source in self.candidates if source.sha256 == sha256), None)

    def write(self, source: Source) -> None:
        """Record the choice; those made from other lists stay."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**self._all(), self._key: source.sha256}, indent=2)
        write_text(self.path, f"{text}\n")


def cached_tarball(cache: Cache, source: Source) -> Path:
    """Return where the cache keeps a tarball, whether it is there or not."""
    return cache.downloads / f"{source.sha256[:SIGNIFICANT]}-{source.filename}"


def title(source: Source) -> str:
    """Return what people call it, `openssl 3.5.7`: its file's name up to the number, and its version."""
    match = re.match(r"[A-Za-z][\w.+-]*?(?=[-_]v?\d)", source.filename)
    return f"{match[0] if match else source.filename} {source.version}"


def _basename(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _keep(given: Path, path: Path, sha256: str) -> None:
    """Copy a file of the user's into the cache, if it is what is pinned."""
    beside = path.with_name(f"{path.name}.copy")
    try:
        shutil.copyfile(given, beside)
        if (found := sha256_of(beside)) != sha256:
            error = mismatch(given, found=found, pinned=sha256)
            raise _WrongFileError(error.message, hint="replace the file, or take it out of --source-dir")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _refusal(message: str, missed: Sequence[_Missed]) -> SourceError:
    """Return the error that says what was wanted, what was tried, and what the user can do."""
    lines = []
    for each in missed:
        lines.append(f"tried for {title(each.source)}:")
        lines += [f"  {reason}" for reason in each.tried]
    lines.append("get one of these files elsewhere, and pass its directory with --source-dir DIR:")
    lines += [f"  {each.source.filename}  sha256 {each.source.sha256}" for each in missed]
    hint = "\n".join(lines)
    wrong = next((each.mismatch for each in missed if each.mismatch), None)
    return ChecksumError(f"{message}: {wrong.message}", hint=hint) if wrong else SourceError(message, hint=hint)
