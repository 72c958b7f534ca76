"""What came of bundling a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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
