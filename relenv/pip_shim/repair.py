"""Put an environment back in order that something else than its pip wrote into, or that was unpacked badly.

    bin/python3 -Im relenv_pip.repair [--dry-run]

Scripts of uv, poetry and others find the interpreter beside themselves afterwards, pip comes through the shim again,
and what can be run may be run. What was in order stays as it was, to the byte.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import adopt, records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SYSTEM = ("/bin/", "/usr/bin/")
"""Where a shebang may point: what stands there is the host's, wherever the environment is."""
_PROGRAM = (b"#!", b"\x7fE")
_TARGET = b"python3"
"""What links in bin/ that are other names of python3 lead to."""
_READ = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


@dataclass(frozen=True, kw_only=True)
class Deed:
    """Something that was put right, or would be; or that could not."""

    path: str
    """Relative to the environment."""
    what: str
    done: bool = True
    """False: it could not be done."""


def repair(prefix: Path, *, dry_run: bool = False) -> list[Deed]:
    """Put an environment back in order.

    Args:
        prefix: the environment.
        dry_run: change nothing.

    Returns:
        What was done, or would be, in this order; empty if nothing was to do.
    """
    found = [*_modes(prefix, dry_run=dry_run), *_links(prefix, dry_run=dry_run)]
    pip = adopt.stock(prefix)
    refused = () if dry_run else adopt.adopt_pip(prefix)
    report = records.reconcile(prefix, is_ours=rule(prefix), since=0, dry_run=dry_run)
    denied = {note.path: note.reason for note in (*refused, *report.denied)}
    told = dict.fromkeys(pip, "leads to relenv's pip, which keeps scripts relocatable")
    told |= {path: "finds its interpreter beside itself" for path in report.rewritten if path not in pip}
    told |= {path: "states hash and size of what is there" for path in report.records if not (pip and _is_pips(path))}
    found += [_deed(prefix, path, what) for path, what in told.items() if path not in denied]
    found += [_deed(prefix, path, f"cannot be written: {reason}", done=False) for path, reason in denied.items()]
    found += [_deed(prefix, note.path, f"keeps its shebang: {note.reason}", done=False) for note in report.left]
    return found


def _is_pips(record: Path) -> bool:
    return record.parent.name.startswith("pip-")


def _deed(prefix: Path, path: Path, what: str, *, done: bool = True) -> Deed:
    return Deed(path=path.relative_to(prefix).as_posix(), what=what, done=done)


def _modes(prefix: Path, *, dry_run: bool) -> Iterator[Deed]:
    """Let programs and scripts be run again: not every program that unpacks restores modes."""
    for path in sorted((prefix / "bin").rglob("*")):
        if path.is_symlink() or not path.is_file() or path.suffix == ".pyc":
            continue
        mode = path.stat().st_mode
        with path.open("rb") as file:
            program = file.read(2) in _PROGRAM
        if program and not mode & stat.S_IXUSR:
            # whoever may read it may run it
            act = partial(path.chmod, stat.S_IMODE(mode) | (mode & _READ) >> 2)
            yield _attempt(prefix, path, "may be run again", act, dry_run=dry_run)


def _links(prefix: Path, *, dry_run: bool) -> Iterator[Deed]:
    """Bring back the other names of the interpreter: not every program that unpacks restores links."""
    series = [path.name for path in prefix.glob("lib/python3.*") if path.is_dir()]
    for name in ("python", *series):
        path = prefix / "bin" / name
        if is_lost(path):
            act = partial(_link, path)
            yield _attempt(prefix, path, "is another name of python3 again", act, dry_run=dry_run)


def is_lost(name: Path) -> bool:
    """Tell whether another name of python3 is not there, or is a file with the text of the link that it was."""
    if name.is_symlink():
        return False
    try:
        return name.stat().st_size == len(_TARGET) and name.read_bytes() == _TARGET
    except OSError:
        return not name.exists()


def _link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(os.fsdecode(_TARGET))


def _attempt(prefix: Path, path: Path, what: str, act: Callable[[], None], *, dry_run: bool) -> Deed:
    try:
        if not dry_run:
            act()
    except OSError as error:
        return _deed(prefix, path, f"cannot be changed: {error.strerror}", done=False)
    return _deed(prefix, path, what)


def rule(prefix: Path) -> Callable[[Path, str], bool]:
    """Return which Pythons are taken for the environment's own, wherever they are.

    What installers generate is for no other, and nobody writes an absolute path outside of the system's into a script
    that is to be installed: it is where the environment was once, or where another is of which this one is a copy.
    """
    generated = cache(lambda: frozenset(_entry_points(prefix)))

    def is_ours(script: Path, python: str) -> bool:
        return not python.startswith(SYSTEM) or (script.parent == prefix / "bin" and script.name in generated())

    return is_ours


def _entry_points(prefix: Path) -> Iterator[str]:
    """Yield the names of the scripts that installers generate, of each package that is installed."""
    for site in records.site_packages(prefix):
        for path in site.glob("*.dist-info/entry_points.txt"):
            parser = ConfigParser(delimiters=("=",), strict=False, interpolation=None)
            parser.optionxform = str  # type: ignore[assignment,method-assign] # as the specification says
            try:
                parser.read_string(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, ConfigError):
                continue
            for group in ("console_scripts", "gui_scripts"):
                if parser.has_section(group):
                    yield from parser.options(group)


def main() -> int:
    """Repair the environment that this runs in; print each deed as a line of JSON. Exit code 1: something is left."""
    dry_run = "--dry-run" in sys.argv[1:]
    deeds = repair(Path(sys.prefix), dry_run=dry_run)
    for deed in deeds:
        sys.stdout.write(json.dumps({"path": deed.path, "what": deed.what, "done": deed.done}) + "\n")
    return 0 if all(deed.done for deed in deeds) else 1


if __name__ == "__main__":
    sys.exit(main())
