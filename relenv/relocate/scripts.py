"""The scripts that CPython installs, given a trampoline in place of the shebang they were built with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from relenv.pip_shim.scripts import rewrite
from relenv.recipes.model import PREFIX

if TYPE_CHECKING:
    from pathlib import Path


def relocate(root: Path) -> None:
    """Rewrite every script below `bin/` and `lib/` of an interpreter that names the prefix it was built with."""
    for folder in (root / "bin", *root.glob("lib/python3*/config-*")):
        interpreter = os.path.relpath(root / "bin" / "python3", folder)
        for path in sorted(folder.iterdir()):
            if path.is_symlink() or not path.is_file():
                continue
            data = path.read_bytes()
            if not data.startswith(f"#!{PREFIX}/".encode()):
                continue
            relative = rewrite(data, lambda name: name.startswith(PREFIX), interpreter=interpreter)
            if relative is not None:
                path.write_bytes(relative)
