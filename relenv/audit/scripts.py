"""Scripts and what is installed: shebangs that survive a move, and RECORDs that tell the truth."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from functools import partial
from typing import TYPE_CHECKING

from relenv.audit.model import Finding, Severity
from relenv.pip_shim import adopt, interrupted, scripts
from relenv.pip_shim.repair import SYSTEM, rule
from relenv.relocate.elf import MAGIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from relenv.audit.tree import Record, Row, Tree

_MEND = "relenv repair DIR"
_EXECUTABLE = 0o100


def check(tree: Tree) -> Iterator[Finding]:
    """Yield the scripts that a move breaks, and the files that cannot be read or are not as they were installed."""
    for path in sorted(tree.unreadable):
        yield _error(path, "mode", "cannot be read", "chmod u+r, or check as the user whose it is")
    ours = rule(tree.root)
    for path in tree.readable:
        if path.startswith("bin/") and not path.endswith(".pyc"):
            yield from _script(tree, path, ours)
    for record in tree.records:
        if record.damage:
            again = f"install {record.distribution.partition(' ')[0]} again"
            yield _error(record.path, "record", f"cannot be read to its end: {record.damage}", again)
        for row in record.rows:
            yield from _row(tree, record, row)
    yield from _unrecorded(tree)
    yield from _shim(tree)
    yield from _origins(tree)
    yield from _startup(tree)


def _script(tree: Tree, path: str, ours: Callable[[Path, str], bool]) -> Iterator[Finding]:
    file = tree.root / path
    data = _content(file)
    if not data.startswith((b"#!", MAGIC)):
        return  # data that a package put there
    if not file.stat().st_mode & _EXECUTABLE:
        yield _error(path, "mode", "is not executable", f"{_MEND}, or unpack with a program that restores modes")
    if data.startswith(MAGIC):
        return
    interpreter = os.path.relpath("bin/python3", os.path.dirname(path))  # noqa: PTH120 - no Path
    what, hint = _shebang(data, interpreter, partial(ours, file))
    if what:
        yield _error(path, "shebang", what, hint)
    elif _first_words(data)[:1] == ["/usr/bin/env"] and scripts.is_python(_first_words(data)[-1]):
        yield Finding(
            severity=Severity.NOTE,
            check="shebang",
            file=path,
            what="runs whichever Python comes first in PATH, as its author wanted it",
            hint="bin/python3 before its name runs it with this one",
        )


def _shebang(data: bytes, interpreter: str, ours: Callable[[str], bool]) -> tuple[str, str]:
    """Return what is wrong with how a script finds its interpreter, and what helps; nothing if all is well."""
    if scripts.carries(data, interpreter):
        return "", ""
    try:
        wanted = scripts.rewrite(data, ours, interpreter=interpreter)
    except scripts.ScriptError as error:
        hint = "mend that and run `relenv repair`; or, if it is for another Python, let it begin with /usr/bin/env"
        return f"has a shebang that a move breaks, and cannot get a trampoline: {error}", hint
    except ValueError:  # no path has that
        return "has a null byte in its shebang, as a power cut leaves it", "install its package again"
    words = _first_words(data)
    if wanted is not None:
        named = words[0] if words and words[0] != "/bin/sh" else "a Python by its path, or an old trampoline"
        return f"has a shebang that a move breaks: {named}", _MEND
    if not words or not words[0].startswith(SYSTEM):
        return (
            f"has a shebang that a move breaks: {' '.join(words) or 'an empty one'}",
            "let it begin with /usr/bin/env",
        )
    return "", ""


def _first_words(data: bytes) -> list[str]:
    line = data.partition(b"\n")[0][2:]
    return line.decode("utf-8", "replace").split()


def _content(path: Path) -> bytes:
    """Return a script whole, of anything else the beginning."""
    with path.open("rb") as file:
        head = file.read(4)
        return head + file.read() if head.startswith(b"#!") else head


def _error(path: str, check: str, what: str, hint: str) -> Finding:
    return Finding(severity=Severity.ERROR, check=check, file=path, what=what, hint=hint)


def _row(tree: Tree, record: Record, row: Row) -> Iterator[Finding]:
    again = f"install {record.distribution.partition(' ')[0]} again"
    if row.path.startswith(("/", "../")):
        yield Finding(
            severity=Severity.WARNING,
            check="record",
            file=record.path,
            what=f"lists {row.path}, which is outside the tree and does not move with it",
            hint=again,
        )
        return
    path = tree.root / row.path
    try:
        status = path.stat()
    except OSError:  # also of a name that no file can have
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        # bytecode may go at any time: its row has no hash
        if row.digest or not row.path.endswith(".pyc"):
            yield _error(row.path, "record", f"is missing, but {record.distribution} has it in its RECORD", again)
    elif row.size and str(status.st_size) != row.size.strip():
        yield _error(row.path, "record", f"is not of the size that RECORD of {record.distribution} says", again)
    elif row.path in tree.unreadable:
        return  # that is the finding
    elif row.digest and (problem := _compare(path, row.digest)):
        yield _error(row.path, "record", f"{problem} RECORD of {record.distribution} says", again)


def _unrecorded(tree: Tree) -> Iterator[Finding]:
    """Yield what is noted of a distribution, but not which files are its own: pip replaces and removes none such."""
    empty = [record.path for record in tree.records if not record.rows and not record.damage]
    lacking = [path.relative_to(tree.root).as_posix() for path in interrupted.incomplete(tree.root / tree.site)]
    for path, what in (*((path, "is empty") for path in empty), *((path, "has no RECORD") for path in lacking)):
        yield Finding(
            severity=Severity.WARNING,
            check="record",
            file=path,
            what=f"{what}: pip can neither replace nor remove its distribution",
            hint=f"{_MEND}, if its installation was cut short; else install it again with --ignore-installed",
        )


def _compare(path: Path, wanted: str) -> str:
    name, _, digest = wanted.partition("=")
    if name not in hashlib.algorithms_guaranteed or name.startswith("shake"):
        return f"cannot be compared with {name}, which"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, name).digest()
    return "" if base64.urlsafe_b64encode(found).rstrip(b"=").decode() == digest else "has not the hash that"


def _shim(tree: Tree) -> Iterator[Finding]:
    """Yield what of pip does not lead to the shim: scripts that it installs would break with a move."""
    if f"{tree.site}/pip/__main__.py" not in tree.readable:
        return
    try:
        stock = {path.relative_to(tree.root).as_posix() for path in adopt.stock(tree.root)}
    except PermissionError:
        return  # one of its scripts cannot be read: that is the finding
    shim = f"{tree.library}/relenv_pip"
    for path, what in (
        *((path, "is pip's own") for path in sorted(stock & set(tree.files)) if not _leads_to_shim(tree, path)),
        *(((shim, "is missing, or not whole"),) if not adopt.is_whole(tree.root / shim) else ()),
    ):
        yield Finding(
            severity=Severity.WARNING,
            check="shim",
            file=path,
            what=f"{what}: scripts that pip installs keep the place of the environment in them",
            hint=_MEND,
        )


def _leads_to_shim(tree: Tree, path: str) -> bool:
    return path.startswith("bin/") and b"relenv_pip" in (tree.root / path).read_bytes()


def _origins(tree: Tree) -> Iterator[Finding]:
    """Yield the packages that were installed from a directory (PEP 610)."""
    for path in tree.readable:
        if path.startswith(tree.site) and path.endswith(".dist-info/direct_url.json"):
            try:
                origin = json.loads((tree.root / path).read_text(encoding="utf-8"))
                url, editable = str(origin["url"]), bool(origin.get("dir_info", {}).get("editable"))
            except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
                yield _error(path, "origin", "is not valid (PEP 610)", "install its package again")
                continue
            if url.startswith("file:"):
                yield Finding(
                    severity=Severity.ERROR if editable else Severity.NOTE,
                    check="origin",
                    file=path,
                    what=f"is installed editable, from {url}"
                    if editable
                    else f"tells where it was installed from: {url}",
                    hint="install it without --editable" if editable else "`relenv bundle` removes this of the project",
                )


def _startup(tree: Tree) -> Iterator[Finding]:
    """Yield what runs whenever Python starts."""
    for path in tree.readable:
        if path.startswith(tree.site + "/") and path.count("/") == tree.site.count("/") + 1 and path.endswith(".pth"):
            lines = (tree.root / path).read_text(encoding="utf-8", errors="replace").splitlines()
            if any(line.startswith("/") for line in lines):
                yield _error(path, "pth", "adds an absolute directory to sys.path", "install its package not editable")
            if any(line.startswith(("import ", "import\t")) for line in lines):
                yield Finding(
                    severity=Severity.NOTE,
                    check="pth",
                    file=path,
                    what="runs code whenever Python starts; Python 3.15 deprecates that (PEP 829)",
                    hint="remove its package if nothing needs it",
                )
