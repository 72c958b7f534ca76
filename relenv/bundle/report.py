"""Where a bundle's bytes are, and what its scripts import when they start: facts as values, for a page and a table."""

from __future__ import annotations

import csv
import json
import posixpath
import re
import zipfile
import zlib
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from packaging.metadata import parse_email
from packaging.utils import canonicalize_name

from relenv import process
from relenv.bundle.archive import walk
from relenv.bundle.licences import licence_of, spdx
from relenv.bundle.startup import measure
from relenv.environment import copy_tree
from relenv.manifest import MANIFEST, SBOM
from relenv.manifest.licences import LICENCE
from relenv.relocate.elf import file_floor, is_elf
from relenv.store import remove_tree
from relenv.ui import size, working

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from packaging.metadata import RawMetadata

    from relenv.bundle.formats import Job
    from relenv.bundle.made import Written
    from relenv.bundle.startup import Start

DEFLATE_LEVEL = 6
"""zlib's, where no zip says what a file takes in it."""
SHOWN = 10
"""Packages in the table; the rest is summed up."""
NAME_WIDTH = 40
"""Columns of a package's name and version in the table."""

PYTHON, LIBRARIES, LIBRARY, SCRIPTS, OTHER = (
    *("Python", "libraries of Python", "standard library", "scripts", "other files"),
)
"""What is no installed distribution. None of these is a name that one could have but the first, which has no `dist`."""

PLACES: tuple[tuple[str, str], ...] = (
    (PYTHON, r"bin/(python|pydoc)[\d.]*|include/.*|lib/pkgconfig/.*|lib/libpython[^/]*"),
    (LIBRARIES, r"lib/[^/]+\.so[^/]*|etc/ssl/.*|(share|lib)/terminfo/.*"),
    (LIBRARY, r"lib/python3\.\d+/(?!site-packages/).*|lib/python3\.\d+/site-packages/README\.txt"),
    (SCRIPTS, r"bin/.*"),
    (OTHER, r".*"),
)
"""Whose a file is that no RECORD names: the first whose pattern matches its path."""

SOURCE, BYTECODE, NATIVE, STUBS, DATA, METADATA, LICENCES = (
    *("Python source", "Bytecode", "Machine code", "Type stubs and C sources", "Data", "Metadata", "Licences"),
)
KINDS = (NATIVE, SOURCE, BYTECODE, DATA, STUBS, METADATA, LICENCES)
"""File types, in the order in which they are shown."""
SUFFIXES = {
    ".py": SOURCE,
    ".pyw": SOURCE,
    ".pyc": BYTECODE,
    **dict.fromkeys((".pyi", ".pyx", ".pxd", ".pxi", ".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp"), STUBS),
}

_CACHED = re.compile(r"(?P<folder>.*/)?__pycache__/(?P<name>[^/]+)\.cpython-3\d+(\.opt-\w+)?\.pyc")


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a bundle."""

    path: str
    """Relative to the bundle."""
    size: int
    packed: int
    """Bytes that it takes when deflated."""
    kind: str
    """One of KINDS."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """An installed distribution, or another part of a bundle."""

    name: str
    """As the distribution spells it, or what the part is called."""
    files: tuple[File, ...]
    """By path."""
    version: str = ""
    licence: str = ""
    spdx: bool = False
    """Whether the licence is an SPDX expression."""
    glibc: str = ""
    """The oldest that its shared objects run on; empty without any."""
    project: bool = False
    """Whether it is what the bundle was made for."""
    distribution: bool = False

    @cached_property
    def size(self) -> int:
        """Bytes, unpacked."""
        return sum(file.size for file in self.files)

    @cached_property
    def packed(self) -> int:
        """Bytes, each file deflated."""
        return sum(file.packed for file in self.files)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What is in a bundle, and what its scripts import."""

    project: str
    version: str
    python: str
    triplet: str
    glibc: str
    """The oldest that the bundle runs on."""
    relenv: str
    """The release of relenv that made it."""
    packages: tuple[Package, ...]
    """The largest first, packed."""
    starts: tuple[Start, ...] = ()
    zipped: bool = False
    """Whether what files take packed is what they take in the bundle's zip."""

    @cached_property
    def _owners(self) -> Mapping[str, int]:
        return {file.path: at for at, package in enumerate(self.packages) for file in package.files}

    def owner(self, path: str) -> int | None:
        """Return the package that a file belongs to, by its place in `packages`; that of the interpreter for ""."""
        if path:
            return self._owners.get(path)
        return next((at for at, one in enumerate(self.packages) if one.name == PYTHON and not one.distribution), None)

    def imports(self, start: Start) -> dict[int, int]:
        """Return the microseconds that importing the modules of each package takes, the slowest first.

        The packages are told by their place in `packages`.
        """
        found: Counter[int] = Counter()
        for module in start.modules:
            if (at := self.owner(module.path)) is not None:
                found[at] += module.own
        return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def report_on(job: Job, files: Sequence[Written], work: Path, *, starting: bool) -> Report:
    """Look into a bundle that was just written.

    Args:
        job: what was written.
        files: as what.
        work: a directory of ours.
        starting: whether to measure how its scripts start: in a copy, for what they do when they are imported.
    """
    starts: tuple[Start, ...] = ()
    if starting:
        copy = work / "measured" / job.name
        with working(job.ui, "Measuring how it starts"):
            copy.parent.mkdir()
            copy_tree(job.tree, copy)
            starts = measure(copy, job.ui)
            remove_tree(copy.parent)
    archive = next((file.path for file in files if file.format == "zip"), None)
    if archive:
        return make_report(job.tree, packed_in(archive), starts, zipped=True)
    with working(job.ui, "Measuring what each file takes when it is compressed"):
        packed = deflated(job.tree, jobs=job.jobs)
    return make_report(job.tree, packed, starts)


