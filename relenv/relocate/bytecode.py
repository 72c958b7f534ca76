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
    from collections.abc import Iterable
    from pathlib import Path

CACHE = "__pycache__"
SKIP = r"bad_coding|badsyntax|lib2to3/tests|/site-packages/.*/(templates|cookiecutter)/"
"""Files that are no Python of this version on purpose."""


def compile_tree(root: Path, *paths: Path, columns: bool = True, sourceless: bool = False) -> None:
    """Compile every .py file in or below some paths.

    In one process, in a fixed order, from nothing: how objects are shared in a .pyc depends on what was compiled and
    imported before it, and on whether that came from source or from bytecode.

    Args:
        root: the environment; its interpreter does the work, and paths become relative to it.
        paths: where to look.
        columns: whether tracebacks shall point at the place in a line (`-X no_debug_ranges` if not).
        sourceless: whether bytecode takes the place of its source; what does not compile stays.

    Raises:
        BuildError: the interpreter failed. A file that does not compile is left without bytecode.
    """
    if not paths:
        return
    for path in paths:
        for stale in [path] if path.name == CACHE else sorted(path.rglob(CACHE)):
            remove_tree(stale)
    python = ("-s", "-P", "-B", "-W", "ignore", *(() if columns else ("-X", "no_debug_ranges")))
    options = ("-q", "-q", "-f", *(("-b",) if sourceless else ()), "--invalidation-mode", "unchecked-hash", "-x", SKIP)
    try:
        process.run(
            [
                root / "bin" / "python3",
                *(*python, "-m", "compileall", *options, "-s", str(root)),
                *paths,
            ],
            # not -I, which passes over the seed
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"},
        )
    except process.CommandError as error:
        if error.status != 1:  # some file of some package is not meant to compile
            raise BuildError(f"bytecode cannot be compiled ({error.how})", detail=error.tail) from error
    if sourceless:
        _drop_sources(paths)


def _drop_sources(paths: Iterable[Path]) -> None:
    for path in paths:
        for source in [path] if path.is_file() else sorted(path.rglob("*.py")):
            if source.suffix == ".py" and source.with_suffix(".pyc").is_file():
                source.unlink()
