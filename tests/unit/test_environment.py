"""A copy of a tree is like it; an environment is there whole, or nothing of it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relenv.environment import copy_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "lib/real").mkdir(parents=True)
    (tree / "lib/real/module.py").write_text("x = 1")
    return tree


@pytest.mark.parametrize("share", [False, True])
def test_links_to_directories_are_copied_as_such(tree: Path, tmp_path: Path, *, share: bool) -> None:
    (tree / "lib/named").symlink_to("real")
    copy_tree(tree, tmp_path / "copy", share=share)
    link = tmp_path / "copy/lib/named"
    assert link.readlink() == Path("real")
    assert (link / "module.py").read_text() == "x = 1"


def test_what_is_no_file_is_named_and_not_waited_for(tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "lib/pipe")
    with pytest.raises(OSError, match=f"{tree}/lib/pipe is no file, directory or link"):
        copy_tree(tree, tmp_path / "copy")


def test_only_what_is_wanted_is_copied(tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "lib/pipe")
    copy_tree(tree, tmp_path / "copy", wanted=lambda path: path != f"{tree}/lib/pipe")
    assert [path.name for path in (tmp_path / "copy").rglob("*")] == ["lib", "real", "module.py"]
