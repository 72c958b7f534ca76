"""A report as one HTML page that needs nothing else: no network, no other file, no library."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from typing import TYPE_CHECKING, Any

from relenv.bundle.formats import FORMATS
from relenv.bundle.output import file_name, fresh, is_special, target_of, writing
from relenv.bundle.report import KINDS, Package, Report
from relenv.errors import OutputError
from relenv.store import try_writing
from relenv.texts import template
from relenv.ui import size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from relenv.bundle.config import AppConfig
    from relenv.bundle.report import File
    from relenv.bundle.startup import Module, Start

TEMPLATE = "report.html.in"
SLOWEST = 30
"""Modules of a start that are listed, by their own time and by that of all they import."""

BASES = (r"lib/python3\.\d+/site-packages/", r"lib/python3\.\d+/", r"lib/", r"bin/")
"""Directories that need not be said of each file in them."""

_BLOCK = r"<{0}>(.*?)</{0}>"

MARK = b": where the bytes are</title>"
"""What tells a report from other pages, whichever relenv wrote it."""
HEAD = 4096
"""Bytes in which it is."""


def refuse_page(path: Path, config: AppConfig) -> None:
    """Refuse a place before anything is built for it: only an older report is replaced, and no bundle is.

    Raises:
        OutputError: a page cannot be written there.
    """
    hint = "choose another place with --report"
    name = config.name or file_name(config.project)
    if path.resolve() in {target_of(config, name, FORMATS[form].suffix).resolve() for form in config.formats}:
        raise OutputError(f"{path} is where the bundle goes", hint=hint)
    _refuse_taken(path, hint)
    try_writing(path.parent, hint=hint)


def _refuse_taken(path: Path, hint: str) -> None:
    if path.is_dir():
        raise OutputError(f"{path} is a directory, not a place for a page", hint=hint)
    if is_special(path) or path.is_symlink():  # /dev/stdout is a link, maybe to a file
        raise OutputError(f"{path} exists already, and is no file", hint=hint)
    if path.exists() and not _may_be_replaced(path):
        raise OutputError(f"{path} exists already, and is no report", hint=f"remove it, or {hint}")


def _may_be_replaced(path: Path) -> bool:
    """Tell whether a file is a report, or an empty one that may have been made to become one."""
    with writing(path), path.open("rb") as file:
        head = file.read(HEAD)
    return not head or (head.startswith(b"<!doctype html>") and MARK in head)


def write_page(report: Report, path: Path) -> None:
    """Write the page.

    Raises:
        OutputError: it cannot be written, or what making the bundle has put there is not to be lost.
    """
    _refuse_taken(path, "choose another place with --report")  # a bundle's name may come from its wheel
    with fresh(path) as out:
        out.write(render(report).encode())


def render(report: Report) -> str:
    """Return the page: the same text for the same report."""
    title = f"{report.project} {report.version}".strip() or f"Python {report.python}"
    code = template(TEMPLATE)
    values = {
        "TITLE": html.escape(title),
        "FACTS": "\n".join(f"<div><dt>{name}</dt><dd>{html.escape(text)}</dd></div>" for name, text in _facts(report)),
        "RELENV": html.escape(report.relenv),
        "STYLE": _digest(code, "style"),
        "SCRIPT": _digest(code, "script"),
        "DATA": embedded(_data(report)),
    }
    return template(TEMPLATE, values)


def embedded(data: Any) -> str:
    """Return data as JSON that may stand in a `script` element, of ASCII alone.

    Nothing in it can end the element or begin a comment (https://html.spec.whatwg.org/#restrictions-for-contents-of-script-elements),
    and U+2028 is no end of a line.
    """
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _digest(code: str, element: str) -> str:
    """Return the hash by which a Content-Security-Policy lets in the one inline element of a kind."""
    (content,) = re.findall(_BLOCK.format(element), code, re.DOTALL)
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _facts(report: Report) -> list[tuple[str, str]]:
    files = [file for package in report.packages for file in package.files]
    facts = [
        ("packed", size(sum(file.packed for file in files))),
        ("unpacked", size(sum(file.size for file in files))),
        ("files", f"{len(files):,}".replace(",", "\N{THIN SPACE}")),
        ("Python", report.python),
        ("runs on", f"{report.triplet.split('-')[0]}, glibc ≥ {report.glibc}"),
    ]
    if report.starts:
        slowest = max(report.starts, key=lambda one: one.total)
        facts.append((f"imports of {html.escape(slowest.script)}", f"{slowest.total / 1000:.0f} ms"))
    return facts


def _data(report: Report) -> dict[str, Any]:
    return {
        "kinds": KINDS,
        "zipped": report.zipped,
        "packages": [_package(one) for one in report.packages],
        "starts": [_start(report, one) for one in report.starts],
    }


def _package(package: Package) -> dict[str, Any]:
    base = _base(package.files)
    return {
        "name": package.name,
        "version": package.version,
        "licence": package.licence,
        "spdx": package.spdx,
        "glibc": package.glibc,
        "role": "project" if package.project else "package" if package.distribution else "part",
        "base": base,
        "tree": _tree((_below(file.path, base), file) for file in package.files),
    }


def _base(files: Sequence[File]) -> str:
    """Return the directory that goes without saying for a package: where most of it is, of those that all know."""
    for pattern in BASES:
        inside = [found[0] for file in files if (found := re.match(pattern, file.path))]
        if 2 * len(inside) > len(files):
            return inside[0]
    return ""


def _below(path: str, base: str) -> str:
    """Return a path as it is shown: what lies elsewhere begins with a slash, and is meant from the bundle's root."""
    return path.removeprefix(base) if path.startswith(base) else f"/{path}"


def _tree(files: Iterable[tuple[str, File]]) -> list[Any]:
    """Return files nested by directory: `[name, [...]]`, and `[name, kind, size, packed]` for a file."""
    top: dict[str, Any] = {}
    for path, file in files:
        *folders, name = path[1:].split("/") if path.startswith("/") else path.split("/")
        if path.startswith("/"):
            folders = [f"/{folders[0]}", *folders[1:]] if folders else []
            name = name if folders else f"/{name}"
        here = top
        for folder in folders:
            here = here.setdefault(folder, {})
        here[name] = [name, KINDS.index(file.kind), file.size, file.packed]
    return _listed(top)


def _listed(folder: dict[str, Any]) -> list[Any]:
    return [[name, _listed(one)] if isinstance(one, dict) else one for name, one in folder.items()]


def _start(report: Report, start: Start) -> dict[str, Any]:
    modules = start.modules
    slowest = {one.name: one for key in ("own", "total") for one in _top(modules, key)}
    return {
        "script": start.script,
        "target": start.target,
        "total": start.total,
        "count": len(modules),
        "packages": list(report.imports(start).items()),
        "modules": [[one.name, one.own, one.total, report.owner(one.path), one.compiled] for one in slowest.values()],
    }


def _top(modules: Sequence[Module], key: str) -> list[Module]:
    return sorted(modules, key=lambda one: (-getattr(one, key), one.name))[:SLOWEST]
