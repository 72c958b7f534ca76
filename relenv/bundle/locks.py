"""Lock files: exactly which files a project has chosen, read from five formats and written in one.

    pylock.toml (PEP 751) · uv.lock · poetry.lock · pdm.lock ──► entries ──► those that the project's requirements reach

What a lock lists for other machines, extras or groups is passed over: the walk begins at what the project's wheel
requires here. So a lock is stale when it lacks something that is reached, or has it in a version that does not fit.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urldefrag, urlsplit, urlunsplit

import tomli_w
from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.pylock import Pylock, PylockValidationError
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion

from relenv.bundle.dependencies import Dependencies
from relenv.bundle.origins import COMMIT, STRONG, checksums
from relenv.bundle.uv_config import workspaces
from relenv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from packaging.pylock import Package, PackageArchive, PackageSdist, PackageWheel

REVISION = re.compile(r"[a-z]+\+.*?@(?P<commit>[^@#]*)(#.*)?")


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something that a project or a package requires."""

    name: str
    """Normalised."""
    extras: frozenset[str] = frozenset()
    requirement: Requirement | None = None
    """With a marker, and a range of versions, as far as there are any."""
    version: str = ""
    """The one version that is meant, if the lock says so."""
    marker: Marker | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A package in a lock."""

    name: str
    """Normalised."""
    version: str = ""
    hashes: tuple[str, ...] = ()
    """`sha256:...` of each file that may be installed, by all the algorithms that the lock has."""
    needs: tuple[Need, ...] = ()
    markers: tuple[Marker, ...] = ()
    """One of which must hold; none for always."""
    extras: frozenset[str] = frozenset()
    """The extras that this entry adds to that of the same name without."""
    direct: str = ""
    """A URL in place of an index (PEP 440, "Direct references")."""
    tree: bool = False
    """Whether that is a directory of this machine: nothing is downloaded, and nobody makes hashes of it."""
    folder: str = ""
    """A directory in which the files lie, in place of an index."""

    def __post_init__(self) -> None:
        """Refuse what no lock has where a text belongs: while it is read, that is damage; later, nobody expects it.

        Raises:
            TypeError: something is no text.
        """
        if not all(isinstance(one, str) for one in (self.version, *self.hashes)):
            raise TypeError(f"{self.name}: its version and hashes are no texts")

    @property
    def strong(self) -> list[str]:
        """Those of the hashes that can be verified."""
        return sorted({one for one in self.hashes if one.partition(":")[0] in STRONG})

    @property
    def unverified(self) -> str:
        """What the lock lacks to tell this from anything else under its name; empty if nothing."""
        if self.tree or self.extras:
            return ""
        if revision := REVISION.fullmatch(self.direct):
            return "" if COMMIT.fullmatch(revision["commit"]) else f"no full commit id for {self.name}"
        kinds = ", ".join(sorted({one.partition(":")[0] for one in self.hashes}))
        but = f" but {kinds}, and only {', '.join(STRONG)} are verified" if kinds else ""
        return "" if self.strong else f"no hash for {self.name}{but}"

    def line(self) -> tuple[str, bool]:
        """Return a requirement, and whether it carries checksums."""
        checks = "".join(f" --hash={one}" for one in self.strong)
        what = f"{self.name} @ {self.direct}" if self.direct else f"{self.name}=={self.version}"
        return f"{what}{checks}", bool(checks)


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of lock files."""

    read: Callable[[Mapping[str, Any], Path], Iterator[Entry]]
    renew: str
    """The command that brings it up to date."""
    flat: bool = False
    """Whether all is installed whose markers hold, not what requirements lead to."""
    sources: bool = False
    """Whether what does not come from an index is told by it alone: the project's wheel has no more than names."""


def find_lock(project: Path, lock: str = "auto") -> Path | None:
    """Return a project's lock file.

    Args:
        project: its directory.
        lock: `auto` for the first of FORMATS that is there, `none`, or a path.

    Raises:
        ConfigError: there is no file of that path.
    """
    if lock == "auto":
        here = (project / name for name in FORMATS if (project / name).is_file())
        return next(here, None) or _of_workspace(project.absolute())
    if lock == "none":
        return None
    path = project / lock
    if not path.is_file():
        raise ConfigError(f"lock: there is no {path}", hint=f"`auto` takes {', '.join(FORMATS)}")
    return path


