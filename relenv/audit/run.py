"""The tree runs where trees end up: one copy of it, moved from one awkward place to the next.

Moved, not copied anew: what a run wrote in one place must not disturb the next.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from relenv import process
from relenv.audit.model import Finding, Severity
from relenv.environment import copy_tree
from relenv.errors import HostError
from relenv.pip_shim import scripts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from relenv.audit.tree import Tree

NOBODY = 65534
DEPTH = 200
LEVEL = "d000"
"""The name of a directory in which the next one is."""
ROOM = 64
"""Bytes of a path left free below the tree's longest: for what Python puts into one while it starts."""
JOBS = 2

HERE = """\
import importlib, os, sys
if not os.path.samefile(sys.prefix, sys.argv[1]):
    sys.exit(f"it runs what is in {sys.prefix}")
"""
"""The first argument is where the tree is: what takes another place for its own runs only as long as that is there."""
EXTENSIONS_PROBE = f"""\
{HERE}for name in sys.argv[2:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        sys.exit(f"{{name}}: {{type(error).__name__}}: {{error}}")
"""
SCRIPT_PROBE = f"""\
{HERE}module, _, names = sys.argv[2].partition(":")
found = importlib.import_module(module)
for name in filter(None, names.split(".")):
    found = getattr(found, name)
"""
SETTINGS = re.compile(
    rb"^import os\nfrom pathlib import Path\n\nroot = .*\nfor name, value in (\{.*\})\.items\(\):\n .*\n", re.MULTILINE
)
"""What a bundle's script begins with that sets variables, and the table of these."""
AS_OTHER = """\
import os, sys
os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes another user, then the program: run by relenv's own Python."""


@dataclass(frozen=True, kw_only=True)
class _Spot:
    """An awkward place."""

    name: str
    """Completes `does not run ...`."""
    enter: Callable[[Path, Path, int], AbstractContextManager[Path]]
    """Takes the copy, a directory and the length of the longest path in the tree; gives where to run it."""
    prefix: tuple[str, ...] = ()
    """What a program is started with."""


def check(tree: Tree, work: Path, modules: Sequence[str]) -> Iterator[Finding]:
    """Yield what fails in a place.

    Args:
        tree: what to copy and run.
        work: an empty directory of ours, in which programs can be started.
        modules: the extension modules to import.

    Raises:
        OSError: there is no room for a copy.
    """
    work.chmod(0o755)
    copy = work / "copy"
    # what cannot be read is a finding of its own; FIFOs and sockets nobody ships
    copy_tree(tree.root, copy, wanted={f"{tree.root}/{name}" for name in (*tree.readable, *tree.links)}.__contains__)
    starts = _starts(tree)
    for entry in starts:
        _instrument(copy / "bin" / entry.name)
    longest = max(map(len, tree.files))
    for spot in _spots():
        if spot.prefix and not _passable(work):
            yield Finding(
                severity=Severity.NOTE,
                check="run",
                file=".",
                what=f"was not run {spot.name}: {work} is not open to all",
                hint="set TMPDIR to a directory that is",
            )
            continue
        with spot.enter(copy, work, longest) as place:
            yield from _try(spot, place, starts, modules)


def _spots() -> tuple[_Spot, ...]:
    spots: tuple[_Spot, ...] = (
        _Spot(name="in a directory with a space and letters outside ASCII", enter=_spaced),
        _Spot(name=f"{DEPTH} directories deep", enter=_deep),
        _Spot(name="through a symbolic link to it", enter=_linked),
        _Spot(name="where nothing can be written", enter=_read_only),
    )
    if os.geteuid() == 0:
        prefix = (sys.executable, "-I", "-c", AS_OTHER, str(NOBODY))
        spots += (_Spot(name=f"as another user (uid {NOBODY})", enter=_read_only, prefix=prefix),)
    return spots


def _passable(work: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in work.resolve().parents)


@contextmanager
def _spaced(copy: Path, work: Path, longest: int) -> Iterator[Path]:  # noqa: ARG001 - as the others
    with _moved(copy, work / "a söme 世界 where") as place:
        yield place


