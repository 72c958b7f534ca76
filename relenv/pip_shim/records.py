"""Put the scripts of an environment in order: trampolines for shebangs, and RECORD told of it.

It is `bin/` that is searched, not RECORD. So it does not matter who wrote a script, or whether it is recorded
at all (legacy develop installs are not), and a run with nothing to do only reads the heads of scripts.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import sys
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import scripts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping


@dataclass(frozen=True, kw_only=True)
class Note:
    """A file that was left as it is."""

    path: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `reconcile` did, or would do."""

    rewritten: tuple[Path, ...]
    """Scripts that have a trampoline now."""
    left: tuple[Note, ...]
    """Scripts for our interpreter that cannot have one: not valid Python."""
    denied: tuple[Note, ...]
    """Files that could not be written."""
    records: tuple[Path, ...] = ()
    """RECORDs that state the right hash and size now."""


def reconcile(
    prefix: Path,
    *,
    is_ours: Callable[[Path, str], bool] | None = None,
    since: float | None = None,
    dry_run: bool = False,
) -> Report:
    """Give every script in `<prefix>/bin` that names the environment's Python a trampoline; mend RECORD.

    Such a script names `<prefix>/bin/python*`, directly or through links, or a Python that does not exist (any more);
    or it is one that an installer has generated for what is installed here, and names the Python of an environment
    that this one is a copy of. Scripts for other interpreters, links and programs are left alone.

    Args:
        prefix: the environment.
        is_ours: tells of a script, and the absolute path of a Python that it names, whether it is to be run by the
            environment's own instead; in place of the rule above.
        since: RECORDs written at this time.time() or later are compared with the scripts even if none had to
            be rewritten: an installer may have hashed a script just before another run rewrote it.
        dry_run: only tell what would be done.
    """
    edits: dict[Path, bytes] = {}
    left: list[Note] = []
    rule = is_ours or _named_by(prefix)
    for path, interpreter in _files(prefix / "bin"):
        try:
            data = _script_to_check(path, interpreter)
            ours = partial(rule, path)
            script = data and scripts.rewrite(data, ours, interpreter=interpreter, running=sys.executable)
        except scripts.ScriptError as error:
            left.append(Note(path=path, reason=str(error)))
        except (OSError, ValueError):  # gone meanwhile, or not ours to read; a path with a NUL
            continue
        else:
            if script:
                edits[path] = script
    mended = dict(_record_edits(prefix, edits, since))
    denied = () if dry_run else _write({**mended, **edits})
    refused = {note.path for note in denied}
    return Report(
        rewritten=tuple(path for path in edits if path not in refused),
        left=tuple(left),
        denied=denied,
        records=tuple(path for path in mended if path not in refused),
    )


def save(prefix: Path, edits: Mapping[Path, bytes]) -> tuple[Note, ...]:
    """Replace files and mend the RECORDs that list them; return what could not be written.

    Args:
        prefix: the environment.
        edits: path and new content of files that exist.
    """
    return _write({**dict(_record_edits(prefix, edits, None)), **edits})


def _write(edits: Mapping[Path, bytes]) -> tuple[Note, ...]:
    """Replace files in this order; return what could not be written.

    RECORDs come first: the next run finishes what a killed one began, since it finds the scripts undone.
    """
    return tuple(
        Note(path=path, reason=error.strerror or str(error))
        for path, data in edits.items()
        if (error := _replace(path, data))
    )


def mend(record: bytes, contents: Mapping[str, bytes]) -> bytes:
    """Return a RECORD that states hash and size of `contents`; other rows stay as they are, to the byte.

    Args:
        record: the file's content, CSV of path, hash and size
            (https://packaging.python.org/en/latest/specifications/recording-installed-packages/).
        contents: files by their path as RECORD has it, relative to site-packages.
    """
    lines = list(io.StringIO(record.decode("utf-8", "surrogateescape"), newline=""))
    rows = csv.reader(lines)
    mended, start = [], 0
    for row in rows:
        text = "".join(lines[start : rows.line_num])  # a quoted path may go over several lines
        start = rows.line_num
        mended.append(_row(row[0], contents[row[0]], text) if row and row[0] in contents else text)
    return "".join(mended).encode("utf-8", "surrogateescape")


def site_packages(prefix: Path) -> list[Path]:
    """Return the directories into which an environment's packages are installed: one, as a rule."""
    return sorted(prefix.glob("lib/python3.*/site-packages"))


