"""What a project needs besides itself: resolved to files with checksums by pip or uv, then installed from these."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import re
import shutil
import textwrap
import time
import tomllib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from relenv import pip_config, process
from relenv.bundle import uv_config
from relenv.bundle.origins import (
    COMMIT,
    as_pip_reports,
    certain,
    checksums,
    name_of,
    narrowed,
    of_report,
    ranks,
    several,
    tags_of,
)
from relenv.bundle.places import direct, file_of, limits, offered
from relenv.bundle.tar import EPOCH
from relenv.bundle.unharmed import unharmed
from relenv.bundle.uv_config import CHOICE_VARIABLES, Table, places, tables, without_choices
from relenv.environment import Environment, installed, pip_install
from relenv.errors import ChecksumError, ConfigError, HostError, InstallError, disk_full
from relenv.pip_errors import BUILT, wrong_file
from relenv.plan import KEY_LENGTH
from relenv.store import write_text
from relenv.ui import working

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from importlib.metadata import Distribution

    from packaging.tags import Tag

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
    until: float = math.inf
    """When to look anew whether these are still the right ones, in seconds since 1970."""
    lock: Path | None = None
    """The file that lists them, where it does not say what needs what."""
    known: Mapping[str, str] = field(default_factory=dict)
    """What tells the content of local files from other content, by their lines in `loose`."""

    @classmethod
    def of(cls, lines: Iterable[tuple[str, bool]], folders: Iterable[str] = ()) -> Dependencies:
        """Return what some requirements, of each of which it is said whether it carries checksums, come to.

        Args:
            lines: the requirements.
            folders: where files lie besides the indexes.
        """
        options = "".join(f"--find-links {Path(one).as_uri()}\n" for one in sorted(folders))
        parts = {
            has: "".join(f"{line}\n" for line in sorted(one for one, h in lines if h is has)) for has in (True, False)
        }
        return cls(hashed=f"{options}{parts[True]}" if parts[True] else "", loose=parts[False])

    @property
    def key(self) -> str:
        """What tells them from others; empty if that cannot be known: a directory changes."""
        loose = "".join(f"{self.known.get(line, line)}\n" for line in self.loose.splitlines())
        if re.search(r"@ file:", loose):
            return ""
        return json.dumps([sorted(map(_content, self.hashed.splitlines())), loose])

    @property
    def empty(self) -> bool:
        """Whether there is nothing to install."""
        return not (self.hashed or self.loose)

    def only(self, name: str) -> Dependencies:
        """Return one of them.

        Args:
            name: its name, normalised.
        """

        def part(text: str) -> str:
            lines = [line for line in text.splitlines(keepends=True) if line.startswith("-") or name_of(line) == name]
            return "".join(lines) if any(not line.startswith("-") for line in lines) else ""

        return Dependencies(hashed=part(self.hashed), loose=part(self.loose), known=self.known)


def _content(line: str) -> str:
    """Return what decides what is installed for a requirement: of a file its checksum, wherever it comes from."""
    hashes = re.findall(r"--hash=(\S+)", line)
    # below a directory there may be several; whether one with a marker is installed is up to the installer
    more = "#subdirectory=" in line or ";" in line
    return line if more or len(hashes) != 1 else f"{name_of(line)} {hashes[0]}"


@dataclass(frozen=True, kw_only=True)
class Installer:
    """A program that resolves and installs."""

    name: str
    resolve: Callable[[Site, Sequence[str]], Dependencies]
    install: Callable[[Site, Environment, Dependencies], dict[str, str]]
    """Returns `sha256:...` of the files that it was installed from, by names, as far as it knows better than these."""
    report: Callable[[Site, Sequence[str]], list[dict[str, Any]]]
    """What it would install, as pip reports it."""
    glibc: Callable[[str], str] = str
    """For which glibc it chooses wheels, if it is told one."""
    told: Callable[[Site], Sequence[Table]] = lambda _: ()
    """What files say to it that is in no variable."""


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

    @property
    def dated(self) -> Mapping[str, str]:
        """The same, with the time of day that dependencies are to put into what is built of them.

        See https://reproducible-builds.org/specs/source-date-epoch/: compilers and backends heed it. Not for the
        project itself: some make a version of it.
        """
        return {"SOURCE_DATE_EPOCH": str(EPOCH), **self.environ}


def installer_for(context: Context, config: AppConfig) -> Installer:
    """Return the installer that is asked for; of "auto" uv where it is, else pip.

    Raises:
        ConfigError: uv is asked for and not there.
    """
    uv = shutil.which("uv", path=context.environ.get("PATH"))
    if config.installer == "uv" and not uv:
        raise ConfigError("installer = uv, and there is no uv in PATH", hint="pip install uv, or installer = pip")
    if config.installer == "auto" and uv and _only_pip_is_configured(context.environ):
        uv = None
    return INSTALLERS["pip" if config.installer == "pip" or not uv else "uv"]


def locker_for(context: Context, config: AppConfig) -> Installer:
    """Return what resolves for a lock: pip unless uv is asked for, whichever is there.

    Raises:
        ConfigError: uv is asked for and not there.
    """
    if config.installer != "auto":
        return installer_for(context, config)
    if config.uv_places or _only_uv_is_configured(context.environ):
        context.ui.warn(
            "--lock resolves with pip, which does not heed what uv is told of indexes: "
            "installer = uv does, and index-url, extra-index-url and find-links of [tool.relenv] hold for both"
        )
    return INSTALLERS["pip"]


PIP_PLACES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CONFIG_FILE")
UV_PLACES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_CONFIG_FILE")


def _only_pip_is_configured(environ: Mapping[str, str]) -> bool:
    """Tell whether a user has told pip, yet not uv, where packages are: uv would look elsewhere."""
    return _configured(environ) == (True, False)


def _only_uv_is_configured(environ: Mapping[str, str]) -> bool:
    return _configured(environ) == (False, True)


def _configured(environ: Mapping[str, str]) -> tuple[bool, bool]:
    pip = (*pip_config.machine_files(environ), *pip_config.own_files(environ))
    uv = (*uv_config.of_system(environ), uv_config.of_user(environ))
    places = ((PIP_PLACES, pip), (UV_PLACES, uv))
    found = [any(map(environ.get, names)) or any(path.is_file() for path in files) for names, files in places]
    return found[0], found[1]


def resolve(site: Site, installer: Installer, requirements: Sequence[str]) -> Dependencies:
    """Return the files that satisfy some requirements; what was found out lately still holds.

    Raises:
        InstallError: there are none, or they cannot be had.
    """
    if not requirements:
        return Dependencies()
    cache = site.context.cache
    told = installer.told(site)
    settings = [
        indexes(site.environ),
        offered(site.environ, places(told)),
        direct(sorted(requirements)),
        [[str(one.folder), one.values] for one in told],
        limits(site.environ, site.config.root),
    ]
    key = [installer.name, site.interpreter.key, sorted(requirements), site.config.glibc, settings]
    known = json.dumps(key, default=str)  # TOML has dates
    path = cache.root / "resolutions" / f"{hashlib.sha256(known.encode()).hexdigest()[:KEY_LENGTH]}.json"
    if found := _recorded(path, site.config):
        return found
    # what has no metadata is built for them, by the interpreter itself
    with working(site.context.ui, f"Resolving what {site.label} needs"), unharmed(site.context.cache, site.interpreter):
        found = installer.resolve(site, requirements)
    if found.key:
        path.parent.mkdir(exist_ok=True)
        write_text(path, json.dumps({"hashed": found.hashed, "loose": found.loose}) + "\n")
    return dataclasses.replace(found, until=time.time() + FRESH)


OFFLINE = ("PIP_NO_INDEX", "PIP_RETRIES", "UV_OFFLINE")


def indexes(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what decides which files are found, of an environment: not whether a network may be asked.

    Nor where pip's configuration file is: what it says has become variables, unless there is to be none.
    """
    known = {k: v for k, v in environ.items() if k.startswith(("PIP_", "UV_")) and k not in OFFLINE}
    return {k: v for k, v in known.items() if k != "PIP_CONFIG_FILE" or v == os.devnull}


