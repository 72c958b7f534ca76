"""A copy of a tree is like it; an environment is there whole, or nothing of it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relenv.environment import Environment, copy_tree, create
from relenv.errors import UsageError
from relenv.interpreter import Interpreter


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


def test_one_that_cannot_be_made_leaves_no_directory(tree: Path, tmp_path: Path) -> None:
    def fill(environment: Environment) -> None:
        assert environment.root.parent == tmp_path / "here/new"
        raise UsageError("no")

    (tmp_path / "here").mkdir()
    interpreter = Interpreter(root=tree, version="3.13.15", triplet="", key="")
    with pytest.raises(UsageError):
        create(interpreter, tmp_path / "here/new/env", fill=fill)
    assert list((tmp_path / "here").iterdir()) == []
    create(interpreter, tmp_path / "here/new/env")
    assert (tmp_path / "here/new/env/lib/real/module.py").is_file()
