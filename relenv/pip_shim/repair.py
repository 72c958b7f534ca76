"""Put an environment back in order that something else than its pip wrote into, or that was unpacked badly.

    bin/python3 -Im relenv_pip.repair [--dry-run]

Scripts of uv, poetry and others find the interpreter beside themselves afterwards, pip comes through the shim again,
and what can be run may be run. What was in order stays as it was, to the byte.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import adopt, interrupted, records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SYSTEM = ("/bin/", "/usr/bin/")
"""Where a shebang may point: what stands there is the host's, wherever the environment is."""
_PROGRAM = (b"#!", b"\x7fE")
_WITH_LINKS = ("bin", "lib", "lib/pkgconfig", "include")
_NAME = re.compile(rb"[\w.+-]+", re.ASCII)
_LONGEST = 64
"""Bytes of a file that may be the text of a link."""
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
    found = [
        *_remains(prefix, dry_run=dry_run),
        *_modes(prefix, dry_run=dry_run),
        *_links(prefix, dry_run=dry_run),
    ]
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


def _remains(prefix: Path, *, dry_run: bool) -> list[Deed]:
    """Take away what a pip that was killed has left half there."""
    would = (one for site in records.site_packages(prefix) for one in interrupted.remains(site))
    remains = would if dry_run else interrupted.take_away(prefix)
    return [_deed(prefix, one.path, "was left by a pip that was cut short, and is gone") for one in remains]


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
    """Bring back the links of the interpreter: not every program that unpacks restores them."""
    for path, target in lost_links(prefix):
        yield _attempt(
            prefix, path, f"is another name of {target} again", partial(_link, path, target), dry_run=dry_run
        )


def libraries(prefix: Path) -> list[Path]:
    """Return where the standard library is: another Python's pip may have made a directory of that kind beside it."""
    return sorted(path for path in prefix.glob("lib/python3.*") if (path / "encodings").is_dir())


def lost_links(prefix: Path) -> Iterator[tuple[Path, str]]:
    """Yield the links that an environment has lost, and where they led to.

    Some are not there; others are files with nothing in them but the name of the file beside them.
    """
    for series in [path.name for path in libraries(prefix)]:
        for name, target in (("python", "python3"), (series, "python3"), ("python3-config", f"{series}-config")):
            path = prefix / "bin" / name
            if not path.exists() and not path.is_symlink() and (prefix / "bin" / target).is_file():
                yield path, target
    for folder in _WITH_LINKS:
        for path in sorted((prefix / folder).glob("*")):
            if not path.is_symlink() and path.is_file() and path.stat().st_size <= _LONGEST:
                text = _NAME.fullmatch(path.read_bytes())
                if text and (target := text[0].decode()) != path.name and os.path.lexists(path.with_name(target)):
                    yield path, target


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


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
