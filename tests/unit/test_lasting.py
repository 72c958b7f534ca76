"""relenv.backend: what would be written where it does not last is refused."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pytest

import relenv.backend.bundle
from relenv.backend.bundle import bundle_if_asked

if TYPE_CHECKING:
    from pathlib import Path

BUNDLE = {"bundle": "true"}


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that a bundle would be made by."""
    found: list[list[str]] = []
    monkeypatch.setattr(relenv.backend.bundle, "main", lambda words: found.append(words) or 0)
    return found


FRONTENDS = {
    "build": ("tmp/build-via-sdist-x/shown-1.0", "PKG-INFO"),
    "pip of a repository": ("tmp/pip-req-build-x", "setup.py"),
    "uv": ("home/.cache/uv/sdists-v9/.tmpx/shown-1.0", "PKG-INFO"),
}


@pytest.mark.parametrize(("place", "file"), FRONTENDS.values(), ids=FRONTENDS)
def test_nothing_is_written_to_what_is_removed(
    place: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[list[str]]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    write(tmp_path / "home/.cache/uv/CACHEDIR.TAG")
    root = write(tmp_path / place / file).parent
    monkeypatch.chdir(root)
    wheel, output = tmp_path / "dist/shown.whl", tmp_path / "dist/relenv"
    for name, value in (("output", "out/"), ("output", ["/there/", "out/"]), ("report", "a.html"), ("lock", "true")):
        with pytest.raises(SystemExit, match=rf"-C relenv\.{name}=.* would write to .*, which is removed afterwards"):
            bundle_if_asked(wheel, output, {**BUNDLE, name: value})
    assert calls == []
    for more in ({}, {"output": f"{tmp_path}/out/", "report": f"{tmp_path}/a.html", "lock": "false"}):
        bundle_if_asked(wheel, output, {**BUNDLE, **more})
    assert len(calls) == 2


def test_a_wheel_that_goes_to_a_cache_takes_no_bundle_along(tmp_path: Path, calls: list[list[str]]) -> None:
    write(tmp_path / "uv/CACHEDIR.TAG")
    folder = tmp_path / "uv/sdists-v9/path/x"
    with pytest.raises(SystemExit, match="keeps it"):
        bundle_if_asked(folder / "shown.whl", folder / "relenv", BUNDLE)
    assert calls == []


def test_a_project_that_stays_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[list[str]]
) -> None:
    """Even below the directory for what is temporary: that is where some people and their CI work."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    root = write(tmp_path / "work/shown/pyproject.toml").parent
    monkeypatch.chdir(root)
    bundle_if_asked(root / "dist/shown.whl", root / "dist/relenv", {**BUNDLE, "output": "out/", "lock": "true"})
    assert [words[-2:] for words in calls] == [["--output=out/", "--lock"]]
