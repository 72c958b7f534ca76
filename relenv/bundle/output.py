"""Where a bundle is written: beside its place, and renamed there once it is whole."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from relenv.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedRandom
    from pathlib import Path


def beside(path: Path) -> Path:
    """Return where to write what is to be renamed to `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


@contextmanager
def fresh(into: Path, *, mode: int = 0o666) -> Iterator[BufferedRandom]:
    """Give a file that becomes `into` if the body ends well, and nothing otherwise.

    Args:
        into: the file.
        mode: as of open(2): the umask is heeded.

    Raises:
        OutputError: it cannot be written.
    """
    partial = beside(into)
    with writing(into):
        try:
            with open(partial, "w+b", opener=lambda path, flags: os.open(path, flags, mode)) as out:
                yield out
            partial.replace(into)
        finally:
            with suppress(OSError):
                partial.unlink()


@contextmanager
def writing(into: Path) -> Iterator[None]:
    """Turn what the system says against writing `into` into a sentence.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {into}: {reason}", hint="choose another place, or make room") from error
