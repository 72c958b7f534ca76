"""Environments: moved and used, with relenv and its cache out of the way."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import AWKWARD, elsewhere, own_disk, say
from wheels import make_wheel

from relenv.environment import create
from relenv.interpreter import Interpreter
from relenv.manifest import MANIFEST

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
        "hint: name a directory that does not exist, or an empty one; --force puts it in the place of what is there",
    ]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["precious"]


def test_force_replaces_an_environment_and_sets_aside_the_rest(relenv: Relenv, environment: Path) -> None:
    (environment / "lib/mine.txt").write_text("x")
    assert "an environment" in relenv("create", environment, check=False).errors[1]
    relenv("create", environment, "--force")
    assert not (environment / "lib/mine.txt").exists()
    assert [path.name for path in environment.parent.iterdir()] == [environment.name]
    (environment / "src").mkdir()
    (environment / "src/main.py").write_text("precious")
    relenv("create", environment, "--force")
    assert (environment.with_name(f"{environment.name}.old") / "src/main.py").read_text() == "precious"
    shutil.rmtree(environment.with_name(f"{environment.name}.old"))
    (environment / "notes").write_text("precious")
    outcome = relenv("create", environment, "--force")
    assert f"what was in {environment} is in {environment}.old now" in outcome.stderr
    (environment.parent / "file").write_text("precious")
    relenv("create", environment.parent / "file", "--force")
    kept = [environment.parent / "file.old", environment.with_name(f"{environment.name}.old") / "notes"]
    assert [path.read_text() for path in kept] == ["precious", "precious"]
    for path in (environment, environment.parent / "file"):
        assert say(path / "bin/python3", "-c", "print(1)") == "1\n"


def test_packages_come_with_it(relenv: Relenv, interpreter: Path, tmp_path: Path) -> None:  # noqa: ARG001
    one = make_wheel(tmp_path, "one", requires=("two",), console={"one": "one:main"})
    make_wheel(tmp_path, "two")
    make_wheel(tmp_path, "three", console={"three": "three:main"})
    (tmp_path / "requirements.txt").write_text("three==1.0\n")
    (tmp_path / "pip.conf").write_text("[global]\nno-index = true\n[install]\nprefix = /nowhere\n")
    offline = {"PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_TARGET": "/nowhere"}
    place = tmp_path / "deep" / AWKWARD
    outcome = relenv("create", place, one, "-r", "requirements.txt", "--json", env=offline, cwd=tmp_path)
    described = json.loads(outcome.stdout)
    assert described["path"] == str(place)
    assert described["packages"] == {"one": "1.0", "pip": described["packages"]["pip"], "three": "1.0", "two": "1.0"}
    assert sorted(path.name for path in place.parent.iterdir()) == [AWKWARD]
    assert list(place.glob("lib/python3.*/site-packages/__pycache__/one.*.pyc"))
    code = "import one; print(one.main.__code__.co_filename)"
    assert say(place / "bin/python3", "-c", code).startswith(f"{place}/lib/")
    assert relenv("check", place).code == 0
    moved = place.rename(tmp_path / "moved")
    assert (say(moved / "bin/one"), say(moved / "bin/three")) == ("one 1.0\n", "three 1.0\n")


@pytest.mark.parametrize("force", [False, True])
def test_a_package_that_cannot_be_had_leaves_everything_as_it_was(
    relenv: Relenv,
    environment: Path,
    force: bool,  # noqa: FBT001
) -> None:
    place = environment if force else environment.with_name("new")
    before = sorted(path for path in environment.parent.rglob("*"))
    options = ["--force"] if force else []
    outcome = relenv("create", place, "no-such-thing", *options, env={"PIP_NO_INDEX": "1"}, check=False)
    assert outcome.code == 8
    assert outcome.errors[0].startswith("error: no-such-thing cannot be installed: No matching distribution found")
    assert sorted(path for path in environment.parent.rglob("*")) == before


def test_packages_may_follow_options(relenv: Relenv, interpreter: Path, tmp_path: Path) -> None:
    one, two = make_wheel(tmp_path, "one"), make_wheel(tmp_path, "two")
    version = say(interpreter / "bin/python3", "-c", "import platform; print(platform.python_version())").strip()
    options = ("--python", version, one, "--json", two)
    made = json.loads(relenv("create", tmp_path / "env", *options, env={"PIP_NO_INDEX": "1"}).stdout)
    assert {"one", "two"} < made["packages"].keys()
    refused = relenv("create", tmp_path / "other", "--jsn", check=False)
    assert refused.code == 2
    assert "unrecognized arguments: --jsn" in refused.stderr
    refused = relenv("create", "--force", "", check=False)
    assert refused.errors[0] == "error: DIR is empty"
    assert refused.code == 2


def test_what_a_killed_one_left_is_taken_away(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    small = tmp_path_factory.mktemp("small")
    (small / MANIFEST).touch()
    made = Interpreter(root=small, version="3.13.15", triplet="x86_64-linux-gnu", key="")
    left, held, other = (tmp_path / f".{name}.part" for name in ("env.killed01", "env.held0123", "other.killed"))
    for path in (left, held, other):
        path.mkdir()
    lock = os.open(held, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    create(made, tmp_path / "env", force=True)
    os.close(lock)
    assert {path.name for path in tmp_path.iterdir()} == {"env", held.name, other.name}


SLOW = """\
import time
from pathlib import Path


