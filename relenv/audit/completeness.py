"""Is all there that should be, and nothing that leads elsewhere."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from relenv.audit.binary import Binary
from relenv.audit.model import Finding, Severity
from relenv.manifest import MANIFEST
from relenv.pip_shim.repair import lost_links
from relenv.recipes.cpython import EXTENSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relenv.audit.binary import Broken
    from relenv.audit.tree import Tree

ENTRY = "PyInit_"
"""What the name of the function begins with that makes an extension module (PEP 489)."""


def check(tree: Tree, facts: Sequence[Binary | Broken]) -> Iterator[Finding]:
    """Yield the extension modules that are missing or too many, and links that lead nowhere or out."""
    yield from _extensions(tree, extensions(tree, facts))
    for link in tree.links:
        yield from _link(tree, link)
    yield from _manifest(tree)


def _manifest(tree: Tree) -> Iterator[Finding]:
    """Yield what keeps a manifest from being read, and links that an unpacking has lost."""
    told, hint = tree.manifest, "if relenv made this, make it anew"
    if told is None:
        what = "is no JSON object" if MANIFEST in tree.files else "is missing"
        what = f"{what}: what this was made of cannot be told"
        yield Finding(severity=Severity.WARNING, check="manifest", file=MANIFEST, what=what, hint=hint)
    elif "bundle" not in told:
        yield from _lost(tree)


def _lost(tree: Tree) -> Iterator[Finding]:
    with suppress(PermissionError):  # that a file cannot be read is a finding of its own
        for path, target in lost_links(tree.root):
            what = f"is not there as another name of {target}"
            file = path.relative_to(tree.root).as_posix()
            yield Finding(severity=Severity.WARNING, check="link", file=file, what=what, hint="relenv repair DIR")


def extensions(tree: Tree, facts: Sequence[Binary | Broken]) -> frozenset[str]:
    """Return the names of the extension modules of the standard library that a tree has.

    They are files in lib-dynload, or part of the program or its libpython.
    """
    folder = f"{tree.library}/lib-dynload/"
    files = {path[len(folder) :].split(".")[0] for path in tree.files if path.startswith(folder) and ".so" in path}
    linked = {
        name.removeprefix(ENTRY)
        for one in facts
        if isinstance(one, Binary) and (one.path == tree.program or one.name.startswith("libpython"))
        for name in one.defined
        if name.startswith(ENTRY)
    }
    return frozenset(files | (linked & EXTENSIONS.get(tree.series, frozenset())))


def _extensions(tree: Tree, found: frozenset[str]) -> Iterator[Finding]:
    folder = f"{tree.library}/lib-dynload"
    if tree.series not in EXTENSIONS:
        yield Finding(
            severity=Severity.WARNING,
            check="extensions",
            file=folder,
            what=f"which extension modules Python {tree.series} should have is not known to this relenv",
            hint="use a newer relenv",
        )
        return
    anew = (Severity.ERROR, "make the environment anew")
    pruned = (Severity.NOTE, '`prune = "max"` leaves out what nothing imports')
    for (severity, hint), names, what in (
        (pruned if tree.bundle.get("prune") == "max" else anew, EXTENSIONS[tree.series] - found, "lacks the {}"),
        (anew, found - EXTENSIONS[tree.series], "should not have the {}"),
    ):
        for name in sorted(names):
            yield Finding(
                severity=severity,
                check="extensions",
                file=folder,
                what=what.format(f"extension module {name}"),
                hint=hint,
            )


def _link(tree: Tree, link: str) -> Iterator[Finding]:
    target = os.fspath((tree.root / link).readlink())
    inside = os.path.normpath(PurePosixPath(link).parent / target)
    what = ""
    if target.startswith("/"):
        what = f"is a link to {target}: it does not move with the tree"
    elif inside.split("/")[0] == "..":
        what = f"is a link that leads out of the tree: {target}"
    elif not (tree.root / link).exists():
        what = f"is a link to {target}, which does not exist"
    if what:
        yield Finding(
            severity=Severity.ERROR,
            check="link",
            file=link,
            what=what,
            hint="replace it by what it should point to, or by a relative link inside the tree",
        )
