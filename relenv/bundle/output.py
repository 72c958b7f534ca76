"""Where a bundle is written: beside its place, and renamed there once it is whole."""

from __future__ import annotations

import fcntl
import glob
import os
import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.errors import OutputError
from relenv.process import alive
from relenv.store import put_in_place, remove_tree
from relenv.ui import slowly

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedRandom

    from relenv.bundle.config import AppConfig
    from relenv.ui import Ui


def is_folder(config: AppConfig) -> bool:
    """Tell whether the output is a directory, in which files are named after the bundle."""
    output = config.output
    return not output or output.endswith("/") or len(config.formats) > 1 or Path(output).is_dir()


def target_of(config: AppConfig, name: str, suffix: str) -> Path:
    """Return where a bundle of this name goes, in the format with this suffix."""
    return Path(config.output) / f"{name}{suffix}" if is_folder(config) else Path(config.output)


def file_name(project: str) -> str:
    """Return the name of a bundle that is named after its project."""
    return re.sub(r"[^\w.-]+", "-", project)


def is_special(path: Path) -> bool:
    """Tell whether something is there that is no file: to be renamed over, a device or pipe would be lost."""
    return path.exists() and not path.is_file()


def beside(path: Path) -> Path:
    """Return where to write what is to be renamed to `path`; what killed processes have left there goes."""
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        pid = stale.name.removesuffix(".part").rpartition(".")[2]
        if pid.isdigit() and not alive(int(pid)):
            with suppress(OSError):
                remove_tree(stale)
    return path.with_name(f".{path.name}.{os.getpid()}.part")


@contextmanager
def in_turn(folder: Path, ui: Ui) -> Iterator[None]:
    """Have a directory to oneself while all of a bundle is put there; another relenv waits, whatever its cache is.

    Two bundles of one name, in several formats, are then there as the one or as the other.
    """
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # not every directory can be read; what is written says what else is the matter
        yield
        return
    try:
        # not every file system has locks
        with slowly(ui, f"Waiting for another relenv that writes to {folder}"), suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


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
            put_in_place(partial, into)
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
