"""What a bundle was made of, noted: where nothing of that has changed, and the bundle is there, it is not made again.

This holds for a project whose wheel follows from the files in its directory alone: those of a backend that does what
is configured and no more (`backends.PLAIN`), without code of the project's own, plugins, or anything that lies
elsewhere. All others are built each time. A file counts as unchanged by what stat(2) says of it, its ctime included,
which no program can set.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
import stat
import sys
import time
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import packaging
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

import relenv
from relenv import pip_config, process
from relenv.bundle import uv_config
from relenv.bundle.backends import ASKS_GIT, CODE, DAY, HATCH, OURS, PLAIN, PROVIDERS
from relenv.bundle.made import Bundle, Written, look
from relenv.bundle.output import file_name, target_of
from relenv.bundle.places import file_of, limits, offered
from relenv.errors import HostError
from relenv.plan import KEY_LENGTH
from relenv.store import write_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from relenv.bundle.config import AppConfig
    from relenv.context import Context
    from relenv.interpreter import Interpreter

FOLDER = "bundled"
"""Of the cache."""
FILES = frozenset({"zip", "tar.gz", "tar.zst", "run"})
"""The formats of which this is known. An image has a base that may change elsewhere."""
VERSIONED = frozenset({".git", ".hg", ".svn"})
ABOVE = (".gitignore", ".hgignore", "pyproject.toml", "uv.lock", "uv.toml")
"""What counts in the directories above a project as well: for hatchling, and for uv and its workspaces."""
FLEETING = frozenset({"_", "PWD", "OLDPWD", "SHLVL", "COLUMNS", "LINES"})
"""Variables that say nothing of what a command is to do."""
SETTLED = 0.1
"""Seconds: a file may be changed twice within the kernel's notion of the same time."""

Look = tuple[object, ...]


