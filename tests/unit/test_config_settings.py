"""relenv.backend: config settings as options, and backends that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

import relenv.backend.bundle
from relenv.backend import load
from relenv.backend.bundle import bundle

WORDS = {
    "sbom=true": ["--sbom"],
    "sbom=false": ["--no-sbom"],
    "no-sbom=true": ["--no-sbom"],
    "no-sbom=false": ["--sbom"],
    "offline=true": ["--offline"],
    "offline=false": [],
    "format=run": ["--format=run"],
    "no-such=1": ["--no-such=1"],
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    found: list[list[str]] = []
    monkeypatch.setattr(relenv.backend.bundle, "main", lambda words: found.append(words) or 0)
    return found


@pytest.mark.parametrize("setting", WORDS)
def test_every_option_is_a_setting(setting: str, calls: list[list[str]]) -> None:
    name, _, value = setting.partition("=")
    bundle(Path("shown.whl"), Path("out"), {"bundle": "true", name: value})
    assert calls[0][6:] == WORDS[setting]


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("lock=uv.lock", "; relenv.lock-file names a lock file"),
        ("sbom=none", ""),
        ("no-sbom=x", ""),
        ("offline=flase", ""),
    ],
)
def test_a_switch_is_true_or_false(setting: str, hint: str, calls: list[list[str]]) -> None:
    name, _, value = setting.partition("=")
    with pytest.raises(SystemExit) as caught:
        bundle(Path("shown.whl"), Path("out"), {"bundle": "true", name: value})
    assert str(caught.value) == f"relenv: -C relenv.{setting}: that is true or false{hint}"
    assert calls == []


def test_hooks_are_called_by_name_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PEP 517 names the parameters."""
    (tmp_path / "pyproject.toml").write_text('[tool.relenv]\nbuild-backend = "plain"\n')
    (tmp_path / "plain.py").write_text(
        "def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):\n    return 'a.whl'\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    made: list[Path] = []
    monkeypatch.setattr(relenv.backend.bundle, "bundle", lambda wheel, output, _: made.extend((wheel, output)))
    settings = {"relenv.bundle": "true"}
    assert relenv.backend.build_wheel(wheel_directory="out", config_settings=settings) == "a.whl"
    assert made == [Path("out/a.whl"), Path("out/relenv")]


@pytest.mark.parametrize("backend", ["relenv.backend", "relenv.backend:x"])
def test_hooks_are_not_handed_on_in_a_circle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.relenv]\nbuild-backend = "{backend}"\n')
    monkeypatch.chdir(tmp_path)
    for name in ("build_wheel", "get_requires_for_build_sdist", "prepare_metadata_for_build_editable"):
        with pytest.raises(SystemExit, match=f"tool.relenv. is {backend}, which hands on to another: name that"):
            getattr(relenv.backend, name)
    assert not hasattr(relenv.backend, "other")


def test_the_wheel_is_the_one_that_was_built(calls: list[list[str]]) -> None:
    with pytest.raises(SystemExit, match="the wheel that was just built"):
        bundle(Path("shown.whl"), Path("out"), {"wheel": "other.whl"})
    assert calls == []


def test_an_object_that_a_backend_lacks_is_named() -> None:
    assert load("json:decoder.JSONDecoder").__name__ == "JSONDecoder"
    with pytest.raises(SystemExit, match=r"the build backend json:decoder\.nope has no nope"):
        load("json:decoder.nope")
