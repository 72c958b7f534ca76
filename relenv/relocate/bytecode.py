"""Bytecode that ships: unchecked-hash (PEP 552), with paths relative to the prefix.

A time stamp would look stale after a zip has rounded it; a path would name the place of the build. The import
system puts the real path into what it loads.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from relenv import process
from relenv.errors import BuildError
from relenv.store import remove_tree

if TYPE_CHECKING:
    from pathlib import Path

CACHE = "__pycache__"
SKIP = r"bad_coding|badsyntax|lib2to3/tests|/site-packages/.*/(templates|cookiecutter)/"
"""Files that are no Python of this version on purpose."""


def compile_tree(root: Path, *paths: Path) -> None:
    """Compile every .py file in or below some paths.

    In one process, in a fixed order, from nothing: how objects are shared in a .pyc depends on what was compiled and
    imported before it, and on whether that came from source or from bytecode.

    Args:
        root: the environment; its interpreter does the work, and paths become relative to it.
        paths: where to look.

    Raises:
        BuildError: the interpreter failed. A file that does not compile is left without bytecode.
    """
    if not paths:
        return
    for path in paths:
        for stale in [path] if path.name == CACHE else sorted(path.rglob(CACHE)):
            remove_tree(stale)
    options = ("-q", "-q", "-f", "--invalidation-mode", "unchecked-hash", "-x", SKIP)
    try:
        process.run(
            [
                root / "bin" / "python3",
                *("-s", "-P", "-B", "-W", "ignore", "-m", "compileall", *options, "-s", str(root)),
                *paths,
            ],
            # not -I, which passes over the seed
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"},
        )
    except process.CommandError as error:
        if error.status == 1:
            return  # some file of some package is not meant to compile
        raise BuildError(f"bytecode cannot be compiled ({error.how})", detail=error.tail) from error
