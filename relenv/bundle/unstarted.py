"""Why a script cannot start: what Python said when its module was imported, and what there is to do about it."""

from __future__ import annotations

import ast
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relenv import process
from relenv.inside import run_python

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from relenv.interpreter import Interpreter

MARK = "relenv: failed: "
TELL = f"""\
def tell(error):
    missing = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    try:
        text = str(error)
    except Exception:
        text = ""
    frames, step = [], error.__traceback__
    while step:
        frames.append((step.tb_frame.f_code.co_filename, step.tb_lineno))
        step = step.tb_next
    frames = [frame for frame in frames[1:] if not frame[0].startswith("<frozen ")][-50:]
    if isinstance(error, SyntaxError):
        text = error.msg or text
        frames.append((error.filename or "", error.lineno or 0))
    kind = type(error)
    known = {{
        "kind": kind.__qualname__ if kind.__module__ == "builtins" else f"{{kind.__module__}}.{{kind.__qualname__}}",
        "text": text[:2000],
        "missing": missing,
        "standard": missing.partition(".")[0] in sys.stdlib_module_names,
        "frames": tuple(frames),
    }}
    sys.__excepthook__(kind, error, error.__traceback__)
    for stream in (sys.stdout, sys.stderr, sys.__stdout__):
        try:
            stream.flush()
        except Exception:
            pass
    os.write(1, ("\\n" + {MARK!r} + ascii(known) + "\\n").encode())
"""
"""Tells of an exception in one line, the last one printed. It needs nothing but os and sys: little else may be left."""

SHOWN = 300
"""Characters of what an exception says that are shown."""
TRACEBACK = "--debug shows the whole traceback"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An exception in a bundle's Python."""

    kind: str
    """Its class: `RuntimeError`, `pydantic.errors.PydanticUserError`."""
    text: str
    missing: str
    """The module that was not found, if that is what it is about."""
    standard: bool
    """Whether the standard library has it, or did when it was whole."""
    frames: tuple[tuple[str, int], ...]
    """Files and lines below the script itself, the innermost last; for a SyntaxError where that is."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Where a script is tried, and what of."""

    root: Path
    """The bundle."""
    project: Path
    interpreter: Interpreter

    def lacks(self, failure: Failure) -> bool:
        """Tell whether the Python was built without a module, which then is not what `prune` has left out."""
        code = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
        with suppress(process.CommandError):
            run_python(self.interpreter.root, "-c", code, failure.missing)
            return False
        return True

    def has(self, module: str) -> bool:
        """Tell whether a module or package of this name is installed."""
        site = self.root / "lib" / f"python{self.interpreter.series}" / "site-packages"
        return (site / module).is_dir() or any(site.glob(f"{module}.*"))

    def is_own(self, module: str) -> bool:
        """Tell whether the project's directory has a module or package of this name, whatever its wheel has."""
        folders = (self.project, self.project / "src")
        return any((one / f"{module}.py").is_file() or any((one / module).glob("*.py")) for one in folders)


def failure_of(output: str) -> Failure | None:
    """Return what `TELL` told of, None if it did not come to that."""
    last = output.rstrip().rpartition("\n")[2]
    if not last.startswith(MARK):
        return None
    return Failure(**ast.literal_eval(last.removeprefix(MARK)))


def reason(failure: Failure, root: Path) -> str:
    """Return the exception in one line: its class, what it says, and where in which file of the bundle."""
    text = " ".join(failure.text.replace(f"{root}/", "").split())
    if len(text) > SHOWN:
        text = f"{text[:SHOWN]} ..."
    said = f"{failure.kind}: {text}" if text else failure.kind
    places = (_place(file, line) for file, line in reversed(failure.frames))
    place = next(filter(None, places), "")
    return f"{said} ({place})" if place else said


def place_of(traceback: str) -> str:
    """Return the innermost place in what is installed, of a traceback as faulthandler writes it; empty for none."""
    places = (_place(file, int(line)) for file, line in re.findall(r'File "(.*)", line (\d+)', traceback))
    return next(filter(None, places), "")


def _place(file: str, line: int) -> str:
    """Return a place in what is installed, as its package calls it; empty for any other."""
    _, _, inside = file.rpartition("/site-packages/")
    return f"{inside}, line {line}" if inside and inside != file else ""


def hint(failure: Failure, entry: EntryPoint, ground: Ground) -> str:
    """Return what to do about it."""
    text = next(text for fits, text in HINTS if fits(failure, entry, ground))
    python, top = ground.interpreter.version, failure.missing.partition(".")[0]
    filled = text.format(missing=failure.missing, top=top, module=entry.module, value=entry.value, python=python)
    return f"{filled}; {TRACEBACK}" if filled else TRACEBACK


def _own(failure: Failure, entry: EntryPoint, ground: Ground) -> bool:
    top = failure.missing.partition(".")[0]
    return bool(top) and (top == entry.module.partition(".")[0] or ground.is_own(top))


HINTS: tuple[tuple[Callable[[Failure, EntryPoint, Ground], bool], str], ...] = (
    (
        lambda failure, _entry, ground: failure.standard and bool(failure.missing) and ground.lacks(failure),
        "the Python that relenv builds has no `{missing}` (docs/build.md, what is left out)",
    ),
    (
        lambda failure, _entry, _ground: failure.standard and bool(failure.missing),
        '`prune = "max"` left it out, as nothing names it: write `import {missing}` somewhere in the project',
    ),
    (
        _own,
        "`{missing}` is the project's own, but not in its wheel: is it spelled right, and does the backend pack it?",
    ),
    (
        lambda failure, _entry, ground: "." in failure.missing and ground.has(failure.missing.partition(".")[0]),
        "`{top}` is there: has another version of it a `{missing}`?",
    ),
    (
        lambda failure, _entry, _ground: bool(failure.missing),
        "is what brings `{missing}` missing from project.dependencies?",
    ),
    (
        lambda failure, _entry, _ground: failure.kind == "AttributeError" and not failure.frames,
        "the script is to call {value}: is that spelled as in the code?",
    ),
    (
        lambda failure, _entry, _ground: failure.kind in {"SyntaxError", "IndentationError", "TabError"},
        "the bundle has Python {python}: is that the one the code is written for?",
    ),
    (
        lambda failure, _entry, _ground: failure.kind == "SystemExit",
        "`{module}` ends the program as soon as it is imported, before the script can call it",
    ),
    (
        lambda failure, _entry, _ground: "cannot open shared object file" in failure.text,
        "a bundle has no libraries of this machine: a wheel has to bring it, or `include` of [tool.relenv]",
    ),
    (
        lambda failure, _entry, _ground: (
            failure.kind not in {"ImportError", "AttributeError", "NameError", "TypeError"}
        ),
        "the module is imported with no variables of yours, but with those that `env` of [tool.relenv] sets",
    ),
    (lambda _failure, _entry, _ground: True, ""),
)
"""What to do about which failure; the first one that fits."""
