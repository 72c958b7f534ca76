"""`relenv toolchain`. Building one takes too long for every day: that is marked `nightly`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import AWKWARD

if TYPE_CHECKING:
    from conftest import Relenv

HELLO = """\
#include <iostream>
#include <vector>
int twice(int);
int main() { std::vector<int> some{1, 2}; std::cout << twice(some.size()) << std::endl; }
"""


def test_the_pinned_one_is_listed(relenv: Relenv) -> None:
    path = Path(relenv("toolchain", "download").stdout.strip())
    listed = json.loads(relenv("toolchain", "list", "--json").stdout)
    (one,) = (one for one in listed if Path(one["path"]) == path)
    assert one["compiler"] == "gcc 11.2.0"
    assert one["name"] in relenv("toolchain", "list").stdout


@pytest.mark.nightly
def test_one_from_source_works_where_it_was_moved_to(relenv: Relenv, tmp_path: Path) -> None:
    made = json.loads(relenv("toolchain", "build", "--json").stdout)
    listed = json.loads(relenv("toolchain", "list", "--json", env={"RELENV_TOOLCHAIN": "gcc"}).stdout)
    assert "3.13.15" in {one["key"]: one["builds"] for one in listed}[made["key"]]
    root = tmp_path / AWKWARD
    shutil.copytree(made["path"], root, symlinks=True)
    (tmp_path / "main.cc").write_text(HELLO)
    (tmp_path / "twice.cc").write_text("int twice(int x) { return 2 * x; }\n")
    compiler = root / "bin" / f"{made['triplet']}-g++"
    for source in ("main", "twice"):
        subprocess.run([compiler, "-O2", "-flto", "-c", f"{source}.cc"], cwd=tmp_path, check=True)
    archiver = root / "bin" / f"{made['triplet']}-ar"
    subprocess.run([archiver, "rcs", "libtwice.a", "twice.o"], cwd=tmp_path, check=True)
    link = ["-O2", "-flto", "-static-libstdc++", "-static-libgcc", "main.o", "libtwice.a", "-o", "main"]
    subprocess.run([compiler, *link], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout == "4\n"
    needs = subprocess.run(
        [root / "bin" / f"{made['triplet']}-readelf", "-V", "main"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "GLIBC_2.34" not in needs
    # nothing of it knows where it was built
    leaks = subprocess.run(["grep", "-rl", "/work/gcc-", root], capture_output=True, text=True, check=False)
    assert leaks.stdout == ""


@pytest.mark.nightly
def test_it_builds_the_interpreter_where_it_was_fetched(relenv: Relenv, data: Path, tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    made = json.loads(relenv("toolchain", "build", "--json", "--output", dist).stdout)
    assert Path(made["tarball"]).name == f"toolchain-{made['name'].removeprefix('gcc-')}-{made['triplet']}.tar.xz"
    # in a cache of its own, but for the sources
    env = {"RELENV_DATA": str(tmp_path / "data"), "RELENV_TOOLCHAIN": ""}
    fetched = json.loads(relenv("toolchain", "download", "--json", "--from", dist, env=env).stdout)
    assert fetched["key"] == made["key"]
    for name in ("downloads", "resolved"):
        shutil.copytree(data / name, tmp_path / "data" / name, dirs_exist_ok=True)
    python = json.loads(relenv("build", "--json", env=env).stdout)
    manifest = json.loads((Path(python["path"]) / "relenv.json").read_text())
    assert manifest["toolchain"]["name"] == made["name"]
    assert manifest["profile"]
    assert manifest["glibc"] == "2.17"
    relenv("check", "--run", python["path"], env=env)
    # made here or fetched, it is the same toolchain, and so is what it builds
    again = json.loads(relenv("build", "--json", "--toolchain", "gcc").stdout)
    assert again["key"] == python["key"]
