"""Hold a bundle against its manifest: `python -m relenv_pip.verify` in the bundle, `relenv verify` elsewhere.

What is packed is read as a stream, and nothing is unpacked. The standard library only, as of all that is shipped.

    zip, tar, run file, image, directory ──► what is there (Contents) ──► compared with the manifest in it ──► Report
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib
import json
import os
import posixpath
import re
import stat
import sys
import tarfile
import zipfile
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MANIFEST = "relenv.json"
"""At the root of every tree of relenv's; a bundle's has `files`."""
CHUNK = 1 << 18
HASHERS = 2
"""Threads: one reads while the other hashes."""
HEAD = 1 << 16
"""Bytes that the header of a run file is shorter than."""
SHOWN = 40
"""Lines that are printed; --json has all."""
USAGE, DIFFERENT = 2, 9
"""Exit codes, as of relenv (its README lists them)."""
NOTES = ("added", "bytecode")
"""Kinds of differences that harm nothing: somebody put something there, or Python has compiled it."""
UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError)
"""What damage looks like to the modules that read archives; gzip raises an OSError without errno."""
ZSTD = ("compression.zstd", "backports.zstd")
"""Of Python 3.14 (PEP 784), and for those before."""
LAYOUT, INDEX, DOCKER, BLOBS = "oci-layout", "index.json", "manifest.json", "blobs/sha256/"
"""What an image layout has besides its blobs (image-spec, image-layout.md); `docker load` goes by the last."""
LARGEST = 1 << 22
"""Bytes: indexes, manifests and configurations of images have fewer."""
DEPTH = 3
"""Indexes in indexes."""
WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
"""How the name of a file begins that removes another from the layers below, and the one that removes all beside it."""


class NotABundleError(Exception):
    """What was named cannot be verified: it is not there, or is something else."""


class DamagedError(Exception):
    """It is so damaged that what is in it cannot be told.

    Args:
        message: how.
        found: all that is damaged, where there may be more.
    """

    def __init__(self, message: str, found: Sequence[Difference] = ()) -> None:
        super().__init__(message)
        self.found = found


@dataclass(frozen=True)
class Fact:
    """A file, as it was found."""

    sha256: str
    """Empty for what is no regular file, or cannot be read; then `reason` tells."""
    size: int
    mode: int
    reason: str = ""


@dataclass(frozen=True)
class Contents:
    """What was found in a bundle."""

    files: Mapping[str, Fact]
    """By their paths in the bundle; in an archive, what is beside the bundle's directory begins with `../`."""
    manifest: bytes
    odd: Sequence[tuple[str, str]] = ()
    """Paths that no archive of ours has, and what is odd."""
    whole: str = ""
    """What is wrong with the file as such."""
    around: Sequence[Difference] = ()
    """What is wrong with what the bundle's files are packed in."""


@dataclass(frozen=True)
class Difference:
    """A file that is not as the manifest says."""

    kind: str
    """`changed`, `missing`, `mode`, `damaged`, or one of NOTES."""
    path: str
    what: str


@dataclass(frozen=True)
class Report:
    """What became of a bundle."""

    path: str
    name: str = ""
    """The project and its version; empty if the manifest could not be read."""
    python: str = ""
    files: int = 0
    """How many the manifest names."""
    manifest: str = ""
    """The sha256 of the manifest, which stands for all that is in the bundle, in whichever format."""
    differences: Sequence[Difference] = field(default_factory=tuple)

    @property
    def failures(self) -> list[Difference]:
        """Those that count."""
        return [one for one in self.differences if one.kind not in NOTES]

    def ok(self, *, strict: bool = False) -> bool:
        """Tell whether the bundle is as it was made.

        Args:
            strict: whether nothing may have been added either.
        """
        return not (self.differences if strict else self.failures)

    def described(self, *, strict: bool = False) -> dict[str, object]:
        """Return it for programs."""
        return {
            "path": self.path,
            "bundle": self.name,
            "python": self.python,
            "whole": self.ok(strict=strict),
            "files": self.files,
            "manifest": self.manifest,
            "differences": [vars(one) for one in self.differences],
        }

    def text(self, *, strict: bool = False) -> str:
        """Return it for people."""
        counts = Counter(one.kind for one in self.differences)
        lines = [f"{one.kind:8} {one.path}: {one.what}" for one in self.differences if one.kind != "bytecode"]
        if len(lines) > SHOWN:
            lines[SHOWN:] = [f"... and {len(lines) - SHOWN} more (--json has all)"]
        told = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no differences"
        of = f"{self.name} with Python {self.python}, {self.files} files: " if self.name else ""
        verdict = "whole" if self.ok(strict=strict) else "NOT as it was made"
        return "".join(f"{line}\n" for line in [*lines, f"{self.path}: {of}{verdict} ({told})"])


