"""Members of a tar as every format has them: of one time and one owner, and of two modes."""

from __future__ import annotations

import gzip
import stat
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from relenv.bundle.archive import plain_mode
from relenv.recipes.model import BUILD_ENV

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EPOCH = int(BUILD_ENV["SOURCE_DATE_EPOCH"])
"""The time of everything that is shipped, in seconds since 1970."""


@contextmanager
def gzipping(out: BinaryIO, level: int) -> Iterator[BinaryIO]:
    """Give a file, what is written to which is compressed into `out`: the header has neither a name nor a time.

    Args:
        out: is not closed.
        level: zlib's.
    """
    with gzip.GzipFile(filename="", mode="wb", compresslevel=level, fileobj=out, mtime=0) as packed:
        yield cast("BinaryIO", packed)


def add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    """Add a file, or a directory without what is in it."""
    member = tarfile.TarInfo(name.rstrip("/"))
    member.mtime = EPOCH
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
        return
    member.size, member.mode = status.st_size, plain_mode(status.st_mode)
    with path.open("rb") as file:
        tar.addfile(member, file)
