"""A bundle's tree is used again: linking thousands of files and making their directories takes longer than a look.

    layer/tree ──link──► work/…/NAME ──the bundle is written──► layer/spare ──the next bundle──► work/…/NAME

Whatever was done to it for one bundle is undone before it serves another: it is made the same as what it is of,
file by file, told by inodes.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from relenv.environment import copy_tree, link_file
from relenv.store import remove_tree

SPARE = "spare"
"""Beside a layer's tree."""


def lend(tree: Path, spare: Path, root: Path) -> None:
    """Make a tree of links to the files of another.

    Args:
        tree: has the files.
        spare: what was put back there is taken, if there is something.
        root: where it goes; its parent exists.

    Raises:
        OSError: it cannot be made.
    """
    with suppress(OSError):  # there is none, or somebody else has it or is at work in it
        spare.rename(root)
        if _stands_for(root.stat(), tree.stat()):
            _make_same(str(tree), str(root))
            return
    remove_tree(root)
    copy_tree(tree, root, share=True)


def put_back(root: Path, spare: Path) -> None:
    """Keep a tree that `lend` has made for the next time.

    Args:
        root: the tree; it is gone afterwards.
        spare: where it goes.

    Raises:
        OSError: another is there already, or it cannot be moved there; the tree is still there to be removed.
    """
    root.rename(spare)


def _make_same(source: str, target: str) -> None:
    theirs = _children(target)
    for name, entry in _children(source).items():
        path = f"{target}/{name}"
        there = theirs.pop(name, None)
        status = entry.stat(follow_symlinks=False)
        is_folder = stat.S_ISDIR(status.st_mode)
        if there and not _stands_for(there.stat(follow_symlinks=False), status):
            remove_tree(Path(path))
            there = None
        if there and is_folder:
            _make_same(entry.path, path)
        elif is_folder:
            copy_tree(Path(entry.path), Path(path), share=True)
        elif not there:
            link_file(entry.path, path)
    for name in theirs:
        remove_tree(Path(target, name))


def _children(folder: str) -> dict[str, os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return {entry.name: entry for entry in entries}


def _stands_for(one: os.stat_result, other: os.stat_result) -> bool:
    """Tell whether two are the same file; or directories, and the first one can be written to."""
    if stat.S_ISDIR(one.st_mode) and stat.S_ISDIR(other.st_mode):
        return one.st_mode & stat.S_IRWXU == stat.S_IRWXU
    return os.path.samestat(one, other)
