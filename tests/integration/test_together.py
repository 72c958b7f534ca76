"""Two at once with one cache: both succeed, and what both need is made once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def bundle_both(data: Path, projects: list[Path], folder: Path) -> list[str]:
    """Bundle two projects at once; return what each said."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "relenv", "bundle", str(project), "-o", str(folder / f"{project.name}.zip")],
            env={**os.environ, "RELENV_DATA": str(data)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for project in projects
    ]
    said = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert all((folder / f"{project.name}.zip").is_file() for project in projects)
    assert list((data / "work").glob("bundle-*")) == []
    return said


def test_an_interpreter_is_laid_out_once(
    interpreter: Path, data: Path, sample: Callable[[str], Path], tmp_path: Path
) -> None:
    own = tmp_path / "data"
    own.mkdir()
    shutil.copy(data / "relenv-cache.json", own)
    shutil.copytree(data / "resolved", own / "resolved")
    (own / "toolchains").symlink_to(data / "toolchains")
    shutil.copytree(
        interpreter.parent,
        own / "store",
        symlinks=True,
        ignore=shutil.ignore_patterns("python-*"),
        copy_function=os.link,
    )
    said = bundle_both(own, [sample("example"), sample("backend-flit-core")], tmp_path)
    assert sum(text.count("is ready") for text in said) == 1, said
    assert any("Waiting for another relenv" in text for text in said)


@pytest.mark.nightly
def test_an_empty_cache_is_filled_once(sample: Callable[[str], Path], tmp_path: Path) -> None:
    """Compiles everything: some ten minutes."""
    said = bundle_both(tmp_path / "data", [sample("example"), sample("backend-flit-core")], tmp_path)
    assert sum(text.count("Built cpython") for text in said) == 1, said
    assert sum(text.count("Built openssl") for text in said) == 1, said