def _recorded(path: Path, config: AppConfig) -> Dependencies | None:
    try:
        until = path.stat().st_mtime + FRESH
        valid = config.offline or (time.time() < until and not config.refresh)
        known = json.loads(path.read_bytes())
        return Dependencies(**known, until=math.inf if config.offline else until) if valid else None
    except (OSError, ValueError, TypeError):
        return None


def install(site: Site, installer: Installer, environment: Environment, wanted: Dependencies) -> dict[str, str]:
    """Install dependencies.

    Returns:
        `sha256:...` of the file that each was installed from, by normalised names, as far as that is known.

    Raises:
        InstallError: they cannot be had.
        ChecksumError: something is not what was asked for.
    """
    told = installer.install(site, environment, wanted)
    for one in installed(environment):
        _refuse_other_commit(one)
    return {**certain(wanted.hashed), **told}


def _refuse_other_commit(distribution: Distribution) -> None:
    """Refuse another commit than the one that was asked for: git also has branches and tags of such names.

    Raises:
        ChecksumError: it is one (PEP 610).
    """
    origin = json.loads(distribution.read_text("direct_url.json") or "{}").get("vcs_info", {})
    asked, got = origin.get("requested_revision", ""), origin.get("commit_id", "")
    if COMMIT.fullmatch(asked) and got != asked:
        raise ChecksumError(
            f"{distribution.name} is not the commit that is asked for: {asked} led to {got}",
            hint="a branch or tag of its repository is called like the commit",
        )


