"""Directories among the dependencies: what tells one from what it was before."""

from __future__ import annotations

import zipfile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from relenv.bundle import members
from relenv.bundle.dependencies import Dependencies
from relenv.bundle.members import build_members

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Build = Callable[..., Dependencies]

GIT = "other @ git+https://one.invalid/x@0123"


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Build what is required, of a directory whose wheel holds some text and has files of some year."""
    folder = tmp_path / "a member"
    (folder / "deep").mkdir(parents=True)

    def of(text: str, year: int, *, below: str = "", **environ: str) -> Dependencies:
        wheel = tmp_path / f"{text}-{year}.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(zipfile.ZipInfo("one.py", (year, 1, 1, 0, 0, 0)), text)
        built: list[Path] = []

        def make(site: object, name: str, folder: Path) -> Path:  # noqa: ARG001 - the signature of the real one
            built.append(folder)
            return wheel

        monkeypatch.setattr(members, "_build", make)
        site: Any = SimpleNamespace(environ=environ)
        found = build_members(site, Dependencies(loose=f"one @ {folder.as_uri()}{below}\n{GIT}\n"))
        assert built == ([] if environ else [folder / "deep" if below else folder])
        return found

    return of


def test_it_is_known_by_the_content_of_its_wheel(build: Build, tmp_path: Path) -> None:
    found = build("x", 2020)
    assert found.loose == f"one @ {(tmp_path / 'x-2020.whl').as_uri()}\n{GIT}\n"
    assert found.key
    assert found.key == build("x", 2021).key
    assert found.key != build("y", 2020).key
    assert found.only("one").key


def test_one_below_is_built(build: Build) -> None:
    assert build("x", 2020, below="#subdirectory=deep").key


def test_with_settings_that_pip_builds_by_it_does(build: Build) -> None:
    found = build("x", 2020, PIP_CONFIG_SETTINGS="fast=1")
    assert (found.key, "a%20member" in found.loose) == ("", True)


def test_what_is_no_directory_stays(tmp_path: Path) -> None:
    wanted = Dependencies(hashed="two==1 --hash=sha256:00\n", loose=f"one @ {(tmp_path / 'x.whl').as_uri()}\n")
    site: Any = SimpleNamespace(environ={})
    assert build_members(site, wanted) == wanted
    assert not wanted.key
