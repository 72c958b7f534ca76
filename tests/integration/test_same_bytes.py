"""The same choice of files gives the same bytes, whichever installer is there and whoever bundles."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest
from conftest import say
from wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
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


def forget(data: Path, what: str) -> None:
    """Remove the layers with a package or module: the next bundle has it installed."""
    for path in data.glob(f"store/layer-*/tree/lib/python3*/site-packages/{what}"):
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
        forget(data, "rlnvodd")
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
    assert sorted(say(programs / "python3", "-Ic", code).split()) == ["rlnvoddrelenv", "rlnvpartrelenv", "samelyrelenv"]


@pytest.mark.usefixtures("uv")
def test_of_what_an_index_has_the_same_file_is_chosen(
    relenv: Relenv, sample: Callable[[str], Path], tmp_path: Path
) -> None:
    project = sample("example")
    for name in ("pip", "uv"):
        relenv("bundle", project, "--refresh", "--installer", name, "-o", tmp_path / f"{name}.zip")
    assert_same(tmp_path / "pip.zip", tmp_path / "uv.zip")


SETUP = """\
from setuptools import Extension, setup

with open("README.md") as file:
    words = file.read()
with open("rlnvbuilt.py", "w") as file:
    file.write(f"WORDS = {ascii(words)}\\nSET = {[*set(words.split())]}\\n")
setup(py_modules=["rlnvbuilt"], ext_modules=[Extension("rlnvwhen", ["when.c"], extra_compile_args=["-g"])])
"""
WHEN = """\
#include <Python.h>
static struct PyModuleDef when = {PyModuleDef_HEAD_INIT, "rlnvwhen", __DATE__ " " __TIME__ " " __FILE__, -1};
PyMODINIT_FUNC PyInit_rlnvwhen(void) { return PyModule_Create(&when); }
"""
DECLARED = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "rlnvbuilt"
version = "1.0"
"""
OTHER = PROJECT.replace('"rlnvodd", "rlnvpart"', '"rlnvbuilt"').replace("rlnvodd:main", "os:getcwd")
BUILT = {
    "pyproject.toml": DECLARED,
    "setup.py": SETUP,
    "when.c": WHEN,
    "README.md": "one two three four five six seven eight nine t\u00ebn",
}


def write_all(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.usefixtures("uv")
def test_what_is_built_on_the_way_is_the_same(relenv: Relenv, data: Path, tmp_path: Path) -> None:
    info = {"PKG-INFO": "Metadata-Version: 2.1\nName: rlnvbuilt\nVersion: 1.0\n"}
    write_all(tmp_path / "rlnvbuilt-1.0", BUILT | info)
    project = write_all(tmp_path / "samely", {"pyproject.toml": OTHER})
    (project / "wheels").mkdir()
    tar = ["tar", "-czf", project / "wheels/rlnvbuilt-1.0.tar.gz", "rlnvbuilt-1.0"]
    subprocess.run(tar, cwd=tmp_path, check=True)
    for name, env in {"pip": {}, "uv": {"TZ": "Asia/Tokyo"}}.items():
        forget(data, "rlnvbuilt.py")
        relenv("bundle", project, "--installer", name, "-o", tmp_path / f"{name}.zip", env=env)
    assert_same(tmp_path / "pip.zip", tmp_path / "uv.zip")


def test_the_project_is_built_the_same_anywhere(relenv: Relenv, tmp_path: Path) -> None:
    dated = {"SOURCE_DATE_EPOCH": "1600000000"}
    for name, env in {"one": {}, "an other": {"TZ": "Asia/Tokyo"}}.items():
        project = write_all(tmp_path / name / "rlnvbuilt", BUILT)
        before = os.umask(0o077 if env else 0o022)
        try:
            relenv("bundle", project, "-o", tmp_path / f"{name}.zip", env=dated | env)
        finally:
            os.umask(before)
    assert_same(tmp_path / "one.zip", tmp_path / "an other.zip")


def test_another_encoding_changes_nothing(relenv: Relenv, tmp_path: Path) -> None:
    locale = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", tmp_path / "latin1"]
    if not shutil.which("localedef") or subprocess.run(locale, check=False, capture_output=True).returncode:
        pytest.skip("this machine has nothing to make a locale of")
    dated = {"SOURCE_DATE_EPOCH": "1600000000"}
    project = write_all(tmp_path / "rlnvbuilt", BUILT)
    for name, env in {"utf8": {}, "latin1": {"LOCPATH": str(tmp_path), "LC_ALL": "latin1"}}.items():
        relenv("bundle", project, "-o", tmp_path / f"{name}.zip", env=dated | env)
    assert_same(tmp_path / "utf8.zip", tmp_path / "latin1.zip")
