"""What a bundle needs besides the wheel goes into the sdist: a bundle can be made of that as well."""

from __future__ import annotations

import gzip
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from relenv.bundle.config import load_config
from relenv.bundle.locks import find_lock

if TYPE_CHECKING:
    from collections.abc import Iterator


def complete(sdist: Path) -> None:
    """Add to an sdist what it lacks of the lock file, of icons and of what `include` names; else it stays as it is.

    Args:
        sdist: of the project in the current directory; a .tar.gz (PEP 625).
    """
    project = Path.cwd()
    wanted = {path.relative_to(project).as_posix(): path for path in _wanted(project)}
    with tarfile.open(sdist) as old:
        members = old.getmembers()
        top = members[0].name.partition("/")[0]
        missing = {name: path for name, path in wanted.items() if f"{top}/{name}" not in old.getnames()}
        if not missing:
            return
        # the times of what is added are that of PKG-INFO: the same project gives the same bytes
        epoch = next((one.mtime for one in members if one.name == f"{top}/PKG-INFO"), 0)
        partial = sdist.with_name(f".{sdist.name}.{os.getpid()}.part")
        try:
            with (
                gzip.GzipFile(filename=partial, mode="wb", mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as new,
            ):
                for member in members:
                    new.addfile(member, old.extractfile(member) if member.isreg() else None)
                for name, path in sorted(missing.items()):
                    _add(new, f"{top}/{name}", path, int(epoch))
            partial.replace(sdist)
        finally:
            partial.unlink(missing_ok=True)


def _wanted(project: Path) -> Iterator[Path]:
    if lock := find_lock(project):
        yield lock
    config = load_config(project)
    yield from {project / one.icon for one in config.desktop.values() if one.icon}
    for one in config.include:
        source = project / one.source
        yield from sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]


def _add(tar: tarfile.TarFile, name: str, path: Path, epoch: int) -> None:
    member = tarfile.TarInfo(name)
    status = path.stat()
    member.size, member.mtime, member.mode = status.st_size, epoch, 0o755 if status.st_mode & 0o100 else 0o644
    with path.open("rb") as file:
        tar.addfile(member, file)
