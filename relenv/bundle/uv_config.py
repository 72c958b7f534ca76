"""What uv's configuration files say (https://docs.astral.sh/uv/concepts/configuration-files/).

    UV_CONFIG_FILE alone · else the workspace's or project's, the user's, the system's ──► tables, the first counts most

uv reads them by itself. relenv has to know what they say to know whether what was resolved still holds, and to let uv
install what is exact where a project has limits to choose by.
"""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FILE = "uv.toml"
NO = frozenset({"", "0", "f", "false", "n", "no", "off"})
"""Values of a variable that do not turn something on."""

CHOICES = frozenset({"constraint-dependencies", "override-dependencies", "exclude-dependencies"})
"""What decides which versions are chosen, and gets in the way of installing what is chosen already."""
ELSEWHERE = frozenset({"target", "prefix"})
"""What in [tool.uv.pip] has uv install into another directory than the one it is told."""
CHOICE_VARIABLES = frozenset({"UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE"})
WHENCE = ("index", "index-url", "extra-index-url", "find-links", "no-index", "index-strategy", "torch-backend")
REACH = (
    "keyring-provider",
    "allow-insecure-host",
    "system-certs",
    "native-tls",
    "http-proxy",
    "https-proxy",
    "no-proxy",
)
BUILD = (
    *("config-settings", "config-settings-package", "no-build-isolation", "no-build-isolation-package"),
    *("extra-build-dependencies", "extra-build-variables", "build-constraint-dependencies", "require-build-hashes"),
    *("dependency-metadata", "no-sources", "no-sources-package", "exclude-newer", "exclude-newer-package"),
)
KINDS = ("no-build", "no-build-package", "no-binary", "no-binary-package", "only-binary")
PROGRAM = ("preview", "preview-features", "concurrent-downloads", "concurrent-builds", "concurrent-installs")
KEPT = frozenset({*WHENCE, *REACH, *BUILD, *KINDS, *PROGRAM})
"""What matters for installing what is exact: whence, through what, and how what has no wheel is built.

No more than that: uv stops at what a uv.toml may not have, such as `sources` and `workspace`.
"""


@dataclass(frozen=True, kw_only=True)
class Table:
    """What one of uv's configuration files says."""

    folder: Path
    """Where its relative places begin."""
    values: Mapping[str, Any]

    def placed(self) -> dict[str, Any]:
        """Return the same, with places that hold elsewhere."""
        return _placed(self.values, self.folder)


def tables(project: Path, environ: Mapping[str, str]) -> list[Table]:
    """Return what uv reads in a project's directory, the first counts most; what is no TOML is uv's to complain of.

    Args:
        project: the directory.
        environ: what uv is started with.
    """
    project = (project / environ.get("UV_PROJECT", "")).absolute()
    if named := environ.get("UV_CONFIG_FILE"):
        files = [project / named]
    elif environ.get("UV_NO_CONFIG", "").lower() not in NO:
        return []
    else:
        files = [of_user(environ), *of_system(environ)[:1]]
    found = [] if named else list(_of_project(project))[:1]
    return [*found, *(Table(folder=one.parent, values=values) for one in files if (values := _read(one)))]


def workspaces(project: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the roots of workspaces of uv's that a project is a member of, and what they say of uv."""
    for parent in project.parents:
        try:
            uv = _read(parent / "pyproject.toml")["tool"]["uv"]
            member = any(project in parent.glob(pattern) for pattern in uv["workspace"]["members"])
        except (ValueError, LookupError, TypeError, NotImplementedError):
            continue
        if member:
            yield parent, uv


def without_choices(found: Sequence[Table]) -> dict[str, Any] | None:
    """Return what they say together, as one uv.toml, but for what is in the way of installing what is exact.

    That is what limits the choice, and what leads elsewhere. None if there is no such thing.
    """
    merged: dict[str, Any] = {}
    for one in found:
        merged = _merge(merged, one.placed())
    if CHOICES.isdisjoint(merged) and ELSEWHERE.isdisjoint(_table(merged, "pip")):
        return None
    pip = {name: value for name, value in _table(merged, "pip").items() if name in KEPT}
    return {name: value for name, value in merged.items() if name in KEPT} | ({"pip": pip} if pip else {})


def places(found: Sequence[Table]) -> list[str]:
    """Return where they have packages looked for."""
    parts = [part for placed in (one.placed() for one in found) for part in (placed, _table(placed, "pip"))]
    lists = [part[name] for part in parts for name in ("find-links", "extra-index-url") if name in part]
    said = [
        *(place for some in lists if isinstance(some, list) for place in some),
        *(part.get("index-url") for part in parts),
        *(index.get("url") for part in parts for index in part.get("index", [])),
    ]
    return [one for one in said if isinstance(one, str)]


def _of_project(project: Path) -> Iterator[Table]:
    """Yield the tables from a project, or the root of its workspace, upwards: the first is uv's."""
    nearest = next((one for one in (project, *project.parents) if (one / "pyproject.toml").is_file()), project)
    data = _read(nearest / "pyproject.toml")
    begin = project
    if "workspace" in _uv_of(data):
        begin = nearest
    elif "project" in data:
        begin = next((root for root, _ in workspaces(nearest)), nearest)
    for folder in (begin, *begin.parents):
        if (folder / FILE).is_file():
            yield Table(folder=folder, values=_read(folder / FILE))
        elif values := _uv_of(_read(folder / "pyproject.toml")):
            yield Table(folder=folder, values=values)


def of_user(environ: Mapping[str, str]) -> Path:
    """Return a user's own configuration file, whether it is there or not."""
    return Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or Path.home()) / ".config") / "uv" / FILE


def of_system(environ: Mapping[str, str]) -> list[Path]:
    """Return the machine's that are there, what counts most first."""
    folders = [*(environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":"), "/etc"]
    return [path for folder in folders if (path := Path(folder) / "uv" / FILE).is_file()]


def _read(file: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        return tomllib.loads(file.read_text(encoding="utf-8"))
    return {}


def _uv_of(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return _table(_table(data, "tool"), "uv")


def _table(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def _merge(more: Mapping[str, Any], less: Mapping[str, Any]) -> dict[str, Any]:
    """Return two tables as one, as uv does it: lists are joined, of other values the first counts."""
    merged = {**less, **more}
    for name in more.keys() & less.keys():
        one, other = more[name], less[name]
        if isinstance(one, dict) and isinstance(other, dict):
            merged[name] = _merge(one, other)
        elif isinstance(one, list) and isinstance(other, list):
            merged[name] = [*one, *other]
    return merged


def _placed(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    found = dict(values)

    def place(one: object) -> object:
        return str(folder / one) if isinstance(one, str) and not re.match(r"[A-Za-z][\w+.-]*:", one) else one

    for name in ("find-links", "extra-index-url"):
        if isinstance(some := found.get(name), list):
            found[name] = [place(one) for one in some]
    if "index-url" in found:
        found["index-url"] = place(found["index-url"])
    if "index" in found:
        some = found["index"] if isinstance(found["index"], list) else []
        found["index"] = [{**one, "url": place(one.get("url"))} for one in some if isinstance(one, dict)]
    if isinstance(pip := found.get("pip"), dict):
        found["pip"] = _placed(pip, folder)
    return found