class _UnknownError(Exception):
    """What a bundle is made of cannot be told by looking at files."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """Where a bundle was noted, or is to be, and what it is made of now."""

    path: Path
    made_of: str
    """A hash of that."""

    def recall(self) -> Bundle | None:
        """Return the bundle that was made of the same, if it is there as it was written."""
        try:
            known = json.loads(self.path.read_bytes())
            values = known["bundle"]
            until = math.inf if values["until"] is None else float(values["until"])
            if known["made_of"] != self.made_of or time.time() >= until:
                return None
            files = tuple(Written(**{**one, "path": Path(one["path"])}) for one in values["files"])
            if known["found"] != [list(look(one.path.stat())) for one in files]:
                return None
            lists = {name: tuple(values[name]) for name in ("scripts", "installers")}
            return Bundle(**{**values, **lists, "files": files, "until": until, "unchanged": True})
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def keep(self, bundle: Bundle) -> None:
        """Note a bundle."""
        values = dataclasses.asdict(bundle)
        found = [one.pop("seen") for one in values["files"]]
        values["files"] = [{**one, "path": str(one["path"])} for one in values["files"]]
        values["until"] = None if math.isinf(bundle.until) else bundle.until
        values.pop("unchanged")
        self.path.parent.mkdir(exist_ok=True)
        write_text(self.path, json.dumps({"made_of": self.made_of, "found": found, "bundle": values}) + "\n")


def receipt_for(context: Context, config: AppConfig, interpreter: Interpreter) -> Receipt | None:
    """Return what a bundle would be made of now; None if that cannot be told without making it."""
    if config.refresh or config.write_lock or config.wheel or not FILES.issuperset(config.formats):
        return None
    try:
        backend, direct = _follows_from_files(config)
        looks = list(_looks(config, direct))
    except (_UnknownError, OSError):
        return None
    environ = {name: value for name, value in context.environ.items() if name not in FLEETING}
    root = config.root.resolve()
    made_of = [str(root), repr(config), interpreter.key, sorted(environ.items()), int(time.time()) // DAY]
    made_of += [*_program(context.environ), *_told(context.environ, config.root), looks]
    made_of += [_ignored(context.environ, root)] if backend == ASKS_GIT else []
    place = json.dumps([str(root), os.path.abspath(config.output), config.name, config.formats])  # noqa: PTH100
    name = hashlib.sha256(place.encode()).hexdigest()[:KEY_LENGTH]
    return Receipt(
        path=context.cache.root / FOLDER / f"{name}.json",
        made_of=hashlib.sha256(repr(made_of).encode()).hexdigest(),
    )


def _follows_from_files(config: AppConfig) -> tuple[str, list[Path]]:
    """See whether a project's wheel follows from the files in its directory.

    Returns:
        Its backend, and the files that its requirements name (PEP 440, direct references).

    Raises:
        _UnknownError: it need not.
    """
    try:
        data = tomllib.loads((config.root / "pyproject.toml").read_text(encoding="utf-8"))
        system, project = data["build-system"], data["project"]
        backend = str(system["build-backend"])
        requires = {canonicalize_name(Requirement(one).name) for one in system["requires"]}
        more = project.get("optional-dependencies", {}).values()
        texts = [*system["requires"], *project.get("dependencies", []), *chain(*more), *config.group_requires]
        direct = [path for one in texts if (path := file_of(Requirement(one).url or ""))]
        hatch = tomllib.loads(path.read_text(encoding="utf-8")) if (path := config.root / HATCH).exists() else {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, InvalidRequirement) as error:
        raise _UnknownError from error
    backend = config.build_backend if backend == OURS else backend
    if backend not in PLAIN or "backend-path" in system or project.get("dynamic"):
        raise _UnknownError
    if requires - {"relenv", "wheel", canonicalize_name(PROVIDERS[backend])}:
        raise _UnknownError  # a plugin
    if any((config.root / name).exists() for name in (*CODE, "setup.cfg")):  # which may name code
        raise _UnknownError
    name, code = PLAIN[backend]
    _stays_inside([project, data.get("tool", {}).get(name, {}), hatch if name == "hatch" else {}], code)
    if any(one.is_dir() for one in direct):  # it is built, by what may need more than its files
        raise _UnknownError
    return backend, direct


def _stays_inside(value: object, code: frozenset[str]) -> None:
    """Refuse configuration that brings in code by one of these keys, or names a place outside the project."""
    if isinstance(value, dict):
        if code & value.keys():
            raise _UnknownError
        _stays_inside([*value.keys(), *value.values()], code)
    elif isinstance(value, list):
        for one in value:
            _stays_inside(one, code)
    elif isinstance(value, str) and (value.startswith(("/", "~")) or ".." in PurePosixPath(value).parts):
        raise _UnknownError


def _told(environ: Mapping[str, str], root: Path) -> Iterator[object]:
    """Yield what files of the user's and the machine's say of where packages are, and what is in such directories."""
    pip, uv = pip_config.variables(environ) or {}, uv_config.tables(root, environ)
    yield sorted(pip.items())
    yield [(str(one.folder), one.values) for one in uv]
    yield offered({**pip, **environ}, uv_config.places(uv))
    yield limits({**pip, **environ}, root)


def _ignored(environ: Mapping[str, str], root: Path) -> str:
    """Return what git ignores in a project: poetry-core asks it, too, and leaves that out."""
    try:
        return process.run(["git", "ls-files", "--others", "-i", "--exclude-standard"], cwd=root, env=environ)
    except (process.CommandError, HostError) as error:  # no repository, or no git: nothing is ignored
        return str(error)


def _looks(config: AppConfig, direct: Iterable[Path]) -> Iterator[Look]:
    """Yield what there is to see of everything of the user's that a bundle is made of.

    Args:
        config: the project.
        direct: files that its requirements name.
    """
    root = config.root.resolve()
    included = [root / one.source for one in config.include]
    named = [*included, *direct]
    named += [root / config.lock] if config.lock not in ("auto", "none") else []
    named += [file_of(one) or Path(one) for one in config.find_links if "://" not in one or file_of(one)]
    outside = {one.resolve() for one in named if not one.resolve().is_relative_to(root)}
    written = {target_of(config, config.name or file_name(config.project), f".{form}") for form in config.formats}
    but = {Path(os.path.abspath(one)) for one in written}  # noqa: PTH100
    settled = time.time() - SETTLED
    copied = tuple(one.resolve() for one in included)
    for one in (root, *sorted(outside)):
        for path, status in _files(one, root if one == root else None, copied):
            if path in but:
                continue
            if stat.S_ISDIR(status.st_mode):
                yield (str(path), "empty")  # its times change with what comes and goes
                continue
            if status.st_ctime > settled:
                raise _UnknownError  # it may be changed once more without its showing
            yield (str(path), *look(status))
    for folder in root.parents:
        for name in ABOVE:
            with suppress(FileNotFoundError):
                yield (str(folder / name), *look((folder / name).stat()))


def _files(place: Path, inside: Path | None, copied: Collection[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the files below a place, or itself, and empty directories where these count.

    What version control keeps at the top of the project is passed over.

    Args:
        place: where to look.
        inside: the project.
        copied: what goes into the bundle as it is.

    Raises:
        _UnknownError: a link leads out of `inside`.
    """
    if not place.is_dir():
        yield place, place.stat()
        return
    with os.scandir(place) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    is_copied = any(place.is_relative_to(one) for one in copied)
    if not entries and is_copied:
        yield place, place.stat()
    for entry in entries:
        path = place / entry.name
        if entry.is_symlink():
            if inside is None or not path.resolve().is_relative_to(inside):
                raise _UnknownError
            yield path / path.readlink(), entry.stat(follow_symlinks=False)
        elif entry.name not in VERSIONED or place != inside or is_copied:
            yield from _files(path, inside, copied)


def _program(environ: Mapping[str, str]) -> Iterator[object]:
    """Yield what tells this relenv, and what it calls, from others."""
    home = Path(relenv.__file__).parent
    yield relenv.__version__
    yield sys.version
    for path in sorted(home.rglob("*.py")):
        yield (str(path), *look(path.stat()))
    yield Path(packaging.__file__).parents[1].stat().st_mtime_ns  # where its libraries are installed
    uv = shutil.which("uv", path=environ.get("PATH"))
    yield (uv, *look(Path(uv).stat())) if uv else ""
