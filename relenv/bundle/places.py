"""What there is on this machine of what decides which packages are found: directories, and files with limits."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def file_of(url: str) -> Path | None:
    """Return the file or directory that a URL names, if it is a `file:` URL."""
    if not url.startswith("file:"):
        return None
    with suppress(ValueError):  # file://[ is no URL
        return Path(unquote(urlsplit(url).path))
    return None


def direct(requirements: Iterable[str]) -> list[tuple[int, int]]:
    """Return size and time of each local file that a requirement names by its URL."""
    found = []
    for one in requirements:
        path = file_of(Requirement(one).url or "")
        with suppress(OSError):
            status = path.stat() if path else None
            found += [(status.st_size, status.st_mtime_ns)] if status else []
    return found


def offered(environ: Mapping[str, str], more: Iterable[str] = ()) -> list[tuple[str, int, int]]:
    """Return what is in the local directories among the places to find files in: name, size and time of each file.

    Args:
        environ: variables, of which some name such places.
        more: others.
    """
    variables = f"{environ.get('PIP_FIND_LINKS', '')} {environ.get('UV_FIND_LINKS', '')}"
    places = [*re.split(r"[\s,]+", variables), *more]
    folders = {unquote(urlsplit(place).path) for place in places if not re.match(r"(?!file:)\w+://", place)}
    found = []
    for folder in sorted(filter(None, folders)):
        with suppress(OSError), os.scandir(folder) as entries:
            found += [(entry.name, (status := entry.stat()).st_size, status.st_mtime_ns) for entry in entries]
    return sorted(found)


LIMITS = (
    *("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"),
    *("UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE", "UV_BUILD_CONSTRAINT"),
)
"""Variables that name files which limit the choice. pip looks for them from where it is, uv from the project."""


def limits(environ: Mapping[str, str], project: Path) -> list[str]:
    """Return what is in the local files that limit which versions are chosen."""
    found = []
    for name in LIMITS:
        folder = Path() if name.startswith("PIP_") else project
        for one in environ.get(name, "").split():
            with suppress(OSError):  # it may be a URL
                found.append((folder / one).read_text(encoding="utf-8", errors="replace"))
    return found
