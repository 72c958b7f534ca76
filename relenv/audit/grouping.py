"""One finding for many files of a package: what is to be done about them is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relenv.audit.model import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from relenv.audit.model import Severity
    from relenv.audit.tree import Tree


def per_package(
    tree: Tree, paths: Iterable[str], *, severity: Severity, check: str, what: str, hint: str = ""
) -> Iterator[Finding]:
    """Yield a finding for each package that some of these files belong to.

    Args:
        tree: where they are.
        paths: files of packages, relative to the tree.
        severity: as of Finding; so are `check` and `hint`.
        check: see there.
        what: a predicate: `has no RELRO`.
        hint: see there.
    """
    grouped: dict[str, list[str]] = {}
    for path in sorted(set(paths)):
        grouped.setdefault(tree.package(path), []).append(path)
    for package, files in grouped.items():
        of = package if len(files) == 1 else f"{package}: {len(files)} files"
        yield Finding(severity=severity, check=check, file=files[0], what=f"{what} ({of})", hint=hint)
