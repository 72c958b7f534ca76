"""What ld.so would load with a file, found as it finds it (ld.so(8)), for trees of any architecture.

An object with DT_RUNPATH looks there alone; one without looks along the DT_RPATH of itself, of what loaded it, and
of the main program: here bin/python3.
"""

from __future__ import annotations

import os
import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from relenv.audit.binary import Binary
    from relenv.audit.tree import Tree

_ORIGIN = re.compile(r"\$(ORIGIN\b|\{ORIGIN\})")


@dataclass(frozen=True, kw_only=True)
class Closure:
    """A file and all that is loaded with it."""

    members: tuple[Binary, ...]
    """The file itself, then what it needs, breadth first as the loader does."""
    missing: tuple[tuple[Binary, str], ...]
    """Who needs what that no search path leads to."""


def expand(rpath: str | None, path: str) -> Iterator[str]:
    """Yield the directories of a search path of the file `path`, relative to the tree; absolute ones as they are.

    One that leads out of the tree begins with `..`; an empty one, which means the current directory, stays empty.
    """
    folder = path.rpartition("/")[0] or "."
    for entry in rpath.split(":") if rpath is not None else ():
        yield os.path.normpath(_ORIGIN.sub(lambda _: folder, entry)) if _ORIGIN.match(entry) else entry


def closures(tree: Tree, loaded: Sequence[Binary], main: Binary | None) -> list[Closure]:
    """Return the closure of each file that is not itself loaded as part of another's.

    Args:
        tree: where they are.
        loaded: its dynamic ELF files of the main program's architecture.
        main: bin/python3.
    """
    files = _index(tree, loaded)
    wanted = {name for binary in loaded for name in binary.needed}
    roots = [binary for binary in loaded if binary.program or binary.name not in wanted]
    found = [_closure(files, root, main) for root in roots]
    # libraries that need each other in a circle, and none else needs
    reached = {member.path for closure in found for member in closure.members}
    for binary in loaded:
        if binary.path not in reached:
            found.append(_closure(files, binary, main))
            reached |= {member.path for member in found[-1].members}
    return found


def _index(tree: Tree, loaded: Sequence[Binary]) -> dict[str, Binary]:
    """Return the files by every path that leads to them."""
    files = {binary.path: binary for binary in loaded}
    for link in tree.links:
        # not Path.resolve: before 3.13 it raises where links lead in a circle
        target = os.path.relpath(os.path.realpath(tree.root / link), tree.root)
        if target in files:
            files[link] = files[target]
    return files


def _closure(files: Mapping[str, Binary], root: Binary, main: Binary | None) -> Closure:
    present = {root.name: root}
    members = [root]
    missing = []
    program = None if root.program else main
    queue: deque[tuple[Binary, tuple[Binary, ...]]] = deque([(root, ())])
    while queue:
        binary, loaders = queue.popleft()
        for name in binary.needed:
            if name in present:
                continue
            found = _find(files, name, _paths(binary, loaders, program))
            if found is None:
                missing.append((binary, name))
                continue
            present[name] = found
            if found not in members:
                members.append(found)
                queue.append((found, (binary, *loaders)))
    return Closure(members=tuple(members), missing=tuple(missing))


def _paths(binary: Binary, loaders: Sequence[Binary], program: Binary | None) -> Iterator[str]:
    if binary.runpath is not None:
        yield from expand(binary.runpath, binary.path)
        return
    for one in (binary, *loaders, *((program,) if program else ())):
        if one.runpath is None:  # DT_RPATH is ignored beside DT_RUNPATH
            yield from expand(one.rpath, one.path)


def _find(files: Mapping[str, Binary], name: str, folders: Iterator[str]) -> Binary | None:
    paths = (os.path.normpath(f"{folder}/{name}") for folder in folders if folder)
    return next((files[path] for path in paths if path in files), None)
