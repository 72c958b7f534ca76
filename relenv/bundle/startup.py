"""What a script imports when it starts, and how long each module takes: CPython's `-X importtime`, read."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint
from typing import TYPE_CHECKING

from relenv import process
from relenv.audit.run import SETTINGS
from relenv.inside import run_python
from relenv.manifest import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from relenv.ui import Ui

ROUNDS = 3
"""Runs, of which the fastest counts: what else the machine does only ever adds to one."""

MARK = "relenv: where modules come from"
PROBE = f"""\
import sys
__import__(sys.argv[1])
out = ["", {MARK!r}]
for name, module in list(sys.modules.items()):
    try:
        out.append(f"{{name}}\\t{{module.__spec__.origin or ''}}")
    except Exception:
        pass
sys.__stdout__.write("\\n".join([*out, ""]))
sys.__stdout__.flush()
"""
"""Imports what a script does, then tells the files; it needs nothing itself that is not there already."""

_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| +(\S+)")
_SCRIPT_IMPORT = re.compile(rb"^from ([\w.]+) import (\w+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Module:
    """A module that was imported."""

    name: str
    own: int
    """Microseconds, without what it imports itself."""
    total: int
    """Microseconds, with that."""
    path: str
    """Of its file in the bundle; empty for what is compiled into the interpreter."""
    compiled: bool = True
    """Whether it came as bytecode or machine code: what is not was compiled then and there."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a script imports."""

    script: str
    target: str
    """`module:function`."""
    modules: tuple[Module, ...]
    """In the order in which they were complete; those of the interpreter's own start come first."""

    @property
    def total(self) -> int:
        """Microseconds in all."""
        return sum(module.own for module in self.modules)


def measure(root: Path, ui: Ui) -> tuple[Start, ...]:
    """Import what each script of a bundle starts with, and return how long that took, in the order of the manifest.

    Args:
        root: a copy of the bundle: what is imported may write into it.
        ui: told of a script that cannot be measured.
    """
    root = root.resolve()
    entries = _entries(root)
    measured: dict[str, tuple[Module, ...]] = {}
    for module, script in {entry.module: entry.name for entry in reversed(entries)}.items():
        settings = _settings(root / "bin" / script, root)
        try:
            rounds = [_modules(root, module, settings) for _ in range(ROUNDS)]
        except process.CommandError as error:
            ui.warn(f"the report has no start-up times of {module}: {error.how}")
            continue
        measured[module] = min(rounds, key=lambda one: sum(module.own for module in one))
    return tuple(
        Start(script=entry.name, target=entry.value, modules=measured[entry.module])
        for entry in entries
        if entry.module in measured
    )


def parse(output: str, root: Path) -> tuple[Module, ...]:
    """Return the modules that a run of PROBE told of, whatever else it printed.

    Args:
        output: of the run, with `-X importtime`.
        root: the bundle, without symbolic links in its path.
    """
    head, _, tail = output.partition(f"\n{MARK}\n")
    origins = dict(line.split("\t", 1) for line in tail.splitlines() if line.count("\t") == 1)
    return tuple(
        Module(
            name=found[3],
            own=int(found[1]),
            total=int(found[2]),
            path=(path := _path(found[3], origins, root)),
            compiled=_is_compiled(root, path),
        )
        for found in _LINE.finditer(head)
    )


def _modules(root: Path, module: str, env: Mapping[str, str]) -> tuple[Module, ...]:
    return parse(run_python(root, "-X", "importtime", "-c", PROBE, module, cwd=root.parent, env=env), root)


def _settings(script: Path, root: Path) -> dict[str, str]:
    """Return the variables that a script sets, which its modules may ask for while they are imported."""
    try:
        found = SETTINGS.search(script.read_bytes())
    except OSError:
        return {}
    table = ast.literal_eval(found[1].decode()) if found else {}
    return {name: value.replace("{root}", str(root)) for name, value in table.items()}


def _path(name: str, origins: Mapping[str, str], root: Path) -> str:
    """Return the file of a module; of one that is gone or has none, that of the package it is in."""
    while True:
        origin = origins.get(name, "")
        if origin in ("built-in", "frozen"):
            return ""
        if origin.startswith(f"{root}/"):
            return origin[len(str(root)) + 1 :]
        if "." not in name:
            break
        name = name.rpartition(".")[0]
    # a namespace package: it lies where those in it lie
    within = (one for other, one in origins.items() if other.startswith(f"{name}."))
    return next((one[len(str(root)) + 1 :] for one in within if one.startswith(f"{root}/")), "")


def _is_compiled(root: Path, path: str) -> bool:
    if not path.endswith(".py"):
        return True
    source = root / path
    return any(source.parent.glob(f"__pycache__/{source.stem}.cpython-3*.pyc"))


def _entries(root: Path) -> list[EntryPoint]:
    """Return what the scripts of the bundle call, as far as they call something."""
    manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    names: Iterable[str] = manifest.get("bundle", {}).get("scripts", ())
    known = {
        entry.name: entry
        for info in sorted(root.glob("lib/python3.*/site-packages/*.dist-info"))
        for entry in Distribution.at(info).entry_points
        if entry.group in ("console_scripts", "gui_scripts")
    }
    found = {name: _called(root / "bin" / name) or known.get(name) for name in names}
    return [entry for entry in found.values() if entry is not None]


def _called(script: Path) -> EntryPoint | None:
    """Return what a script imports and calls; [tool.relenv] may have it call something else than its package says."""
    try:
        matches = _SCRIPT_IMPORT.findall(script.read_bytes())
    except OSError:
        return None
    if not matches:
        return None
    module, name = matches[-1]
    return EntryPoint(script.name, f"{module.decode()}:{name.decode()}", "console_scripts")