def _of_workspace(project: Path) -> Path | None:
    """Return the uv.lock of the workspace that a project is a member of."""
    locks = (root / "uv.lock" for root, _ in workspaces(project) if (root / "uv.lock").is_file())
    return next(locks, None)


def workspace_sources(project: Path) -> frozenset[str]:
    """Return the names in [tool.uv.sources] of the workspace that a project is a member of."""
    tables = [uv.get("sources", {}) for _, uv in workspaces(project.absolute())]
    return frozenset(name for table in tables if isinstance(table, dict) for name in table)


def is_flat(path: Path) -> bool:
    """Tell whether a lock lists what is to be installed, and not what needs what."""
    form = _format_of(path)
    return form is None or form.flat


def read_lock(
    path: Path,
    requirements: Sequence[str],
    environment: Mapping[str, str],
    *,
    own: str = "",
    extras: Collection[str] = (),
    groups: Collection[str] = (),
) -> Dependencies:
    """Return what a lock has chosen for some requirements.

    Args:
        path: the file; what is none of FORMATS is a requirements file with hashes.
        requirements: what the project needs, markers evaluated.
        environment: what markers are evaluated with (PEP 508).
        own: the project's name, normalised: it is installed by itself.
        extras: of the project, that are wanted.
        groups: of the project's dependency groups, that are wanted.

    Raises:
        ConfigError: the lock is stale, damaged, of a kind that is not known, or has something that cannot be verified.
    """
    form = _format_of(path)
    if form is None:
        return _requirements(path, requirements, environment)
    data, entries = _entries(path, form)
    defaults = data.get("default-groups", ()) if form.flat else ()
    sets = {"extras": _normal(extras), "dependency_groups": _normal([*groups, *defaults])}
    if form.flat:
        _refuse_foreign(path, data, environment)
    alone = form.sources and any(one.direct for one in entries if one.name != own)
    passed = "" if alone else "; lock = none passes it over"
    walk = _Walk(
        path=path, renew=form.renew, passed=passed, own=own, entries=entries, environment=environment, sets=sets
    )
    try:
        chosen = walk.all(requirements) if form.flat else walk.reach(requirements)
    except (UndefinedComparison, UndefinedEnvironmentName) as error:  # of markers, which are in order as such
        raise _nonsense(path, form, error) from error
    # beside an sdist that was unpacked they are not there: uv would stop at that, though an index may have the files
    folders = {one.folder for one in chosen if one.folder and Path(one.folder).is_dir()}
    return Dependencies.of([entry.line() for entry in chosen], folders=folders)


