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


def test_the_wheel_is_the_one_that_was_built(calls: list[list[str]]) -> None:
    with pytest.raises(SystemExit, match="the wheel that was just built"):
        bundle(Path("shown.whl"), Path("out"), {"wheel": "other.whl"})
    assert calls == []


def test_an_object_that_a_backend_lacks_is_named() -> None:
    assert load("json:decoder.JSONDecoder").__name__ == "JSONDecoder"
    with pytest.raises(SystemExit, match=r"the build backend json:decoder\.nope has no nope"):
        load("json:decoder.nope")
