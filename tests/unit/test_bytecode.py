"""Bytecode: what keeps it from being written is told from what is not meant to compile."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from relenv.errors import BuildError, OutputError
from relenv.relocate import bytecode

if TYPE_CHECKING:
    from pathlib import Path


def tree(root: Path, script: str) -> Path:
    """Lay down what is compiled, and a Python that is a shell script."""
    for name, text in (("bin/python3", f"#!/bin/sh\n{script}\n"), ("lib/a.py", "a = 1\n"), ("lib/b.py", "a b c\n")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "bin/python3").chmod(0o755)
    return root


def test_a_file_that_does_not_compile_is_left_out(tmp_path: Path) -> None:
    root = tree(tmp_path, f'exec {sys.executable} "$@"')
    bytecode.compile_tree(root, root / "lib")
    assert [path.name.partition(".")[0] for path in (root / "lib/__pycache__").iterdir()] == ["a"]


def test_a_disk_that_is_full_is_not_taken_for_one(tmp_path: Path) -> None:
    # the same module, but every file is written to a full disk
    code = (
        "import compileall, errno, os, py_compile\n"
        "def full(*_, **__):\n    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
        "py_compile.compile = full\nraise SystemExit(not compileall.main())\n"
    )
    (tmp_path / "full.py").write_text(code)
    after = f'while [ "$1" != compileall ]; do shift; done; shift; exec {sys.executable} {tmp_path}/full.py "$@"'
    root = tree(tmp_path / "root", after)
    with pytest.raises(OutputError, match=f"^bytecode in {root}: the disk is full$"):
        bytecode.compile_tree(root, root / "lib")


def test_a_python_that_fails_is_an_error(tmp_path: Path) -> None:
    root = tree(tmp_path, "exit 3")
    with pytest.raises(BuildError, match=r"^bytecode cannot be compiled \(exit 3\)$"):
        bytecode.compile_tree(root, root / "lib")
