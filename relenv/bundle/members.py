"""Directories among the dependencies, such as other members of a workspace: built as the project itself is.

pip would build them too, in an environment that it makes and removes each time. What comes out here is known by its
content: while that stays the same, so does what was installed, and no network is needed for it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import zipfile
from typing import TYPE_CHECKING
from urllib.parse import unquote

from relenv.bundle.places import file_of
from relenv.bundle.wheel import build_wheel, builders_for
from relenv.ui import working

if TYPE_CHECKING:
    from pathlib import Path

    from relenv.bundle.dependencies import Dependencies, Site

DIRECT = re.compile(r"(?P<name>\S+) @ (?P<url>file:[^\s#]+)(#subdirectory=(?P<below>\S+))?")
OF_PIP = ("PIP_CONFIG_SETTINGS", "PIP_NO_BUILD_ISOLATION")
"""Settings that say how pip is to build: with these it does."""


def build_members(site: Site, wanted: Dependencies) -> Dependencies:
    """Return the same dependencies with wheels in the place of directories.

    Args:
        site: what is worked with; the wheels are in its `work`.
        wanted: what is to be installed.

    Raises:
        BuildError, InstallError, ConfigError: as `relenv.bundle.wheel.build_wheel`.
    """
    lines: list[str] = []
    known: dict[str, str] = {}
    for line in wanted.loose.splitlines():
        match = DIRECT.fullmatch(line)
        place = file_of(match["url"]) if match else None
        folder = place / unquote(match["below"] or "") if match and place else None
        if match and folder and folder.is_dir() and not any(map(site.environ.get, OF_PIP)):
            wheel = _build(site, match["name"], folder)
            lines.append(f"{match['name']} @ {wheel.as_uri()}")
            known[lines[-1]] = f"{match['name']} {_content(wheel)}"
        else:
            lines.append(line)
    return dataclasses.replace(wanted, loose="".join(f"{line}\n" for line in lines), known=known)


def _build(site: Site, name: str, folder: Path) -> Path:
    work = site.work / "members" / name
    work.mkdir(parents=True)
    builders = dataclasses.replace(builders_for(site), environ=site.dated, label=name, delegate="")
    with working(site.context.ui, f"Building {name}", f"Built {name}"):
        return build_wheel(folder, builders, work)


def _content(wheel: Path) -> str:
    """Return a hash of what is in a wheel, whatever the times that its backend has given to the files."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            content = hashlib.sha256(archive.read(info)).hexdigest()
            digest.update(repr([info.filename, info.external_attr >> 16 & 0o111, content]).encode())
    return digest.hexdigest()
