"""From a path to a tree that can be checked: a directory as it is, what is packed unpacked for the while."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from relenv.errors import CheckError, UsageError
from relenv.manifest import MANIFEST
from relenv.pip_shim.repair import libraries
from relenv.store import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FLOOR = (2, 17)
"""The glibc that whatever we build runs with."""
INCLUDED = "included"
"""What stands for the package of a file that a bundle's project has put there by `include`."""
_SERIES = re.compile(r"python(3\.\d+)")
_GLIBC = re.compile(r"\d{1,4}(\.\d{1,4})+")
_LONGEST = 4096
"""PATH_MAX of Linux."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a RECORD."""

    path: str
    """Relative to the tree; begins with `../` when it leaves it."""
    digest: str
    """`sha256=...`, or empty."""
    size: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a RECORD says of an installed distribution."""

    path: str
    distribution: str
    """Name and version as the .dist-info directory has them: `httpie 3.2.4`."""
    rows: tuple[Row, ...]
    damage: str = ""
    """Why it cannot be read to its end; empty if it can."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """An interpreter, an environment or an unpacked bundle. Nothing in it is changed or run."""

    root: Path
    series: str
    """`3.13`."""
    files: tuple[str, ...]
    """Regular files, relative to the root, sorted."""
    links: tuple[str, ...]
    """Symbolic links, likewise."""
    unpacked: bool = False
    """Whether it was unpacked by us: then its place says nothing."""
    manifest: Mapping[str, object] | None = None
    """What relenv.json says, see `manifest_of`."""
    floor: tuple[int, ...] = FLOOR
    """The glibc that everything in it is promised to run on."""
    allowed: tuple[int, ...] = FLOOR
    """The same of what the project includes: a bundle may be made for a newer one."""

    @property
    def library(self) -> str:
        """Where the standard library is."""
        return f"lib/python{self.series}"

    @property
    def site(self) -> str:
        """Where packages are installed."""
        return f"{self.library}/site-packages"

    @cached_property
    def program(self) -> str:
        """The file that bin/python3 is or, as in most Pythons but ours, leads to; relative to the root."""
        path = self.root / "bin" / "python3"
        target = path.resolve()
        return target.relative_to(self.root).as_posix() if target.is_relative_to(self.root) else "bin/python3"

    @property
    def python(self) -> str:
        """The version in its own header: that file is there in every interpreter."""
        try:
            header = (self.root / f"include/python{self.series}/patchlevel.h").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return self.series
        found = re.search(r'define PY_VERSION\s+"([^"]+)"', header)
        return found[1] if found else self.series

    @cached_property
    def unreadable(self) -> frozenset[str]:
        """The files whose modes or owners keep us from reading them."""
        return frozenset(path for path in self.files if _is_closed(f"{self.root}/{path}"))

    @cached_property
    def readable(self) -> tuple[str, ...]:
        """The other files, sorted."""
        return tuple(path for path in self.files if path not in self.unreadable)

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """The RECORD of each installed distribution."""
        pattern = re.compile(rf"{re.escape(self.site)}/[^/]+\.dist-info/RECORD")
        return tuple(_record(self, path) for path in self.readable if pattern.fullmatch(path))

    @cached_property
    def _owners(self) -> dict[str, str]:
        return {row.path: record.distribution for record in self.records for row in record.rows}

    @property
    def bundle(self) -> Mapping[str, object]:
        """What the manifest says of a bundle; empty if this is none."""
        return _of_bundle(self.manifest)

    @cached_property
    def included(self) -> frozenset[str]:
        """The files that a bundle's project has put there by `include`, as the manifest lists them."""
        names = self.bundle.get("include")
        return frozenset(map(str, names)) if isinstance(names, list) else frozenset()

    def package(self, path: str) -> str:
        """Return the installed distribution that a file belongs to; empty for the interpreter's own files.

        What the project includes is as little relenv's as a package's files are: INCLUDED stands for it.
        """
        if path in self.included:
            return INCLUDED
        if owner := self._owners.get(path):
            return owner
        if path.startswith(self.site + "/"):
            rest = path[len(self.site) + 1 :]
            # bytecode and data written later lie beside what was installed
            top = rest.partition("/")[0]
            return self._tops.get(top, top.removesuffix(".py"))
        return ""

    @cached_property
    def _tops(self) -> dict[str, str]:
        start = len(self.site) + 1
        return {
            path[start:].partition("/")[0]: owner
            for path, owner in self._owners.items()
            if path.startswith(self.site + "/")
        }


def _is_closed(path: str) -> bool:
    """Tell whether there is a file that we may not read."""
    return not os.access(path, os.R_OK) and os.access(path, os.F_OK)


