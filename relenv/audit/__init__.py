"""What `relenv check` verifies: a tree is read, and what breaks a promise becomes a Finding.

One module per kind of check: `elf`, `text`, `scripts`, `completeness`, and `run`, the only one that executes anything.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from relenv.audit.binary import binaries
from relenv.audit.completeness import check as check_completeness
from relenv.audit.completeness import extensions
from relenv.audit.elf import check as check_elf
from relenv.audit.elf import floor, needs
from relenv.audit.model import Finding, Place, Report, Severity
from relenv.audit.place import this_machine
from relenv.audit.run import check as check_run
from relenv.audit.scripts import check as check_scripts
from relenv.audit.text import check as check_text
from relenv.audit.tree import Tree, opened

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Finding", "Place", "Report", "Severity", "Tree", "audit", "audit_part", "opened", "this_machine"]


def audit(tree: Tree, place: Place, *, work: Path | None = None) -> Report:
    """Check a tree.

    Args:
        tree: what `opened` gives.
        place: what must not be found in a file: whose machine this is.
        work: a directory, empty and ours, in which copies of the tree are run; None to run nothing.

    Returns:
        Every finding, errors first; within a severity in the order of the files.
    """
    facts = tuple(binaries(tree))
    findings = [
        *check_elf(tree, facts),
        *check_text(tree, place),
        *check_scripts(tree),
        *check_completeness(tree, facts),
    ]
    if work is not None:
        findings += check_run(tree, work, sorted(extensions(tree, facts)))
    asked_for = needs(tree, facts)
    return Report(
        python=tree.python,
        files=len(tree.files),
        binaries=len(facts),
        floor=floor(asked_for),
        cxx=floor(asked_for, "GLIBCXX"),
        needs=asked_for,
        findings=tuple(sorted(findings, key=lambda one: (list(Severity).index(one.severity), one.file, one.what))),
    )


def audit_part(tree: Tree, place: Place, part: Iterable[str]) -> tuple[Finding, ...]:
    """Check some files of a tree, the others of which were checked where they come from.

    What a file alone decides is looked at in these; libraries and symbols in the whole tree, if one of them is an ELF
    file.

    Args:
        tree: all of it.
        place: as for `audit`.
        part: the files.
    """
    some = dataclasses.replace(tree, files=tuple(sorted(part)))
    findings = [*check_text(some, place), *check_scripts(some)]
    if any(binaries(some)):
        findings += check_elf(tree, tuple(binaries(tree)))
    return tuple(findings)
