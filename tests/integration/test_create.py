"""Environments: moved and used, with relenv and its cache out of the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import AWKWARD, elsewhere, say

if TYPE_CHECKING:
    from conftest import Relenv

NOBODY = 65534


def test_install_move_run_move_run(environment: Path, data: Path, tmp_path: Path) -> None:
    subprocess.run([environment / "bin/pip3", "install", "-q", "httpie==3.2.4"], check=True)
    start = [*elsewhere({str(data): None}), "env", "-i"]

    def away(*command: str | Path) -> str:
        return subprocess.run([*start, *command], check=True, capture_output=True, text=True).stdout

    for place in (tmp_path / AWKWARD, tmp_path / "elsewhere"):
        programs = environment.rename(place) / "bin"
        environment = place
        assert away(programs / "http", "--version").strip() == "3.2.4"
        assert away(programs / "pip3", "--version").startswith("pip ")
        assert str(environment) in away(programs / "python3", "-m", "pip", "--version")


def test_pip_comes_back(environment: Path) -> None:
    say(environment / "bin/pip3", "uninstall", "-y", "-q", "pip")
    assert not (environment / "bin/pip3").exists()
    say(environment / "bin/python3", "-m", "ensurepip")
    moved = environment.rename(environment.with_name("moved"))
    assert str(moved) in say(moved / "bin/pip3", "--version")
    assert str(moved) in say(moved / "bin/python3", "-m", "pip", "--version")


def test_it_shares_no_file_with_the_store(environment: Path, interpreter: Path) -> None:
    for path in environment.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert path.stat().st_nlink == 1, path
    assert sum(1 for _ in environment.rglob("*")) == sum(1 for _ in interpreter.rglob("*"))


def test_an_occupied_place_is_refused(relenv: Relenv, interpreter: Path, tmp_path: Path) -> None:  # noqa: ARG001
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious").write_text("x")
    outcome = relenv("create", tmp_path / "mine", check=False)
    assert outcome.code == 10
    assert outcome.errors == [
        f"error: {tmp_path}/mine exists already",
        "hint: name a directory that does not exist, or an empty one",
    ]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["precious"]


def test_an_empty_directory_is_taken(relenv: Relenv, interpreter: Path, tmp_path: Path) -> None:  # noqa: ARG001
    (tmp_path / "empty").mkdir()
    relenv("create", tmp_path / "empty")
    assert say(tmp_path / "empty/bin/python3", "-Ic", "print(6 * 7)").strip() == "42"
    assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o755


def test_a_venv_of_it_works(environment: Path, tmp_path: Path) -> None:
    say(environment / "bin/python3", "-m", "venv", str(tmp_path / "venv"))
    code = "import sys, ssl; print(sys.prefix, sys.base_prefix)"
    assert say(tmp_path / "venv/bin/python", "-c", code).split() == [str(tmp_path / "venv"), str(environment)]
    assert say(tmp_path / "venv/bin/pip", "--version").startswith("pip ")


def test_an_extension_builds_with_the_hosts_compiler(environment: Path) -> None:
    if not shutil.which("cc"):
        pytest.skip("no compiler here")
    source = Path(__file__).parents[1] / "samples/backend-setuptools-c"
    copy = shutil.copytree(source, environment.parent / "c-project")
    subprocess.run([environment / "bin/pip3", "install", "-q", copy], check=True)
    moved = environment.rename(environment.with_name("moved"))
    assert "says C" in say(moved / "bin/backend-setuptools-c")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_may_use_it_read_only(environment: Path) -> None:
    subprocess.run([environment / "bin/pip3", "install", "-q", "httpie==3.2.4"], check=True)
    for parent in environment.parents:
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o055)
    code = (
        "import os, subprocess, sys; os.setgid(65534); os.setuid(65534);"
        "sys.exit(subprocess.call([sys.argv[1], '--version'], env={}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, environment / "bin/http"], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "3.2.4", done.stderr
