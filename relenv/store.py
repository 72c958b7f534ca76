"""The cache directory and the content-addressed store in it: what has a name there is whole.

<data>/relenv-cache.json      marks the directory as ours
<data>/downloads/             tarballs, by checksum and name
<data>/toolchains/            compilers
<data>/store/<name>-<version>-<key>/
<data>/logs/<name>-<version>-<key>/
<data>/work/                  builds under way
<data>/locks/
"""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import re
import secrets
import shutil
import stat
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from relenv import process
from relenv.errors import CacheError, OutputError, naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from relenv.ui import Ui

FORMAT = 1
REMOVAL_ATTEMPTS = 10
MARKER = "relenv-cache.json"
TAG = "CACHEDIR.TAG"
TAG_TEXT = "Signature: 8a477f597d28d172789f06886806bc55\n# https://bford.info/cachedir/\n"
HINT = "set RELENV_DATA to a directory of your own"
UNSPEAKABLE = re.compile(r"[\0-\x1f\x7f\ud800-\udfff]")
"""What the configuration of apt and of setuptools cannot hold: control characters, and bytes that are no UTF-8."""


@dataclass(frozen=True, kw_only=True)
class Cache:
    """A cache directory that was opened and found in order."""

    root: Path
    users: int
    """A file descriptor that holds a shared lock: whoever has none in its way is the cache's only user."""
    uses: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    """The file descriptors that hold what this process uses, by name."""

    @property
    def downloads(self) -> Path:
        """Tarballs."""
        return self.root / "downloads"

    @property
    def toolchains(self) -> Path:
        """Compilers."""
        return self.root / "toolchains"

    @property
    def store(self) -> Path:
        """Finished artifacts."""
        return self.root / "store"

    @property
    def logs(self) -> Path:
        """Logs of builds, one directory a node."""
        return self.root / "logs"

    @property
    def work(self) -> Path:
        """Builds under way, one directory a node."""
        return self.root / "work"

    @contextmanager
    def lock(self, name: str, ui: Ui) -> Iterator[None]:
        """Hold the lock `name`; say so when another process has it, and wait.

        The lock goes with its process, however that ends (flock(2)).
        """
        lock = self._lock(name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            work = ui.work(f"Waiting for another relenv that is making {name}")
            try:
                while not lock.is_locked:
                    try:
                        lock.acquire(timeout=1)
                    except Timeout:
                        process.check()
                        work.reach(0)
            finally:
                work.drop()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Tell whether this is the cache's only user; whoever comes during the body waits if it is."""
        alone = _locked(self.users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not alone:  # the attempt has cost the shared lock: flock(2)
            _locked(self.users, fcntl.LOCK_SH)
        try:
            yield alone
        finally:
            if alone:
                _locked(self.users, fcntl.LOCK_SH)

    def _lock(self, name: str) -> FileLock:
        path = self.root / "locks" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)

    @contextmanager
    def locked(self, name: str) -> Iterator[bool]:
        """Hold the lock `name` for the body and give True; give False at once when another has it."""
        lock = self._lock(name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def use(self, path: Path) -> None:
        """Use something: nobody prunes it before this process has ended, and its age is nought.

        To be called before the look whether it is there; that it is not does no harm.
        """
        if path.name not in self.uses:
            held = self._use_lock(path.name)
            _locked(held, fcntl.LOCK_SH)
            if self.uses.setdefault(path.name, held) != held:  # another thread was quicker
                os.close(held)
        with suppress(OSError):
            os.utime(path)

    @contextmanager
    def unused(self, name: str) -> Iterator[bool]:
        """Tell whether nobody uses what has this name; whoever wants to during the body waits if so."""
        held = self._use_lock(name)
        try:
            yield _locked(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(held)

    def _use_lock(self, name: str) -> int:
        path = self.root / "locks" / f"{name}.use"
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def put_away(self, path: Path) -> Path:
        """Take the name of something in the cache away at once, and return the one to remove it by.

        Raises:
            FileNotFoundError: it is not there.
        """
        gone = self.work / f"gone-{secrets.token_hex(4)}"
        gone.parent.mkdir(exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o700)  # a directory that moves is written to
        path.rename(gone)
        return gone

    @contextmanager
    def beside(self, final: Path) -> Iterator[Path]:
        """Give an empty directory on the same file system, which becomes `final` if the body ends well.

        To be used under a lock for `final`. Whatever an earlier, killed run left there is removed first.
        """
        partial = self.work / f"{final.name}.partial"
        remove_tree(partial)
        partial.mkdir(parents=True)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            remove_tree(final)
            partial.rename(final)
        finally:
            remove_tree(partial)


def is_cache_there(root: Path) -> bool:
    """Tell whether there is something to open as the cache directory; make nothing.

    Returns:
        False where nothing is, or an empty directory.

    Raises:
        CacheError: nobody can tell.
    """
    try:
        return root.exists() and (not root.is_dir() or any(root.iterdir()))
    except OSError as error:
        raise CacheError(f"the cache {root} cannot be used: {error.strerror}", hint=HINT) from error


def open_cache(root: Path) -> Cache:
    """Open the cache directory, making it when it is missing or empty.

    Raises:
        CacheError: it cannot be read or written, is no cache of relenv's, or belongs to another user; or has a path
            that other programs could not be told.
    """
    if UNSPEAKABLE.search(str(root)):
        raise CacheError(f"the cache {str(root)!r} has control characters in its path, or what is no UTF-8", hint=HINT)
    try:
        root.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in root.iterdir()}
        # another relenv may be opening the same empty directory at this moment: its first files are no strangers
        strangers = {name for name in names if name not in (TAG, "locks") and MARKER not in name}
        if strangers and MARKER not in names:
            raise CacheError(f"{root} is not empty and no cache of relenv's", hint=HINT)
        owner = root.stat().st_uid
        if owner != os.geteuid():
            raise CacheError(f"the cache {root} belongs to another user (uid {owner})", hint=HINT)
        if root.stat().st_mode & stat.S_IWOTH:
            raise CacheError(f"everybody may write to the cache {root}", hint=f"chmod o-w {root}, or {HINT}")
        if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
            raise CacheError(f"the cache {root} is not writable", hint=HINT)
        if MARKER not in names:
            with naming(root / TAG):
                (root / TAG).write_text(TAG_TEXT)
            # Last, and by rename: two that open an empty cache at once write the same.
            write_text(root / MARKER, json.dumps({"format": FORMAT}) + "\n")
        _check_format(root)
        users = _join(root)
    except OSError as error:
        if isinstance(error, (NotADirectoryError, FileExistsError, PermissionError)):
            raise CacheError(f"the cache {root} cannot be used: {error.strerror}", hint=HINT) from error
        raise
    return Cache(root=root.resolve(), users=users)


def _join(root: Path) -> int:
    """Become one of the cache's users, until this process ends, however it does (flock(2)); wait for a prune to end."""
    locks = root / "locks"
    locks.mkdir(exist_ok=True)
    users = os.open(locks / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _locked(users, fcntl.LOCK_SH)
    return users


def _locked(descriptor: int, how: int) -> bool:
    """Return whether a lock was got: flock(2). There are file systems without, on which nobody is ever alone."""
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        return False
    return True


def _check_format(root: Path) -> None:
    try:
        found = json.loads((root / MARKER).read_text())["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise CacheError(f"{root / MARKER} is damaged", hint="remove the directory, or " + HINT) from error
    if found != FORMAT:
        raise CacheError(f"the cache {root} was made by another version of relenv (format {found})", hint=HINT)


def packed_name(version: str, key: str) -> str:
    """Return what the store calls a tarball of ours."""
    return f"tarball-{version}-{key}"


def part_of(into: Path) -> Path:
    """Return where an attempt cut short leaves what it has got of a file."""
    return into.with_name(f"{into.name}.part")


def write_text(path: Path, text: str, mode: int = 0o644, *, lasting: bool = False, errors: str | None = None) -> None:
    """Write a file beside its place and rename it there: it appears whole or not at all.

    Args:
        path: the file.
        text: what it is to hold.
        mode: as of chmod(2).
        lasting: whether that is to hold for a power cut as well; see `put_in_place`.
        errors: as of open(); bytes that are no UTF-8 come through with `surrogateescape`.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with naming(path):
            beside.write_text(text, encoding="utf-8", errors=errors)
            beside.chmod(mode)
            if lasting:
                put_in_place(beside, path)
            else:
                beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def put_in_place(partial: Path, into: Path) -> None:
    """Rename a finished file to its name; after a power cut, too, it is there whole, or what was there before.

    File systems write names to the disk before contents, so that a file may be there and empty. This waits for the
    disk, and is for what is handed on or is the user's; what is in the cache can be made anew.

    Raises:
        OSError: it cannot be written, which some file systems find out only now.
    """
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(into)
    with suppress(OSError):  # not every directory can be read, nor flushed on every file system; the content is safe
        folder = os.open(into.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def missing_folders(folder: Path) -> list[Path]:
    """Return what there is to make for a directory: itself, and those above it."""
    return list(takewhile(lambda one: not os.path.lexists(one), (folder, *folder.parents)))


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove directories in which nothing is."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def making(folder: Path) -> Iterator[None]:
    """Have a directory for the body; what was made of it goes again if that fails, unless something is in it.

    Raises:
        OSError: it cannot be made.
    """
    missing = missing_folders(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        remove_empty(missing)
        raise


PART = ".part"
TOKEN = 8
"""Letters that tell the names of what is beside a place apart; numbers of processes are the same in two containers."""


@contextmanager
def held(folder: Path, stem: str, make: Callable[[Path], object]) -> Iterator[Path]:
    """Give something new that nobody else takes away; afterwards it is gone, if it has not been moved to its place.

    What runs that were killed have left of the same stem goes at once.

    Args:
        folder: where.
        stem: how its name begins.
        make: makes it, a file or a directory.

    Raises:
        OSError: it cannot be made.
    """
    path = partial_name(folder, stem)
    with ExitStack() as stack:
        try:
            stack.callback(os.close, _made(path, make))
            yield path
        finally:
            with suppress(OSError):  # it goes with the next run then
                remove_tree(path)


def partial_name(folder: Path, stem: str) -> Path:
    """Return a name that is free; what has such a one goes if nobody holds it, in whichever container that may be."""
    for stale in folder.glob(f"{glob.escape(stem)}{'?' * TOKEN}{PART}"):
        with suppress(OSError):  # somebody holds it, or the file system has no locks, and then nobody can tell
            lock = os.open(stale, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(stale)
            finally:
                os.close(lock)
    return folder / f"{stem}{secrets.token_hex(TOKEN // 2)}{PART}"


def _made(path: Path, make: Callable[[Path], object]) -> int:
    """Make something and hold it; again, where somebody has tidied up between the one and the other."""
    while True:
        make(path)
        try:
            lock = hold(path)
        except FileNotFoundError:
            continue
        if path.exists():
            return lock
        os.close(lock)


def hold(path: Path) -> int:
    """Open a file or directory and lock it for as long as it is open: flock(2) ends with its process."""
    lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with suppress(OSError):  # not every file system has locks
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def is_held(folder: Path) -> bool:
    """Tell whether a process holds a directory; those of other containers have numbers that say nothing here."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # not every file system has locks
        return False
    finally:
        os.close(lock)
    return False


def try_writing(folder: Path, *, hint: str) -> None:
    """Try before minutes of work whether its result can be written.

    Args:
        folder: where to.
        hint: what to do if not.

    Raises:
        OutputError: it cannot.
    """
    probe = folder / f".relenv-{secrets.token_hex(4)}.part"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not folder.exists():  # in /proc it is there, and takes no files
            raise OutputError(f"there is no directory {folder.absolute()}", hint=f"make it, or {hint}") from error
        raise OutputError(f"{folder.absolute()} is not writable: {error.strerror}", hint=hint) from error


def remove_tree(path: Path) -> None:
    """Remove a file or directory and all below it, read-only directories too; fine when there is none."""
    if path.is_symlink() or path.is_file():
        path.unlink()
        return
    if not path.exists():
        return
    try:
        _remove_folder(path)
    except PermissionError:
        _open_up(path)
        _remove_folder(path)


def _remove_folder(path: Path) -> None:
    for attempt in range(REMOVAL_ATTEMPTS):
        try:
            shutil.rmtree(path)
        except OSError as error:
            # a process that outlived a killed run may still be writing there, or another one removing
            last = attempt == REMOVAL_ATTEMPTS - 1 and os.path.lexists(path)
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT) or last:
                raise
        else:
            return


def _open_up(path: Path) -> None:
    """Let its owner delete what is in a directory, and in those below it."""
    for folder, _, _ in os.walk(path):
        with suppress(FileNotFoundError):  # somebody else removes it as well
            mode = Path(folder).stat().st_mode
            if mode & 0o700 != 0o700:  # noqa: PLR2004 - what it takes
                Path(folder).chmod(mode | 0o700)
