"""What a project needs besides itself: resolved to files with checksums by pip or uv, then installed from these."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relenv import process
from relenv.environment import Environment, pip_install
from relenv.environment import repair as put_in_order
from relenv.errors import ConfigError, InstallError
from relenv.plan import KEY_LENGTH
from relenv.store import write_text
from relenv.ui import working

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from relenv.bundle.config import AppConfig
    from relenv.context import Context
    from relenv.interpreter import Interpreter

FRESH = 600.0
"""Seconds for which a resolution holds: as long as the Python package index lets its pages be kept."""


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """Exactly what is to be installed, as requirements files (pip's format)."""

    hashed: str = ""
    """Each line with the checksums of what may be installed."""
    loose: str = ""
    """What has no checksum: directories, and revisions of repositories."""

    @property
    def key(self) -> str:
        """What tells them from others; empty if that cannot be known: a directory changes."""
        return "" if re.search(r"@ file:", self.loose) else json.dumps([self.hashed, self.loose])

    @property
    def empty(self) -> bool:
        """Whether there is nothing to install."""
        return not (self.hashed or self.loose)


@dataclass(frozen=True, kw_only=True)
class Installer:
    """A program that resolves and installs."""

    name: str
    resolve: Callable[[Site, Sequence[str]], Dependencies]
    install: Callable[[Site, Environment, Dependencies], None]


@dataclass(frozen=True, kw_only=True)
class Site:
    """What an installer works with."""

    context: Context
    config: AppConfig
    interpreter: Interpreter
    environ: Mapping[str, str]
    """The user's, with what the project says of indexes and of the compiler."""
    work: Path
    """A directory that is removed afterwards."""
    label: str
    """What is being bundled, for messages."""


def installer_for(context: Context, config: AppConfig) -> Installer:
    """Return the installer that is asked for; of "auto" uv where it is, else pip.

    Raises:
        ConfigError: uv is asked for and not there.
    """
    uv = shutil.which("uv", path=context.environ.get("PATH"))
    if config.installer == "uv" and not uv:
        raise ConfigError("installer = uv, and there is no uv in PATH", hint="pip install uv, or installer = pip")
    return INSTALLERS["pip" if config.installer == "pip" or not uv else "uv"]


def resolve(site: Site, installer: Installer, requirements: Sequence[str]) -> Dependencies:
    """Return the files that satisfy some requirements; what was found out lately still holds.

    Raises:
        InstallError: there are none, or they cannot be had.
    """
    if not requirements:
        return Dependencies()
    cache = site.context.cache
    settings = {name: value for name, value in site.environ.items() if name.startswith(("PIP_", "UV_"))}
    known = json.dumps([installer.name, site.interpreter.key, sorted(requirements), site.config.glibc, settings])
    path = cache.root / "resolutions" / f"{hashlib.sha256(known.encode()).hexdigest()[:KEY_LENGTH]}.json"
    if found := _recorded(path, site.config):
        return found
    with working(site.context.ui, f"Resolving what {site.label} needs"):
        found = installer.resolve(site, requirements)
    if found.key:
        path.parent.mkdir(exist_ok=True)
        write_text(path, json.dumps({"hashed": found.hashed, "loose": found.loose}) + "\n")
    return found


def _recorded(path: Path, config: AppConfig) -> Dependencies | None:
    try:
        fresh = time.time() - path.stat().st_mtime < FRESH
        valid = config.offline or (fresh and not config.refresh)
        return Dependencies(**json.loads(path.read_bytes())) if valid else None
    except (OSError, ValueError, TypeError):
        return None


# --- pip --------------------------------------------------------------------------------------------------

PIP = """\
import sys
sys.path.insert(0, sys.argv.pop(1))
from pip._internal.cli.main import main
sys.exit(main())
"""
"""Runs pip with one more directory to import from."""


def _pip_resolve(site: Site, requirements: Sequence[str]) -> Dependencies:
    report = site.work / "report.json"
    tags = site.work / "tags"
    tags.mkdir(exist_ok=True)
    python = site.interpreter.root / "bin" / "python3"
    with wheels_for(site.config.glibc, tags):
        pip_install(
            [python, "-I", "-B", "-c", PIP, tags],
            ["--dry-run", "--ignore-installed", "--report", str(report), "--", *requirements],
            environ=site.environ,
            what=site.label,
        )
    found = [_line(item) for item in json.loads(report.read_bytes())["install"]]
    return _sorted(found)


def _line(item: Mapping[str, Any]) -> tuple[str, bool]:
    """Return a requirement for what pip has chosen, and whether it carries a checksum (PEP 610, pip's report)."""
    name, info = item["metadata"]["name"], item["download_info"]
    url = info["url"]
    if vcs := info.get("vcs_info"):
        below = f"#subdirectory={info['subdirectory']}" if info.get("subdirectory") else ""
        return f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}{below}", False
    hashes = info.get("archive_info", {}).get("hashes", {})
    if "dir_info" in info or not hashes:
        return f"{name} @ {url}", False
    checks = " ".join(f"--hash={kind}:{value}" for kind, value in sorted(hashes.items()))
    return f"{name} @ {url} {checks}", True


