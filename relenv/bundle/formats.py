"""What a bundle can be written as: one entry of FORMATS each. The same tree gives the same bytes in every one."""

from __future__ import annotations

import gzip
import hashlib
import shlex
import stat
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from relenv import process
from relenv.bundle import zstandard
from relenv.bundle.archive import Pack, walk, write_zip
from relenv.bundle.output import beside, fresh, writing
from relenv.download import sha256_of
from relenv.environment import copy_tree
from relenv.errors import OutputError
from relenv.recipes.model import BUILD_ENV
from relenv.store import remove_tree
from relenv.texts import template
from relenv.ui import working

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from relenv.ui import Ui

WIDTH = 12
"""Digits that a number may have in the header of a `run` file, which is as long before they are known as after."""
LEVELS = {"store": 0, "fast": 1, "default": 6, "small": 9}
"""zlib's, for what is compressed as a stream; 9 takes seven times as long as 6 for a percent."""
DEFLATE = {"store": 0, "fast": 1, "default": 9, "small": 12}
"""libdeflate's, for the members of a zip."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A finished tree that is to be written."""

    tree: Path
    """Regular files and directories only."""
    name: str
    """The directory that it unpacks to."""
    title: str
    """`myproject 1.0`."""
    facts: Mapping[str, str]
    """What is said of it, in the order in which it is said."""
    scripts: tuple[str, ...]
    compression: str
    """A key of LEVELS."""
    packs: tuple[Pack, ...]
    """What of the tree was deflated before."""
    digests: Mapping[str, str]
    """The sha256 of each file, by its path."""
    jobs: int
    ui: Ui


@dataclass(frozen=True, kw_only=True)
class Written:
    """A bundle that was written."""

    format: str
    path: Path
    sha256: str
    """Of the file; empty for a directory."""
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """A way to write a bundle."""

    suffix: str
    """What the file's name ends in."""
    write: Callable[[Job, Path], None]
    """Writes a tree to a path, whole or not at all."""


def write(job: Job, name: str, path: Path) -> Written:
    """Write a tree in a format.

    Raises:
        OutputError: it cannot be written.
    """
    FORMATS[name].write(job, path)
    if path.is_dir():
        size = sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
        return Written(format=name, path=path, sha256="", size=size)
    return Written(format=name, path=path, sha256=sha256_of(path), size=path.stat().st_size)


def refuse(name: str, path: Path) -> None:
    """Refuse a place before anything is built for it: a directory is not replaced.

    Raises:
        OutputError: something is there.
    """
    if name == "dir" and path.exists():
        raise OutputError(f"{path} exists already", hint="remove it, or choose another place with --output")


def _zip(job: Job, path: Path) -> None:
    write_zip(
        job.tree,
        path,
        top=job.name,
        bases=job.packs,
        ui=job.ui,
        level=DEFLATE[job.compression],
        jobs=job.jobs,
        digests=job.digests,
    )


def _tar(
    compressing: Callable[[BinaryIO, str], AbstractContextManager[BinaryIO]],
) -> Callable[[Job, Path], None]:
    """Return what writes a tree as a compressed tar."""

    def write_to(job: Job, path: Path) -> None:
        with (
            working(job.ui, f"Packing {path.name}"),
            fresh(path) as out,
            compressing(out, job.compression) as packed,
        ):
            _write_tar(job, packed)

    return write_to


@contextmanager
def gzipping(out: BinaryIO, compression: str) -> Iterator[BinaryIO]:
    """Give a file, what is written to which is compressed into `out`: the header has neither a name nor a time.

    Args:
        out: is not closed.
        compression: a key of LEVELS.
    """
    with gzip.GzipFile(filename="", mode="wb", compresslevel=LEVELS[compression], fileobj=out, mtime=0) as packed:
        yield cast("BinaryIO", packed)


def _write_tar(job: Job, out: BinaryIO) -> None:
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for name, entry in sorted(walk(job.tree), key=lambda one: one[0]):
            process.check()
            _add(tar, f"{job.name}/{name}", Path(entry.path))


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    member = tarfile.TarInfo(name.rstrip("/"))
    member.mtime = int(BUILD_ENV["SOURCE_DATE_EPOCH"])
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
        return
    member.size, member.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
    with path.open("rb") as file:
        tar.addfile(member, file)


def _dir(job: Job, path: Path) -> None:
    refuse("dir", path)
    partial = beside(path)
    with working(job.ui, f"Copying to {path}"), writing(path):
        try:
            copy_tree(job.tree, partial)
            partial.rename(path)
        finally:
            remove_tree(partial)


def _run(job: Job, path: Path) -> None:
    """Write an executable file: a header in sh, and behind it the tar.gz that it unpacks."""
    with working(job.ui, f"Packing {path.name}"), fresh(path, mode=0o777) as out:
        # the header tells the length of the payload and its checksum: it is written twice, at the same length
        out.write(_header(job, payload="0" * 64, size=0))
        start = out.tell()
        with gzipping(out, job.compression) as packed:
            _write_tar(job, packed)
        size = out.tell() - start
        out.seek(start)
        payload = hashlib.file_digest(out, "sha256").hexdigest()
        out.seek(0)
        out.write(_header(job, payload=payload, size=size))


def _header(job: Job, *, payload: str, size: int) -> bytes:
    main = job.name if job.name in job.scripts or not job.scripts else job.scripts[0]
    values = {
        "TITLE": job.title,
        "NAME": shlex.quote(job.name),
        "SCRIPTS": shlex.quote(" ".join(job.scripts)),
        "MAIN": shlex.quote(main if job.scripts else "python3"),
        "CHECKSUM": payload,
        "SIZE": f"{size:<{WIDTH}}",
        "SKIP": " " * WIDTH,
        "FACTS": "\n".join(f"{what}: {value}" for what, value in job.facts.items()),
    }
    text = template("run.sh.in", values).encode()
    return text.replace(b"skip=" + b" " * WIDTH, f"skip={len(text) + 1:<{WIDTH}}".encode())


FORMATS: dict[str, Format] = {
    "zip": Format(suffix=".zip", write=_zip),
    "tar.gz": Format(suffix=".tar.gz", write=_tar(gzipping)),
    "tar.zst": Format(suffix=".tar.zst", write=_tar(zstandard.compressing)),
    "dir": Format(suffix="", write=_dir),
    "run": Format(suffix=".run", write=_run),
}
"""The keys are those that `format` of [tool.relenv] takes."""
