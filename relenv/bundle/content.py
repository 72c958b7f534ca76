"""What is in a bundle besides what installing its project puts there, and what is not: scripts, variables, files."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from functools import partial
from typing import TYPE_CHECKING

from relenv.bundle.keys import OWN
from relenv.errors import FULL, ConfigError, disk_full
from relenv.manifest import MANIFEST, SBOM
from relenv.pip_shim.records import mend, site_packages
from relenv.pip_shim.scripts import trampoline
from relenv.store import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from relenv.bundle.config import Include


ORIGINS = ("direct_url.json", "uv_cache.json", "uv_build.json")
"""In .dist-info directories, what names a directory or a time of this machine (PEP 610), or what uv notes down."""
TRAMPOLINE = 500
"""Bytes: more than the shell part of a script is long."""

SCRIPT = """\
import sys
{env}from {module} import {first}

if __name__ == "__main__":
    sys.exit({name}())
"""
# `relenv.audit.run.SETTINGS` finds it again
ENV = """\
import os
from pathlib import Path

root = str(Path(__file__).resolve().parents[1])
for name, value in {table!r}.items():
    os.environ.setdefault(name, value.replace("{{root}}", root))
"""


def keep_scripts(root: Path, names: Collection[str]) -> None:
    """Remove the programs in bin/ that are neither the interpreter's nor of these names.

    Raises:
        ConfigError: one of the names is not there.
    """
    programs = root / "bin"
    if missing := [name for name in names if not (programs / name).is_file()]:
        there = sorted(path.name for path in programs.iterdir() if not re.fullmatch(OWN, path.name))
        raise ConfigError(
            f"no package installs a script `{missing[0]}`", hint=f"these are installed: {', '.join(there)}"
        )
    # not even pip: nobody who runs a bundle needs it
    gone = [path for path in programs.iterdir() if path.name not in names and not re.fullmatch(OWN, path.name)]
    drop(root, gone)


def make_scripts(root: Path, scripts: Mapping[str, str], env: Mapping[str, str]) -> None:
    """Write scripts that set variables which are not set, and call a function; RECORDs are told.

    Args:
        root: the bundle.
        scripts: by name, `module:function`.
        env: the variables; `{root}` in a value stands for the bundle's directory.
    """
    edits = {}
    for name, target in scripts.items():
        module, _, function = target.partition(":")
        text = SCRIPT.format(
            env=ENV.format(table=dict(env)) if env else "",
            module=module,
            first=function.partition(".")[0],
            name=function,
        )
        path = root / "bin" / name
        path.unlink(missing_ok=True)
        edits[path] = trampoline(text.encode())
        path.write_bytes(edits[path])
        path.chmod(0o755)
    contents = {f"../../../bin/{path.name}": data for path, data in edits.items()}
    for site in site_packages(root):
        edit_records(site, lambda record: mend(record, contents))


def open_up(root: Path) -> None:
    """Let scripts heed PYTHON* variables and the user's own packages, yet not the directory they are in."""
    edits = {}
    for path in sorted((root / "bin").iterdir()):
        data = path.read_bytes()
        head, interpreter, rest = data.partition(b'/python3" -I')
        if interpreter and data.startswith(b"#!/bin/sh\n") and len(head) < TRAMPOLINE:
            edits[path] = head + b'/python3" -P' + rest
            path.unlink()  # it may be one with the store's
            path.write_bytes(edits[path])
            path.chmod(0o755)
    contents = {f"../../../bin/{path.name}": data for path, data in edits.items()}
    for site in site_packages(root):
        edit_records(site, lambda record: mend(record, contents))


def targets_of(entries: Sequence[EntryPoint]) -> dict[str, str]:
    """Return entry points as `make_scripts` takes them."""
    return {entry.name: entry.value.partition("[")[0].replace(" ", "") for entry in entries}


TOLD = (MANIFEST, SBOM)
README = "README.txt"
WRITTEN = (README, SBOM)
"""What a bundle gets at its top when all else is in it."""


def include(root: Path, project: Path, includes: Sequence[Include]) -> tuple[str, ...]:
    """Copy files and directories of the project into the bundle; nothing that is there is replaced.

    Returns:
        The paths in the bundle of the files that were copied.

    Raises:
        ConfigError: something is there already, or what is to be copied is neither file nor directory.
        OutputError: the disk is full.
    """
    copied: list[str] = []
    for one in includes:
        source, target = project / one.source, root / one.target
        if target.exists() and not (source.is_dir() and target.is_dir()):
            raise _taken(one.target)
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = partial(_copy_new, root, copied)
        try:
            if source.is_dir():
                shutil.copytree(source, target, symlinks=False, dirs_exist_ok=True, copy_function=copy)
            else:
                copy(source, target)
        except (shutil.Error, shutil.SpecialFileError) as error:
            # of a tree, all that could not be copied: the first of them is enough
            path, _, why = error.args[0][0] if isinstance(error, shutil.Error) else (source, target, error)
            hint = "a link that leads nowhere or in a circle, or a pipe? remove it, or name what beside it is wanted"
            raise ConfigError(f"include: {path} cannot be copied: {why}", hint=hint) from error
    return tuple(copied)