# --- pip --------------------------------------------------------------------------------------------------

PIP = """\
import sys
sys.path.insert(0, sys.argv.pop(1))
from pip._internal.cli.main import main
sys.exit(main())
"""
"""Runs pip with one more directory to import from."""


def _pip_resolve(site: Site, requirements: Sequence[str]) -> Dependencies:
    return Dependencies.of([_line(item) for item in pip_report(site, requirements)])


def pip_report(site: Site, requirements: Sequence[str]) -> list[dict[str, Any]]:
    """Return what pip would install for some requirements (https://pip.pypa.io/en/stable/reference/installation-report/).

    Raises:
        InstallError: it finds nothing that fits.
    """
    report = site.work / "report.json"
    tags = site.work / "tags"
    tags.mkdir(exist_ok=True)
    pip: list[str | Path] = [site.interpreter.root / "bin" / "python3", "-I", "-B", "-c", PIP, tags]
    asked = ("--dry-run", "--ignore-installed", "--report", str(report), "--", *requirements)

    def ask() -> list[dict[str, Any]]:
        with wheels_for(site.config.glibc, tags):
            pip_install(pip, asked, environ=site.dated, what=site.label)
        found: list[dict[str, Any]] = json.loads(report.read_bytes())["install"]
        return found

    found = ask()
    for name in filter(None, map(_stale, found)):
        with suppress(process.CommandError):  # installing says what is the matter
            process.run([*pip, "cache", "remove", name], env=site.dated)
    return ask() if any(map(_stale, found)) else found


def _stale(item: Mapping[str, Any]) -> str:
    """Return the name of what pip has built of another file at this place; empty if it is of the one that is there.

    pip keeps what it has built of a local archive by its place alone, with the checksum that it had.
    """
    path, known = file_of(item["download_info"]["url"]), checksums(item["download_info"])
    if not path or not known or not path.is_file():
        return ""
    kind, value = next(iter(known.items()))
    with path.open("rb") as file:
        return "" if hashlib.file_digest(file, kind).hexdigest() == value else str(item["metadata"]["name"])


def _line(item: Mapping[str, Any]) -> tuple[str, bool]:
    """Return a requirement for what pip has chosen, and whether it carries a checksum (PEP 610, pip's report)."""
    name, info = item["metadata"]["name"], item["download_info"]
    url, below = info["url"], f"#subdirectory={info['subdirectory']}" if info.get("subdirectory") else ""
    if vcs := info.get("vcs_info"):
        return f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}{below}", False
    hashes = checksums(info)
    if "dir_info" in info or not hashes:
        return f"{name} @ {url}{below}", False
    return f"{name} @ {url}{below}{_checks(hashes)}", True


