"""The directories among the places where packages are looked for."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


def offered(environ: Mapping[str, str]) -> list[tuple[str, int, int]]:
    """Return what is in the local directories among the places to find files in: name, size and time of each file."""
    places = re.split(r"[\s,]+", f"{environ.get('PIP_FIND_LINKS', '')} {environ.get('UV_FIND_LINKS', '')}")
    folders = {unquote(urlsplit(place).path) for place in places if not re.match(r"(?!file:)\w+://", place)}
    found = []
    for folder in sorted(filter(None, folders)):
        with suppress(OSError), os.scandir(folder) as entries:
            found += [(entry.name, (status := entry.stat()).st_size, status.st_mtime_ns) for entry in entries]
    return sorted(found)
