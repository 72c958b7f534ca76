"""Bytecode that ships: unchecked-hash (PEP 552), with paths relative to the prefix.

A time stamp would look stale after a zip has rounded it; a path would name the place of the build. The import
system puts the real path into what it loads.
"""

from __future__ import annotations

import heapq
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from relenv import process
from relenv.errors import BuildError, disk_full
from relenv.store import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

CACHE = "__pycache__"
SKIP = r"bad_coding|badsyntax|lib2to3/tests|/site-packages/.*/(templates|cookiecutter)/"
"""Files that are no Python of this version on purpose."""
SHARE = 2 << 20
"""Bytes of sources that are worth a process of their own."""
SHARES = 4
"""Processes at most. Not as many as there are processors: the bytes depend on what is compiled with what."""


def compile_tree(
    root: Path,
    *paths: Path,
    columns: bool = True,
    sourceless: bool = False,
    stays: Callable[[Path], bool] = lambda _: False,
) -> None:
    """Compile every .py file in or below some paths.

    In a fixed order, from nothing, in processes among which the paths are divided in the same way everywhere: how
    objects are shared in a .pyc depends on what was compiled and imported before it, and on whether that came from
    source or from bytecode.

    Args:
        root: the environment; its interpreter does the work, and paths become relative to it.
        paths: where to look.
        columns: whether tracebacks shall point at the place in a line (`-X no_debug_ranges` if not).
        sourceless: whether bytecode takes the place of its source; what does not compile stays.
        stays: tells which sources stay even so.

    Raises:
        BuildError: the interpreter failed. A file that does not compile is left without bytecode.
        OutputError: the disk is full.
    """
    if not paths:
        return
    for path in paths:
        for stale in [path] if path.name == CACHE else sorted(path.rglob(CACHE)):
            remove_tree(stale)
    python = ("-s", "-P", "-B", "-W", "ignore", *(() if columns else ("-X", "no_debug_ranges")))
    # one -q: what went wrong is said
    options = ("-q", "-f", *(("-b",) if sourceless else ()), "--invalidation-mode", "unchecked-hash", "-x", SKIP)
    argv = [root / "bin" / "python3", *python, "-m", "compileall", *options, "-s", str(root)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(partial(_compile, root, argv), _shares(paths)))
    if sourceless:
        _drop_sources(paths, stays)


def _compile(root: Path, argv: Sequence[str | Path], paths: Sequence[Path]) -> None:
    try:
        # not -I, which passes over the seed
        process.run([*argv, *paths], env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"})
    except process.CommandError as error:
        # compileall exits with 1 for either: bytecode that was not written, and a file that is not meant to compile
        if error.disk_full:
            raise disk_full(f"bytecode in {root}") from error
        if error.status != 1:
            raise BuildError(f"bytecode cannot be compiled ({error.how})", detail=error.tail) from error


def _shares(paths: Sequence[Path]) -> list[list[Path]]:
    """Divide paths into shares that take about as long: the largest first, each to whom has least."""
    weights = {path: sum(one.stat().st_size for one in _sources(path)) for path in paths}
    count = min(SHARES, len(paths), 1 + sum(weights.values()) // SHARE)
    shares: list[tuple[int, int, list[Path]]] = [(0, number, []) for number in range(count)]
    for path in sorted(paths, key=lambda path: (-weights[path], path)):
        weight, number, share = heapq.heappop(shares)
        heapq.heappush(shares, (weight + weights[path], number, [*share, path]))
    return [share for _, _, share in shares if share]


def _sources(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def _drop_sources(paths: Iterable[Path], stays: Callable[[Path], bool]) -> None:
    for path in paths:
        for source in _sources(path):
            if source.suffix == ".py" and source.with_suffix(".pyc").is_file() and not stays(source):
                source.unlink()
