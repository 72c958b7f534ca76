"""What is hardly meant is said before anything is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from relenv.bundle import doubts as module
from relenv.bundle.config import AppConfig, ServiceOptions, load_config
from relenv.bundle.doubts import doubts, refuse_links
from relenv.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = '[project]\nname = "example"\nversion = "1"\n'


@pytest.mark.parametrize(
    ("value", "word"), [("{rot}/x", "rot"), ("{Root}", "Root"), ("{root}/{roots}", "roots"), ("a{ROOT}", "ROOT")]
)
def test_a_word_in_braces_that_is_like_root(tmp_path: Path, value: str, word: str) -> None:
    (said,) = doubts(AppConfig(root=tmp_path, env={"A": value}))
    assert said == f"env.A: {{{word}}} stays as it is in {value!r}; did you mean {{root}}?"


@pytest.mark.parametrize("value", ["{root}/x", "{message}", "{}", "{{x}}", '{"a": 1}', "{port}", "rot"])
def test_other_braces_are_the_programs(tmp_path: Path, value: str) -> None:
    assert not list(doubts(AppConfig(root=tmp_path, env={"A": value})))


def test_so_in_services(tmp_path: Path) -> None:
    one = {"environment": {"A": "{rot}"}, "settings": {"B": "{rot}"}, "arguments": ("-x", "{rot}")}
    options: dict[str, Any] = {"": ServiceOptions(**one), "web": ServiceOptions(**one)}
    places = {said.partition(":")[0] for said in doubts(AppConfig(root=tmp_path, services=options))}
    names = ("environment.A", "settings.B", "arguments")
    assert places == {f"{where}.{name}" for where in ("service", "service.web") for name in names}


@pytest.mark.parametrize(("glibc", "here", "doubted"), [("2.99", (2, 36), 1), ("2.36", (2, 36), 0), ("2.99", (), 0)])
def test_a_glibc_that_this_machine_has_not_got(
    tmp_path: Path, glibc: str, here: tuple[int, ...], doubted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_glibc_here", lambda: here)
    assert len(list(doubts(AppConfig(root=tmp_path, glibc=glibc)))) == doubted


def test_what_this_machine_has_is_known() -> None:
    assert module._glibc_here() == () or module._glibc_here() >= (2, 17)


def test_links_to_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    refuse_links(load_config(tmp_path, {"find-links": ["wheels", "https://example.org/absent"]}))
    with pytest.raises(ConfigError, match=r"find-links names .*/absent, which is not there"):
        refuse_links(load_config(tmp_path, {"find-links": ["wheels", "absent"]}))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('[tool.relenv.service]\nsettings = { ExecStart = "x" }', "tool.relenv.service.settings sets ExecStart,"),
        ('[tool.relenv.service.web.settings]\nExecStart = "x"', "tool.relenv.service.web.settings sets ExecStart,"),
        ('[tool.relenv.desktop]\nsettings = { Exec = "x" }', "tool.relenv.desktop.settings sets Exec,"),
        ('[tool.relenv.desktop]\nsettings = { Name = "x" }', "tool.relenv.desktop.settings sets Name,"),
    ],
)
def test_a_setting_that_would_be_there_twice(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"{PROJECT}{lines}\n")
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(tmp_path)
    assert caught.value.hint


def test_a_oneshot_may_run_several(tmp_path: Path) -> None:
    lines = '[tool.relenv.service]\ntype = "oneshot"\nsettings = { ExecStart = "x" }\n'
    (tmp_path / "pyproject.toml").write_text(f"{PROJECT}{lines}")
    assert load_config(tmp_path).services[""].settings == {"ExecStart": "x"}
