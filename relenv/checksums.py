"""What a file is known by. Apart from `relenv.download`, whose libraries take longer to import than much else runs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from relenv.errors import ChecksumError

if TYPE_CHECKING:
    from pathlib import Path


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mismatch(what: object, *, found: str, pinned: str) -> ChecksumError:
    """Return the error that says that `what`, a path or URL, has another sha256 than the pinned one."""
    return ChecksumError(f"{what} has sha256 {found}, but {pinned} is pinned")