def _checks(hashes: Mapping[str, str]) -> str:
    return "".join(f" --hash={kind}:{value}" for kind, value in sorted(hashes.items()))


def _pip_install(site: Site, environment: Environment, wanted: Dependencies) -> dict[str, str]:
    told: dict[str, str] = {}
    with wheels_for(site.config.glibc, environment.site_packages):
        for file, options in _files(site, wanted):
            report = file.with_suffix(".json")
            pip_install(
                [environment.root / "bin" / "pip3"],
                ["--no-compile", "--no-deps", "--report", str(report), *options, "-r", str(file)],
                environ=site.dated,
                what=site.label,
            )
            told |= of_report(json.loads(report.read_bytes())["install"], wanted.hashed)
    return told


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


LONGEST = 600
"""Characters of what uv says that go into a sentence; `--debug` shows all."""
DECORATION = " \u00d7\u2570\u2500\u25b6"
"""What uv draws around its messages."""

# --- uv ---------------------------------------------------------------------------------------------------


def _uv_resolve(site: Site, requirements: Sequence[str]) -> Dependencies:
    try:
        return Dependencies.of([_uv_line(item) for item in uv_report(site, requirements)])
    except HostError:  # too old: it names all files of each
        text = _uv_compile(site, "".join(f"{one}\n" for one in requirements), "resolved.txt")
    lines = re.sub(r" *\\\n *", " ", text).splitlines()
    return Dependencies.of([(line, "--hash=" in line) for line in lines if line and line[0] not in "#-"])


def _uv_told(site: Site) -> list[Table]:
    return tables(site.config.root, site.environ)


def _uv_line(item: Mapping[str, Any]) -> tuple[str, bool]:
    """Return a requirement as `_line` does; what an index has is asked for there, since uv may have to log in."""
    hashes = checksums(item["download_info"])
    if item["is_direct"] or not hashes:
        return _line(item)
    return f"{item['metadata']['name']}=={item['metadata']['version']}{_checks(hashes)}", True


def _uv_install(site: Site, environment: Environment, wanted: Dependencies) -> dict[str, str]:
    exact = dataclasses.replace(wanted, hashed=_of_each_one(site, wanted.hashed))
    without, site = _without_choices(site)
    fixed = (*without, "--no-deps", "--link-mode=copy", "--quiet", *_built_anew(exact.loose))
    for file, options in _files(site, exact):
        _uv(site, "install", environment.root, *fixed, *options, "-r", file)
    return certain(exact.hashed)


def _built_anew(loose: str) -> Iterator[str]:
    """Yield options to build directories: uv would take what it has built before, unless pyproject.toml is another."""
    for line in loose.splitlines():
        found = re.match(r"(\S+) @ (file:[^\s#]+)", line)
        folder = file_of(found[2]) if found else None
        if found and folder and folder.is_dir():
            yield f"--refresh-package={found[1]}"


def _without_choices(site: Site) -> tuple[tuple[str, ...], Site]:
    """Return options, and with what to work, so that what is chosen already is taken as it is.

    Limits that a project or a user has for choosing are unpinned mostly, which uv refuses beside --require-hashes, or
    speak against what a lock has. Its other configuration holds.
    """
    environ = {name: value for name, value in site.environ.items() if name not in CHOICE_VARIABLES}
    site = dataclasses.replace(site, environ=environ)
    if (values := without_choices(_uv_told(site))) is None:
        return (), site
    file = site.work / "exact" / "uv.toml"
    file.parent.mkdir(mode=0o700, exist_ok=True)  # there may be passwords in it
    file.write_text(tomli_w.dumps(values), encoding="utf-8")
    return ("--config-file", str(file)), site


def _of_each_one(site: Site, hashed: str) -> str:
    """Return requirements that allow one file of each package, as far as uv can be asked what there is."""
    if not (open_ones := several(hashed)):
        return hashed
    with suppress(InstallError):  # one before 0.6.15; what else there is it says again
        without, chosen = _without_choices(site)
        return narrowed(hashed, _uv_pylock(chosen, open_ones, *without, "--no-deps"), _ranks(site))
    return hashed


