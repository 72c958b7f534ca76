"""Whether what builds and installs packages leaves alone the interpreter, of which everything else is made."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from relenv.bundle.archive import walk
from relenv.errors import CacheError
from relenv.store import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from relenv.interpreter import Interpreter


@contextmanager
def unharmed(interpreter: Interpreter) -> Iterator[None]:
    """Make sure that what runs in the body wrote into no file that an environment shares with the store.

    pip and the shim replace files; but a build script may do anything, and may fail afterwards.

    Raises:
        CacheError: it happened; the interpreter is removed from the store, and laid out anew next time.
    """
    before = dict(_written(interpreter.root))
    try:
        yield
    finally:
        after = dict(_written(interpreter.root))
        if changed := [name for name in before if before[name] != after.get(name)]:
            for one in (interpreter.root, *interpreter.root.parent.glob(f"*-{interpreter.root.name}-*")):
                remove_tree(one)  # the parts of bundles have the same files
            raise CacheError(
                f"what was built or installed changed a file of the interpreter in place: {changed[0]}",
                hint="the cache was put right; a package that does this cannot be bundled",
            )


def _written(root: Path) -> Iterator[tuple[str, tuple[int, int, int]]]:
    for name, entry in walk(root):
        status = entry.stat(follow_symlinks=False)
        if not entry.is_symlink():
            yield name, (status.st_size, status.st_mtime_ns, status.st_mode)