def _row(path: str, content: bytes, old: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    row = io.StringIO(newline="")
    ending = old[len(old.rstrip("\r\n")) :]
    csv.writer(row, lineterminator=ending).writerow([path, f"sha256={digest}", len(content)])
    return row.getvalue()


def _named_by(prefix: Path) -> Callable[[Path, str], bool]:
    """Return the rule for `reconcile`; scripts share few interpreters, so it looks at each one once."""
    home = (prefix / "bin").resolve()

    @cache
    def is_ours(path: str) -> bool:
        folder = Path(path).parent
        if not os.access(path, os.F_OK) or folder.resolve() == home:
            return True
        # a link to our interpreter from elsewhere is ours, a virtual environment on top of it is not
        return Path(path).resolve().parent == home and not (folder.parent / "pyvenv.cfg").exists()

    is_generated = generated(prefix)
    return lambda script, path: is_ours(path) or is_generated(script)


def generated(prefix: Path) -> Callable[[Path], bool]:
    """Return what tells whether a script is one that installers generate, for a package that is installed."""
    names = cache(lambda: frozenset(name for site in site_packages(prefix) for name in _entry_points(site)))
    return lambda script: script.parent == prefix / "bin" and script.name in names()


def _entry_points(site: Path) -> Iterator[str]:
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


def _files(folder: Path, above: str = "") -> Iterator[tuple[Path, str]]:
    """Yield the files below `folder` and where each finds its Python; a wheel's scripts may have folders."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:  # no bin/: nothing to do
        return
    for entry in found:
        if entry.is_file(follow_symlinks=False):
            yield Path(entry.path), above + "python3"
        elif entry.is_dir(follow_symlinks=False) and entry.name != "__pycache__":
            yield from _files(Path(entry.path), above + "../")


def _script_to_check(path: Path, interpreter: str) -> bytes | None:
    """Return the content of a script, None for a program or what has its trampoline already."""
    plain = scripts.header(interpreter)
    with path.open("rb") as file:
        head = file.read(len(plain))
        if not head.startswith(b"#!") or head == plain:
            return None
        return head + file.read()


def _record_edits(prefix: Path, edits: Mapping[Path, bytes], since: float | None) -> Iterator[tuple[Path, bytes]]:
    """Yield the RECORDs that are no longer right, with their new content."""
    for site in site_packages(prefix):
        records = _records(site)
        fresh = {path for path, written in records.items() if since is not None and written >= since}
        changed = _relative(edits.items(), site)
        known = (_relative(_trampolines(prefix), site) if fresh else {}) | changed
        # most distributions have no scripts: do not parse a RECORD that does not even name the directory
        folders = {f"{name.rpartition('/')[0]}/".encode() for name in known}
        for record in records if changed else fresh:
            mended = _mended(record, known if record in fresh else changed, folders)
            if mended is not None:
                yield record, mended


def _records(site: Path) -> dict[Path, float]:
    """Return every RECORD and when it was written."""
    found = {}
    with os.scandir(site) as entries:
        names = sorted(entry.name for entry in entries if entry.name.endswith(".dist-info"))
    for name in names:
        with suppress(OSError):  # none, or just being uninstalled
            record = site / name / "RECORD"
            found[record] = record.stat().st_mtime
    return found


def _relative(files: Iterable[tuple[Path, bytes]], site: Path) -> dict[str, bytes]:
    return {os.path.relpath(path, site): data for path, data in files}


def _trampolines(prefix: Path) -> Iterator[tuple[Path, bytes]]:
    for path, interpreter in _files(prefix / "bin"):
        with suppress(OSError), path.open("rb") as file:
            head = file.read(2)
            if head == b"#!" and scripts.carries(data := head + file.read(), interpreter):
                yield path, data


def _mended(record: Path, contents: Mapping[str, bytes], folders: Collection[bytes]) -> bytes | None:
    try:
        data = record.read_bytes()
    except OSError:
        return None
    if not any(folder in data for folder in folders):
        return None
    try:
        mended = mend(data, contents)
    except csv.Error:  # damaged: a quotation that does not end; pip will say so
        return None
    return None if mended == data else mended


def _replace(path: Path, data: bytes) -> OSError | None:
    """Write beside, then rename: a script that is running goes on reading what it was."""
    # numbers of processes are the same in two containers
    beside = path.with_name(f".relenv-{os.urandom(4).hex()}.part")
    try:
        mode = path.stat().st_mode & 0o7777
        beside.write_bytes(data)
        beside.chmod(mode)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        return error
    return None
