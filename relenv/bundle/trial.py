"""Trying a bundle before it is handed out: its scripts can start, what it is said to do works, in another place."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from relenv import process
from relenv.audit.run import instrumented
from relenv.bundle.unstarted import TELL, failure_of, hint, place_of, reason
from relenv.environment import copy_tree
from relenv.errors import CheckError
from relenv.pip_shim.scripts import carries
from relenv.ui import seconds, slowly

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from relenv.bundle.unstarted import Ground
    from relenv.ui import Ui

TRIALS = 2
"""Scripts that are tried at a time."""
NOTICE = 5.0
"""Seconds after which it is said that a script or a command is still being tried."""
LIMIT = 120.0
"""Seconds that importing what a script starts with may take."""
SMOKE_LIMIT = 600.0
"""Seconds that a command of `smoke` may take; what it leaves in the background is ended with it."""
SHOWN = 60
"""Characters of such a command that are shown while it runs."""
MARK = "relenv: compiled: "
IMPORT = f"""\
import faulthandler, importlib, os, sys
faulthandler.register(15, file=2, all_threads=False, chain=True)  # SIGTERM: it took too long, and is to say where
{TELL}module, _, names = sys.argv[1].partition(":")
try:
    found = importlib.import_module(module)
    for name in filter(None, names.split(".")):
        found = getattr(found, name)
except BaseException as error:
    if isinstance(error, SystemExit) and error.code in (None, 0):
        raise  # the script does what it is for when it is imported, as scripts did before there were entry points
    tell(error)
    os._exit(1)  # not after threads that it has begun, which may never end
for one in list(sys.modules.values()):
    spec = getattr(one, "__spec__", None)
    if spec and spec.has_location and spec.cached and not os.path.exists(spec.cached):
        print("\\n" + sys.argv[2] + spec.origin)
