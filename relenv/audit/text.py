"""Paths and names that tell where a tree was made, in any file: they leak, and mostly they are wrong elsewhere.

Who finds what, in which file, is bad in its own way:

- this machine's places (the tree's own, the home directory, the cache, user@host) have no business in a file of ours,
  in a script or in metadata. Packages come from elsewhere: what they say of somebody's home is theirs.
- any build directory, in what tells others how Python was built (Makefile, .pc, sysconfig's data) and in our binaries.
  The standard library's sources may speak of /home/user as they like.
- bytecode that Python writes by itself names the source it was compiled from; loading it puts that right.
"""

from __future__ import annotations

import dataclasses
import mmap
import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.audit.grouping import per_package
from relenv.audit.model import Finding, Severity
from relenv.audit.tree import INCLUDED
from relenv.relocate.elf import MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relenv.audit.model import Place
    from relenv.audit.tree import Tree

GENERATED = (
    *("lib/python3.*/_sysconfigdata_*.py", "lib/python3.*/_sysconfig_vars_*.json", "lib/python3.*/build-details.json"),
    *("lib/python3.*/config-*/Makefile", "lib/python3.*/config-*/Setup*", "include/python3.*/pyconfig.h"),
    *("lib/python3.*/__pycache__/_sysconfigdata_*.pyc", "bin/python*-config", "relenv.json", "*.la", "*.pc"),
)
"""What a build writes of itself: globs of files of ours."""

BUILD_PATH = re.compile(
    # Not part of a longer word or path, nor of a URL or behind the letter of a drive; but maybe of an option, as in
    # -I/root/x, or of a list, as in /x:/root/y. The slash comes first: re looks for that quickly.
    rb"/(?:(?<![\w.:/})~-]/)|(?<=-[BILR]/)(?<![\w./})~-]-[BILR]/)|(?<=:/)(?<![^\w./-][A-Za-z]:/))"
    rb"(?:home/[\w.-]+/|root/|builds?/|github/|__w/|project/|workspace/|work/"
    rb"|(?:var/)?tmp/(?:pip-|build|tmp\w|relenv)|usr/src/)[\w.+@/-]*"
)
"""Where things are built, on this machine or another."""

