"""The user's configuration file, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relenv.errors import ConfigError
from relenv.settings import Settings, load

if TYPE_CHECKING:
    from pathlib import Path


def loaded(tmp_path: Path, text: str, **environ: str) -> Settings:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return load(file, environ)


def test_without_a_file_nothing_is_configured(tmp_path: Path) -> None:
    assert load(tmp_path / "no" / "config.toml", {}) == Settings()


def test_a_variable_wins(tmp_path: Path) -> None:
    text = '[fetch]\nfrom = "https://example.org/p"\nkey = "RWa"\n'
    assert loaded(tmp_path, text) == Settings(fetch_from="https://example.org/p", fetch_key="RWa")
    assert loaded(tmp_path, text, RELENV_FETCH_FROM="/srv") == Settings(fetch_from="/srv", fetch_key="RWa")
    assert loaded(tmp_path, text, RELENV_FETCH_KEY="", RELENV_FETCH_FROM="") == loaded(tmp_path, text)


def test_a_relative_directory_is_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert loaded(tmp_path, '[fetch]\nfrom = "dist"').fetch_from == str(tmp_path / "dist")
    assert loaded(tmp_path, '[fetch]\nfrom = "~/dist"').fetch_from == "/home/ann/dist"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[fetch", "is not valid TOML", ""),
        ("[fetsh]", "unknown table [fetsh]", "did you mean `fetch`?"),
        ('[fetch]\nform = "x"', "unknown key `form` in [fetch]", "did you mean `from`?"),
        ("[fetch]\nzzz = 1", "unknown key `zzz`", "known: from, key"),
        ("[fetch]\nfrom = 3", "`from` in [fetch] must be a text, not 3", ""),
        ('[fetch]\nfrom = "~nosuchuser/x"', "in the home directory of nobody known: ~nosuchuser/x", ""),
        ('fetch = "x"', "fetch must be a table", ""),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert str(tmp_path / "config.toml") in caught.value.message
    assert message in caught.value.message
    assert caught.value.hint == hint


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(ConfigError, match=r"config\.toml cannot be read: Is a directory"):
        load(tmp_path / "config.toml", {})