def _entries(path: Path, form: Format) -> tuple[dict[str, Any], list[Entry]]:
    """Read a lock.

    Raises:
        ConfigError: it is damaged, or of a kind that is not known.
    """
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
        return data, list(form.read(data, path.parent.absolute()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", hint=f"`{form.renew}` makes it anew") from error
    except PylockValidationError as error:
        raise ConfigError(f"{path}: {error}", hint=f"`{form.renew}` makes it anew") from error
    except (LookupError, TypeError, AttributeError, ValueError) as error:  # also markers, requirements, names of files
        raise _nonsense(path, form, error) from error


def _nonsense(path: Path, form: Format, error: Exception) -> ConfigError:
    why = " ".join(str(error).split())  # packaging draws below a marker where it is wrong
    return ConfigError(f"{path} makes no sense ({why})", hint=f"`{form.renew}` makes it anew")


def _refuse_foreign(path: Path, data: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Refuse a lock that says of itself that it is for other Pythons or machines (PEP 751).

    Raises:
        ConfigError: it does.
    """
    python = environment["python_full_version"]
    wanted = str(data.get("requires-python", ""))
    if not SpecifierSet(wanted).contains(python, prereleases=True):
        raise ConfigError(f"{path} is for Python {wanted}, and {python} is to be bundled", hint="--python chooses")
    markers = data.get("environments", ())
    if markers and not any(Marker(one).evaluate(dict(environment)) for one in markers):
        raise ConfigError(f"{path} is not for this kind of machine, but for {' or '.join(markers)}")


def _normal(names: Iterable[str]) -> frozenset[str]:
    return frozenset(map(canonicalize_name, names))


def _format_of(path: Path) -> Format | None:
    if re.fullmatch(r"pylock\.([^.]+\.)?toml", path.name):  # PEP 751, "File Name"
        return FORMATS["pylock.toml"]
    return FORMATS.get(path.name)


# --- from requirements to entries -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Walk:
    path: Path
    renew: str
    passed: str
    """How to do without the lock, where that can be."""
    own: str
    """The project's name."""
    entries: Sequence[Entry]
    environment: Mapping[str, str]
    sets: Mapping[str, frozenset[str]]
    """What `extras` and `dependency_groups` stand for in markers (PEP 751)."""

    def all(self, requirements: Sequence[str]) -> list[Entry]:
        """Return the entries whose markers hold, having seen that the requirements are among them."""
        for text in requirements:
            self._choose(_need(Requirement(text)))
        found = [one for one in self.entries if one.name != self.own and self._holds(one)]
        self._refuse_unverified(found)
        return found

    def reach(self, requirements: Sequence[str]) -> list[Entry]:
        """Return the entries that some requirements lead to, by name."""
        waiting = [_need(Requirement(text)) for text in requirements]
        done: set[tuple[str, frozenset[str]]] = set()
        found: dict[str, Entry] = {}
        while waiting:
            need = waiting.pop()
            if need.name == self.own or (need.name, need.extras) in done:
                continue
            done.add((need.name, need.extras))
            chosen = self._choose(need)
            for entry in chosen:
                waiting += [one for one in entry.needs if self._applies(one.marker, need.extras)]
                if not entry.extras:
                    found[entry.name] = entry
        return [found[name] for name in sorted(found)]

    def _choose(self, need: Need) -> list[Entry]:
        same = [one for one in self.entries if one.name == need.name and one.extras <= need.extras]
        here = [one for one in same if self._holds(one)]
        if not any(not one.extras for one in here):
            raise self._stale(f"it lacks {need.requirement or need.name}")
        fitting = [one for one in here if _fits(need, one)]
        if not any(not one.extras for one in fitting):
            raise self._stale(f"it has {here[0].name} {here[0].version}, which does not fit {need.requirement}")
        self._refuse_unverified(fitting)
        return fitting

    def _refuse_unverified(self, entries: Iterable[Entry]) -> None:
        """Refuse what would be installed whatever is in it.

        Raises:
            ConfigError: there is such an entry.
        """
        for one in entries:
            if lack := one.unverified:
                raise ConfigError(
                    f"{self.path} has {lack}",
                    hint=f"what is downloaded has to be the same each time; `{self.renew}` makes the lock anew",
                )

    def _holds(self, entry: Entry) -> bool:
        values: dict[str, str | AbstractSet[str]] = {**self.environment, **self.sets}
        # poetry says by this which extras of the project want a package; PEP 751 knows no such name
        wanted = ("", *self.sets["extras"])
        return not entry.markers or any(
            one.evaluate({**values, "extra": extra}, context="lock_file") for one in entry.markers for extra in wanted
        )

    def _applies(self, marker: Marker | None, extras: Iterable[str]) -> bool:
        return not marker or any(marker.evaluate({**self.environment, "extra": extra}) for extra in ("", *extras))

    def _stale(self, why: str) -> ConfigError:
        return ConfigError(
            f"{self.path} does not fit the project: {why}",
            hint=f"`{self.renew}` brings it up to date{self.passed}",
        )


def _fits(need: Need, entry: Entry) -> bool:
    if need.version and entry.version and need.version != entry.version:
        return False
    if need.requirement is None or not entry.version:
        return True
    return _contains(need.requirement.specifier, entry.version)


def _contains(specifier: SpecifierSet, version: str) -> bool:
    try:
        return specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return False


def _need(requirement: Requirement) -> Need:
    return Need(
        name=canonicalize_name(requirement.name),
        extras=frozenset(map(canonicalize_name, requirement.extras)),
        requirement=requirement,
        marker=requirement.marker,
    )


# --- pylock.toml ------------------------------------------------------------------------------------------


def _pylock(data: Mapping[str, Any], folder: Path) -> Iterator[Entry]:
    """Yield the entries of a pylock.toml: https://packaging.python.org/en/latest/specifications/pylock-toml/."""
    lock = Pylock.from_dict(data)
    for package in lock.packages:
        files = [*(package.wheels or ()), *([package.sdist] if package.sdist else ())]
        local = next((one.path for one in files if one.path and not one.url), None)
        yield Entry(
            name=package.name,
            version=_pylock_version(package),
            hashes=_pylock_hashes(package),
            markers=(package.marker,) if package.marker else (),
            direct=_pylock_direct(package, folder),
            tree=package.directory is not None,
            folder=str((folder / local).parent.resolve()) if local else "",
        )


def _pylock_version(package: Package) -> str:
    """Return what version it is, which a lock need not say of what has files: their names do."""
    if not package.version and package.wheels:
        return str(parse_wheel_filename(package.wheels[0].filename)[1])
    if not package.version and package.sdist:
        return str(parse_sdist_filename(package.sdist.filename)[1])
    return str(package.version or "")


def _pylock_hashes(package: Package) -> tuple[str, ...]:
    files: list[PackageWheel | PackageSdist | PackageArchive | None]
    files = [*(package.wheels or ()), package.sdist, package.archive]
    return tuple(f"{kind}:{value}" for one in files if one for kind, value in one.hashes.items())


def _pylock_direct(package: Package, folder: Path) -> str:
    if package.vcs:
        where = package.vcs.url or (folder / str(package.vcs.path)).as_uri()
        return _vcs(package.vcs.type, where, package.vcs.commit_id, package.vcs.subdirectory)
    if package.directory:
        return (folder / package.directory.path).resolve().as_uri()
    if package.archive:
        where = package.archive.url or (folder / str(package.archive.path)).resolve().as_uri()
        return where + (f"#subdirectory={package.archive.subdirectory}" if package.archive.subdirectory else "")
    return ""


def _vcs(kind: str, url: str, commit: str, below: str | None = None) -> str:
    return f"{kind}+{url}@{commit}" + (f"#subdirectory={below}" if below else "")


# --- uv.lock ----------------------------------------------------------------------------------------------


UV_TREES = ("directory", "editable", "virtual")


def _uv(data: Mapping[str, Any], folder: Path) -> Iterator[Entry]:
    """Yield the entries of a uv.lock: https://docs.astral.sh/uv/concepts/projects/layout/#the-lockfile."""
    if data["version"] != 1:
        raise LookupError(f"version {data['version']}")
    for package in data.get("package", ()):
        source = package["source"]
        files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
        extras = package.get("optional-dependencies", {})
        yield Entry(
            name=canonicalize_name(package["name"]),
            version=package.get("version", ""),
            hashes=tuple(file["hash"] for file in files if "hash" in file),
            needs=(
                *map(_uv_need, package.get("dependencies", ())),
                *(_uv_need(one, extra) for extra, some in extras.items() for one in some),
            ),
            markers=tuple(map(Marker, package.get("resolution-markers", ()))),
            direct=_uv_direct(source, folder),
            tree=any(kind in source for kind in UV_TREES),
            folder=str((folder / source["registry"]).resolve()) if _is_path(source.get("registry", "")) else "",
        )


def _uv_need(one: Mapping[str, Any], extra: str = "") -> Need:
    markers = [f"({text})" for text in (one.get("marker", ""), f"extra == '{extra}'" if extra else "") if text]
    return Need(
        name=canonicalize_name(one["name"]),
        extras=_normal(one.get("extra", ())),
        version=one.get("version", ""),
        marker=Marker(" and ".join(markers)) if markers else None,
    )


def _is_path(registry: str) -> bool:
    return bool(registry) and "://" not in registry


def _uv_direct(source: Mapping[str, Any], folder: Path) -> str:
    if git := source.get("git"):
        url, commit = urldefrag(git)
        parts = urlsplit(url)
        below = parse_qs(parts.query).get("subdirectory", [""])[0]
        return _vcs("git", urlunsplit(parts._replace(query="")), commit, below)
    if where := next((source[kind] for kind in ("path", *UV_TREES) if kind in source), ""):
        return (folder / where).resolve().as_uri()
    return str(source.get("url", ""))


# --- poetry.lock ------------------------------------------------------------------------------------------


def _poetry(data: Mapping[str, Any], folder: Path) -> Iterator[Entry]:
    """Yield the entries of a poetry.lock, of versions 1 and 2."""
    version = str(data["metadata"]["lock-version"])
    if version.split(".", maxsplit=1)[0] not in ("1", "2"):
        raise LookupError(f"lock-version {version}")
    before = data["metadata"].get("files", {})  # where poetry 1.0 had the hashes
    for package in data.get("package", ()):
        files = package.get("files") or before.get(package["name"], ())
        source = package.get("source", {})
        markers = package.get("markers", ())
        tree = source.get("type") == "directory"
        yield Entry(
            name=canonicalize_name(package["name"]),
            version=package["version"],
            hashes=() if tree else tuple(file["hash"] for file in files if "hash" in file),
            needs=tuple(
                _poetry_need(name, one)
                for name, some in package.get("dependencies", {}).items()
                for one in (some if isinstance(some, list) else [some])
            ),
            # one for each group, or one for all
            markers=tuple(map(Marker, markers.values() if isinstance(markers, dict) else [markers] if markers else [])),
            direct=_poetry_direct(source, folder),
            tree=tree,
        )


def _poetry_need(name: str, one: str | Mapping[str, Any]) -> Need:
    table = one if isinstance(one, dict) else {}
    marker = table.get("markers")
    return Need(
        name=canonicalize_name(name),
        extras=_normal(table.get("extras", ())),
        marker=Marker(marker) if marker else None,
    )


def _poetry_direct(source: Mapping[str, Any], folder: Path) -> str:
    where = source.get("url", "")
    match source.get("type"):
        case "git":
            return _vcs("git", where, source["resolved_reference"], source.get("subdirectory"))
        case "directory" | "file":
            return str((folder / where).resolve().as_uri())
        case "url":
            return str(where)
    return ""


# --- pdm.lock ---------------------------------------------------------------------------------------------


def _pdm(data: Mapping[str, Any], folder: Path) -> Iterator[Entry]:
    """Yield the entries of a pdm.lock."""
    version = str(data["metadata"]["lock_version"])
    if version.split(".", maxsplit=1)[0] != "4":
        raise LookupError(f"lock_version {version}")
    for package in data.get("package", ()):
        yield Entry(
            name=canonicalize_name(package["name"]),
            version=package.get("version", ""),
            hashes=tuple(file["hash"] for file in package.get("files", ()) if "hash" in file),
            needs=tuple(_need(Requirement(text)) for text in package.get("dependencies", ())),
            markers=(Marker(package["marker"]),) if package.get("marker") else (),
            extras=_normal(package.get("extras", ())),
            direct=_pdm_direct(package, folder),
            tree="path" in package and (folder / package["path"]).is_dir(),
        )


def _pdm_direct(package: Mapping[str, Any], folder: Path) -> str:
    if "git" in package:
        return _vcs("git", package["git"], package["revision"], package.get("subdirectory"))
    if "path" in package:
        return str((folder / package["path"]).resolve().as_uri())
    return str(package.get("url", ""))


# --- requirements with hashes -----------------------------------------------------------------------------


PLACES = ("-i", "--index-url", "--pypi-url", "--extra-index-url", "-f", "--find-links", "--no-index", "--trusted-host")
"""What a requirements file says of places. That is up to what is configured, whichever lock there is."""
OTHERS = ("-r", "--requirement", "-c", "--constraint", "-e", "--editable")
"""What would have it hang on something else: a lock is one file."""


def _requirements(path: Path, requirements: Sequence[str], environment: Mapping[str, str]) -> Dependencies:
    """Return a requirements file in which every requirement is pinned and has a hash, as pip-compile writes them.

    What is not for this machine is not in there, and what is has no marker.
    """
    pinned: dict[str, Requirement] = {}
    lines: list[str] = []
    for line in _logical_lines(path):
        if option := re.match(r"--[\w-]+|-\w", line):
            lines += [line] if _is_handed_on(path, option[0]) else []
            continue
        requirement, checks = _pin(path, line)
        if _is_for(environment, requirement, path):
            requirement.marker = None
            pinned[canonicalize_name(requirement.name)] = requirement
            lines.append(f"{requirement} {checks}")
    for wanted in map(Requirement, requirements):
        found = pinned.get(canonicalize_name(wanted.name))
        if found is None or not all(_contains(wanted.specifier, one.version) for one in found.specifier):
            raise ConfigError(
                f"{path} does not fit the project: it has {found}, which does not fit {wanted}"
                if found
                else f"{path} does not fit the project: it lacks {wanted}",
                hint="`pip-compile --generate-hashes` brings it up to date; lock = none passes it over",
            )
    return Dependencies(hashed="".join(f"{line}\n" for line in lines) if pinned else "")


def _logical_lines(path: Path) -> list[str]:
    """Return the lines of a requirements file, those that go on joined, without comments and empty ones."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8: {error}", hint="save it as such") from error
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in re.sub(r"\\\n", " ", text).splitlines()]
    return [line for line in lines if line]


def _is_handed_on(path: Path, option: str) -> bool:
    """Tell whether an installer is told what a requirements file says by an option.

    Raises:
        ConfigError: it leads to something that is not in the file.
    """
    if option in OTHERS:
        raise ConfigError(
            f"{path} has {option}, and a lock is one file with all that is installed",
            hint="`pip-compile --generate-hashes` writes such a file, of several as well",
        )
    return option not in PLACES


def _pin(path: Path, line: str) -> tuple[Requirement, str]:
    """Return what a line of a requirements file asks for, and the rest of it, which is its hashes.

    Raises:
        ConfigError: it is no requirement, or allows more than one version, or whatever is in the file.
    """
    text, _, rest = line.partition(" --hash=")
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ConfigError(f"{path}: {text!r} is no requirement: {error}") from error
    if not any(kind in STRONG for kind in re.findall(r"--hash=(\w+):", line)):
        raise ConfigError(
            f"{path} has no hash for {requirement.name} by {', '.join(STRONG)}",
            hint="`pip-compile --generate-hashes` writes them, but for repositories and directories",
        )
    pins = [one.operator in ("==", "===") and not one.version.endswith("*") for one in requirement.specifier]
    if not requirement.url and pins != [True]:
        raise ConfigError(
            f"{path} does not pin {requirement.name} to one version", hint="`pip-compile --generate-hashes` does"
        )
    return requirement, f"--hash={rest}"


def _is_for(environment: Mapping[str, str], requirement: Requirement, path: Path) -> bool:
    try:
        return not requirement.marker or requirement.marker.evaluate(dict(environment))
    except (UndefinedComparison, UndefinedEnvironmentName) as error:
        raise ConfigError(f"{path} makes no sense: {requirement} ({error})") from error


# --- writing ----------------------------------------------------------------------------------------------


def pylock_of(report: Sequence[Mapping[str, Any]], project: Path, python: str) -> str:
    """Return a pylock.toml (PEP 751) with what pip or uv has chosen.

    Args:
        report: of `relenv.bundle.dependencies.pip_report`, or what is the same of uv.
        project: its directory; the lock is for a file in it.
        python: the series it was chosen for, `3.13`.
    """
    packages = sorted((_locked(item, project) for item in report), key=lambda one: str(one["name"]))
    data = {
        "lock-version": "1.0",
        "created-by": "relenv",
        "requires-python": f"=={python}.*",
        "packages": packages,
    }
    Pylock.from_dict(data)
    return tomli_w.dumps(data)


def _locked(item: Mapping[str, Any], project: Path) -> dict[str, Any]:
    name, version = canonicalize_name(item["metadata"]["name"]), item["metadata"]["version"]
    info = item["download_info"]
    below = {"subdirectory": info["subdirectory"]} if info.get("subdirectory") else {}
    if vcs := info.get("vcs_info"):
        source = {"type": vcs["vcs"], "url": info["url"], "commit-id": vcs["commit_id"], **below}
        return {"name": name, "version": version, "vcs": source}
    where = _where(info["url"], project)
    if "dir_info" in info:
        return {"name": name, "directory": {"path": where["path"]}}
    hashes = dict(sorted(checksums(info).items()))
    if item.get("is_direct"):
        return {"name": name, "version": version, "archive": {**where, **below, "hashes": hashes}}
    file_name = unquote(info["url"].rpartition("/")[2])
    file = {"name": file_name, **where, "hashes": hashes}
    kind: dict[str, Any] = {"wheels": [file]} if file_name.endswith(".whl") else {"sdist": file}
    return {"name": name, "version": version, **kind}


def _where(url: str, project: Path) -> dict[str, str]:
    """Return where a file is: local ones by their path from the project, for no other place is known to others."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return {"url": urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))}
    return {"path": os.path.relpath(unquote(parts.path), project.resolve())}


FORMATS: dict[str, Format] = {
    "pylock.toml": Format(read=_pylock, renew="relenv bundle --lock", flat=True),
    "uv.lock": Format(read=_uv, renew="uv lock", sources=True),
    "poetry.lock": Format(read=_poetry, renew="poetry lock"),
    "pdm.lock": Format(read=_pdm, renew="pdm lock"),
}
"""By the file's name; the first that is there is taken."""