def make_report(root: Path, packed: Mapping[str, int], starts: Sequence[Start] = (), *, zipped: bool = False) -> Report:
    """Look through a finished bundle. Nothing in it is changed or run.

    Args:
        root: the bundle: `relenv.json`, `bin`, `lib/python3.X/site-packages`, and whatever else.
        packed: what each file takes deflated, by its path in the bundle; one that is missing counts as it is.
        starts: what was measured of its scripts.
        zipped: whether `packed` is what a zip has.
    """
    manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    bundle = manifest.get("bundle", {})
    paths = sorted(name for name, entry in walk(root) if entry.is_file())
    project = canonicalize_name(bundle.get("project", ""))
    distributions = _distributions(root)
    owners = _owners(root, paths, distributions)
    members: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        members[owners[path]].append(path)
    described = {
        PYTHON: {"version": manifest["python"], "licence": _component(manifest, "cpython"), "spdx": True},
        LIBRARY: {"version": manifest["python"], "licence": _component(manifest, "cpython"), "spdx": True},
        LIBRARIES: {"licence": _of_libraries(manifest), "spdx": True},
        **{info: _described(one, project) for info, one in distributions.items()},
    }
    packages = []
    for owner, names in members.items():
        facts = {"name": owner, **described.get(owner, {})}
        files = tuple(_file(root, name, packed) for name in names)
        packages.append(Package(files=files, glibc=_floor(root, files), **facts))
    return Report(
        project=bundle.get("project", ""),
        version=bundle.get("version", ""),
        python=manifest["python"],
        triplet=manifest["triplet"],
        glibc=bundle.get("glibc", manifest["glibc"]),
        relenv=manifest["relenv"],
        packages=tuple(sorted(packages, key=lambda one: (-one.packed, one.name))),
        starts=tuple(starts),
        zipped=zipped,
    )


def packed_in(archive: Path) -> dict[str, int]:
    """Return what each file takes in a bundle's zip, by its path in the bundle."""
    with zipfile.ZipFile(archive) as opened:
        return {one.filename.partition("/")[2]: one.compress_size for one in opened.infolist() if not one.is_dir()}


def deflated(root: Path, *, jobs: int) -> dict[str, int]:
    """Return what each file of a tree would take in a zip: deflated, or as it is if that is no larger.

    Args:
        root: the tree.
        jobs: how many files at a time.
    """

    def length(name: str) -> int:
        process.check()
        squeezer = zlib.compressobj(DEFLATE_LEVEL, wbits=-zlib.MAX_WBITS)
        plain = total = 0
        with (root / name).open("rb") as file:
            while chunk := file.read(1 << 20):
                plain += len(chunk)
                total += len(squeezer.compress(chunk))
        return min(plain, total + len(squeezer.flush()))

    names = [name for name, entry in walk(root) if entry.is_file()]
    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(names, pool.map(length, names), strict=True))


