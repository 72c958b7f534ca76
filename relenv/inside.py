"""Running a tree's own interpreter."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from relenv import process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def run_python(
    root: Path, *arguments: str, cwd: Path | None = None, writing: bool = False, env: Mapping[str, str] | None = None
) -> str:
    """Run a tree's interpreter, isolated, with nothing of the caller's environment; return what it printed.

    Args:
        root: the tree.
        arguments: of the interpreter.
        cwd: where to run it.
        writing: whether it may write bytecode.
        env: further variables.

    Raises:
        process.CommandError: it failed.
    """
    own = {"PATH": os.defpath, "HOME": str(root), "LC_ALL": "C.UTF-8", "PIP_CONFIG_FILE": os.devnull}
    # -I passes over PYTHONDONTWRITEBYTECODE
    options = ("-I",) if writing else ("-I", "-B")
    return process.run([root / "bin" / "python3", *options, *arguments], cwd=cwd, env={**(env or {}), **own})
