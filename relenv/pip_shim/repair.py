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
import struct
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import adopt, interrupted, records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SYSTEM = ("/bin/", "/usr/bin/")
"""Where a shebang may point: what stands there is the host's, wherever the environment is."""
_SHEBANG = b"#!"
_PROGRAM = (_SHEBANG, b"\x7fE")
_ELF64_LITTLE = b"\x7fELF\2\1"
_HEADER = struct.Struct("<16xH14xQ14xHH")
"""e_type, e_phoff, e_phentsize and e_phnum of ELF-64."""
_ET_EXEC = 2
_PT_INTERP = b"\3\0\0\0"
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
        *(() if _is_bundle(prefix) else _links(prefix, dry_run=dry_run)),
        *(_unread(prefix, path, error) for path, error in adopt.closed(prefix).items()),
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
    return list(dict.fromkeys(found))  # what cannot be read may be looked into for more than one reason


def _is_pips(record: Path) -> bool:
    return record.parent.name.startswith("pip-")


def _deed(prefix: Path, path: Path, what: str, *, done: bool = True) -> Deed:
    return Deed(path=path.relative_to(prefix).as_posix(), what=what, done=done)


def _remains(prefix: Path, *, dry_run: bool) -> list[Deed]:
    """Take away what a pip that was killed has left half there."""
    would = [one for site in records.site_packages(prefix) for one in interrupted.remains(site)]
    remains = would if dry_run else interrupted.take_away(prefix)
    gone = "was left by a pip that was cut short, and is gone"
    again = {one.path: f"; {one.distribution} has to be installed again" for one in remains if one.distribution}
    return [_deed(prefix, one.path, f"{gone}{again.get(one.path, '')}") for one in remains]


def _modes(prefix: Path, *, dry_run: bool) -> Iterator[Deed]:
    """Let programs and scripts be run again: not every program that unpacks restores modes."""
    lost = False
    for path in sorted((prefix / "bin").rglob("*")):
        try:
            wants = path.suffix != ".pyc" and _lacks_mode(path) and _begins(path) in _PROGRAM
        except OSError as error:
            yield _unread(prefix, path, error)
            continue
        if wants:
            lost = True
            yield _runnable(prefix, path, dry_run=dry_run)
    # packages bring programs as well; outside of bin/, what may not be run may be meant so
    for path in sorted(prefix.glob("lib/python3.*/site-packages/**/*")) if lost else ():
        try:
            wants = path.suffix != ".py" and _lacks_mode(path) and (_begins(path) == _SHEBANG or _is_program(path))
        except OSError as error:
            yield _unread(prefix, path, error)
            continue
        if wants:
            yield _runnable(prefix, path, dry_run=dry_run)


def _unread(prefix: Path, path: Path, error: OSError) -> Deed:
    return _deed(prefix, path, f"cannot be read: {error.strerror}", done=False)


def _lacks_mode(path: Path) -> bool:
    return not path.is_symlink() and path.is_file() and not path.stat().st_mode & stat.S_IXUSR


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(2)


def _is_program(path: Path) -> bool:
    """Tell a program in ELF from a library: it names its loader (PT_INTERP, elf(5)), or has a fixed place."""
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size or not head.startswith(_ELF64_LITTLE):
            return False
        kind, start, size, count = _HEADER.unpack(head)
        file.seek(start)
        table = file.read(size * count)
    return kind == _ET_EXEC or any(table.startswith(_PT_INTERP, at) for at in range(0, len(table), size or 1))


def _runnable(prefix: Path, path: Path, *, dry_run: bool) -> Deed:
    mode = path.stat().st_mode
    # whoever may read it may run it
    act = partial(path.chmod, stat.S_IMODE(mode) | (mode & _READ) >> 2)
    return _attempt(prefix, path, "may be run again", act, dry_run=dry_run)


def _is_bundle(prefix: Path) -> bool:
    """Tell whether a tree is a bundle: the other names of its programs are left out."""
    try:
        return "bundle" in json.loads((prefix / "relenv.json").read_bytes())
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _links(prefix: Path, *, dry_run: bool) -> Iterator[Deed]:
    """Bring back the links of the interpreter: not every program that unpacks restores them."""
    unread: dict[Path, OSError] = {}
    for path, target in lost_links(prefix, unread):
        yield _attempt(
            prefix, path, f"is another name of {target} again", partial(_link, path, target), dry_run=dry_run
        )
    for path, error in unread.items():
        yield _unread(prefix, path, error)


def libraries(prefix: Path) -> list[Path]:
    """Return where the standard library is: another Python's pip may have made a directory of that kind beside it."""
    return sorted(path for path in prefix.glob("lib/python3.*") if (path / "encodings").is_dir())


def lost_links(prefix: Path, unread: dict[Path, OSError] | None = None) -> Iterator[tuple[Path, str]]:
    """Yield the links that an environment has lost, and where they led to.

    Some are not there; others are files with nothing in them but the name of the file beside them.

    Args:
        prefix: the environment.
        unread: takes the files that cannot be read, and why.
    """
    for series in [path.name for path in libraries(prefix)]:
        for name, target in (("python", "python3"), (series, "python3"), ("python3-config", f"{series}-config")):
            path = prefix / "bin" / name
            if not path.exists() and not path.is_symlink() and (prefix / "bin" / target).is_file():
                yield path, target
    for folder in _WITH_LINKS:
        for path in sorted((prefix / folder).glob("*")):
            try:
                small = not path.is_symlink() and path.is_file() and path.stat().st_size <= _LONGEST
                text = _NAME.fullmatch(path.read_bytes()) if small else None
            except OSError as error:
                if unread is not None:
                    unread[path] = error
                continue
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
    is_generated = records.generated(prefix)
    return lambda script, python: not python.startswith(SYSTEM) or is_generated(script)


def main() -> int:
    """Repair the environment that this runs in; print each deed as a line of JSON. Exit code 1: something is left."""
    dry_run = "--dry-run" in sys.argv[1:]
    deeds = repair(Path(sys.prefix), dry_run=dry_run)
    for deed in deeds:
        sys.stdout.write(json.dumps({"path": deed.path, "what": deed.what, "done": deed.done}) + "\n")
    return 0 if all(deed.done for deed in deeds) else 1


if __name__ == "__main__":
    sys.exit(main())