def uv_report(site: Site, requirements: Sequence[str]) -> list[dict[str, Any]]:
    """Return what uv would install for some requirements, as pip reports it.

    Raises:
        InstallError: it finds nothing that fits. HostError: it is too old to tell.
    """
    try:
        packages = _uv_pylock(site, "".join(f"{one}\n" for one in requirements))
    except InstallError as error:
        if "unexpected argument '--format'" in error.message:
            raise HostError(
                "this uv cannot write what --lock needs: 0.6.15 and newer ones do",
                hint="pip install -U uv, or installer = pip",
            ) from error
        raise
    best = _ranks(site)
    return [as_pip_reports(package, site.work, best) for package in packages]


def _ranks(site: Site) -> dict[Tag, int]:
    return ranks(tags_of(site.interpreter.series, site.interpreter.triplet.partition("-")[0]))


def _uv_pylock(site: Site, requirements: str, *options: str) -> list[dict[str, Any]]:
    """Return the packages of a pylock.toml: of each, all files that would do here."""
    text = _uv_compile(site, requirements, "pylock.toml", "--format", "pylock.toml", *options)
    packages: list[dict[str, Any]] = tomllib.loads(text).get("packages", [])
    return packages


def _uv_compile(site: Site, requirements: str, name: str, *options: str) -> str:
    wanted, found = site.work / "wanted.in", site.work / name
    wanted.write_text(requirements, encoding="utf-8")
    written = ("--generate-hashes", "--no-header", "--no-annotate", "--quiet", "--output-file", found)
    _uv(site, "compile", site.interpreter.root, *options, *written, wanted)
    return found.read_text(encoding="utf-8")


UV_GLIBCS = (17, 28, *range(31, 41))
"""The minor versions of glibc 2 that uv knows platforms for."""


def _of_uv(glibc: str) -> str:
    """Return the newest glibc not newer than that which uv knows; empty for an empty one."""
    minor = int(glibc.partition(".")[2] or 0)
    known = [one for one in UV_GLIBCS if one <= minor]
    return f"2.{known[-1]}" if known else ""


def _uv(site: Site, command: str, root: Path, *arguments: str | Path) -> None:
    options: list[str | Path] = ["--python", root / "bin" / "python3", "--no-python-downloads"]
    if glibc := _of_uv(site.config.glibc):
        machine = site.interpreter.triplet.partition("-")[0]
        options += ["--python-platform", f"{machine}-manylinux_{glibc.replace('.', '_')}"]
    options += ["--offline"] if site.config.offline else []
    options += [f"--only-binary={name}" for name in site.config.only_binary]  # no variable of uv's says so
    uv = shutil.which("uv", path=site.environ.get("PATH")) or "uv"
    try:
        # in the project, whose [tool.uv] counts
        process.run([uv, "pip", command, *options, *arguments], cwd=site.config.root, env=site.dated)
    except process.CommandError as error:
        if error.disk_full:
            raise disk_full(site.label) from error
        if wrong := re.search(r"Hash mismatch for `(.+?)`", error.tail):
            raise wrong_file(wrong[1], error.tail) from error
        reason = textwrap.shorten(
            error.tail.strip(DECORATION + "\n").removeprefix("error: "), LONGEST, placeholder=" ..."
        )
        built = re.match(r"Failed to build `(.+?)`", reason)
        reason = built[0] if built else reason
        raise InstallError(
            f"{site.label} cannot be installed: {reason}",
            detail=error.tail if reason.endswith(" ...") or built else "",
            hint=BUILT
            if built
            else "uv's configuration is honoured: UV_INDEX_URL and its like; installer = pip does without uv",
        ) from error


INSTALLERS = {
    "pip": Installer(name="pip", resolve=_pip_resolve, install=_pip_install, report=pip_report),
    "uv": Installer(name="uv", resolve=_uv_resolve, install=_uv_install, report=uv_report, glibc=_of_uv, told=_uv_told),
}
