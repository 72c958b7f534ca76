"""From an interpreter to an environment: a copy that pip may install into."""

from __future__ import annotations

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relenv import process
from relenv.errors import InstallError, OutputError
from relenv.store import remove_tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relenv.interpreter import Interpreter

COPIERS = 4
"""Threads that copy: the file system is busy, not the processor."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A relocatable environment."""

    root: Path
    interpreter: Interpreter

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.root / "bin" / "python3"

    @property
    def site_packages(self) -> Path:
        """Where packages are installed."""
        return self.root / "lib" / f"python{self.interpreter.series}" / "site-packages"


def create(interpreter: Interpreter, root: Path) -> Environment:
    """Lay out an environment; it appears complete or not at all.

    Args:
        interpreter: what to copy.
        root: where; must not exist, or be an empty directory.

    Raises:
        OutputError: something is there already, or it cannot be written.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100 - a symlink that the user named stays
    refuse_occupied(root)
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{root.name}.", suffix=".part", dir=root.parent))
    except OSError as error:
        raise OutputError(f"{root} cannot be created: {error.strerror}") from error
    try:
        copy_tree(interpreter.root, partial)
        partial.chmod(0o755)
        # rename(2) takes an empty directory's place
        partial.rename(root)
    except OSError as error:
        raise OutputError(f"{root} cannot be created: {error.strerror}") from error
    finally:
        remove_tree(partial)
    return Environment(root=root, interpreter=interpreter)


def refuse_occupied(root: Path) -> None:
    """Refuse a place where something is already.

    Raises:
        OutputError: it is neither free nor an empty directory.
    """
    try:
        if root.is_symlink() or (root.exists() and (not root.is_dir() or any(root.iterdir()))):
            raise OutputError(f"{root} exists already", hint="name a directory that does not exist, or an empty one")
    except OSError as error:
        raise OutputError(f"{root} cannot be created: {error.strerror}") from error


def copy_tree(source: Path, target: Path) -> None:
    """Copy a tree, symlinks as such, times and modes kept; no file shares its content with the original.

    shutil.copy2 lets the kernel copy, which on file systems that can shares blocks until one is written to.
    """
    files: list[tuple[str, str]] = []
    for folder, _, names in os.walk(source):
        inside = os.path.join(target, os.path.relpath(folder, source))  # noqa: PTH118 - 5000 times
        os.makedirs(inside, exist_ok=True)  # noqa: PTH103
        files += [(f"{folder}/{name}", f"{inside}/{name}") for name in names]
    with ThreadPoolExecutor(max_workers=COPIERS) as pool:
        step = max(1, len(files) // (8 * COPIERS))
        for _ in pool.map(_copy_some, [files[at : at + step] for at in range(0, len(files), step)]):
            pass


def _copy_some(files: list[tuple[str, str]]) -> None:
    for source, target in files:
        shutil.copy2(source, target, follow_symlinks=False)


def clean_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which no Python is led astray: the caller's without PYTHON* and the like."""
    strays = ("PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__", "LD_LIBRARY_PATH", "LD_PRELOAD")
    return {name: value for name, value in environ.items() if not name.startswith(strays)}


def pip_install(pip: Sequence[str | Path], arguments: Sequence[str], *, environ: Mapping[str, str], what: str) -> None:
    """Install packages.

    Args:
        pip: the command: an environment's pip shim, or another pip with its options.
        arguments: what follows `pip install`.
        environ: the process environment; pip's configuration in it is honoured.
        what: what is being installed, for the message.

    Raises:
        InstallError: pip failed; carries its last error line.
    """
    options = (
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar",
        "off",
        "--root-user-action",
        "ignore",
    )
    try:
        process.run([*pip, "install", *options, *arguments], env=clean_environ(environ))
    except process.CommandError as error:
        reasons = [line[7:] for line in error.tail.splitlines() if line.startswith("ERROR: ")]
        if error.disk_full:
            raise OutputError(f"{what}: the disk is full", hint="make room, or set RELENV_DATA") from error
        raise InstallError(
            f"{what} cannot be installed: {reasons[-1] if reasons else f'pip failed ({error.how})'}",
            detail=error.tail,
            hint="pip's configuration is honoured: PIP_INDEX_URL, PIP_FIND_LINKS and pip.conf say where it looks",
        ) from error
