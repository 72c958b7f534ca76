"""From an interpreter to an environment: a copy that pip may install into."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from relenv import pip_config, pip_shim, process
from relenv.errors import FULL, OutputError, UsageError
from relenv.inside import run_python
from relenv.manifest import MANIFEST, SBOM
from relenv.pip_errors import refusal
from relenv.pip_shim.adopt import is_whole
from relenv.pip_shim.repair import Deed, libraries
from relenv.pip_shim.repair import repair as put_in_order
from relenv.store import held, making, remove_tree
from relenv.ui import slowly

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from relenv.interpreter import Interpreter
    from relenv.ui import Ui

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


def create(
    interpreter: Interpreter,
    root: Path,
    *,
    share: bool = False,
    force: bool = False,
    ui: Ui | None = None,
    fill: Callable[[Environment], None] = lambda _: None,
) -> Environment:
    """Lay out an environment; it appears complete or not at all.

    Args:
        interpreter: what to copy.
        root: where; must not exist, or be an empty directory.
        share: see `copy_tree`.
        force: put it in the place of whatever is there: an environment goes, anything else is set aside.
        ui: is told if it takes long, and what was set aside.
        fill: installs into it before it is moved to its place.

    Raises:
        OutputError: something is there already, or it cannot be written.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100 - a symlink that the user named stays
    if not force:
        refuse_occupied(root)
    with ExitStack() as stack:
        try:
            stack.enter_context(making(root.parent))
            stem = f".{root.name[:50]}."  # what leaves room for the rest
            partial = stack.enter_context(held(_workplace(root), stem, lambda path: path.mkdir(mode=0o700)))
        except OSError as error:
            raise OutputError(f"{root} cannot be created: {error.strerror}") from error
        try:
            with slowly(ui, f"Copying Python {interpreter.version} to {root}"):
                copy_tree(interpreter.root, partial, share=share)
            partial.chmod(0o755)
            fill(Environment(root=partial, interpreter=interpreter))
            _put(partial, root, force=force, ui=ui)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                refuse_occupied(root, but=partial)
            full = error.errno in FULL
            hint = "make room, or choose a place on another disk" if full else ""
            raise OutputError(f"{root} cannot be created: {error.strerror}", hint=hint) from error
    return Environment(root=root, interpreter=interpreter)


def _workplace(root: Path) -> Path:
    """Return where an environment is made before it is moved to its place: beside it, or in it if that cannot be."""
    beside = root.parent
    if (
        root.is_dir()
        and not _is_occupied(root)
        and (root.stat().st_dev != beside.stat().st_dev or not os.access(beside, os.W_OK))
    ):
        return root
    return beside


def _put(partial: Path, root: Path, *, force: bool, ui: Ui | None) -> None:
    """Move a finished environment to its place."""
    if force and _is_occupied(root, partial):
        aside = _free_name(root)
        # by rename: an environment in the place of which another is put works as the one or as the other
        root.rename(aside)
        try:
            partial.rename(root)
        except OSError:
            aside.rename(root)
            raise
        if _is_environment(aside):
            remove_tree(aside)
        elif ui:
            ui.warn(f"what was in {root} is in {aside} now: it was not, or not only, an environment")
    elif root.is_dir():
        refuse_occupied(root, but=partial)
        # it stays the directory that it is: somebody's current one, a mount point
        for entry in partial.iterdir():
            entry.rename(root / entry.name)
    else:
        partial.rename(root)


OWN = ("bin", "etc", "include", "lib", "lib64", "licenses", "man", "share", MANIFEST, SBOM)
"""What is in an environment: its own, and what packages put there."""


def _is_environment(root: Path) -> bool:
    """Tell whether this is an environment and nothing but that: somebody may keep other things in it."""
    return not root.is_symlink() and (root / MANIFEST).is_file() and {path.name for path in root.iterdir()} <= set(OWN)


def _free_name(root: Path) -> Path:
    return next(
        name
        for number in itertools.count(1)
        if not os.path.lexists(name := root.with_name(f"{root.name}.old{number if number > 1 else ''}"))
    )