def table(report: Report) -> list[str]:
    """Return the largest packages as lines of text, with what the others take and what all of them take."""
    rows = [
        (f"{one.name} {one.version}".strip(), one.packed, one.size, len(one.files)) for one in report.packages[:SHOWN]
    ]
    if rest := report.packages[SHOWN:]:
        name = f"{len(rest)} more"
        rows.append((name, sum(one.packed for one in rest), sum(one.size for one in rest), _count(rest)))
    whole = sum(one.packed for one in report.packages)
    rows.append(("in all", whole, sum(one.size for one in report.packages), _count(report.packages)))
    width = min(NAME_WIDTH, max(len(row[0]) for row in rows))
    lines = [f"{'package':<{width}}    packed         unpacked   files"]
    for name, packed, plain, files in rows:
        shown = name if len(name) <= width else f"{name[: width - 1]}…"
        lines.append(f"{shown:<{width}}  {size(packed):>8} {packed / (whole or 1):>6.1%}  {size(plain):>8} {files:>7}")
    return lines


def described(report: Report) -> dict[str, object]:
    """Return a report for programs: bytes, and microseconds."""
    return {
        "glibc": report.glibc,
        "zipped": report.zipped,
        "packages": [
            {
                **{name: getattr(one, name) for name in ("name", "version", "licence", "glibc", "size", "packed")},
                "files": len(one.files),
            }
            for one in report.packages
        ],
        "starts": [{"script": one.script, "target": one.target, "imports": one.total} for one in report.starts],
    }


def _count(packages: Sequence[Package]) -> int:
    return sum(len(one.files) for one in packages)


# --- whose a file is


def _distributions(root: Path) -> dict[str, RawMetadata]:
    """Return the METADATA of what is installed, by its .dist-info directory relative to the bundle."""
    found = sorted(root.glob("lib/python3.*/site-packages/*.dist-info/METADATA"))
    return {path.parent.relative_to(root).as_posix(): parse_email(path.read_bytes())[0] for path in found}


def _owners(root: Path, paths: Sequence[str], infos: Iterable[str]) -> dict[str, str]:
    """Return for each file the .dist-info directory of its distribution, or which of PLACES it is in."""
    recorded = {path: info for info in infos for path in _recorded(root, info)}
    folders: dict[str, str] = {}
    for path, info in recorded.items():
        folders.setdefault(posixpath.dirname(path), info)

    def owner(path: str) -> str:
        source = _CACHED.sub(r"\g<folder>\g<name>.py", path)
        if found := recorded.get(path) or recorded.get(source):
            return found
        # a RECORD may pass over bytecode, or what was written later: it lies among what it belongs to
        if "/site-packages/" in path:
            folder = posixpath.dirname(source)
            while not folder.endswith("/site-packages"):
                if folder in folders:
                    return folders[folder]
                folder = posixpath.dirname(folder)
        return next(place for place, pattern in PLACES if re.fullmatch(pattern, path))

    return {path: owner(path) for path in paths}


def _recorded(root: Path, info: str) -> list[str]:
    try:
        text = (root / info / "RECORD").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    site = posixpath.dirname(info)
    return [posixpath.normpath(f"{site}/{row[0]}") for row in csv.reader(text.splitlines()) if row and row[0]]


# --- what is said of it


def _described(metadata: RawMetadata, project: str) -> dict[str, object]:
    licence = licence_of(metadata)
    return {
        "name": metadata["name"],
        "version": metadata.get("version", ""),
        "licence": licence,
        "spdx": bool(spdx(licence)),
        "project": canonicalize_name(metadata["name"]) == project,
        "distribution": True,
    }


def _component(manifest: Mapping[str, list[Mapping[str, str]]], name: str) -> str:
    return next((one.get("licence", "") for one in manifest["components"] if one["name"] == name), "")


def _of_libraries(manifest: Mapping[str, list[Mapping[str, str]]]) -> str:
    """Return the licences of all libraries that have sources of their own."""
    libraries = [one for one in manifest["components"] if "source" in one and one["name"] != "cpython"]
    return " AND ".join(sorted({one["licence"] for one in libraries if one.get("licence")}))


def _file(root: Path, path: str, packed: Mapping[str, int]) -> File:
    plain = (root / path).stat().st_size
    return File(path=path, size=plain, packed=packed.get(path, plain), kind=_kind(root, path))


def _kind(root: Path, path: str) -> str:
    folder, name = posixpath.split(path)
    suffix = posixpath.splitext(name)[1]
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if LICENCE.fullmatch(name) or folder.startswith("licenses/") or ".dist-info/licenses" in folder:
        return LICENCES
    if ".dist-info" in folder or path in (MANIFEST, SBOM) or name == "py.typed":
        return METADATA
    if is_elf(root / path):
        return NATIVE
    return SOURCE if folder == "bin" else DATA


def _floor(root: Path, files: Sequence[File]) -> str:
    floors = [file_floor(root / file.path) for file in files if file.kind == NATIVE]
    return ".".join(map(str, max(floors))) if floors else ""
