"""The source archive of a Debian-like machine: tarballs by checksum, without root, nothing of it changed.

The machine's own apt configuration tells where its archive is. From it a private configuration is derived,
one a suite, each with its lists below <cache>/apt/: so a suite that cannot be read stands in no other's way,
and what is found is known to be of that suite. See sources.list(5), apt.conf(5), apt-get(8).
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from relenv.checksums import mismatch, sha256_of
from relenv.errors import SourceError
from relenv.process import CommandError, run
from relenv.store import remove_tree, write_text
from relenv.ui import working

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from relenv.recipes.model import AptPackage, Source
    from relenv.store import Cache
    from relenv.ui import Ui, Work

FRESH = 24 * 3600.0
"""Seconds for which a suite's index is not read again."""
COMPONENT = "main"
SCHEMES = frozenset({"http", "https", "file", "copy"})
NO = frozenset({"no", "false", "without", "off", "disable", "0"})
"""How apt spells it."""
KEPT = frozenset(
    {
        *("signed-by", "trusted", "allow-insecure", "allow-weak", "allow-downgrade-to-insecure"),
        *("check-date", "date-max-future", "check-valid-until", "valid-until-min", "valid-until-max"),
        *("by-hash", "inrelease-path", "snapshot"),
    }
)
"""Options that say how an archive is reached and trusted; the others choose what is read of it."""
ROLLING = ("stable", "oldstable", "testing", "unstable", "sid")
POCKETS = ("updates", "security", "backports", "proposed", "proposed-updates")
UNREACHABLE = re.compile(
    r"Could not (?:connect|resolve)|Unable to connect|Connection (?:timed out|refused|failed)"
    r"|Temporary failure resolving|No route to host|Network is unreachable"
)
FULL = re.compile(r"No space left on device|You don't have enough free space")
CONFIGURATION = """\
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{root}/parts/";
Dir::State::lists "{root}/lists/";
Dir::Cache "{root}/cache/";
Dir::Cache::archives "{root}/cache/archives/";
// in memory: so that several apts can read one index at a time
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Sandbox::User "";
// relenv has locks of its own
Debug::NoLocking "true";
Acquire::GzipIndexes "true";
Acquire::Retries "1";
Acquire::http::Timeout "10";
Acquire::https::Timeout "10";
// other programs of the machine are not to hear of this
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""
"""Read after the machine's own configuration: its proxies, certificates and passwords stay in force."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One suite of one repository."""

    uri: str
    suite: str
    options: tuple[tuple[str, str], ...] = ()
    """Fields of the stanza that say how it is reached and trusted."""

    @property
    def host(self) -> str:
        """The host of its URI, empty for a directory."""
        return urlsplit(self.uri).hostname or ""

    @property
    def security(self) -> bool:
        """Whether the suite holds security updates."""
        return self.suite.endswith(("-security", "/updates"))

    def stanza(self) -> str:
        """Return it as a stanza that asks for sources."""
        fields = {"Types": "deb-src", "URIs": self.uri, "Suites": self.suite, "Components": COMPONENT}
        return "".join(f"{name}: {value}\n" for name, value in (*fields.items(), *self.options))


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A tarball as an index lists it."""

    package: str
    version: str
    """Of the package: `3.5.7-1~deb13u2`."""
    filename: str
    size: int
    """In bytes."""


def parse_list(text: str) -> Iterator[Entry]:
    """Yield what a file in the one-line format has in component main: sources.list(5)."""
    form = re.compile(r"deb(?:-src)?\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<rest>.*)")
    for line in text.splitlines():
        match = form.fullmatch(line.partition("#")[0].strip())
        if match and COMPONENT in match["rest"].split():
            options = (word.partition("=") for word in (match["options"] or "").split())
            kept = tuple((name.title(), value) for name, _, value in options if name.lower() in KEPT)
            yield from _entries([match["uri"]], [match["suite"]], kept)


def parse_sources(text: str) -> Iterator[Entry]:
    """Yield what a file in the deb822 format has in component main: sources.list(5)."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in re.split(r"\n(?:[ \t]*\n)+", "\n".join(lines)):
        fields = {name.lower(): (name, value) for name, value in _fields(stanza)}
        words = {name: value.split() for name, (_, value) in fields.items()}
        if (words.get("enabled") or ["yes"])[0].lower() in NO:
            continue
        if COMPONENT in words.get("components", []) and {"deb", "deb-src"} & set(words.get("types", [])):
            kept = tuple(fields[name] for name in fields if name in KEPT)
            yield from _entries(words.get("uris", []), words.get("suites", []), kept)


