"""Which file each package was installed from: a lock may allow several, for several machines.

pip tells afterwards, in its report. uv does not, and may take what it has built itself where the lock has a wheel of
the same name. So it is asked what could be had here, and given one file to choose from.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from relenv.checksums import sha256_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

HASH = re.compile(r"\s--hash=(\w+):(\w+)")
STRONG = ("sha256", "sha384", "sha512")
"""The algorithms of checksums that pip's --hash takes."""
COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
"""All of the id that git (of SHA-1 or SHA-256) or Mercurial has made of the content."""


def checksums(info: Mapping[str, Any]) -> dict[str, str]:
    """Return the checksums of a file that pip has chosen, by algorithms.

    Args:
        info: `download_info` of its report (https://packaging.python.org/en/latest/specifications/direct-url/).
    """
    archive = info.get("archive_info", {})
    kind, _, value = archive.get("hash", "").partition("=")  # all that pip before 23.1 tells, as that of Python 3.11.2
    return archive.get("hashes") or ({kind: value} if value else _of_local(info["url"]))


def _of_local(url: str) -> dict[str, str]:
    """Return the checksum of a local file, which pip does not tell."""
    path = Path(unquote(urlsplit(url).path))
    return {"sha256": sha256_of(path)} if url.startswith("file://") and path.is_file() else {}


def certain(requirements: str) -> dict[str, str]:
    """Return `sha256:...` of the files that requirements with checksums (pip's format) allow, where it is only one.

    By whichever of STRONG the requirements have.
    """
    allowed = {name: some for name, some in _allowed(requirements).items() if len(some) == 1}
    return {name: f"{kind}:{value}" for name, some in allowed.items() for kind, value in some if kind in STRONG}


def _allowed(requirements: str) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {}
    for line in requirements.splitlines():
        found.setdefault(name_of(line), set()).update(HASH.findall(line))
    return found


def several(requirements: str) -> str:
    """Return those of the requirements that allow several files, and the options."""
    lines = [line for line in requirements.splitlines() if line.startswith("-") or len(HASH.findall(line)) > 1]
    return "".join(f"{line}\n" for line in lines) if any(map(name_of, lines)) else ""


def of_report(report: Iterable[Mapping[str, Any]], requirements: str) -> dict[str, str]:
    """Return `sha256:...` of the files that pip has installed, as far as the requirements vouch for them.

    Args:
        report: the list `install` of it (https://pip.pypa.io/en/stable/reference/installation-report/).
        requirements: what was asked for, with checksums.
    """
    allowed = _allowed(requirements)
    found: dict[str, str] = {}
    for item in report:
        name = canonicalize_name(item["metadata"]["name"])
        if vouched := _vouched(checksums(item["download_info"]), allowed.get(name, ())):
            found[name] = vouched
    return found


def _vouched(hashes: Mapping[str, str], allowed: Collection[tuple[str, str]]) -> str:
    """Return `sha256:...` of a file, of its checksums by the first of STRONG that is allowed; empty if none is."""
    return next((f"{kind}:{hashes[kind]}" for kind in STRONG if (kind, hashes.get(kind, "")) in allowed), "")


def narrowed(requirements: str, offered: Iterable[Mapping[str, Any]], best: Mapping[Tag, int]) -> str:
    """Let requirements that allow several files allow the best of those that can be had: a wheel, else an sdist.

    Args:
        requirements: with checksums.
        offered: the packages of a pylock.toml (PEP 751): what an index has of them.
        best: of `ranks`.
    """
    packages: dict[str, Mapping[str, Any]] = {canonicalize_name(package["name"]): package for package in offered}
    lines = [_narrow(line, packages.get(name_of(line), {}), best) for line in requirements.splitlines()]
    return "".join(f"{line}\n" for line in lines)


def _narrow(line: str, package: Mapping[str, Any], best: Mapping[Tag, int]) -> str:
    allowed = set(HASH.findall(line))
    chosen = _best([one for one in _files(package) if _vouched(one.get("hashes", {}), allowed)], best)
    return f"{HASH.sub('', line).rstrip()} --hash={_vouched(chosen['hashes'], allowed)}" if chosen else line


def as_pip_reports(package: Mapping[str, Any], folder: Path, best: Mapping[Tag, int]) -> dict[str, Any]:
    """Return what uv has chosen as pip's report has it.

    Args:
        package: of a pylock.toml (PEP 751) that uv has written.
        folder: where that is.
        best: of `ranks`.
    """
    direct = package.get("vcs") or package.get("directory") or package.get("archive")
    file: Mapping[str, Any] = direct or _best(_files(package), best) or {}
    info: dict[str, Any] = {"url": file.get("url") or (folder / str(file["path"])).resolve().as_uri()}
    if "vcs" in package:
        info["vcs_info"] = {"vcs": file["type"], "commit_id": file["commit-id"]}
    elif "directory" in package:
        info["dir_info"] = {}
    else:
        info["archive_info"] = {"hashes": file.get("hashes", {})}
    if below := file.get("subdirectory"):
        info["subdirectory"] = below
    metadata = {"name": package["name"], "version": package.get("version", "")}
    return {"metadata": metadata, "download_info": info, "is_direct": direct is not None}


def _files(package: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]


def _sha256(file: Mapping[str, Any]) -> str:
    return str(file.get("hashes", {}).get("sha256", ""))


def _best(files: Iterable[Mapping[str, Any]], best: Mapping[Tag, int]) -> Mapping[str, Any] | None:
    """Return the file that pip would take, of those that fit here: a wheel by its tags, else an sdist."""

    def rank(file: Mapping[str, Any]) -> tuple[int, int, str]:
        try:
            _, _, build, tags = parse_wheel_filename(_file_name(file))
        except InvalidWheelFilename:
            return len(best) + 1, 0, ""
        # of two builds of the same the later one
        return min(best.get(tag, len(best)) for tag in tags), -build[0] if build else 1, _sha256(file)

    return min(files, key=rank, default=None)


def _file_name(file: Mapping[str, Any]) -> str:
    place = str(file.get("url") or file.get("path")).partition("#")[0]
    return str(file.get("name") or unquote(place.rpartition("/")[2]))


NEWEST = 60
"""The minor version of a glibc 2 newer than any: the wheels among which is chosen all fit."""
NAMED = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""Older names of platforms (PEP 600, "Legacy manylinux tags")."""


def tags_of(series: str, machine: str) -> list[Tag]:
    """Return the tags of wheels for an interpreter, the best first, for any glibc (PEP 425, PEP 600).

    Args:
        series: such as `3.13`.
        machine: such as `x86_64`.
    """
    version = tuple(map(int, series.split(".")))
    minors = range(NEWEST, min(NAMED) - 1, -1)
    platforms = [f"{name}_{machine}" for minor in minors for name in (f"manylinux_2_{minor}", NAMED.get(minor)) if name]
    platforms.append(f"linux_{machine}")
    python = f"cp{series.replace('.', '')}"
    return [*cpython_tags(version, [python], platforms), *compatible_tags(version, python, platforms)]


def ranks(tags: Iterable[Tag]) -> dict[Tag, int]:
    """Return the place of each of some tags; the best ones come first."""
    return {tag: at for at, tag in enumerate(tags)}


def name_of(line: str) -> str:
    """Return the normalised name in a requirement; empty for an option."""
    found = re.match(r"[A-Za-z0-9][\w.-]*", line)
    return canonicalize_name(found[0]) if found else ""
