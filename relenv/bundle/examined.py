"""A bundle is held against what is promised before it is handed out, as `relenv check` does.

What of it stays the same from one run to the next, interpreter and dependencies, is looked at once, and what was found
is kept beside it; of the rest, each time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from relenv import audit as auditing
from relenv.audit import Finding, Severity, Tree, audit, audit_part, this_machine
from relenv.audit.tree import FLOOR, manifest_of
from relenv.bundle.archive import walk
from relenv.errors import CheckError
from relenv.store import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relenv.audit import Place
    from relenv.bundle.layers import Layer
    from relenv.context import Context
    from relenv.environment import Environment

FOUND = "findings.json"
"""In a layer."""
LENIENT = frozenset({"leak"})
"""Checks that find words: that a text speaks of /root may be meant."""
SHOWN = 5
"""Warnings; `relenv check` shows all."""


def examine(
    context: Context, environment: Environment, below: Layer, digests: Mapping[str, str], *, glibc: str = ""
) -> None:
    """Check what a bundle holds.

    A wheel of somebody else's that is not in order, such as one that lacks a library, may work as far as it is needed:
    that is a warning. For the rest the project answers, or relenv. Of what the project includes, warnings are told too:
    whoever made the bundle chose it.

    Args:
        context: the edges.
        environment: the bundle.
        below: what it was made on.
        digests: the sha256 of its files, by their paths.
        glibc: the newest that it may need, such as `2.28`; empty for the interpreter's.

    Raises:
        CheckError: something does not work elsewhere.
    """
    place = this_machine(context.environ)
    floor = tuple(map(int, glibc.split("."))) if glibc else FLOOR
    tree = Tree(
        root=environment.root.resolve(),
        series=environment.interpreter.series,
        files=tuple(sorted(digests)),
        links=(),
        manifest=manifest_of(environment.root),
        floor=floor,
        allowed=floor,
    )
    part = {name for name, digest in digests.items() if below.digests.get(name) != digest}
    if any(_is_library(name) for name in below.digests.keys() - digests.keys()):
        part |= {name for name in digests if _is_library(name)}  # what needed it is to be found
    theirs = [one for one in _of_layer(environment, below, place) if one.file in digests]
    ours = [one for one in audit_part(tree, place, part) if _is_told(tree, one) and one not in theirs]
    for one in ours:
        if one.severity is Severity.ERROR and one.check not in LENIENT and not _is_theirs(tree, one, part):
            raise CheckError(f"{one.file} {one.what}", hint=one.hint or "`relenv check` tells more")
    _warn(context, [*ours, *theirs])


def _is_library(name: str) -> bool:
    return ".so" in name.rpartition("/")[2]


def _is_told(tree: Tree, finding: Finding) -> bool:
    included = finding.severity is Severity.WARNING and finding.file in tree.included
    return included or finding.severity is Severity.ERROR


def _is_theirs(tree: Tree, finding: Finding, part: set[str]) -> bool:
    return finding.file not in part and bool(tree.package(finding.file))


def _warn(context: Context, findings: list[Finding]) -> None:
    for one in findings[:SHOWN]:
        context.ui.warn(f"{one.file} {one.what}")
    if more := len(findings) - SHOWN if len(findings) > SHOWN else 0:
        context.ui.warn(f"{more} more findings of this kind: `relenv check` shows them")


def _of_layer(environment: Environment, layer: Layer, place: Place) -> list[Finding]:
    """Return what is wrong with a layer, found now or before."""
    path = layer.root / FOUND
    key = f"{_code()} {place}"
    try:
        kept = json.loads(path.read_bytes())
        if kept["key"] == key:
            return [Finding(**{**one, "severity": Severity(one["severity"])}) for one in kept["findings"]]
    except (OSError, ValueError, LookupError, TypeError):
        pass
    files = tuple(sorted(name for name, _ in walk(layer.tree) if not name.endswith("/")))
    tree = Tree(root=layer.tree, series=environment.interpreter.series, files=files, links=(), unpacked=True)
    tree = dataclasses.replace(tree, manifest=manifest_of(layer.tree))
    found = [one for one in audit(tree, place).findings if one.severity is Severity.ERROR]
    write_text(path, json.dumps({"key": key, "findings": [dataclasses.asdict(one) for one in found]}) + "\n")
    return found


@cache
def _code() -> str:
    files = sorted(Path(auditing.__path__[0]).glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in [*files, Path(__file__)])).hexdigest()
