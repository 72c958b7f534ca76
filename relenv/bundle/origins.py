"""Which file each package was installed from: a lock may allow several, for several machines.

pip tells afterwards, in its report. uv does not, and may take what it has built itself where the lock has a wheel of
the same name. So it is asked what could be had here, and given one file to choose from.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from packaging.tags import Tag, compatible_tags, cpython_tags, platform_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from relenv.checksums import sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

HASH = re.compile(r"\s--hash=(\w+):(\w+)")
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
    """Return the sha256 of the files that requirements with checksums (pip's format) allow, where it is only one."""
    allowed = {name: some for name, some in _allowed(requirements).items() if len(some) == 1}
    return {name: value for name, some in allowed.items() for kind, value in some if kind == "sha256"}


def _allowed(requirements: str) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {}
    for line in requirements.splitlines():
        found.setdefault(_name(line), set()).update(HASH.findall(line))
    return found


def several(requirements: str) -> str:
    """Return those of the requirements that allow several files, and the options."""
    lines = [line for line in requirements.splitlines() if line.startswith("-") or len(HASH.findall(line)) > 1]
    return "".join(f"{line}\n" for line in lines) if any(map(_name, lines)) else ""


def of_report(report: Iterable[Mapping[str, Any]], requirements: str) -> dict[str, str]:
    """Return the sha256 of what pip has installed, as far as the requirements vouch for it.

    Args:
        report: the list `install` of it (https://pip.pypa.io/en/stable/reference/installation-report/).
        requirements: what was asked for, with checksums.
    """
    allowed = _allowed(requirements)
    found: dict[str, str] = {}
    for item in report:
        name = canonicalize_name(item["metadata"]["name"])
        sha256 = checksums(item["download_info"]).get("sha256", "")
        if ("sha256", sha256) in allowed.get(name, ()):
            found[name] = sha256
    return found


def narrowed(requirements: str, offered: Iterable[Mapping[str, Any]], tags: Sequence[Tag]) -> str:
    """Let requirements that allow several files allow the best of those that can be had: a wheel, else an sdist.

    Args:
        requirements: with checksums.
        offered: the packages of a pylock.toml (PEP 751): what an index has of them.
        tags: what this Python can use, the best first.
    """
    best = {tag: at for at, tag in enumerate(tags)}
    packages: dict[str, Mapping[str, Any]] = {canonicalize_name(package["name"]): package for package in offered}
    lines = [_narrow(line, packages.get(_name(line), {}), best) for line in requirements.splitlines()]
    return "".join(f"{line}\n" for line in lines)


def _narrow(line: str, package: Mapping[str, Any], best: Mapping[Tag, int]) -> str:
    allowed = {value for kind, value in HASH.findall(line) if kind == "sha256"}
    wheels = [one for one in _wheels(package.get("wheels", ()), best) if one[-1] in allowed]
    sdist = package.get("sdist", {}).get("hashes", {}).get("sha256")
    chosen = min(wheels)[-1] if wheels else sdist
    return f"{HASH.sub('', line).rstrip()} --hash=sha256:{chosen}" if chosen in allowed else line


def _wheels(wheels: Iterable[Mapping[str, Any]], best: Mapping[Tag, int]) -> Iterator[tuple[int, int, str]]:
    """Yield how well each wheel fits, less for better, as pip sees it; its sha256 is the last."""
    for one in wheels:
        name = one.get("name") or unquote(str(one.get("url") or one.get("path")).partition("#")[0].rpartition("/")[2])
        try:
            _, _, build, tags = parse_wheel_filename(name)
        except InvalidWheelFilename:
            continue
        rank = min(best.get(tag, len(best)) for tag in tags)
        # of two builds of the same the later one
        yield rank, -build[0] if build else 1, one.get("hashes", {}).get("sha256", "")


def tags_of(series: str) -> list[Tag]:
    """Return what a Python of ours can use on this machine, the best first, as pip sees it.

    Args:
        series: `3.13`.
    """
    version = tuple(map(int, series.split(".")))
    python, platforms = f"cp{series.replace('.', '')}", list(platform_tags())
    return [*cpython_tags(version, [python], platforms), *compatible_tags(version, python, platforms)]


def _name(line: str) -> str:
    found = re.match(r"[A-Za-z0-9][\w.-]*", line)
    return canonicalize_name(found[0]) if found else ""
