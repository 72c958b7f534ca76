"""How long it holds what was resolved: until what decides it is another."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from relenv.bundle.config import load_config
from relenv.bundle.dependencies import INSTALLERS, Dependencies, Site, resolve
from relenv.context import Context
from relenv.interpreter import Interpreter
from relenv.ui import open_ui

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PYPROJECT = '[project]\nname = "{name}"\nversion = "1"\n'


class _Asked:
    """Resolves for real how often it is asked."""

    def __init__(self, folder: Path, installer: str, **environ: str) -> None:
        self.folder, self.environ, self.times = folder, {"HOME": f"{folder}/home", **environ}, 0
        self.environ = {"XDG_CONFIG_DIRS": f"{folder}/etc", **self.environ}
        for name in ("python", "cache"):
            (folder / name).mkdir(exist_ok=True)
        self.installer = dataclasses.replace(INSTALLERS[installer], resolve=self._resolve)

    def _resolve(self, _: Site, requirements: Sequence[str]) -> Dependencies:
        self.times += 1
        return Dependencies(hashed=f"{requirements[0]}==1 --hash=sha256:{'a' * 64}\n")

    def anew(self, name: str = "project", requirement: str = "dep") -> bool:
        """Tell whether a project's requirements were resolved anew."""
        root, before = self.folder / name, self.times
        if not root.exists():
            root.mkdir()
            (root / "pyproject.toml").write_text(PYPROJECT.format(name=name))
        interpreter = Interpreter(root=self.folder / "python", version="3.13.5", triplet="x86_64-linux-gnu", key="key")
        context = Context(environ={"RELENV_DATA": f"{self.folder}/cache"}, ui=open_ui(quiet=True), jobs=1)
        site = Site(
            context=context,
            config=load_config(root, {}),
            interpreter=interpreter,
            environ=self.environ,
            work=self.folder,
            label=name,
        )
        resolve(site, self.installer, [requirement])
        return self.times > before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("project/pyproject.toml", PYPROJECT.format(name="x") + '[tool.uv.pip]\nresolution = "lowest"\n'),
        ("project/pyproject.toml", PYPROJECT.format(name="x") + '[tool.uv]\nconstraint-dependencies = ["dep<2"]\n'),
        ("project/uv.toml", "exclude-newer = 2026-01-01T00:00:00Z\n"),
        ("uv.toml", 'resolution = "lowest"\n'),
        ("home/.config/uv/uv.toml", 'resolution = "lowest"\n'),
        ("etc/uv/uv.toml", 'resolution = "lowest"\n'),
        ("pyproject.toml", '[tool.uv]\nresolution = "lowest"\n[tool.uv.workspace]\nmembers = ["project"]\n'),
    ],
)
def test_what_uv_is_told_by_files_makes_a_difference(tmp_path: Path, file: str, text: str) -> None:
    uv, pip = _Asked(tmp_path, "uv"), _Asked(tmp_path, "pip")
    assert (uv.anew(), pip.anew(), uv.anew(), pip.anew()) == (True, True, False, False)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    assert (uv.anew(), pip.anew(), uv.anew()) == (True, False, False)


def test_projects_that_tell_uv_nothing_share_what_was_resolved(tmp_path: Path) -> None:
    uv = _Asked(tmp_path, "uv")
    assert (uv.anew("one"), uv.anew("another")) == (True, False)


def test_a_directory_that_uv_is_told_of_is_looked_into(tmp_path: Path) -> None:
    uv = _Asked(tmp_path, "uv")
    uv.anew()
    (tmp_path / "project/wheels").mkdir()
    (tmp_path / "project/uv.toml").write_text('find-links = ["wheels"]\n')
    assert (uv.anew(), uv.anew()) == (True, False)
    (tmp_path / "project/wheels/dep-2-py3-none-any.whl").touch()
    assert uv.anew()


@pytest.mark.parametrize(
    ("installer", "name"), [("uv", "UV_CONSTRAINT"), ("uv", "UV_OVERRIDE"), ("pip", "PIP_CONSTRAINT")]
)
def test_limits_count_by_what_they_are(tmp_path: Path, installer: str, name: str) -> None:
    limits = tmp_path / "limits.txt"
    asked = _Asked(tmp_path, installer, **{name: f"{limits} https://example.org/limits.txt"})
    assert (asked.anew(), asked.anew()) == (True, False)
    limits.write_text("dep<2\n")
    assert asked.anew()


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_file_that_is_named_by_its_place_is_looked_at(tmp_path: Path, installer: str) -> None:
    asked, wheel = _Asked(tmp_path, installer), tmp_path / "dep-1-py3-none-any.whl"
    wheel.write_text("one")
    requirement = f"dep @ {wheel.as_uri()}"
    assert asked.anew(requirement=requirement)
    assert not asked.anew(requirement=requirement)
    wheel.write_text("other")
    assert asked.anew(requirement=requirement)
    wheel.unlink()
    assert asked.anew(requirement=requirement)