def verify(path: Path) -> Report:
    """Hold a bundle against the manifest in it.

    That finds what was damaged, lost or edited. Whoever can edit a bundle can edit its manifest too: against that
    helps to compare the manifest's sha256, or that of the bundle's file, with one that came another way.

    Args:
        path: a zip, tar (also compressed), run file or directory; an image layout, as a tar or directory.

    Raises:
        NotABundleError: it is none of these, or no bundle.
    """
    if not path.exists():
        raise NotABundleError(f"{path} does not exist")
    try:
        contents = _read(path)
        manifest = _manifest(contents, path)
    except DamagedError as error:
        found = tuple(error.found) or (Difference("damaged", path.name, str(error)),)
        return Report(path=str(path), differences=found)
    bundle = manifest["bundle"]
    return Report(
        path=str(path),
        name=f"{bundle['project']} {bundle['version']}",
        python=manifest["python"],
        files=len(manifest["files"]),
        manifest=hashlib.sha256(contents.manifest).hexdigest(),
        differences=tuple(_compared(contents, manifest["files"], path)),
    )


def _manifest(contents: Contents, path: Path) -> Any:
    try:
        manifest = json.loads(contents.manifest)
        bundle = {"project", "version"} <= manifest.get("bundle", {}).keys() and "python" in manifest
        files = all(len(row) == len(("sha256", "size", "mode")) for row in manifest.get("files", {}).values())
    except (ValueError, AttributeError, TypeError):
        raise DamagedError(f"its {MANIFEST} cannot be read") from None
    if not bundle or not files or "files" not in manifest:
        raise NotABundleError(f"{path} is no bundle that can be verified: its {MANIFEST} names no files")
    return manifest


def _compared(contents: Contents, wanted: Mapping[str, Any], path: Path) -> Iterator[Difference]:
    if contents.whole:
        yield Difference("damaged", path.name, contents.whole)
    yield from contents.around
    for name, what in contents.odd:
        yield Difference("changed", name, what)
    # the manifest is no program: where it may be executed, the file system or who unpacked it knows no modes
    modes = not contents.files[MANIFEST].mode & 0o100
    for name, row in wanted.items():
        found = contents.files.get(name)
        if found is None:
            yield Difference("missing", name, "is not there")
        elif not found.sha256:
            yield Difference("changed", name, found.reason)
        elif (found.sha256, found.size) != (row["sha256"], row["size"]):
            size = "" if found.size == row["size"] else f", and has {found.size} bytes in place of {row['size']}"
            yield Difference("changed", name, f"has another content{size}")
        elif said := _mode(found.mode, int(row["mode"], 8), modes=modes):
            yield Difference("mode", name, said)
    for name in sorted(contents.files.keys() - wanted.keys() - {MANIFEST}):
        compiled = name.endswith(".pyc") and "__pycache__" in name.split("/")
        yield Difference("bytecode" if compiled else "added", name, "is not in the manifest")


def _mode(found: int, wanted: int, *, modes: bool) -> str:
    """Return what is wrong with a mode: a umask may take from it, so what counts is whether it may be executed."""
    if found & (stat.S_ISUID | stat.S_ISGID):
        return f"runs as another user or group (mode {found:04o})"
    if wanted & 0o100 and not found & 0o100:
        return f"is not executable (mode {found:04o})"
    return f"is executable (mode {found:04o})" if modes and found & 0o100 and not wanted & 0o100 else ""


# --- what is there ----------------------------------------------------------------------------------------


