"""Where a bundle is written: beside its place, and renamed there once it is whole."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.errors import OutputError
from relenv.store import held, making, missing_folders, partial_name, put_in_place, remove_empty, try_writing
from relenv.ui import slowly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
    """Return where to make what is to be renamed to `path`, under a lock for that; see `store.partial_name`."""
    return partial_name(path.parent, f".{path.name}.")


@contextmanager
def partial_of(path: Path, make: Callable[[Path], object]) -> Iterator[Path]:
    """Give what is to be renamed to `path`: a file or a directory, as `make` makes it; see `store.held`.

    Raises:
        OutputError: it cannot be written.
    """
    with writing(path), held(path.parent, f".{path.name}.", make) as partial:
        yield partial


def try_making(folder: Path, *, hint: str) -> None:
    """Try before minutes of work whether a directory can be made, and written to; if it is not there, none stays.

    Raises:
        OutputError: it cannot.
    """
    missing = missing_folders(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try_writing(folder, hint=hint)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created: {error.strerror}", hint=hint) from error
    finally:
        remove_empty(missing)


@contextmanager
def in_turn(folder: Path, ui: Ui) -> Iterator[None]:
    """Have a directory to oneself while all of a bundle is put there; another relenv waits, whatever its cache is.

    Two bundles of one name, in several formats, are then there as the one or as the other. If it is not there it is
    made, and goes again if nothing could be put there.

    Raises:
        OutputError: it cannot be made.
    """
    with ExitStack() as stack:
        with writing(folder):
            stack.enter_context(making(folder))
        with _turn(folder, ui):
            yield


@contextmanager
def _turn(folder: Path, ui: Ui) -> Iterator[None]:
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

    def make(path: Path) -> None:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))

    with partial_of(into, make) as partial:
        with partial.open("r+b") as out:
            yield out
        put_in_place(partial, into)


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