def _copy_new(root: Path, copied: list[str], source: str | Path, target: str | Path) -> None:
    """Copy a file to where there is none: what is there may be one with the store's."""
    place = os.path.relpath(target, root)
    if os.path.lexists(target) or place in WRITTEN:
        raise _taken(place)
    try:
        shutil.copy2(source, target)
    except OSError as error:  # copytree would go on, and say of each file that there is no room
        if error.errno in FULL:
            raise disk_full(f"include: {source} cannot be copied to {target}") from error
        raise
    copied.append(place)


def _taken(place: str) -> ConfigError:
    return ConfigError(f"include: the bundle has a {place} already", hint="choose another place with `to`")


def exclude(root: Path, patterns: Sequence[str], whole: Path, info: str) -> None:
    """Leave out what globs name; RECORDs are told.

    Args:
        root: the bundle.
        patterns: the globs; none leads out of the bundle, `keys` sees to it.
        whole: the interpreter as it was before it was pruned: what is gone from it already may be named.
        info: the project's .dist-info directory, by its name.

    Raises:
        ConfigError: a glob is none, or finds nothing: it is misspelt; or it finds what no bundle can do without.
    """
    needed = _needed(root, info)
    gone: set[Path] = set()
    for pattern in patterns:
        try:
            found = {path for path in root.glob(pattern) if path != root}
        except (ValueError, NotImplementedError) as error:
            raise ConfigError(f"exclude: {pattern!r} is no glob relative to the bundle: {error}") from error
        if not found and not any(whole.glob(pattern)):
            raise ConfigError(f"exclude: nothing in the bundle matches {pattern!r}")
        for path, what in needed.items():
            if not found.isdisjoint((path, *path.parents)):
                hint = "`sbom = false` leaves the SBOM out" if path.name == SBOM else ""
                raise ConfigError(f"exclude: {pattern!r} would leave out {what}", hint=hint)
        gone |= found
    drop(root, gone)


def _needed(root: Path, info: str) -> dict[Path, str]:
    """Return what no bundle can do without, and what to call it."""
    needed = dict.fromkeys((root / "bin/python3", *root.glob("lib/python3.*")), "the interpreter itself")
    needed |= {root / name: f"{name}, which says what is inside" for name in TOLD}
    what = f"{info}/METADATA, which says what the project is"
    return needed | {site / info / "METADATA": what for site in site_packages(root)}


def drop(root: Path, paths: Collection[Path]) -> None:
    """Remove files and directories, and their rows in RECORDs."""
    gone = {str(path) for path in paths}
    for path in paths:
        remove_tree(path)

    for site in site_packages(root):
        edit_records(site, partial(_without, goes=partial(_is_below, site, gone=gone)))


def forget_missing(root: Path) -> None:
    """Have RECORDs forget the files that are not there."""
    for site in site_packages(root):
        edit_records(site, partial(_without, goes=partial(_is_missing, site)))


def _is_missing(site: Path, row: str) -> bool:
    return not os.path.lexists(f"{site}/{row}")


def _without(record: bytes, *, goes: Callable[[str], bool]) -> bytes:
    """Return a RECORD without some rows, by their paths."""
    rows = list(csv.reader(io.StringIO(record.decode("utf-8", "surrogateescape"), newline="")))
    stays = [row for row in rows if row and not goes(row[0])]
    if len(stays) == len(rows):
        return record
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(stays)
    return out.getvalue().encode("utf-8", "surrogateescape")


def _is_below(site: Path, row: str, gone: Collection[str]) -> bool:
    # as os.path.normpath, of which Path has none
    parts: list[str] = []
    for part in (str(site) + "/" + row).split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return any("/".join(parts[:end]) in gone for end in range(len(parts), 0, -1))


def edit_records(site: Path, edit: Callable[[bytes], bytes]) -> None:
    """Replace each RECORD in site-packages by what a function makes of it, if that is something else."""
    for path in site.glob("*.dist-info/RECORD"):
        edit_record(path, edit)


def edit_record(path: Path, edit: Callable[[bytes], bytes]) -> None:
    """Replace a RECORD by what a function makes of it, if that is something else."""
    data = path.read_bytes()
    if (edited := edit(data)) != data:
        path.unlink()  # it may be one with the store's
        path.write_bytes(edited)