def _directory(root: Path) -> Contents:
    try:
        manifest = (root / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise NotABundleError(f"{root} is no bundle: it has no {MANIFEST}") from None
    except OSError as error:
        raise DamagedError(f"its {MANIFEST} cannot be read: {error.strerror}") from None
    names = list(_names(os.fspath(root), ""))
    with ThreadPoolExecutor(HASHERS) as pool:
        facts = pool.map(lambda name: _fact(root / name), names)
        return Contents(files=dict(zip(names, facts)), manifest=manifest)  # noqa: B905 - one for each


def _names(folder: str, below: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return  # then what is in it is missing
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _names(entry.path, f"{below}{entry.name}/")
        else:
            yield f"{below}{entry.name}"


def _fact(path: Path) -> Fact:
    status = path.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        return Fact("", 0, mode, "is no regular file")
    try:
        with path.open("rb", buffering=0) as file:
            return _hashed(cast("BinaryIO", file), mode)
    except OSError as error:
        return Fact("", 0, mode, f"cannot be read: {error.strerror}")


def _hashed(file: BinaryIO, mode: int, keep: list[bytes] | None = None) -> Fact:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(CHUNK):
        digest.update(chunk)
        size += len(chunk)
        if keep is not None:
            keep.append(chunk)
    return Fact(digest.hexdigest(), size, mode)


class _Gathered:
    """The members of an archive, as they come."""

    def __init__(self) -> None:
        self.files: dict[str, Fact] = {}
        self.odd: list[tuple[str, str]] = []
        self.manifests: dict[str, bytes] = {}

    def add(self, name: str, mode: int, reason: str, content: Callable[[], BinaryIO]) -> None:
        """Enter a member.

        Args:
            name: as the archive has it.
            mode: its permissions.
            reason: why it is no regular file; empty if it is one.
            content: opens it.
        """
        name = posixpath.normpath(name)
        if name in self.files:  # which one counts depends on who unpacks it
            self.odd.append((name, "is there more than once"))
        if name.startswith(("/", "../")):
            self.odd.append((name, "leads out of the directory that it is unpacked in"))
        if reason:
            self.files[name] = Fact("", 0, mode, reason)
            return
        keep: list[bytes] | None = [] if posixpath.basename(name) == MANIFEST and name.count("/") <= 1 else None
        with content() as file:
            self.files[name] = _hashed(file, mode, keep)
        if keep is not None:
            self.manifests[name] = b"".join(keep)

    def contents(self, path: Path, whole: str = "") -> Contents:
        """Return it all, by paths in the directory that the bundle unpacks to."""
        if not self.manifests:
            if any(posixpath.basename(name) == MANIFEST and name.count("/") <= 1 for name in self.files):
                raise DamagedError(f"its {MANIFEST} cannot be read")
            raise NotABundleError(f"{path} is no bundle: there is no {MANIFEST} in it")
        manifest = min(self.manifests, key=lambda name: name.count("/"))
        top = posixpath.dirname(manifest) or "."
        files = {_below(top, name): fact for name, fact in self.files.items()}
        odd = [(_below(top, name), what) for name, what in self.odd]
        return Contents(files=files, manifest=self.manifests[manifest], odd=odd, whole=whole)


def _below(top: str, name: str) -> str:
    if top == "." or name.startswith("/"):
        return name
    return name[len(top) + 1 :] if name.startswith(f"{top}/") else f"../{name}"


def _read(path: Path) -> Contents:
    if path.is_dir():
        return _image(path) if (path / LAYOUT).is_file() else _directory(path)
    return _reader(path)(path)


def _reader(path: Path) -> Callable[[Path], Contents]:
    """Return what reads a file, going by how it begins.

    Raises:
        NotABundleError: it begins like nothing that a bundle is.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(b"#!/bin/sh") and re.search(rb"^skip=\d+", head, re.MULTILINE):
        return _run
    if head.startswith(b"PK\3\4"):
        return _zip
    if head[257:262] == b"ustar":
        return _image if _has_layout(path) else _tar
    if any(head.startswith(magic) for magic in PACKED):
        return _tar
    raise NotABundleError(f"{path} is no bundle: it is neither a directory, nor a zip, tar, image or run file")


def _unreadable() -> tuple[type[Exception], ...]:
    return UNREADABLE + tuple(sys.modules[name].ZstdError for name in ZSTD if name in sys.modules)


@contextmanager
def _damage_named() -> Iterator[None]:
    """Turn what damage leads to into a sentence.

    Raises:
        DamagedError: there was some.
    """
    try:
        yield
    except _unreadable() as error:
        raise DamagedError(f"it is cut short or damaged: {error or type(error).__name__}") from None
    except OSError as error:
        if error.errno is not None:  # a failing disk, and the like
            raise
        raise DamagedError(f"it is damaged: {error}") from None


def _zip(path: Path) -> Contents:
    found = _Gathered()
    with _damage_named(), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                mode = member.external_attr >> 16
                odd = stat.S_IFMT(mode) not in (0, stat.S_IFREG)
                try:
                    found.add(
                        member.filename,
                        stat.S_IMODE(mode),
                        "is no regular file" if odd else "",
                        lambda member=member: cast("BinaryIO", archive.open(member)),  # type: ignore[misc]
                    )
                except (*UNREADABLE, RuntimeError) as error:  # RuntimeError: encrypted
                    name = posixpath.normpath(member.filename)
                    found.files[name] = Fact("", 0, stat.S_IMODE(mode), f"cannot be unpacked: {error}")
    return found.contents(path)


def _tar(path: Path) -> Contents:
    with path.open("rb") as file:
        return _unpacked(file, path).contents(path)


def _unpacked(file: BinaryIO, path: Path) -> _Gathered:
    found = _Gathered()
    with _damage_named():
        _gather(_plain(_Peeked(file)), found)
    if not found.files:
        raise NotABundleError(f"{path} is no bundle: nothing is in it")
    return found


def _plain(packed: _Peeked) -> BinaryIO:
    """Return a stream of what another unpacks to; that itself if it is not compressed."""
    opener = next((opener for begin, opener in PACKED.items() if packed.head.startswith(begin)), None)
    return opener(packed) if opener else cast("BinaryIO", packed)


def _gather(stream: BinaryIO, found: _Gathered, called: Callable[[str], str] = str) -> None:
    """Enter the members of a tar.

    Args:
        stream: is read to its end.
        found: where they are entered.
        called: returns under which name; an empty one leaves the member out.
    """
    with tarfile.open(fileobj=cast("Any", stream), mode="r|") as tar:
        for member in tar:
            if not member.isdir() and (name := called(member.name)):
                odd = "" if member.isreg() else "is no regular file"
                found.add(name, member.mode, odd, lambda: cast("BinaryIO", tar.extractfile(member)))  # noqa: B023 - called at once
    # a checksum is compared where the compressed data ends, which is behind the end of the tar
    while stream.read(CHUNK):
        pass


class _Peeked:
    """A stream, the beginning of which is known."""

    def __init__(self, file: BinaryIO, limit: int | None = None) -> None:
        self._file, self._left = file, limit
        self.digest = hashlib.sha256()
        self.head = self._take(8)
        self._ahead = self.head

    def read(self, size: int = CHUNK) -> bytes:
        """Return some bytes, as many as asked for if there are as many."""
        ahead, self._ahead = self._ahead[:size], self._ahead[size:]
        return ahead + (self._take(size - len(ahead)) if size > len(ahead) else b"")

    def _take(self, size: int) -> bytes:
        data = self._file.read(size if self._left is None else min(size, self._left))
        if self._left is not None:
            self._left -= len(data)
        self.digest.update(data)
        return data


def _gzip(stream: _Peeked) -> BinaryIO:
    return cast("BinaryIO", gzip.GzipFile(fileobj=cast("BinaryIO", stream), mode="rb"))


def _zstd(stream: _Peeked) -> BinaryIO:
    for name in ZSTD:
        try:
            return cast("BinaryIO", importlib.import_module(name).ZstdFile(stream, "rb"))
        except ImportError:
            continue
    raise NotABundleError(
        "a tar.zst can be verified by Python 3.14 or newer, or unpacked: zstd -dc FILE | tar -x, and then the directory"
    )


PACKED: Mapping[bytes, Callable[[_Peeked], BinaryIO]] = {
    b"\x1f\x8b": _gzip,
    b"\x28\xb5\x2f\xfd": _zstd,
}
"""How compressed tars begin, and what reads them."""


def _run(path: Path) -> Contents:
    with path.open("rb") as file:
        head = file.read(HEAD)
        facts = dict(re.findall(rb"^(skip|size|sha256)=(\w+)", head, re.MULTILINE))
        try:
            start, size, sha256 = int(facts[b"skip"]) - 1, int(facts[b"size"]), facts[b"sha256"].decode()
        except (LookupError, ValueError):
            raise DamagedError("its header is damaged") from None
        surplus = path.stat().st_size - start - size
        if surplus < 0:
            raise DamagedError(f"it is cut short: {-surplus} bytes are missing")
        file.seek(start)
        payload = _Peeked(file, size)
        found = _unpacked(cast("BinaryIO", payload), path)
    wrong = (
        "its content does not have the checksum that its header says" if payload.digest.hexdigest() != sha256 else ""
    )
    return found.contents(path, whole=wrong or (f"has {surplus} bytes behind its end" if surplus else ""))


# --- an image ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """An image layout: a directory, or a tar of one."""

    sizes: Mapping[str, int]
    """Its files, with their bytes."""
    open: Callable[[str], BinaryIO]
    twice: Sequence[str] = ()
    """Names that are there more than once."""


@contextmanager
def _layout(path: Path) -> Iterator[_Layout]:
    if path.is_dir():
        names = [name for name in _names(os.fspath(path), "") if (path / name).is_file()]
        sizes = {name: (path / name).stat().st_size for name in names}
        yield _Layout(sizes, lambda name: (path / name).open("rb"))
        return
    with _damage_named(), tarfile.open(path, "r:") as tar:
        found = [(posixpath.normpath(member.name), member) for member in tar if member.isreg()]
        members, counts = dict(found), Counter(name for name, _ in found)
        sizes = {name: member.size for name, member in members.items()}
        twice = [name for name, count in counts.items() if count > 1]
        yield _Layout(sizes, lambda name: cast("BinaryIO", tar.extractfile(members[name])), twice)


def _has_layout(path: Path) -> bool:
    """Tell whether a tar is that of an image layout."""
    try:
        with tarfile.open(path, "r:") as tar:
            names = (posixpath.normpath(member.name) for member in tar)
            # one that is cut short may have lost the first
            return any(name == LAYOUT or name.startswith(BLOBS) for name in names)
    except tarfile.TarError:
        return False  # whatever else it is, it will be read as far as it goes


def _image(path: Path) -> Contents:
    """Read an image: each blob has a digest, each layer that of what it unpacks to as well.

    Raises:
        NotABundleError: it is an image of something else.
    """
    with _layout(path) as layout:
        image = _Image(layout)
        try:
            manifest = image.manifest()
            config = image.document(manifest["config"])
            layers, diffs = manifest["layers"], config["rootfs"]["diff_ids"]
            top = _top(config)
            if len(layers) != len(diffs):
                raise DamagedError("its configuration has not as many layers as its manifest")
            for descriptor, diff in zip(layers, diffs):  # noqa: B905 - as many
                image.layer(descriptor, diff, top)
            image.compare_docker(manifest)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            message = f"its index, manifest or configuration makes no sense ({type(error).__name__}: {error})"
            raise DamagedError(message, image.differences) from None
        return image.contents(path, top)


def _top(config: Any) -> str:
    """Return where the bundle is: its programs are found first."""
    variables = dict(one.partition("=")[::2] for one in config["config"].get("Env") or ())
    first: str = variables.get("PATH", "").partition(":")[0]
    return posixpath.dirname(first).strip("/")


class _Image:
    """An image that is being read, and what is wrong with it."""

    def __init__(self, layout: _Layout) -> None:
        self.differences = [Difference("changed", name, "is there more than once") for name in layout.twice]
        self._layout = layout
        self._seen = {LAYOUT, INDEX, DOCKER}
        self._found = _Gathered()
        self._readable = True

    def _tell(self, kind: str, name: str, what: str) -> None:
        self.differences.append(Difference(kind, name, what))

    def manifest(self) -> Any:
        """Return the manifest of the one image that is there.

        Raises:
            DamagedError: it cannot be read. NotABundleError: there are several.
        """
        json.loads(self._small(LAYOUT))["imageLayoutVersion"]
        document = json.loads(self._small(INDEX))
        for _ in range(DEPTH):
            if "manifests" not in document:
                break
            if len(document["manifests"]) != 1:
                raise NotABundleError(f"the layout has {len(document['manifests'])} images; what relenv writes has one")
            document = self.document(document["manifests"][0])
        return document

    def _small(self, name: str) -> bytes:
        if name not in self._layout.sizes:
            self._tell("missing", name, "is not there")
            raise DamagedError(f"{name} is not there", self.differences)
        with self._layout.open(name) as file:
            return file.read(LARGEST)

    def document(self, descriptor: Mapping[str, Any]) -> Any:
        """Return a blob of JSON."""
        name = _place(descriptor)
        data = self._small(name)
        self._verify(name, descriptor, hashlib.sha256(data).hexdigest())
        try:
            return json.loads(data)
        except ValueError:
            raise DamagedError(f"{name} cannot be read", self.differences) from None

    def _verify(self, name: str, descriptor: Mapping[str, Any], sha256: str) -> None:
        self._seen.add(name)
        size = self._layout.sizes[name]
        if size != descriptor["size"]:
            self._tell("changed", name, f"has {size} bytes in place of {descriptor['size']}")
        elif f"sha256:{sha256}" != descriptor["digest"]:
            self._tell("changed", name, "does not have the digest that is its name")

    def layer(self, descriptor: Mapping[str, Any], diff: str, top: str) -> None:
        """Lay a layer over those before it.

        Args:
            descriptor: as in the manifest.
            diff: the digest of what it unpacks to.
            top: the directory, from which names are taken; what is beside it is passed over.
        """
        name = _place(descriptor)
        if name not in self._layout.sizes:
            self._readable = False
            self._tell("missing", name, "is not there")
            return
        found, reason = _Gathered(), ""
        with self._layout.open(name) as file:
            plain = packed = _Peeked(file)
            try:
                with _damage_named():
                    plain = _Peeked(_plain(packed))
                    _gather(cast("BinaryIO", plain), found, lambda one: _inside(top, one))
            except DamagedError as error:
                reason = str(error)
            while packed.read():
                pass
        self._verify(name, descriptor, packed.digest.hexdigest())
        if reason:
            self._readable = False
            self._tell("damaged", name, reason)
        elif f"sha256:{plain.digest.hexdigest()}" != diff:
            self._tell("changed", name, "does not unpack to what the configuration says")
        _lay_over(self._found, found)

    def compare_docker(self, manifest: Mapping[str, Any]) -> None:
        """Hold what `docker load` goes by against the manifest."""
        if DOCKER in self._layout.sizes:
            wanted = [_place(one) for one in (manifest["config"], *manifest["layers"])]
            images = json.loads(self._small(DOCKER))
            if [[image["Config"], *image["Layers"]] for image in images] != [wanted]:
                self._tell("changed", DOCKER, "names other blobs than the manifest")

    def contents(self, path: Path, top: str) -> Contents:
        """Return what the bundle's directory has in a container.

        Raises:
            DamagedError: what is in it cannot be told. NotABundleError: no bundle is.
        """
        if not self._readable:
            raise DamagedError("its layers cannot be read", self.differences)
        for name in sorted(self._layout.sizes.keys() - self._seen):
            self._tell("added", name, "belongs to no image")
        if MANIFEST not in self._found.manifests:
            raise NotABundleError(f"{path} is an image of something else: /{top} in it has no {MANIFEST}")
        found = self._found.contents(path)
        return Contents(files=found.files, manifest=found.manifest, odd=found.odd, around=self.differences)


def _place(descriptor: Mapping[str, Any]) -> str:
    return f"blobs/{descriptor['digest'].replace(':', '/')}"


def _inside(top: str, name: str) -> str:
    """Return a name as seen from a directory; empty if it is not in there."""
    name = posixpath.normpath(f"/{name}").strip("/")
    return name[len(top) + 1 :] if name.startswith(f"{top}/") else ""


def _lay_over(below: _Gathered, layer: _Gathered) -> None:
    """Lay what is in a layer over what is in those below (image-spec, layer.md)."""
    for name in [name for name in layer.files if posixpath.basename(name).startswith(WHITEOUT)]:
        del layer.files[name]
        folder, hidden = posixpath.split(name)
        gone = folder if hidden == OPAQUE else posixpath.join(folder, hidden.removeprefix(WHITEOUT))
        for one in [one for one in below.files if not gone or f"{one}/".startswith(f"{gone}/")]:
            del below.files[one]
    below.files.update(layer.files)
    below.odd += layer.odd
    below.manifests.update(layer.manifests)


# --- the command ------------------------------------------------------------------------------------------


def main() -> int:
    """Verify the bundle that this is in, or another; return the exit status."""
    own = Path(__file__).parents[3]
    parser = argparse.ArgumentParser(
        prog="python3 -m relenv_pip.verify",
        description="Hold a bundle against the manifest in it: exits with 0 if it is as it was made, else with 9.",
    )
    parser.add_argument("path", nargs="?", type=Path, default=own, metavar="FILE", help="(default: this bundle)")
    parser.add_argument("--strict", action="store_true", help="let what was added count too")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args()
    try:
        report = verify(args.path)
    except (NotABundleError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE
    text = json.dumps(report.described(strict=args.strict)) + "\n" if args.json else report.text(strict=args.strict)
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode())
    return 0 if report.ok(strict=args.strict) else DIFFERENT


if __name__ == "__main__":
    sys.exit(main())
