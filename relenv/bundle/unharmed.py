"""Whether what is run leaves alone the files of the store: all bundles are made of these, and have them as their own.

What builds, installs or is imported may do anything. It is noticed afterwards, and what was harmed goes from the store.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from relenv import interrupts
from relenv.bundle.archive import walk
from relenv.errors import CacheError
from relenv.store import remove_tree

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from relenv.interpreter import Interpreter
    from relenv.store import Cache

TREE = "tree"
"""Where in an entry of the store the part of a bundle is; an interpreter is the entry."""

Listing = dict[str, tuple[int, int, int, int]]
"""What tells of files whether they are the same, and as they were: inode, bytes, time of change in ns and mode."""


class TouchedError(Exception):
    """What was imported has changed files of the bundle.

    Args:
        names: the files, by their paths in the bundle.
    """

    def __init__(self, names: list[str]) -> None:
        super().__init__(names[0])
        self.names = names


@contextmanager
def unharmed(cache: Cache, interpreter: Interpreter) -> Iterator[None]:
    """Make sure that what runs in the body wrote into no file that an environment shares with the interpreter.

    pip and the shim replace files; but a build script may do anything, and may fail afterwards.

    Raises:
        CacheError: it happened; the interpreter is removed from the store, and laid out anew next time.
    """
    before = _listing(interpreter.root)
    try:
        yield
    except BaseException as error:
        changed = _put_right(cache, interpreter, before)
        if changed and not interrupts.is_behind(error):
            raise _harmed(changed) from error
        raise
    if changed := _put_right(cache, interpreter, before):
        raise _harmed(changed)


def _put_right(cache: Cache, interpreter: Interpreter, before: Listing) -> list[str]:
    changed = _changed(before, _listing(interpreter.root))
    _discard(cache, interpreter, {name: before[name] for name in changed})
    return changed


def _harmed(changed: list[str]) -> CacheError:
    return CacheError(
        f"what was built, installed or imported changed a file of the interpreter in place: {changed[0]}",
        hint="the cache was put right; a package that does this cannot be bundled",
    )


@contextmanager
def untouched(cache: Cache, interpreter: Interpreter, tree: Path) -> Iterator[list[str]]:
    """Make sure that what runs in the body leaves a bundle as it is: it shares most files with the store.

    Args:
        cache: has the store.
        interpreter: the bundle's.
        tree: the bundle.

    Yields:
        A list that has, after the body, the files that were new in the bundle. They are gone.

    Raises:
        TouchedError: other files were changed. What of the store has them is gone as well.
        CacheError: they are the interpreter's.
    """
    before = _listing(tree)
    new: list[str] = []
    try:
        yield new
    finally:
        after = _listing(tree)
        new += sorted(after.keys() - before.keys())
        _remove(tree, new, before)
        changed = _changed(before, after)
        _discard(cache, interpreter, {name: before[name] for name in changed})
    if changed and not interpreter.root.is_dir():
        raise _harmed(changed)
    if changed:
        raise TouchedError(changed)


def _remove(tree: Path, new: Collection[str], before: Listing) -> None:
    while new:
        for name in new:
            remove_tree(tree / name)
        new = _listing(tree).keys() - before.keys()  # a directory shows once it is empty


def _listing(root: Path) -> Listing:
    found = {}
    for name, entry in walk(root):
        if not entry.is_symlink():
            status = entry.stat(follow_symlinks=False)
            found[name] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)
    return found


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """Return the files that are other ones now, or gone; a directory changes with what comes and goes in it."""
    return [name for name in before if before[name] != after.get(name) and not name.endswith("/")]


def _discard(cache: Cache, interpreter: Interpreter, files: Listing) -> None:
    """Take from the store what has one of these very files: whoever uses it has what was harmed as well."""
    if not files:
        return
    entries = {interpreter.root: interpreter.root}
    entries |= {one: one / TREE for one in interpreter.root.parent.glob(f"*-{interpreter.root.name}-*")}
    harmed = [root for root, tree in entries.items() if _has(tree, files)]
    for root in harmed:
        remove_tree(cache.put_away(root))


def _has(tree: Path, files: Listing) -> bool:
    return any(_inode(tree / name) == inode for name, (inode, *_) in files.items())


def _inode(path: Path) -> int:
    try:
        return path.lstat().st_ino
    except OSError:
        return -1