def _fields(stanza: str) -> Iterator[tuple[str, str]]:
    """Yield names and values of a stanza; a value over several lines keeps its line ends."""
    for match in re.finditer(r"^([^\s:]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE):
        yield match[1], match[2].rstrip()


def _entries(uris: Iterable[str], suites: Sequence[str], options: tuple[tuple[str, str], ...]) -> Iterator[Entry]:
    for uri in uris:
        if uri.partition(":")[0].lower() in SCHEMES:
            for suite in suites:
                yield Entry(uri=uri.rstrip("/"), suite=suite, options=options)


def machine_entries(etc: Path) -> list[Entry]:
    """Return what the machine's apt is configured for, in component main; `etc` is its /etc."""
    parsers = {".list": parse_list, ".sources": parse_sources}
    parts = etc / "apt" / "sources.list.d"
    found: list[Entry] = []
    for path in (etc / "apt" / "sources.list", *(sorted(parts.iterdir()) if parts.is_dir() else ())):
        parse = parsers.get(path.suffix)
        try:
            found += parse(path.read_text(encoding="utf-8", errors="replace")) if parse else ()
        except OSError:  # there is none, or it holds passwords that are not ours to read
            continue
    return found


def codename(etc: Path) -> str:
    """Return the machine's own suite as os-release(5) names it, empty if it does not."""
    try:
        text = (etc / "os-release").read_text(encoding="utf-8")
    except OSError:
        return ""
    match = re.search(r"^VERSION_CODENAME=[\"']?([\w.-]+)", text, re.MULTILINE)
    return match[1] if match else ""


def choose(machine: Sequence[Entry], *, suites: Sequence[str], codename: str) -> list[Entry]:
    """Return where to look, in this order: in `suites`, then in those of the machine's distribution.

    A suite of security updates is looked for where the machine has such; failing that, where Debian's
    mirrors keep them, next to `/debian`. The other suites are looked for beside the machine's own.

    Args:
        machine: what the machine is configured for.
        suites: names of further suites.
        codename: the machine's own suite; with it, other people's repositories are told apart.
    """
    names = "|".join(re.escape(name) for name in (*([codename] if codename else ()), *ROLLING))
    own = re.compile(rf"(?:{names})(?:[-/](?:{'|'.join(POCKETS)}))?")
    machine = [entry for entry in machine if own.fullmatch(entry.suite)] or list(machine)
    plain = [entry for entry in machine if not entry.security]
    security = [entry for entry in machine if entry.security] or [
        Entry(uri=f"{entry.uri}-security", suite=entry.suite, options=entry.options)
        for entry in plain
        if entry.uri.endswith("/debian")
    ]
    added = [
        Entry(uri=base.uri, suite=suite, options=base.options)
        for suite in suites
        for base in (security if suite.endswith("-security") else plain)
    ]
    unique: dict[tuple[str, str], Entry] = {}
    for entry in (*added, *machine):
        unique.setdefault((entry.uri, entry.suite), entry)
    return list(unique.values())


def listings(text: str, sha256: str) -> list[Listed]:
    """Return which packages have a file with this checksum, from what `apt-cache showsrc` printed."""
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(_fields(stanza))
        for line in fields.get("Checksums-Sha256", "").splitlines():
            words = line.split()
            if words[:1] == [sha256]:
                found.append(
                    Listed(
                        package=fields["Package"],
                        version=fields["Version"],
                        filename=words[2],
                        size=int(words[1]),
                    )
                )
    return list(dict.fromkeys(found))


class SourceArchive:
    """The source archive of this machine. Safe to use from several threads, for different tarballs.

    Args:
        cache: has the private configuration and lists below `apt`.
        environ: the environment apt is run in, with LC_ALL=C.
        ui: hears of what takes a while.
        etc: the machine's /etc.
    """

    def __init__(self, *, cache: Cache, environ: Mapping[str, str], ui: Ui, etc: Path = Path("/etc")) -> None:
        self._cache, self._environ, self._ui, self._etc = cache, environ, ui, etc
        self._lock = threading.Lock()
        self._indices: dict[Entry, _Index] = {}
        self._dead: set[str] = set()

    def fetch(self, source: Source, into: Path, *, label: str) -> str:
        """Put the tarball into `into`, whole or not at all; the caller holds a lock for it.

        Args:
            source: its `apt` says which package has it, and in which suites to look.
            into: where it goes, on the file system of the cache.
            label: what it is: `openssl 3.5.7`.

        Returns:
            Where it came from: `apt openssl 3.5.7-1~deb13u2 (trixie)`.

        Raises:
            SourceError: it is not to be had this way; the message says why, suite by suite.
            OSError: it cannot be written; the disk may be full.
        """
        if source.apt is None:
            raise SourceError("apt: no package is known to have it")
        path = self._environ.get("PATH", "/usr/bin:/bin")
        if not all(shutil.which(tool, path=path) for tool in ("apt-get", "apt-cache")):
            raise SourceError("apt: this machine has no apt-get")
        reasons = []
        for entry in self._entries(source.apt):
            try:
                listed = self._index(entry).fetch(source, source.apt.name, into, label)
            except SourceError as error:
                reasons.append(f"{entry.suite}: {error.message}")
            else:
                return f"apt {listed.package} {listed.version} ({entry.suite})"
        if not reasons:
            raise SourceError("apt: no archive is configured on this machine")
        raise SourceError(f"apt source {source.apt.name}: {'; '.join(reasons)}")

    def _entries(self, package: AptPackage) -> list[Entry]:
        return choose(machine_entries(self._etc), suites=package.suites, codename=codename(self._etc))

    def _index(self, entry: Entry) -> _Index:
        with self._lock:
            if entry not in self._indices:
                self._indices[entry] = _Index(entry, self._cache, self._environ, self._ui, self._dead)
            return self._indices[entry]


class _Index:
    """The private apt of one suite."""

    def __init__(self, entry: Entry, cache: Cache, environ: Mapping[str, str], ui: Ui, dead: set[str]) -> None:
        self._entry, self._cache, self._environ, self._ui, self._dead = entry, cache, environ, ui, dead
        digest = hashlib.sha256(entry.stanza().encode()).hexdigest()[:12]
        self._name = f"{entry.suite.replace('/', '-')}-{digest}"
        self._root = cache.root / "apt" / self._name
        self._lock = threading.Lock()
        self._read = False
        self._failure = ""

    def fetch(self, source: Source, package: str, into: Path, label: str) -> Listed:
        """Put the tarball into `into`; return what it was listed as."""
        self._prepare()
        listed = listings(self._showsrc(package), source.sha256)
        if not listed:
            raise SourceError("does not list it")
        try:
            return self._first(listed, source.sha256, into, label)
        except SourceError:
            if self._read:
                raise
        # The index is of an earlier day, and the archive has dropped what that listed.
        self._prepare(anew=True)
        return self._first(listings(self._showsrc(package), source.sha256), source.sha256, into, label)

    def _first(self, listed: Sequence[Listed], sha256: str, into: Path, label: str) -> Listed:
        """Fetch from the first that gives it: a pool may lack the file of one version and have another's."""
        reason = "no longer lists it"
        for each in listed:
            try:
                self._download(each, sha256, into, label)
            except SourceError as error:
                reason = error.message
            else:
                return each
        raise SourceError(reason)

    def _prepare(self, *, anew: bool = False) -> None:
        """See to it that there is an index, read today; at most one attempt a run."""
        with self._lock:
            if self._failure:
                raise SourceError(self._failure)
            if self._read:
                return
            if self._entry.host in self._dead:
                raise SourceError(f"{self._entry.host} cannot be reached")
            with self._cache.lock(f"apt-{self._name}", self._ui):
                if anew or not self._fresh():
                    self._update()

    @property
    def _stamp(self) -> Path:
        return self._root / "read"

    def _fresh(self) -> bool:
        try:
            return 0 <= time.time() - self._stamp.stat().st_mtime < FRESH
        except FileNotFoundError:
            return False

    def _update(self) -> None:
        for part in ("parts", "lists/partial", "cache/archives/partial"):
            (self._root / part).mkdir(parents=True, exist_ok=True)
        # a URI may carry a password
        write_text(self._root / "parts" / "archive.sources", self._entry.stanza(), mode=0o600)
        write_text(self._root / "apt.conf", CONFIGURATION.format(root=self._root))
        with working(self._ui, f"Reading the source archive's index ({self._entry.suite})"):
            try:
                printed, failed = self._apt("apt-get", "-q", "update"), False
            except CommandError as error:
                printed, failed = error.tail, True
        self._read = True
        complaint = _complaint(printed)
        if UNREACHABLE.search(complaint):
            self._dead.add(self._entry.host)
        if not any("Sources" in path.name for path in (self._root / "lists").iterdir()):
            self._failure = complaint or "it has no sources"
            raise SourceError(self._failure)
        if not failed and not re.search("^Err:", printed, re.MULTILINE):  # there may be warnings: no matter
            write_text(self._stamp, "")

    def _showsrc(self, package: str) -> str:
        try:
            return self._apt("apt-cache", "showsrc", "--only-source", package)
        except CommandError:  # no such package
            return ""

    def _download(self, listed: Listed, sha256: str, into: Path, label: str) -> None:
        folder = self._root / "fetch" / sha256[:16]
        remove_tree(folder)
        folder.mkdir(parents=True)
        what = f"{label} from the source archive"
        try:
            with working(self._ui, f"Fetching {what}", f"Fetched {what}", total=listed.size, unit="bytes") as work:
                with _following(folder, work):
                    reason = self._source(f"{listed.package}={listed.version}", folder)
                self._take(folder / listed.filename, sha256, into, reason)
        finally:
            remove_tree(folder)

    def _source(self, wanted: str, folder: Path) -> str:
        """Fetch the tarballs of a package; return what went wrong: it may be a tarball that is not ours."""
        try:
            self._apt("apt-get", "-q", "source", "--tar-only", "--only-source", wanted, cwd=folder)
        except CommandError as error:
            return _complaint(error.tail) or error.how
        return ""

    @staticmethod
    def _take(path: Path, sha256: str, into: Path, reason: str) -> None:
        if not path.is_file():
            raise SourceError(reason or f"{path.name} did not arrive")
        if (found := sha256_of(path)) != sha256:
            raise mismatch(path.name, found=found, pinned=sha256)
        path.replace(into)

    def _apt(self, tool: str, *words: str, cwd: Path | None = None) -> str:
        argv = (tool, "-c", str(self._root / "apt.conf"), *words)
        try:
            printed = run(argv, cwd=cwd or self._root, env={**self._environ, "LC_ALL": "C"})
        except CommandError as error:
            _check_space(error.tail, self._root)
            raise
        _check_space(printed, self._root)  # for `update` that is a warning
        return printed


def _check_space(printed: str, root: Path) -> None:
    """Raise OSError where apt found the disk full: that is not the archive's fault."""
    if FULL.search(printed):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(root))


def _complaint(printed: str) -> str:
    """Return what apt has to say when something fails: its errors before its warnings."""
    lines = [" ".join(line.partition("[IP:")[0].split()) for line in printed.splitlines()]
    # Err: is followed by the cause, which the E: line after it may leave out
    causes = [after for line, after in pairwise(lines) if line.startswith("Err:")]
    errors = [line[2:].strip() for mark in ("E:", "W:") for line in lines if line.startswith(mark)]
    return next(iter(causes + errors), "")[:200]


@contextmanager
def _following(folder: Path, work: Work) -> Iterator[None]:
    """Show how much of a download has arrived, for as long as the body lasts."""
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(0.3):
            work.reach(sum(path.stat().st_size for path in folder.glob("*.tar.*")))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