@contextmanager
def _deep(copy: Path, work: Path, longest: int) -> Iterator[Path]:
    room = os.pathconf(work, "PC_PATH_MAX") - len(os.fsencode(work)) - longest - ROOM
    levels = max(1, min(DEPTH, room // (len(LEVEL) + 1)))
    below = work.joinpath(*[LEVEL] * levels)
    below.mkdir(parents=True)
    with _moved(copy, below / "tree") as place:
        yield place


@contextmanager
def _linked(copy: Path, work: Path, longest: int) -> Iterator[Path]:  # noqa: ARG001
    link = work / "link"
    link.symlink_to(copy.name)
    yield link
    link.unlink()


@contextmanager
def _read_only(copy: Path, work: Path, longest: int) -> Iterator[Path]:  # noqa: ARG001
    modes = {Path(folder): Path(folder).stat().st_mode for folder, _, _ in os.walk(copy)}
    for folder, mode in modes.items():
        # a copy's directories have what our umask has left them, whatever the tree's have
        folder.chmod((mode | 0o555) & ~0o222)
    try:
        yield copy
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)


@contextmanager
def _moved(copy: Path, place: Path) -> Iterator[Path]:
    copy.rename(place)
    try:
        yield place
    finally:
        place.rename(copy)


def _starts(tree: Tree) -> list[EntryPoint]:
    """Return the entry points whose script is there, with our trampoline; the others are `scripts`' business."""
    found = {}
    readable = frozenset(tree.readable)
    for record in tree.records:
        folder = PurePosixPath(record.path).parent
        if f"{folder}/entry_points.txt" not in readable:
            continue
        points = Distribution.at(tree.root / folder).entry_points
        for entry in (*points.select(group="console_scripts"), *points.select(group="gui_scripts")):
            path = tree.root / "bin" / entry.name
            # one that needs an extra cannot be expected to work; a path as a name may lead anywhere
            inside = f"bin/{entry.name}" in readable
            if inside and not entry.extras and scripts.carries(path.read_bytes()):
                found[entry.name] = entry
    return [found[name] for name in sorted(found)]


def _instrument(script: Path) -> None:
    """Leave a script its trampoline, and let it import what it starts with instead of starting it."""
    data, mode = script.read_bytes(), script.stat().st_mode
    script.unlink()
    script.write_bytes(instrumented(data, SCRIPT_PROBE.encode()))
    script.chmod(mode)


def instrumented(script: bytes, probe: bytes) -> bytes:
    """Return a script of ours with its trampoline and the variables it sets, and something else to run behind that."""
    # the trampoline's quotes: they open in its second line or, after an encoding, in its third
    opening = script.index(b"''':'")
    end = script.index(b"'''", opening + len(b"''':'")) + len(b"'''")
    settings = SETTINGS.search(script, end)
    return script[:end] + b"\n" + (settings[0] if settings else b"") + probe


def _try(spot: _Spot, place: Path, starts: Sequence[EntryPoint], modules: Sequence[str]) -> Iterator[Finding]:
    options = ("-I", "-W", "ignore", "-c", EXTENSIONS_PROBE, os.fspath(place), *modules)
    tasks: list[tuple[str, list[str]]] = [("bin/python3", [os.fspath(place / "bin" / "python3"), *options])]
    for entry in starts:
        # `sh` starts what has no shebang, and a file that is not executable is a finding of its own
        argv = [os.fspath(place / "bin" / entry.name), os.fspath(place), entry.value.split("[")[0].strip()]
        tasks.append((f"bin/{entry.name}", argv))
    with process.pool(JOBS) as pool:
        reasons = pool.map(lambda task: _fails([*spot.prefix, *task[1]]), tasks)
        for (file, _), reason in zip(tasks, reasons, strict=True):
            if reason:
                yield Finding(
                    severity=Severity.ERROR,
                    check="run",
                    file=file,
                    what=f"does not run {spot.name}: {reason}",
                    hint="is a dependency missing? the other findings may tell",
                )


def _fails(argv: Sequence[str]) -> str:
    """Run a program with nothing of our environment; return why it failed, empty if it did not."""
    env = {"PATH": os.defpath, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    try:
        process.run(argv, cwd=Path("/"), env=env)
    except process.CommandError as error:
        lines = error.tail.strip().splitlines()
        return lines[-1] if lines else error.how
    except (HostError, OSError) as error:
        return str(error)
    return ""
