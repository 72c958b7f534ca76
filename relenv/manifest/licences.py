"""The texts of licences. A build gathers those of its own sources; pip comes as a wheel, with everything it carries."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LICENCE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|AUTHORS)([.-].*)?", re.IGNORECASE)
"""How files are called that have the terms, or the names that the terms ask for."""


def gather_pip(root: Path, series: str) -> None:
    """Copy the licences of pip, and of what it carries, to `licenses/pip-<version>`."""
    site = root / "lib" / f"python{series}" / "site-packages"
    (info,) = site.glob("pip-*.dist-info")
    target = root / "licenses" / info.name.removesuffix(".dist-info")
    for folder, place in ((info, target), (site / "pip" / "_vendor", target / "_vendor")):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and LICENCE.fullmatch(path.name) and path.suffix not in (".py", ".pyc"):
                inside = place / path.relative_to(folder)
                inside.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, inside)
