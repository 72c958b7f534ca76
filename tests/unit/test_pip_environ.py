"""What pip is told when relenv installs: the user's indexes, and no place of the user's."""

from __future__ import annotations

import os
from configparser import RawConfigParser
from typing import TYPE_CHECKING

import pytest

from relenv import pip_config
from relenv.bundle.dependencies import indexes
from relenv.environment import PIP_CONF, PIP_NEUTRAL, pip_environ
from relenv.pip_config import SECTIONS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the machine's own file would be: that of the machine on which this runs says nothing here."""
    monkeypatch.setattr(pip_config, "MACHINE", tmp_path / "machine.conf")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "machine.conf"


def test_what_a_user_has_configured_of_places_is_not_heeded() -> None:
    environ = pip_environ({"PIP_TARGET": "/x", "PIP_USER": "1", "PIP_INDEX_URL": "https://one.invalid"})
    assert (environ["PIP_TARGET"], environ["PIP_USER"]) == ("", "0")
    assert environ["PIP_INDEX_URL"] == "https://one.invalid"
    assert environ["PIP_CONFIG_FILE"] == str(PIP_CONF)


def test_the_file_unsets_what_no_variable_can() -> None:
    parser = RawConfigParser()
    parser.read(PIP_CONF)
    unset = {name.lower(): value for name, value in PIP_NEUTRAL.items() if not value}
    assert {section: dict(parser.items(section)) for section in parser.sections()} == dict.fromkeys(SECTIONS, unset)


def test_what_a_file_of_the_users_choice_says_becomes_variables(tmp_path: Path) -> None:
    file = tmp_path / "own.conf"
    file.write_text(
        "[install]\nno-binary = one\ntimeout = 3\n[global]\ntimeout = 2\nextra_index_url =\n  https://two.invalid\n"
        "  https://three.invalid\nprefix = /x\nretries = 1\nproxy =\n[download]\nno-binary = all\n"
    )
    environ = pip_environ({"PIP_CONFIG_FILE": str(file), "PIP_RETRIES": "7"})
    assert environ["PIP_EXTRA_INDEX_URL"].split() == ["https://two.invalid", "https://three.invalid"]
    assert (environ["PIP_NO_BINARY"], environ["PIP_TIMEOUT"], environ["PIP_RETRIES"]) == ("one", "3", "7")
    assert environ["PIP_PREFIX"] == ""
    assert "PIP_PROXY" not in environ
    # which file that was makes no difference to what is found
    assert indexes(environ) == indexes({**environ, "PIP_CONFIG_FILE": "/another"})


@pytest.mark.parametrize("name", [os.devnull, "{here}/broken.conf"])
def test_no_file_at_all_and_one_that_is_none_are_pips_affair(tmp_path: Path, name: str) -> None:
    (tmp_path / "broken.conf").write_text("nonsense\n")
    file = name.format(here=tmp_path)
    assert pip_environ({"PIP_CONFIG_FILE": file})["PIP_CONFIG_FILE"] == file
    assert ("PIP_CONFIG_FILE" in indexes({"PIP_CONFIG_FILE": file})) == (file == os.devnull)


def test_a_file_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert pip_environ({"PIP_CONFIG_FILE": str(tmp_path / "gone")}) == pip_environ({})


def test_what_the_users_own_files_say_has_become_variables(tmp_path: Path) -> None:
    """pip itself passes them over as soon as PIP_CONFIG_FILE names a file that is there."""
    for place, text in (
        (".pip/pip.conf", "[global]\nindex-url = https://old.invalid\ncert = /old.pem\n"),
        (".config/pip/pip.conf", "[global]\nindex-url = https://new.invalid\n[install]\nprefix = /nowhere\n"),
        ("xdg/pip/pip.conf", "[global]\nindex-url = https://xdg.invalid\n"),
    ):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(text)
    environ = pip_environ({"HOME": str(tmp_path)})
    assert environ["PIP_INDEX_URL"] == "https://new.invalid"
    assert environ["PIP_CERT"] == "/old.pem"
    assert environ["PIP_PREFIX"] == ""
    xdg = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert pip_environ(xdg)["PIP_INDEX_URL"] == "https://xdg.invalid"
    assert pip_environ({**xdg, "PIP_INDEX_URL": "https://said.invalid"})["PIP_INDEX_URL"] == "https://said.invalid"
    named = tmp_path / "named.conf"
    named.write_text("[global]\nretries = 3\n")
    environ = pip_environ({**xdg, "PIP_CONFIG_FILE": str(named)})
    assert environ["PIP_RETRIES"] == "3"
    assert "PIP_INDEX_URL" not in environ


@pytest.mark.parametrize("own", ["own.conf", "gone.conf", os.devnull])
def test_what_the_machines_files_say_counts_less(tmp_path: Path, machine: Path, own: str) -> None:
    machine.write_text("[global]\nindex-url = https://machine.invalid\ncert = /machine.pem\nprefix = /x\n")
    (tmp_path / "xdg/pip").mkdir(parents=True)
    (tmp_path / "xdg/pip/pip.conf").write_text("[global]\ncert = /xdg.pem\nproxy = xdg.invalid\n")
    (tmp_path / "own.conf").write_text("[global]\nindex-url = https://own.invalid\n")
    given = {"PIP_CONFIG_FILE": str(tmp_path / own), "XDG_CONFIG_DIRS": f"{tmp_path}/none:{tmp_path}/xdg"}
    environ = pip_environ(given)
    if own == os.devnull:  # then pip reads none at all
        assert not {"PIP_INDEX_URL", "PIP_CERT", "PIP_PROXY"} & environ.keys()
        return
    assert environ["PIP_INDEX_URL"] == f"https://{'own' if own == 'own.conf' else 'machine'}.invalid"
    assert (environ["PIP_CERT"], environ["PIP_PROXY"], environ["PIP_PREFIX"]) == ("/machine.pem", "xdg.invalid", "")
    before = indexes(environ)
    machine.write_text("[global]\nconstraint = limits.txt\n")
    assert indexes(pip_environ(given)) != before
