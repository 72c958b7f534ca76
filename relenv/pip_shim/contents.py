"""What is in a bundle: each file with its checksum, size and mode, read as a stream."""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from .packing import CHUNK, MANIFEST, DamagedError, NotABundleError, enter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from .packing import Difference

HASHERS = 2
"""Threads: one reads while the other hashes."""


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


def in_directory(root: Path) -> Contents:
    """Return what is in a bundle's directory.

    Raises:
        NotABundleError: it has no manifest. DamagedError: that cannot be read.
        OSError: a directory in it cannot be: all that is in there would be said to be missing.
    """
    try:
        manifest = (root / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise NotABundleError(f"{root} is no bundle: it has no {MANIFEST}") from None
    except OSError as error:
        raise DamagedError(f"its {MANIFEST} cannot be read: {error.strerror}") from None
    names = list(names_in(os.fspath(root)))
    with ThreadPoolExecutor(HASHERS) as pool:
        facts = pool.map(lambda name: _fact(root / name), names)
        return Contents(files=dict(zip(names, facts)), manifest=manifest)  # noqa: B905 - one for each


def names_in(folder: str, below: str = "") -> Iterator[str]:
    """Yield the paths of what is in a directory and those in it, but for the directories.

    Args:
        folder: the directory.
        below: what the paths begin with.

    Raises:
        OSError: one cannot be read; the error names it.
    """
    enter(folder)
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            yield from names_in(entry.path, f"{below}{entry.name}/")
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


class Gathered:
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


def _own_name(member: tarfile.TarInfo) -> str:
    return member.name


def gather(stream: BinaryIO, found: Gathered, called: Callable[[tarfile.TarInfo], str] = _own_name) -> None:
    """Enter the members of a tar.

    Args:
        stream: is read to its end.
        found: where they are entered.
        called: returns under which name; an empty one leaves the member out. It is asked of directories, too.
    """
    with tarfile.open(fileobj=cast("Any", stream), mode="r|") as tar:
        for member in tar:
            if (name := called(member)) and not member.isdir():
                odd = "" if member.isreg() else "is no regular file"
                found.add(name, member.mode, odd, lambda: cast("BinaryIO", tar.extractfile(member)))  # noqa: B023 - called at once
    # a checksum is compared where the compressed data ends, which is behind the end of the tar
    while stream.read(CHUNK):
        pass
