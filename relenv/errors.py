"""Every way in which relenv refuses, as one sentence and one hint; the class carries the exit code.

Only `relenv.cli.main` prints these and exits. README.md lists the codes.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class RelenvError(Exception):
    """Something a user can understand and act on.

    Args:
        message: one sentence: what is wrong, where, which key or file.
        hint: what to do about it; empty when the message says so already.
        detail: the end of a log, shown between the two.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail


class UsageError(RelenvError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = 2


class ConfigError(RelenvError):
    """pyproject.toml, [tool.relenv] or the project itself is not in order."""

    exit_code = 3


class SourceError(RelenvError):
    """A source tarball, the toolchain or a Python version cannot be obtained here."""

    exit_code = 4


class ChecksumError(SourceError):
    """What was obtained is not what was pinned."""

    exit_code = 5


class SignatureError(ChecksumError):
    """What was obtained is not signed with the key that was configured."""


class UnsafeError(ChecksumError):
    """An archive would write outside of its place, or more than plain files."""


class HostError(RelenvError):
    """The machine lacks a program, or is of a kind relenv cannot build on."""

    exit_code = 6


class BuildError(RelenvError):
    """A build step failed: a library, the interpreter or the project's own wheel."""

    exit_code = 7


class InstallError(RelenvError):
    """A dependency cannot be resolved, fetched or built."""

    exit_code = 8


class CheckError(RelenvError):
    """What was made does not pass its own verification."""

    exit_code = 9


class OutputError(RelenvError):
    """The result cannot be written: no permission, disk full, something in the way."""

    exit_code = 10


FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system calls a full disk, or a user's share of it."""


def disk_full(what: object, place: str = "RELENV_DATA") -> OutputError:
    """Return the error for a full disk (ENOSPC, EDQUOT).

    Args:
        what: what could not be done or written for want of room.
        place: what says where that is.
    """
    return OutputError(f"{what}: the disk is full", hint=f"make room, or let {place} be a directory on another disk")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let a full disk name the file that there is no room for: an error of write(2) names none."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in FULL:
            error.filename = str(path)
        raise


def first_of(error: OSError) -> OSError:
    """Return the first of the errors that shutil.copytree gathers, as the one it was; any other error as it is.

    It keeps the texts alone, one for each file that was not copied: thousands where the disk is full.
    """
    gathered = error.args[0] if error.args else None
    if not isinstance(gathered, list) or not gathered:
        return error
    source, target, why = map(str, gathered[0])
    found = re.match(r"\[Errno (\d+)\] ", why)
    number, what = (int(found[1]), os.strerror(int(found[1]))) if found else (0, why)
    place = source if source in why and target not in why else target
    return OSError(number, what, place)


class CacheError(RelenvError):
    """The cache directory is unreadable, damaged, or belongs to someone else."""

    exit_code = 11
