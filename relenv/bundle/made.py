"""What came of bundling a project."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from pathlib import Path


def look(status: os.stat_result) -> tuple[int, ...]:
    """Return what of stat(2) changes with whatever is done to a file; no program can set its ctime."""
    return (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, kw_only=True)
class Written:
    """A bundle that was written."""

    format: str
    path: Path
    sha256: str
    """Of the file; empty for a directory."""
    size: int
    """Bytes."""
    seen: tuple[int, ...] = field(default=(), compare=False)
    """What told the file from any other as it was written, of `look`: by now another may be in its place."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle that was written, in one format or several."""

    files: tuple[Written, ...]
    name: str
    """The directory it unpacks to."""
    python: str
    project: str
    version: str
    scripts: tuple[str, ...]
    installers: tuple[str, ...]
    """Programs beside them that install a service, or put a script into the menu."""
    until: float
    """When to look anew whether its dependencies are still the right ones, in seconds since 1970."""
    unchanged: bool = False
    """Whether it was there already, and nothing that it is made of has changed since."""
