"""The recipes of toolchains, and tarballs that lie in others."""

from __future__ import annotations

import grp
import io
import os
import pwd
import re
import tarfile
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from relenv.build import unpack
from relenv.plan import make_plan
from relenv.platforms import PLATFORMS
from relenv.recipes.model import Run
from relenv.recipes.toolchain import AIM, PARTS

if TYPE_CHECKING:
    from pathlib import Path

    from relenv.recipes.model import Recipe

LINUX = PLATFORMS["x86_64-linux-gnu"]
RECIPES = [recipe for releases in PARTS.values() for recipe in releases]


def plan(aim: Recipe) -> list[str]:
    parts = {name: releases[0] for name, releases in PARTS.items()}
    return [node.key for node in make_plan(aim, parts, platform=LINUX, toolchain_key="pinned").nodes]


def test_a_plan_ends_in_the_compiler() -> None:
    parts = {name: releases[0] for name, releases in PARTS.items()}
    made = make_plan(parts[AIM], parts, platform=LINUX, toolchain_key="pinned")
    assert {node.name for node in made.nodes} == PARTS.keys()
    assert made.aim.slug.startswith("gcc-15.3.0-")


def test_which_tarball_in_a_tarball_is_part_of_the_key() -> None:
    recipe = PARTS[AIM][1]
    assert recipe.source.inner
    other = replace(recipe, source=replace(recipe.source, inner="gcc-15-15.3.0/newlib.tar.xz"))
    assert plan(recipe)[-1] != plan(other)[-1]
    assert plan(recipe)[:-1] == plan(other)[:-1]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.source.filename)
def test_each_source_is_pinned_and_can_be_had(recipe: Recipe) -> None:
    source = recipe.source
    assert re.fullmatch("[0-9a-f]{64}", source.sha256)
    assert source.urls or source.apt or source.index
    # nothing of this machine, and no path that `gcc -v` would tell
    words = [word for step in recipe.steps if isinstance(step, Run) for word in step.argv]
    assert not [word for word in words if word.startswith("/") and not word.startswith("/bin/")]


def packed(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    path = folder / name
    with tarfile.open(path, "w:gz") as tar:
        for inside, data in files.items():
            member = tarfile.TarInfo(inside)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_a_tarball_in_a_tarball(tmp_path: Path) -> None:
    inner = packed(tmp_path, "inner.tar.gz", {"gcc-1/README": b"this"}).read_bytes()
    outer = packed(tmp_path, "outer.tar.gz", {"gcc-1-1/inner.tar.gz": inner, "gcc-1-1/other.tar.gz": b""})
    (tmp_path / "work").mkdir()
    unpack(outer, tmp_path / "work/src", inner="gcc-1-1/inner.tar.gz")
    assert (tmp_path / "work/src/README").read_bytes() == b"this"
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["src"]


def test_what_is_unpacked_is_the_users_own_and_nobody_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("x-1/README")
        member.uid, member.gid, member.uname, member.gname = 4711, 4712, "daemon", "daemon"
        tar.addfile(member)
    asked: list[str] = []
    monkeypatch.setattr(pwd, "getpwnam", asked.append)
    monkeypatch.setattr(grp, "getgrnam", asked.append)
    unpack(tmp_path / "x.tar.gz", tmp_path / "src")
    status = (tmp_path / "src/README").stat()
    assert (status.st_uid, status.st_gid, asked) == (os.getuid(), os.getgid(), [])


def test_a_tarball_in_a_wheel(tmp_path: Path) -> None:
    inner = packed(tmp_path, "inner.tar.gz", {"triplet/lib/libc.so": b"this"}).read_bytes()
    with zipfile.ZipFile(tmp_path / "it.whl", "w") as wheel:
        wheel.writestr("it/_toolchain/inner.tar.gz", inner)
    (tmp_path / "work").mkdir()
    unpack(tmp_path / "it.whl", tmp_path / "work/src", inner="it/_toolchain/inner.tar.gz")
    assert (tmp_path / "work/src/lib/libc.so").read_bytes() == b"this"
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["src"]
