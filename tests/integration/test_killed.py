"""Killed at any moment, relenv leaves what was there before or what is new, and works the next time."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from wheels import make_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Relenv

KILLS = 50
PROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "mortal"
version = "1.0"
dependencies = ["rlnvbelow"]
[project.scripts]
mortal = "mortal:main"
[tool.setuptools]
py-modules = ["mortal"]
[tool.relenv]
find-links = ["wheels"]
output = "out/"
format = ["zip", "run"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "mortal"
    (root / "wheels").mkdir(parents=True)
    (root / "out").mkdir()
    (root / "pyproject.toml").write_text(PROJECT)
    edit(root, 0)
    make_wheel(root / "wheels", "rlnvbelow", "1.0")
    return root


def edit(project: Path, number: int) -> None:
    (project / "mortal.py").write_text(f"def main():\n    print({number})\n")


def sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_killed_at_random(relenv: Relenv, project: Path, data: Path) -> None:
    relenv("bundle", project, "--refresh")
    began = time.monotonic()
    relenv("bundle", project)
    took = time.monotonic() - began
    edit(project, 1)
    relenv("bundle", project)
    wanted = sums(project / "out")
    assert wanted.keys() == {"mortal.zip", "mortal.run"}
    temporary = project / "temporary"
    temporary.mkdir()
    chance = random.Random(4)  # noqa: S311 - where it is killed, nothing secret
    for number in range(KILLS):
        edit(project, number % 2)
        # every fourth begins from nothing kept: the layer, too, is killed while it is made
        if number % 4 == 0:
            make_wheel(project / "wheels", "rlnvbelow", "1.0", files={"rlnvnumber.py": f"x = {number}"})
        options = ("--refresh",) if number % 4 == 0 else ()
        process = subprocess.Popen(
            [sys.executable, "-m", "relenv", "bundle", project, *options, "-o", f"{project / 'killed'}{os.sep}"],
            env={**os.environ, "RELENV_DATA": str(data), "TMPDIR": str(temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(chance.uniform(0.1, took))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for path in (project / "killed").glob("mortal.*"):
            intact(path)
    make_wheel(project / "wheels", "rlnvbelow", "1.0")
    edit(project, 1)
    relenv("bundle", project, "--refresh", "-o", f"{project / 'killed'}{os.sep}")
    # nothing half-written is left either
    assert sums(project / "killed") == wanted
    assert not list(temporary.glob("pip-*"))


def intact(path: Path) -> None:
    command = ["unzip", "-tqq", path] if path.suffix == ".zip" else [path, "--verify"]
    subprocess.run(command, check=True, capture_output=True)
