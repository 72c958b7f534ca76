"""What a bundle needs besides the wheel goes into the sdist: a bundle can be made of that as well."""

from __future__ import annotations

import gzip
import os
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relenv.backend.bundle import is_asked
from relenv.bundle.config import load_config
from relenv.bundle.locks import find_lock
from relenv.errors import ConfigError, RelenvError
from relenv.platforms import PLATFORMS
from relenv.store import put_in_place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relenv.bundle.config import AppConfig


def complete(sdist: Path, settings: Mapping[str, Any]) -> None:
    """Add to an sdist what it lacks of the lock file, of icons and of what `include` names; else it stays as it is.

    Args:
        sdist: of the project in the current directory; a .tar.gz (PEP 625).
        settings: options of `relenv bundle`, for a bundle that is made of the sdist next.

    Raises:
        SystemExit: something of that is missing, or a bundle would not be what the project says.
    """
    project = Path.cwd()
    # a lock that is named for this bundle is looked for then
    bundled = is_asked(settings) and "lock-file" not in settings
    try:
        wanted = {path.relative_to(project).as_posix(): path for path in _wanted(project, bundled=bundled)}
    except RelenvError as error:
        raise SystemExit(f"relenv: {error.message}" + (f": {error.hint}" if error.hint else "")) from error
    _add_missing(sdist, wanted)


def _add_missing(sdist: Path, wanted: Mapping[str, Path]) -> None:
    with tarfile.open(sdist) as old:
        members = old.getmembers()
        top, there = members[0].name.partition("/")[0], set(old.getnames())
        missing = {name: path for name, path in wanted.items() if f"{top}/{name}" not in there}
        if not missing:
            return
        # the times of what is added are that of PKG-INFO: the same project gives the same bytes
        epoch = next((one.mtime for one in members if one.name == f"{top}/PKG-INFO"), 0)
        partial = sdist.with_name(f".{sdist.name}.{os.getpid()}.part")
        try:
            with (
                partial.open("wb") as file,
                # without a name, of which gzip would make a note
                gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as new,
            ):
                for member in members:
                    new.addfile(member, old.extractfile(member) if member.isreg() else None)
                for name, path in sorted(missing.items()):
                    _add(new, f"{top}/{name}", path, int(epoch))
            put_in_place(partial, sdist)
        finally:
            partial.unlink(missing_ok=True)


def _wanted(project: Path, *, bundled: bool) -> Iterator[Path]:
    """Yield the files that bundles are made of, on this kind of machine and others."""
    yield from _named(load_config(project), bundled=bundled)
    for triplet in PLATFORMS:
        # what such a machine alone makes may be missing here
        with suppress(ConfigError):
            yield from _named(load_config(project, triplet=triplet), bundled=False)


def _named(config: AppConfig, *, bundled: bool) -> Iterator[Path]:
    """Yield the files that a configuration names.

    Raises:
        ConfigError: the lock cannot be carried, and a bundle that was asked for would not go by it.
    """
    if lock := find_lock(config.root, config.lock):
        place = Path(os.path.normpath(lock))
        if place.is_relative_to(config.root):
            yield place
        elif bundled:  # the uv.lock of a workspace
            raise ConfigError(
                f"the sdist cannot carry {place}, and a bundle of it would not go by that lock",
                hint="build with --wheel alone: that bundles the project itself; lock = none passes it over",
            )
    yield from {config.root / one.icon for one in config.desktop.values() if one.icon}
    for one in config.include:
        yield from _files(config.root / one.source)


def _files(place: Path, *above: Path) -> Iterator[Path]:
    """Yield the files and empty directories below a place, or itself; through links, as bundles have them."""
    if place.is_file():
        yield place
    elif place.is_dir() and (real := place.resolve()) not in above:  # a circle: bundling says so
        found = sorted(place.iterdir())
        if not found:
            yield place
        for one in found:
            yield from _files(one, *above, real)


def _add(tar: tarfile.TarFile, name: str, path: Path, epoch: int) -> None:
    member = tarfile.TarInfo(name)
    status = path.stat()
    if path.is_dir():
        member.type, member.mtime, member.mode = tarfile.DIRTYPE, epoch, 0o755
        tar.addfile(member)
        return
    member.size, member.mtime, member.mode = status.st_size, epoch, 0o755 if status.st_mode & 0o100 else 0o644
    with path.open("rb") as file:
        tar.addfile(member, file)
