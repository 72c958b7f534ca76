"""What a bundle is packed in: which format a file has, and the streams to read it by.

Nothing is unpacked for that. The standard library only, as of all that is shipped.
"""

from __future__ import annotations

import enum
import gzip
import hashlib
import importlib
import os
import posixpath
import re
import sys
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

MANIFEST = "relenv.json"
"""At the root of every tree of relenv's; a bundle's has `files`."""
LAYOUT, BLOBS = "oci-layout", "blobs/sha256/"
"""What tells an image layout from others (image-spec, image-layout.md)."""
CHUNK = 1 << 18
"""Bytes that are read at once."""
HEAD = 1 << 16
"""Bytes that the header of a run file is shorter than."""
UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RecursionError)
"""What damage looks like to the modules that read archives; gzip raises an OSError without errno.

The last: of thousands of long names, of which each is the name of the next."""
ZSTD = ("compression.zstd", "backports.zstd")
"""Of Python 3.14 (PEP 784), and for those before."""


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
class Difference:
    """A file that is not as the manifest says."""

    kind: str
    """`changed`, `missing`, `mode`, `damaged`, or, where it harms nothing, `added` or `bytecode`."""
    path: str
    what: str


def blob_path(digest: str) -> str:
    """Return where in an image layout the blob of a digest is."""
    return f"blobs/{digest.replace(':', '/')}"


class Form(enum.Enum):
    """How a bundle is packed."""

    DIRECTORY = enum.auto()
    ZIP = enum.auto()
    TAR = enum.auto()
    """Compressed or not."""
    RUN = enum.auto()
    IMAGE = enum.auto()
    """A layout, or a tar of one."""


def form_of(path: Path) -> Form:
    """Return how a bundle is packed, going by how the file begins, or what is in the directory.

    Raises:
        NotABundleError: it is not there, or begins like nothing that a bundle is.
        OSError: it cannot be read.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise NotABundleError(f"{path} does not exist") from None
    if path.is_dir():
        enter(os.fspath(path))
        return Form.IMAGE if (path / LAYOUT).is_file() else Form.DIRECTORY
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(b"#!/bin/sh") and re.search(rb"^skip=\d+", head, re.MULTILINE):
        return Form.RUN
    if head.startswith(b"PK\3\4"):
        return Form.ZIP
    if head[257:262] == b"ustar":
        return Form.IMAGE if _has_layout(path) else Form.TAR
    if any(head.startswith(magic) for magic in PACKED):
        return Form.TAR
    raise NotABundleError(f"{path} is no bundle: it is neither a directory, nor a zip, tar, image or run file")


def enter(folder: str) -> None:
    """Try to enter a directory: what can be listed cannot always be.

    Raises:
        OSError: it cannot be entered; the error names it.
    """
    try:
        os.stat(f"{folder}/.")  # noqa: PTH116 - Path drops the dot
    except OSError as error:
        error.filename = folder
        raise


def _has_layout(path: Path) -> bool:
    """Tell whether a tar is that of an image layout."""
    try:
        with tarfile.open(path, "r:") as tar:
            names = (posixpath.normpath(member.name) for member in tar)
            # one that is cut short may have lost the first
            return any(name == LAYOUT or name.startswith(BLOBS) for name in names)
    except tarfile.TarError:
        return False  # whatever else it is, it will be read as far as it goes


def _unreadable() -> tuple[type[Exception], ...]:
    return UNREADABLE + tuple(sys.modules[name].ZstdError for name in ZSTD if name in sys.modules)


@contextmanager
def damage_named() -> Iterator[None]:
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


class Peeked:
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


def plain(packed: Peeked) -> BinaryIO:
    """Return a stream of what another unpacks to; that itself if it is not compressed."""
    opener = next((opener for begin, opener in PACKED.items() if packed.head.startswith(begin)), None)
    return opener(packed) if opener else cast("BinaryIO", packed)


def _gzip(stream: Peeked) -> BinaryIO:
    return cast("BinaryIO", gzip.GzipFile(fileobj=cast("BinaryIO", stream), mode="rb"))


def _zstd(stream: Peeked) -> BinaryIO:
    for name in ZSTD:
        try:
            return cast("BinaryIO", importlib.import_module(name).ZstdFile(stream, "rb"))
        except ImportError:
            continue
    raise NotABundleError(
        "a tar.zst can be verified by Python 3.14 or newer, or unpacked: zstd -dc FILE | tar -x, and then the directory"
    )


PACKED: Mapping[bytes, Callable[[Peeked], BinaryIO]] = {
    b"\x1f\x8b": _gzip,
    b"\x28\xb5\x2f\xfd": _zstd,
}
"""How compressed tars begin, and what reads them."""


def seal_of(header: bytes) -> str:
    """Return the sha256 of a run file's header without that itself, which is in it as `header=`."""
    return hashlib.sha256(re.sub(rb"^header=[0-9a-f]{64}", b"header=", header, flags=re.MULTILINE)).hexdigest()


@dataclass(frozen=True)
class Payload:
    """The archive in a run file."""

    stream: Peeked
    sha256: str
    """As the header says."""
    surplus: int
    """Bytes behind its end."""

    def fault(self) -> str:
        """Return what is wrong with it, once it has been read to its end; empty if nothing is."""
        if self.stream.digest.hexdigest() != self.sha256:
            return "its content does not have the checksum that its header says"
        return self.behind() if self.surplus else ""

    def behind(self) -> str:
        """Return that there are bytes behind its end."""
        return f"it has {self.surplus} bytes behind its end"


@contextmanager
def payload_of(path: Path) -> Iterator[Payload]:
    """Open the archive in a run file.

    Raises:
        DamagedError: the header is not as it was made, or the file is cut short.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
        facts = dict(re.findall(rb"^(skip|size|sha256|header)=(\w+)", head, re.MULTILINE))
        try:
            start, size = int(facts[b"skip"]) - 1, int(facts[b"size"])
            sha256, seal = facts[b"sha256"].decode(), facts[b"header"].decode()
        except (LookupError, ValueError):
            raise DamagedError("its header is damaged") from None
        surplus = path.stat().st_size - start - size
        if surplus < 0:
            raise DamagedError(f"it is cut short: {-surplus} bytes are missing")
        if seal_of(head[:start]) != seal:
            raise DamagedError("its header does not have the checksum that it should")
        file.seek(start)
        yield Payload(Peeked(cast("BinaryIO", file), size), sha256, surplus)