def build_wheel(*arguments, **settings):
    Path({begun!r}).touch()
    time.sleep(600)
"""
SLOW_PROJECT = """\
[build-system]
requires = []
build-backend = "slow"
backend-path = ["."]
[project]
name = "rlnvslow"
version = "1.0"
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_pip_builds_leaves_nothing(
    number: signal.Signals,
    interpreter: Path,  # noqa: ARG001 - it must be built
    data: Path,
    tmp_path: Path,
) -> None:
    begun, project, temporary, place = (tmp_path / name for name in ("begun", "slow", "temporary", "place"))
    for folder in (project, temporary, place):
        folder.mkdir()
    (project / "pyproject.toml").write_text(SLOW_PROJECT)
    (project / "slow.py").write_text(SLOW.format(begun=str(begun)))
    with tarfile.open(tmp_path / "rlnvslow-1.0.tar.gz", "w:gz") as sdist:
        sdist.add(project, "rlnvslow-1.0")
    process = subprocess.Popen(
        [sys.executable, "-m", "relenv", "create", place / "env", tmp_path / "rlnvslow-1.0.tar.gz"],
        env={**os.environ, "RELENV_DATA": str(data), "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not begun.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.splitlines()[-1]) == (130, "error: interrupted")
    assert begun.exists()
    assert [*temporary.iterdir(), *place.iterdir(), *(data / "work").glob(f"create-{process.pid}-*")] == []


def test_an_empty_package_is_refused(relenv: Relenv, tmp_path: Path) -> None:
    outcome = relenv("create", tmp_path / "env", " ", check=False)
    assert outcome.code == 2
    assert outcome.errors[0] == "error: a PACKAGE is empty"
    assert not (tmp_path / "env").exists()


def test_a_requirements_file_that_is_not_there(relenv: Relenv, tmp_path: Path) -> None:
    outcome = relenv("create", tmp_path / "new", "-r", tmp_path / "none.txt", check=False)
    assert outcome.errors == [f"error: --requirement {tmp_path}/none.txt is not a file"]
    assert outcome.code == 2


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_it_is_laid_out_on_a_mount_point(relenv: Relenv, interpreter: Path, tmp_path: Path) -> None:  # noqa: ARG001
    place = tmp_path / "place"
    with own_disk(place):
        relenv("create", place)
        say(place / "bin/pip3", "--version")
        assert not list(place.glob(".*"))
        assert relenv("create", place, check=False).errors[0] == f"error: {place} exists already"


def test_a_name_may_be_as_long_as_the_file_system_allows(relenv: Relenv, interpreter: Path, tmp_path: Path) -> None:  # noqa: ARG001
    relenv("create", tmp_path / ("ö" * 127))
    say(tmp_path / ("ö" * 127) / "bin/pip3", "--version")