"""
"""Imports what a script starts with, and tells which sources had to be compiled for that."""


def try_scripts(entries: Sequence[EntryPoint], ground: Ground, ui: Ui | None = None) -> set[Path]:
    """Import what each script starts with.

    Args:
        entries: the scripts.
        ground: the bundle, and what it was made of.
        ui: is told which one takes long.

    Returns:
        The sources that have no bytecode and were compiled for that.

    Raises:
        CheckError: one cannot be imported, or is not there.
    """
    root = ground.root

    def importable(entry: EntryPoint) -> set[Path]:
        try:
            with slowly(ui, f"Still importing {entry.name} ({entry.module})", after=NOTICE):
                said = _begin(root, entry, probes[entry.name])
        except process.CommandError as error:
            raise _refusal(error, entry, ground) from error
        origins = (line.removeprefix(MARK) for line in said.splitlines() if line.startswith(MARK))
        return {root / origin for origin in origins if (root / origin).is_relative_to(root)}

    if not entries:
        _start(root)
    missing = [entry.name for entry in entries if not (root / "bin" / entry.name).is_file()]
    if missing:
        names = ", ".join(missing)
        raise CheckError(f"the bundle has no bin/{names}, which the project declares", hint="does `exclude` name it?")
    probes: dict[str, Path | None] = {}
    try:
        # All of them before any is run: what is forked while one is written has it open for writing, too, and until
        # that has become another program nobody can run it (ETXTBSY, execve(2)).
        for entry in entries:
            probes[entry.name] = _lay_probe(root, entry)
        with process.pool(TRIALS) as pool:
            return set().union(*pool.map(importable, entries))
    finally:
        for probe in filter(None, probes.values()):
            probe.unlink(missing_ok=True)


def _start(root: Path) -> None:
    """Start the interpreter, which is all that a bundle without scripts does."""
    try:
        _run([root / "bin" / "python3", "-I", "-B", "-c", ""], root)
    except process.CommandError as error:
        last = error.tail.strip().rpartition("\n")[2] or error.how
        hint = "does `exclude` name something of it?"
        raise CheckError(f"python3 cannot start in the bundle: {last}", hint=hint, detail=error.tail) from error


def _refusal(error: process.CommandError, entry: EntryPoint, ground: Ground) -> CheckError:
    failure = failure_of(error.tail)
    if isinstance(error, process.OverdueError):
        place = place_of(error.tail)
        why = f"importing {entry.module} is {error.how}{place and f' ({place})'}"
        advice = (
            "what serves or waits belongs into the function that the script calls, not where its module is imported"
        )
    elif failure:
        why, advice = reason(failure, ground.root), hint(failure, entry, ground)
    else:  # it was killed, or has ended by itself
        last = error.tail.strip().rpartition("\n")[2]
        why, advice = f"{error.how}: {last}" if last else error.how, "--debug shows the end of what it printed"
    return CheckError(f"the script {entry.name} ({entry.value}) cannot start in the bundle: {why}", hint=advice)


def _lay_probe(root: Path, entry: EntryPoint) -> Path | None:
    """Write a script beside another that imports what that starts with, if that one has our trampoline."""
    script = (root / "bin" / entry.name).read_bytes()
    if not carries(script):
        return None
    probe = root / "bin" / f".{entry.name}.trial"
    probe.write_bytes(instrumented(script, IMPORT.encode()).replace(b'/python3" -', b'/python3" -B -', 1))
    probe.chmod(0o755)
    return probe


def _begin(root: Path, entry: EntryPoint, probe: Path | None) -> str:
    """Import what a script starts with as the script does: by its own trampoline, if it has ours."""
    words = (entry.value.split("[")[0].strip(), MARK)
    program = [probe] if probe else [root / "bin" / "python3", "-I", "-B", "-c", IMPORT]
    return _run([*program, *words], root)


def _run(command: Sequence[str | Path], root: Path) -> str:
    # what is written into the user's directories is not shipped
    env = {"PATH": os.defpath, "HOME": str(root.parent), "LC_ALL": "C.UTF-8"}
    return process.run(command, cwd=root.parent, env=env, limit=LIMIT, alone=True)


def smoke(commands: Sequence[str], bundle: Path, root: Path, ui: Ui | None = None) -> set[Path]:
    """Run commands in a copy of the bundle: what they write is not shipped.

    Args:
        commands: for sh.
        bundle: what is going to be shipped.
        root: where the copy goes.
        ui: is told which one takes long.

    Returns:
        The bundle's sources that have no bytecode and were compiled for that.

    Raises:
        CheckError: one fails, or does not end.
        KeyboardInterrupt: the user does not want to wait for it; says for which.
    """
    if not commands:
        return set()
    copy_tree(bundle, root)
    env = {"PATH": f"{root / 'bin'}{os.pathsep}{os.defpath}", "HOME": str(root.parent), "LC_ALL": "C.UTF-8"}
    for command in commands:
        with slowly(ui, f"Still running `{_brief(command)}`", after=NOTICE):
            _smoke(command, root.parent, env)
    compiled = (path.relative_to(root) for path in root.rglob("__pycache__/*.pyc"))
    new = (path for path in compiled if not (bundle / path).exists())
    return {bundle / path.parents[1] / f"{path.name.partition('.')[0]}.py" for path in new}


def _brief(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]} ..."


def _smoke(command: str, cwd: Path, env: Mapping[str, str]) -> None:
    began = time.monotonic()
    try:
        process.run(["sh", "-c", command], cwd=cwd, env=env, limit=SMOKE_LIMIT, alone=True)
    except process.OverdueError as error:
        hint = "name one that ends; `timeout 5 COMMAND || [ $? = 124 ]` tells whether what serves does so for 5 seconds"
        raise CheckError(f"smoke: `{command}` is {error.how} in the bundle", hint=hint, detail=error.tail) from error
    except process.CommandError as error:
        raise CheckError(f"smoke: `{command}` failed ({error.how}) in the bundle", detail=error.tail) from error
    except KeyboardInterrupt as error:
        took = seconds(time.monotonic() - began)
        raise KeyboardInterrupt(f"smoke: `{command}` was not done after {took}") from error