def _sorted(lines: Sequence[tuple[str, bool]]) -> Dependencies:
    hashed = sorted(line for line, has_hash in lines if has_hash)
    loose = sorted(line for line, has_hash in lines if not has_hash)
    return Dependencies(hashed="".join(f"{one}\n" for one in hashed), loose="".join(f"{one}\n" for one in loose))


def _pip_install(site: Site, environment: Environment, wanted: Dependencies) -> None:
    with wheels_for(site.config.glibc, environment.site_packages):
        for file, options in _files(site, wanted):
            pip_install(
                [environment.root / "bin" / "pip3"],
                ["--no-compile", "--no-deps", *options, "-r", str(file)],
                environ=site.environ,
                what=site.label,
            )


def _files(site: Site, wanted: Dependencies) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Write the requirements files; yield each that is not empty, with the options it takes."""
    parts = (("hashed.txt", wanted.hashed, ("--require-hashes",)), ("loose.txt", wanted.loose, ()))
    for name, text, options in parts:
        if text:
            path = site.work / name
            path.write_text(text, encoding="utf-8")
            yield path, options


@contextmanager
def wheels_for(glibc: str, folder: Path) -> Iterator[None]:
    """Let pip choose wheels for a glibc that is older than this machine's.

    By the module that distributions have for such a thing: PEP 600, "Package installers".

    Args:
        glibc: such as `2.28`; empty for this machine's.
        folder: a directory that pip imports from.
    """
    module = folder / "_manylinux.py"
    if glibc:
        minor = int(glibc.partition(".")[2])
        code = f"def manylinux_compatible(major, minor, arch):\n    return (major, minor) <= (2, {minor})\n"
        module.write_text(code, encoding="utf-8")
    try:
        yield
    finally:
        module.unlink(missing_ok=True)


DECORATION = " \u00d7\u2570\u2500\u25b6"
"""What uv draws around its messages."""

# --- uv ---------------------------------------------------------------------------------------------------


def _uv_resolve(site: Site, requirements: Sequence[str]) -> Dependencies:
    wanted, found = site.work / "requirements.in", site.work / "resolved.txt"
    wanted.write_text("".join(f"{one}\n" for one in requirements), encoding="utf-8")
    options = ("--generate-hashes", "--no-header", "--no-annotate", "--no-config", "--quiet", "--output-file", found)
    _uv(site, "compile", site.interpreter.root, *options, wanted)
    text = re.sub(r" *\\\n *", " ", found.read_text(encoding="utf-8"))
    return _sorted([(line, "--hash=" in line) for line in text.splitlines() if line and line[0] not in "#-"])


def _uv_install(site: Site, environment: Environment, wanted: Dependencies) -> None:
    for file, options in _files(site, wanted):
        _uv(site, "install", environment.root, "--no-deps", "--link-mode=copy", "--quiet", *options, "-r", file)
    put_in_order(environment.root)


def _uv(site: Site, command: str, root: Path, *arguments: str | Path) -> None:
    options: list[str | Path] = ["--python", root / "bin" / "python3", "--no-python-downloads"]
    if site.config.glibc:
        machine = site.interpreter.triplet.partition("-")[0]
        options += ["--python-platform", f"{machine}-manylinux_{site.config.glibc.replace('.', '_')}"]
    options += ["--offline"] if site.config.offline else []
    uv = shutil.which("uv", path=site.environ.get("PATH")) or "uv"
    try:
        process.run([uv, "pip", command, *options, *arguments], env=site.environ)
    except process.CommandError as error:
        reason = re.sub(r"\s+", " ", error.tail).strip(DECORATION)
        raise InstallError(
            f"{site.label} cannot be installed: {reason}",
            detail=error.tail,
            hint="uv's configuration is honoured: UV_INDEX_URL and its like; installer = pip does without uv",
        ) from error


INSTALLERS = {
    "pip": Installer(name="pip", resolve=_pip_resolve, install=_pip_install),
    "uv": Installer(name="uv", resolve=_uv_resolve, install=_uv_install),
}
