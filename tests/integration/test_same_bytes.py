"""The same choice of files gives the same bytes, whichever installer is there and whoever bundles."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest
from conftest import say
from wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Relenv

PROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "samely"
version = "1.0"
dependencies = ["rlnvodd", "rlnvpart"]

[project.scripts]
samely = "rlnvodd:main"

[tool.setuptools]
py-modules = []

[tool.relenv]
find-links = ["wheels"]
"""

ODD = {
    'rlnvodd/\u00e4, b "q".py': "",
    "rlnvodd-1.0.data/scripts/plain": "#!/bin/sh\necho plain\n",
    "rlnvodd-1.0.data/scripts/py": "#!python -u\nprint('py')\n",
    "rlnvodd-1.0.data/data/bin/of-data": "#!python\nprint('of data')\n",
    "rlnvodd-1.0.data/data/share/rlnvodd.txt": "data",
    "rlnvodd-1.0.data/headers/rlnvodd.h": "",
    "rlnvodd-1.0.data/purelib/rlnvpure.py": "",
    # rlnvpart has these as well
    "shared/__init__.py": "of = 'rlnvodd'\n",
    "rlnvodd-1.0.data/scripts/shared": "#!/bin/sh\necho rlnvodd\n",
}
PART = {"shared/__init__.py": "of = 'rlnvpart'\n", "rlnvpart-1.0.data/scripts/shared": "#!/bin/sh\necho of rlnvpart\n"}


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A project whose dependencies have all that installers do in ways of their own."""
    root = tmp_path / "samely"
    root.mkdir()
    (root / "pyproject.toml").write_text(PROJECT)
    console = {"odd": "rlnvodd:main", "odd.two": "rlnvodd:sys.exit", "both": "rlnvodd:main"}
    make_wheel(root / "wheels", "rlnvodd", console=console, gui={"odd-gui": "rlnvodd:main"}, files=ODD)
    make_wheel(root / "wheels", "rlnvpart", console={"both": "rlnvpart:main"}, files=PART)
    return root


def forget(data: Path) -> None:
    """Remove what is kept of the odd wheels: the next bundle has them installed."""
    for path in data.glob("store/layer-*/tree/lib/python3*/site-packages/rlnvodd"):
        shutil.rmtree(path.parents[4])


def contents(path: Path) -> dict[str, tuple[int, bytes]]:
    with zipfile.ZipFile(path) as archive:
        return {one.filename: (one.external_attr, archive.read(one)) for one in archive.infolist()}


def assert_same(one: Path, other: Path) -> None:
    found, others = contents(one), contents(other)
    assert [name for name in found.keys() | others.keys() if found.get(name) != others.get(name)] == []
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.usefixtures("uv")
def test_pip_and_uv_give_the_same_bundle(relenv: Relenv, odd: Path, data: Path) -> None:
    made = {name: odd.parent / f"{name}.zip" for name in ("pip", "uv")}
    for name, path in made.items():
        forget(data)
        said = relenv("bundle", odd, "--installer", name, "-o", path).stderr
        assert "Installing what samely needs" in said
    assert_same(made["pip"], made["uv"])
    relenv("verify", made["uv"])
    subprocess.run(["unzip", "-q", made["uv"], "-d", odd.parent / "there"], check=True)
    programs = odd.parent / "there/samely/bin"
    says = {"odd": "rlnvodd 1.0", "both": "rlnvodd 1.0", "py": "py", "of-data": "of data", "shared": "rlnvodd"}
    assert {name: say(programs / name).strip() for name in says} == says
    code = (
        "from importlib.metadata import *; print(*(d.name + d.read_text('INSTALLER').strip() for d in distributions()))"
    )
    assert sorted(say(programs / "python3", "-c", code).split()) == ["rlnvoddrelenv", "rlnvpartrelenv", "samelyrelenv"]


@pytest.mark.usefixtures("uv")
def test_of_what_an_index_has_the_same_file_is_chosen(
    relenv: Relenv, sample: Callable[[str], Path], tmp_path: Path
) -> None:
    project = sample("example")
    for name in ("pip", "uv"):
        relenv("bundle", project, "--refresh", "--installer", name, "-o", tmp_path / f"{name}.zip")
    assert_same(tmp_path / "pip.zip", tmp_path / "uv.zip")