@contextmanager
def opened(path: Path) -> Iterator[Tree]:
    """Give the tree at a path; what is packed is unpacked into a directory that is gone afterwards.

    Raises:
        UsageError: there is nothing, or something else.
        CheckError: what is packed is damaged, or has members that must not be unpacked; or we may not read something.
        OSError: there is no room to unpack it.
    """
    # only `relenv check` gets here, and each `relenv bundle` would wait for it
    from relenv.audit.packed import LAYOUT, NAME_ONE, unpack  # noqa: PLC0415

    _refuse_closed(path)
    layout = (path / LAYOUT).is_file()
    if path.is_dir() and not layout:
        yield _tree(path, shown=path)
        return
    if not path.exists():
        raise UsageError(f"{path} does not exist", hint=NAME_ONE)
    if layout:
        _refuse_closed(*path.rglob("*"))
    elif not path.is_file():
        raise UsageError(f"{path} is neither a directory nor a bundle", hint=NAME_ONE)
    folder = Path(tempfile.mkdtemp(prefix="relenv-check-"))
    try:
        yield _tree(unpack(path, folder), shown=path, unpacked=True)
    finally:
        remove_tree(folder)


def _refuse_closed(*paths: Path) -> None:
    """Refuse what is there, but not for us to read: nothing could be said of what is in it.

    Raises:
        CheckError: one of these is so.
    """
    for path in paths:
        try:
            needed = os.R_OK | (os.X_OK if stat.S_ISDIR(path.stat().st_mode) else 0)
            closed = not os.access(path, needed)
        except PermissionError:  # of what it is in
            closed = True
        except OSError:
            continue
        if closed:
            raise CheckError(f"{path} cannot be read", hint="chmod u+rX, or check as the user whose it is")


def _tree(root: Path, *, shown: Path, unpacked: bool = False) -> Tree:
    root = root.resolve()
    _refuse_closed(root / "bin", root / "lib")
    _refuse_closed(*sorted((root / "lib").glob("python3.*")))
    if (root / "pyvenv.cfg").is_file():
        raise UsageError(
            f"{shown} is a virtual environment, not one of relenv's",
            hint="it needs the Python it was made from; `relenv create` makes an environment with its own",
        )
    folders = libraries(root) or list((root / "lib").glob("python3.*"))
    serieses = [found[1] for path in folders if (found := _SERIES.fullmatch(path.name))]
    if not (root / "bin" / "python3").is_file() or len(serieses) != 1:
        raise UsageError(
            f"{shown} is not a tree of relenv's: it has no bin/python3 with one lib/python3.*",
            hint="name the directory that holds bin and lib, or a bundle",
        )
    files, links = _listing(root)
    manifest = manifest_of(root)
    glibc = _GLIBC.fullmatch(str(_of_bundle(manifest).get("glibc")))
    return Tree(
        root=root,
        series=serieses[0],
        files=files,
        links=links,
        unpacked=unpacked,
        manifest=manifest,
        allowed=max(FLOOR, tuple(map(int, glibc[0].split(".")))) if glibc else FLOOR,
    )


def manifest_of(root: Path) -> Mapping[str, object] | None:
    """Return what the manifest of a tree says; None if there is none, or it cannot be read."""
    try:
        manifest = json.loads((root / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return manifest if isinstance(manifest, dict) else None


def _of_bundle(manifest: Mapping[str, object] | None) -> Mapping[str, object]:
    bundle = (manifest or {}).get("bundle")
    return bundle if isinstance(bundle, dict) else {}


def _listing(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    files, links = [], []
    pending = [("", os.fspath(root))]
    while pending:
        above, folder = pending.pop()
        _refuse_closed(Path(folder))
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    links.append(above + entry.name)
                elif entry.is_dir():
                    pending.append((f"{above}{entry.name}/", entry.path))
                elif entry.is_file():
                    files.append(above + entry.name)
    return tuple(sorted(files)), tuple(sorted(links))


def _record(tree: Tree, path: str) -> Record:
    text = (tree.root / path).read_text(encoding="utf-8", errors="surrogateescape")
    folder = PurePosixPath(path).parent
    rows: list[Row] = []
    damage = ""
    try:
        rows.extend(
            _recorded(tree, *(*fields, "", "")[:3])
            for fields in csv.reader(io.StringIO(text, newline=""))
            if fields and fields[0]
        )
    except csv.Error as error:  # a quotation that does not end makes a field of all that follows
        damage = str(error)
    name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
    return Record(path=path, distribution=f"{name} {version}".strip(), rows=tuple(rows), damage=damage)


def _recorded(tree: Tree, name: str, digest: str, size: str) -> Row:
    if "\n" in name or len(name) > _LONGEST:
        raise csv.Error("a quotation in it does not end")
    # normpath, not resolve: a RECORD says nothing of links
    inside = name if name.startswith("/") else os.path.normpath(f"{tree.site}/{name}")
    return Row(path=inside, digest=digest, size=size)