_LARGE = 64 << 20
"""Bytes from which on a file is mapped."""
_SHOWN = 60
"""Bytes of a path that a finding shows."""
_PYC_FLAGS = slice(4, 8)
_TIMESTAMP = bytes(4)
"""The flags of a .pyc that Python wrote by itself; ours are unchecked-hash (PEP 552)."""
_SHORTEST_HOST = 6
_SHORT = 2
"""Slashes in `/root/`: any longer path is no part of another one by chance."""
_BEGINNING = re.compile(rb"[^\w.$})~-]\Z|-[BILR]\Z|[zZ\xda\xfa].\Z", re.DOTALL)
"""What may stand before a path: no letter as in `/src/root/`, unless an option's as in `-I/root/`; or, in a .pyc, a
string's type and length (marshal)."""
_MARSHALLED = re.compile(rb"[zZ\xda\xfa](.)\Z", re.DOTALL)
"""The type and the length of a short string, before it."""
_LONGER = re.compile(rb"[\w.-]")
"""What a name goes on with: `/opt/python` is not named by `/opt/python3`."""
_USR = ("bin", "lib", "local", "sbin", "share")
_VAR = ("cache", "lib", "run", "tmp")
_TOP = (
    *("bin", "boot", "data", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc", "run", "sbin", "srv"),
    *("sys", "tmp", "usr", "var"),
)
COMMON = frozenset(
    Path("/", *parts)
    for parts in ((), *((one,) for one in _TOP), *(("usr", one) for one in _USR), *(("var", one) for one in _VAR))
)
"""Directories of every machine: whoever speaks of `/tmp/x` does not mean somebody's home, though that can be one."""


_HINTS = (
    ("bin/*", "relenv repair DIR"),
    ("*.pth", "install its package again, not editable"),
    ("*.egg-link", "install its package again, not editable"),
    ("*/site-packages/*", "install its package again"),
    ("*", "make the environment anew"),
)
"""What helps, by the first glob that a file fits."""
_INCLUDED = "write it without that, or leave it out of `include`"


@dataclass(frozen=True, kw_only=True)
class _Needle:
    """Something of this machine."""

    text: bytes
    what: str
    vague: bool = False
    """Whether any text may speak of a place of that name: it is looked for where places are those of this tree."""


@dataclass(frozen=True, kw_only=True)
class _Hit:
    path: str
    text: str
    """What was found, or the beginning of it."""
    what: str


def check(tree: Tree, place: Place) -> Iterator[Finding]:
    """Yield the files that tell where they were made."""
    needles = _needles(tree, place)
    loose: dict[str, list[_Hit]] = {"stale": [], "located": [], "built": []}
    for path in tree.readable:
        data = _read(tree.root / path)
        wanted = needles if _tells(tree, path, data) else [needle for needle in needles if not needle.vague]
        hits = [_Hit(path=path, text=text, what=what) for what, text in _personal(data, wanted)]
        package = tree.package(path)
        strict = not package or (data[:4] != MAGIC and _is_metadata(tree, path))
        if path.endswith(".pyc") and data[_PYC_FLAGS] == _TIMESTAMP:
            loose["stale"] += hits
        elif path.endswith(".dist-info/direct_url.json"):
            continue  # says on purpose where a package came from: `scripts` sees to it
        elif package == INCLUDED and hits:
            # of this machine, and yet as the project has it
            yield dataclasses.replace(_leak(hits[0]), severity=Severity.WARNING, hint=_INCLUDED)
        elif strict:
            yield from (_leak(hit) for hit in hits[:1] or _built(tree, path, data))
        elif any(hit.what == _LOCATION for hit in hits):
            loose["located"] += hits
        elif hits or data[:4] == MAGIC:
            loose["built"] += hits or _build_paths(path, data)
    yield from _gathered(tree, loose)


_LOCATION = "the directory it is in"


def _needles(tree: Tree, place: Place) -> list[_Needle]:
    """Return what no file may say, the longest first: a home directory is the beginning of much else."""
    found = []
    for folder, what in ((place.cache, "relenv's cache"), (place.home, "a home directory")):
        ways = {folder, Path(os.path.realpath(folder))} - COMMON if folder else ()  # resolve() refuses a link to itself
        found += [_Needle(text=os.fsencode(way) + b"/", what=what) for way in ways]
    if not tree.unpacked and tree.root not in COMMON:
        vague = tree.root.parent == Path("/")
        found.append(_Needle(text=os.fsencode(tree.root), what=_LOCATION, vague=vague))
    if place.user and place.host:
        found.append(_Needle(text=f"{place.user}@{place.host}".encode(), what="a user and a host"))
    # of a short name, or a plain word, it cannot be told that it means this host
    if len(place.host) >= _SHORTEST_HOST and re.search(r"\d", place.host):
        found.append(_Needle(text=place.host.encode(), what="a host"))
    return sorted(found, key=lambda needle: -len(needle.text))


def _read(path: Path) -> bytes | mmap.mmap:
    """Return the content of a file; of a large one, as models and their libraries are, without reading it at once."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > _LARGE:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return file.read()
    except PermissionError:
        return b""


def _personal(data: bytes | mmap.mmap, needles: Sequence[_Needle]) -> Iterator[tuple[str, str]]:
    """Yield what is found of this machine, at most once for each needle."""
    for needle in needles:
        at = data.find(needle.text)
        while at >= 0 and not _stands_alone(data, at, needle.text):
            at = data.find(needle.text, at + 1)
        if at >= 0:
            yield needle.what, _shown(data[at : at + _SHOWN])


def _stands_alone(data: bytes | mmap.mmap, at: int, text: bytes) -> bool:
    """Tell whether what was found is no part of another path or name."""
    if not text.startswith(b"/"):
        return True
    before, end = data[max(0, at - 2) : at], at + len(text)
    if before and text.count(b"/") <= _SHORT and not _BEGINNING.search(before):
        return False
    string = _MARSHALLED.search(before)
    whole = string is not None and at + string[1][0] == end
    return text.endswith(b"/") or whole or not _LONGER.match(data, end)


def _shown(data: bytes) -> str:
    found = re.match(rb"[^\s\x00-\x1f\"'<>:;,\x80-\xff]*", data)
    return found[0].decode() if found else ""


def _tells(tree: Tree, path: str, data: bytes | mmap.mmap) -> bool:
    """Tell whether a file is written by a build or an install: the places that it names are not examples."""
    return data[:4] != MAGIC and (any(fnmatchcase(path, glob) for glob in GENERATED) or _is_metadata(tree, path))


def _is_metadata(tree: Tree, path: str) -> bool:
    """Tell whether a package's file is read by tools, or started: wherever its package was built, it was made here."""
    if path.startswith("bin/"):
        return not path.endswith(".pyc")
    if not path.startswith(tree.site + "/"):
        return False
    # METADATA is its author's text; below are licences and SBOMs, which its builder wrote
    info, _, name = path.rpartition("/")
    return name.endswith((".pth", ".egg-link")) or (info.endswith(".dist-info") and name != "METADATA")


def _leak(hit: _Hit) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        check="leak",
        file=hit.path,
        what=f"names {hit.what}: {hit.text}",
        hint=next(hint for pattern, hint in _HINTS if fnmatchcase(hit.path, pattern)),
    )


def _built(tree: Tree, path: str, data: bytes | mmap.mmap) -> Iterator[_Hit]:
    """Yield a build directory in a file of ours that is generated, or a binary."""
    if not tree.package(path) and (data[:4] == MAGIC or any(fnmatchcase(path, glob) for glob in GENERATED)):
        yield from _build_paths(path, data)


def _build_paths(path: str, data: bytes | mmap.mmap) -> Iterator[_Hit]:
    if found := BUILD_PATH.search(data):
        yield _Hit(path=path, text=_shown(found[0][:_SHOWN]), what="a directory of a build")


def _gathered(tree: Tree, loose: dict[str, list[_Hit]]) -> Iterator[Finding]:
    if stale := loose["stale"]:
        yield Finding(
            severity=Severity.NOTE,
            check="bytecode",
            file=min(hit.path for hit in stale),
            what=f"{len({hit.path for hit in stale})} .pyc files that were written here name their place; "
            "Python puts it right when it loads them",
            hint="`relenv bundle` compiles them anew",
        )
    for name, severity, what, hint in (
        ("located", Severity.WARNING, "names the directory it was installed to", "it may not survive a move; try it"),
        ("built", Severity.NOTE, "names a directory of the machine that built it", ""),
    ):
        yield from per_package(
            tree, (hit.path for hit in loose[name]), severity=severity, check="leak", what=what, hint=hint
        )
