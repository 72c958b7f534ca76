"""relenv.backend: what goes into an sdist for the bundle that is made of it."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from relenv.backend.sdist import complete

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = '[project]\nname = "shown"\nversion = "1.0"\n'
BUNDLE = {"bundle": "true"}


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as hooks see it: from within."""
    root = write(tmp_path / "all/members/shown/pyproject.toml", PROJECT).parent
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def sdist(tmp_path: Path) -> Path:
    """What another backend has made of it."""
    path = tmp_path / "shown-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("PKG-INFO", "pyproject.toml"):
            tar.addfile(tarfile.TarInfo(f"shown-1.0/{name}"), io.BytesIO())
    return path


def added(sdist: Path) -> list[str]:
    with tarfile.open(sdist) as tar:
        members = tar.getmembers()[2:]
        assert all(member.isreg() or member.isdir() for member in members)
        return [member.name.removeprefix("shown-1.0/") + "/" * member.isdir() for member in members]


def settings(project: Path, text: str) -> None:
    write(project / "pyproject.toml", f"{PROJECT}[tool.relenv]\n{text}\n")


def test_the_lock_of_a_workspace_is_not_carried(project: Path, sdist: Path) -> None:
    root = project.parents[1]
    write(root / "pyproject.toml", '[tool.uv.workspace]\nmembers = ["members/*"]\n')
    lock = write(root / "uv.lock")
    before = sdist.read_bytes()
    complete(sdist, {})
    assert sdist.read_bytes() == before
    # a bundle of that would be of other releases, and nobody would know
    with pytest.raises(SystemExit, match="build with --wheel alone") as caught:
        complete(sdist, BUNDLE)
    assert str(lock) in str(caught.value)
    complete(sdist, {**BUNDLE, "lock-file": "none"})
    settings(project, 'lock = "none"')
    complete(sdist, BUNDLE)
    assert sdist.read_bytes() == before
    settings(project, 'lock = "../../uv.lock"')
    complete(sdist, {})
    assert sdist.read_bytes() == before


def test_the_lock_that_counts_is_carried(project: Path, sdist: Path) -> None:
    write(project / "pylock.toml")
    write(project / "locks/prod.txt")
    settings(project, 'lock = "none"')
    complete(sdist, BUNDLE)
    assert added(sdist) == []
    settings(project, 'lock = "./locks/prod.txt"')
    complete(sdist, BUNDLE)
    assert added(sdist) == ["locks/prod.txt"]
    settings(project, 'lock = "absent.txt"')
    with pytest.raises(SystemExit, match=r"relenv: lock: there is no .*absent\.txt"):
        complete(sdist, {})


def test_what_other_kinds_of_machines_need_is_carried(project: Path, sdist: Path) -> None:
    write(project / "icons/a.svg", "<svg/>")
    write(project / "arm/data.txt")
    settings(
        project,
        '[tool.relenv.target.aarch64-linux-gnu]\ninclude = [{ from = "arm" }]\ndesktop = { icon = "icons/a.svg" }\n'
        '[tool.relenv.target.arm64-macos]\ninclude = [{ from = "made-there-alone" }]',
    )
    complete(sdist, {})
    assert added(sdist) == ["arm/data.txt", "icons/a.svg"]


def test_links_are_followed_as_include_does(project: Path, sdist: Path) -> None:
    write(project / "data/one.txt")
    write(project.parent / "elsewhere/two.txt")
    (project / "data/linked").symlink_to(project.parent / "elsewhere")
    (project / "data/circle").symlink_to(project / "data")
    (project / "data/nowhere").symlink_to("absent")
    settings(project, 'include = [{ from = "data" }]')
    complete(sdist, {})
    assert added(sdist) == ["data/linked/two.txt", "data/one.txt"]


def test_empty_directories_are_carried(project: Path, sdist: Path) -> None:
    write(project / "data/one.txt")
    for name in ("data/none", "data/below/none", "empty"):
        (project / name).mkdir(parents=True)
    settings(project, 'include = [{ from = "data" }, { from = "empty" }]')
    complete(sdist, {})
    assert added(sdist) == ["data/below/none/", "data/none/", "data/one.txt", "empty/"]
    before = sdist.read_bytes()
    complete(sdist, {})
    assert sdist.read_bytes() == before


def test_whoever_builds_it_the_bytes_are_the_same(project: Path, sdist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / "data/one.txt", "one")
    settings(project, 'include = [{ from = "data" }]')
    before, found = sdist.read_bytes(), set()
    for number in (1, 22):
        sdist.write_bytes(before)
        monkeypatch.setattr(os, "getpid", lambda number=number: number)
        complete(sdist, {})
        found.add(sdist.read_bytes())
    assert added(sdist) == ["data/one.txt"]
    assert len(found) == 1
    assert list(sdist.parent.glob(".*")) == []
