"""What writes when it is imported: neither the cache nor a bundle has any of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from wheels import make_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Relenv

SCRIBE = """\
import pathlib, time
here = pathlib.Path(__file__).parent
with (here / "state.txt").open("a") as file:
    file.write(str(time.time_ns()))
(here / "cache").mkdir(exist_ok=True)
(here / "cache/new.log").write_text(str(time.time_ns()))
"""
HOME = """\
import pathlib, time
(pathlib.Path.home() / ".app").mkdir(exist_ok=True)
(pathlib.Path.home() / ".app/config.ini").write_text(str(time.time_ns()))
"""


def project(folder: Path, module: str, dependencies: str = "") -> Path:
    root = folder / "app"
    root.mkdir()
    (root / "app.py").write_text(f"{module}\ndef main():\n    print('app')\n")
    (root / "pyproject.toml").write_text(
        f'[project]\nname = "app"\nversion = "1.0"\ndependencies = [{dependencies}]\nscripts = {{ app = "app:main" }}\n'
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        "[tool.setuptools]\npy-modules = ['app']\n"
        '[tool.relenv]\nfind-links = ["../wheels"]\nformat = ["zip", "dir"]\n'
    )
    return root


def bundle(relenv: Relenv, root: Path, out: Path) -> bytes:
    relenv("bundle", root, "-o", f"{out}/")
    for name in ("app.zip", "app"):
        relenv("verify", "--strict", out / name)
    return (out / "app.zip").read_bytes()


def of_a_dependency(folder: Path) -> Path:
    make_wheel(folder / "wheels", "rlnvscribe", files={"rlnv/__init__.py": SCRIBE, "rlnv/state.txt": "-"})
    return project(folder, "import rlnv", '"rlnvscribe"')


def of_its_own(folder: Path) -> Path:
    (folder / "wheels").mkdir()
    root = project(folder, SCRIBE)
    (root / "app").mkdir()
    (root / "app.py").rename(root / "app/__init__.py")
    (root / "app/state.txt").write_text("-")
    settings = root / "pyproject.toml"
    settings.write_text(settings.read_text().replace("py-modules = ['app']", "package-data.app = ['*']"))
    return root


@pytest.mark.parametrize("make", [of_a_dependency, of_its_own])
def test_what_a_module_writes_beside_itself(relenv: Relenv, tmp_path: Path, make: Callable[[Path], Path]) -> None:
    root = make(tmp_path)
    assert bundle(relenv, root, tmp_path / "one") == bundle(relenv, root, tmp_path / "two")
    (module,) = (*root.glob("app.py"), *root.glob("app/__init__.py"))
    module.write_text(f"{module.read_text()}\n")
    bundle(relenv, root, tmp_path / "three")
    for name in ("one", "two", "three"):
        (state,) = (tmp_path / name / "app").rglob("state.txt")
        assert state.read_text() == "-"
        assert not list((tmp_path / name / "app").rglob("new.log"))


def test_what_a_module_writes_into_the_home_directory(relenv: Relenv, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    root = project(tmp_path, HOME)
    assert bundle(relenv, root, tmp_path / "one") == bundle(relenv, root, tmp_path / "two")
    assert not list((tmp_path / "one/app").rglob("config.ini"))
