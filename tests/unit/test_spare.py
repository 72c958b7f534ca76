"""A tree that has served one bundle is as good as a new one for the next."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from relenv.bundle.layers import Layer, give_back, link
from relenv.bundle.spare import lend, put_back

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "layer/tree"
    for name in ("bin/run", "lib/a/one.py", "lib/a/two.py", "lib/b/three.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "lib/empty").mkdir()
    (root / "lib/link").symlink_to("a")
    return root


def listing(root: Path) -> dict[str, tuple[int, int]]:
    """What each name is: kind and inode, directories as such."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        is_folder = path.is_dir() and not path.is_symlink()
        found[path.relative_to(root).as_posix()] = (status.st_mode & 0o170000, 0 if is_folder else status.st_ino)
    return found


def _replace(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


def _to_file(root: Path) -> None:
    for path in sorted((root / "lib/b").iterdir()):
        path.unlink()
    (root / "lib/b").rmdir()
    (root / "lib/b").write_text("a file now")


def _to_folder(root: Path) -> None:
    (root / "bin/run").unlink()
    (root / "bin/run/deep").mkdir(parents=True)


def _to_link(root: Path) -> None:
    (root / "lib/a/one.py").unlink()
    (root / "lib/a/one.py").symlink_to("two.py")


CHANGES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _: None,
    "new": lambda root: (root / "lib/a/new.py").touch(),
    "new folder": lambda root: (root / "lib/new/deep").mkdir(parents=True),
    "gone": lambda root: (root / "lib/a/one.py").unlink(),
    "gone empty folder": lambda root: (root / "lib/empty").rmdir(),
    "replaced": lambda root: _replace(root / "lib/b/three.py", "lib/b/three.py"),
    "file for folder": _to_file,
    "folder for file": _to_folder,
    "link for file": _to_link,
    "closed folder": lambda root: (root / "lib/a").chmod(0o500),
    "closed root": lambda root: root.chmod(0o500),
    "link gone": lambda root: (root / "lib/link").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_one_bundle_did_is_undone_for_the_next(change: Callable[[Path], object], tree: Path) -> None:
    spare, root = tree.with_name("spare"), tree.parents[1] / "bundle"
    wanted = listing(tree)
    lend(tree, spare, root)
    assert listing(root) == wanted
    folder = (root / "lib/b").stat().st_ino
    put_back(root, spare)
    assert not root.exists()
    change(spare)
    lend(tree, spare, root)
    assert not spare.exists()
    assert listing(root) == wanted
    assert all(path.stat().st_mode & 0o700 == 0o700 for path in (root, *root.rglob("*/")))
    if change is CHANGES["nothing"]:
        assert (root / "lib/b").stat().st_ino == folder  # it is the same one, not made anew


def test_two_bundles_at_once_have_a_tree_each(tree: Path) -> None:
    spare, one, other = tree.with_name("spare"), tree.parents[1] / "one", tree.parents[1] / "other"
    lend(tree, spare, one)
    lend(tree, spare, other)
    (one / "own").touch()
    put_back(one, spare)
    with pytest.raises(OSError, match=r"not empty|exists"):  # one is enough
        put_back(other, spare)
    assert other.exists()
    assert (spare / "own").exists()
    lend(tree, spare, one)
    assert listing(one) == listing(tree) == listing(other)


def test_a_file_of_another_file_system_is_no_link(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spare, root = tree.with_name("spare"), tree.parents[1] / "bundle"
    monkeypatch.setattr(os, "link", _no_links)
    lend(tree, spare, root)
    (root / "bin/run").write_text("another text")
    put_back(root, spare)
    lend(tree, spare, root)
    assert (root / "bin/run").read_text() == "bin/run"


@pytest.mark.parametrize(
    ("written_to", "links", "kept"), [(False, True, True), (True, True, False), (False, False, False)]
)
def test_only_links_that_nothing_writes_to_are_kept(
    tree: Path, monkeypatch: pytest.MonkeyPatch, *, written_to: bool, links: bool, kept: bool
) -> None:
    (tree / "bin/run").rename(tree / "bin/python3")
    below, root = Layer(root=tree.parent, digests={}), tree.parents[1] / "bundle"
    if written_to:
        below.mark_written_to()
    if not links:
        monkeypatch.setattr(os, "link", _no_links)
    link(below, root)
    give_back(below, root)
    assert tree.with_name("spare").exists() == kept
    assert root.exists() != kept


def _no_links(*_: object, **__: object) -> None:
    raise OSError