def refuse_occupied(root: Path, *, but: Path | None = None) -> None:
    """Refuse a place where something is already.

    Args:
        root: the place.
        but: what may be in it.

    Raises:
        OutputError: it is neither free nor an empty directory.
    """
    if _is_occupied(root, but):
        what = "an environment" if (root / MANIFEST).is_file() else "what is there"
        raise OutputError(
            f"{root} exists already",
            hint=f"name a directory that does not exist, or an empty one; --force puts it in the place of {what}",
        )


def _is_occupied(root: Path, but: Path | None = None) -> bool:
    try:
        return root.is_symlink() or (root.exists() and (not root.is_dir() or not {but}.issuperset(root.iterdir())))
    except OSError as error:
        raise OutputError(f"{root} cannot be created: {error.strerror}") from error


def copy_tree(
    source: Path, target: Path, *, share: bool = False, wanted: Callable[[str], bool] = lambda _: True
) -> None:
    """Copy a tree, symlinks as such, times and modes kept.

    Args:
        source: a directory.
        target: a directory, made if missing.
        share: let files be the same ones (hard links) where the file system can: for a copy that is gone before
            anyone could edit it. Without it no file shares its content with the original, but for blocks that the
            file system itself separates when one is written to (reflinks).
        wanted: tells of a path that begins with `source`, and is no directory's, whether to copy it.

    Raises:
        OSError: something cannot be copied: without `share` that is also whatever is no file, directory or link.
    """
    put = link_file if share else _Copier().copy
    files: list[tuple[str, str]] = []
    for folder, below, names in os.walk(source):
        inside = os.path.join(target, os.path.relpath(folder, source))  # noqa: PTH118 - 5000 times
        os.makedirs(inside, exist_ok=True)  # noqa: PTH103
        # os.walk calls a link to a directory a directory, and does not enter it
        links = [name for name in below if os.path.islink(f"{folder}/{name}")]  # noqa: PTH114
        files += [(path, f"{inside}/{name}") for name in (*names, *links) if wanted(path := f"{folder}/{name}")]
    with ThreadPoolExecutor(max_workers=COPIERS) as pool:
        step = max(1, len(files) // (8 * COPIERS))

        def some(at: int) -> None:
            for one, other in files[at : at + step]:
                put(one, other)

        for _ in pool.map(some, range(0, len(files), step)):
            pass


def link_file(source: str | Path, target: str | Path) -> None:
    """Give a file a second name, or a copy where the file system has no hard links; a symlink stays one."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


class _Copier:
    """Copies files in as few system calls as it takes: shutil.copy2 is three times as slow on small ones."""

    FICLONE = 0x40049409
    """ioctl_ficlone(2): share blocks until one side is written to."""

    def __init__(self) -> None:
        self._reflinks = True

    def copy(self, source: str, target: str) -> None:
        try:
            # a FIFO would have us wait for somebody who writes to it
            reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            Path(target).symlink_to(Path(source).readlink())
            return
        try:
            status = os.fstat(reading)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, f"{source} is no file, directory or link")
            writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                self._pour(reading, writing, status.st_size)
                os.fchmod(writing, status.st_mode & 0o777)
                os.utime(writing, ns=(status.st_atime_ns, status.st_mtime_ns))
            finally:
                os.close(writing)
        finally:
            os.close(reading)

    def _pour(self, reading: int, writing: int, size: int) -> None:
        if self._reflinks:
            try:
                fcntl.ioctl(writing, self.FICLONE, reading)
            except OSError:
                self._reflinks = False  # this file system cannot
            else:
                return
        while size > 0:
            size -= os.sendfile(writing, reading, None, size) or size


def clean_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which no Python is led astray: the caller's without PYTHON* and the like."""
    strays = ("PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__", "LD_LIBRARY_PATH", "LD_PRELOAD")
    return {name: value for name, value in environ.items() if not name.startswith(strays)}


PIP_NEUTRAL = {
    **dict.fromkeys(("TARGET", "PREFIX", "ROOT", "PYTHON", "REPORT", "EDITABLE", "REQUIREMENT", "SRC", "LOG"), ""),
    **dict.fromkeys(("USER", "REQUIRE_VIRTUALENV", "NO_DEPS", "DRY_RUN", "REQUIRE_HASHES", "IGNORE_INSTALLED"), "0"),
}
"""Settings of pip's that say where and whether to install, not whence: what a user has configured of them is for
other environments. A variable wins over pip.conf; but an empty one is passed over, and pip.conf holds."""
PIP_CONF = Path(__file__).with_name("pip.conf")
"""A configuration file that comes after the user's: an empty setting there says that nothing is set."""


def pip_environ(environ: Mapping[str, str], cache: Path | None = None) -> dict[str, str]:
    """Return an environment for pip: the user's indexes, proxies and the like, and our own destination.

    Args:
        environ: the user's.
        cache: pip's cache directory in place of the user's. What others have compiled there with a compiler of
            theirs, for a newer glibc, must not get into what we make.
    """
    neutral = {f"PIP_{name}": value for name, value in PIP_NEUTRAL.items()}
    own = {"PIP_CACHE_DIR": str(cache)} if cache else {}
    return {**_without_own_file(clean_environ(environ)), **neutral, **own}


def _without_own_file(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which PIP_CONFIG_FILE names ours: what the user's and the machine's say is variables.

    The null device stays: with it pip reads no file at all. So does what is no configuration: pip says why.
    """
    said = pip_config.variables(environ)
    if said is None:
        return dict(environ)
    file = environ.get("PIP_CONFIG_FILE", "")
    return {**said, **environ, "PIP_CONFIG_FILE": file if file == os.devnull else str(PIP_CONF)}


def pip_install(
    pip: Sequence[str | Path],
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str],
    what: str,
    place: str = "RELENV_DATA",
) -> None:
    """Install packages.

    Args:
        pip: the command: an environment's pip shim, or another pip with its options.
        arguments: what follows `pip install`.
        environ: the process environment; pip's configuration in it is honoured.
        what: what is being installed, for the message.
        place: what chooses the disk.

    Raises:
        InstallError: pip failed; carries its last error line. ChecksumError: it got another file than is locked.
        OutputError: the disk is full.
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
        process.run([*pip, "install", *options, *arguments], env=environ)
    except process.CommandError as error:
        raise refusal(what, error, environ=environ, place=place) from error


def compile_packages(environment: Environment, root: Path, *, jobs: int) -> None:
    """Compile what was installed into an environment before it is moved to its place.

    Sources may be edited there: bytecode goes by their times. What is not valid Python is passed over, as by pip.

    Args:
        environment: where it is.
        root: where it is going to be: what tracebacks will show.
        jobs: how many at a time.
    """
    site = environment.site_packages.relative_to(environment.root)
    given = {path.name for path in (environment.interpreter.root / site).iterdir()}
    new = [str(path) for path in sorted(environment.site_packages.iterdir()) if path.name not in given]
    if new:
        options = ("-q", "-q", "-j", str(jobs), "-s", str(environment.root), "-p", str(root))
        with suppress(process.CommandError):
            run_python(environment.root, "-m", "compileall", *options, *new, writing=True)


def installed(environment: Environment) -> list[Distribution]:
    """Return what is installed in an environment, by name."""
    found = list(distributions(path=[str(environment.site_packages)]))
    return sorted(found, key=lambda one: canonicalize_name(one.name))


def repair(root: Path, *, dry_run: bool = False) -> list[Deed]:
    """Put an environment back in order that another tool wrote into, or that was unpacked badly.

    Args:
        root: the environment.
        dry_run: only find out what there is to do.

    Returns:
        What was done, or would be.

    Raises:
        UsageError: it is no environment.
    """
    found = libraries(root)
    if not (root / MANIFEST).is_file() or not found:
        raise UsageError(f"{root} is no environment of relenv's: no {MANIFEST}", hint="name the directory above bin/")
    restored = []
    for library in found:
        shim = library / "relenv_pip"
        if not is_whole(shim):
            what = "is there again: it keeps the scripts relocatable that pip installs"
            restored.append(Deed(path=shim.relative_to(root).as_posix(), what=what))
            if not dry_run:
                remove_tree(shim / "__pycache__")  # nothing would notice that it is of other sources
                source = Path(pip_shim.__file__).parent
                shutil.copytree(source, shim, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    return [*restored, *put_in_order(root, dry_run=dry_run)]
