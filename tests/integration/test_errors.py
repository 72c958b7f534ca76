"""Each way of failing: one sentence, a hint, its exit code, no traceback, and nothing half-written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import own_disk

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Outcome, Relenv

PROJECT = '[project]\nname = "example"\nversion = "1"\n'
DEAD = "http://127.0.0.1:9"
"""A proxy that is not there: no network at all."""
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), DEAD) | {
    "NO_PROXY": "",
    "no_proxy": "",
    "PIP_RETRIES": "0",
    "PIP_NO_CACHE_DIR": "1",
    "PIP_CONFIG_FILE": os.devnull,
}


def failed(outcome: Outcome, code: int, *words: str) -> None:
    """Hold a failure against what every failure must be."""
    assert outcome.code == code, outcome.stderr
    assert outcome.stdout == ""
    assert outcome.errors[0].startswith("error: ")
    assert len([line for line in outcome.errors if line.startswith("error: ")]) == 1
    for word in words:
        assert word in "\n".join(outcome.errors), outcome.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (None, 3, ("there is no pyproject.toml in", "hint: ")),
        ("[project\n", 3, ("not valid TOML", "line 1")),
        ("[tool.black]\n", 3, ("no [project] table", "hint: ")),
        (PROJECT + '[tool.relenv]\npyhton = "3.13"\n', 3, ("unknown key `pyhton`", "did you mean `python`?")),
        (PROJECT + '[tool.relenv]\npython = "2.7"\n', 2, ("Python 2.7 is not known", "3.13.15")),
        (PROJECT + '[tool.relenv]\npython = "three"\n', 3, ("`python` must be a version", "'three'")),
        (PROJECT + 'requires-python = ">=3.99"\n', 3, ("requires-python (>=3.99) excludes", "hint: ")),
        (
            PROJECT + 'requires-python = "<3.13"\n[tool.relenv]\npython = "3.13"\n',
            3,
            ("requires-python (<3.13) excludes python = 3.13", "can build 3.12.14, 3.11.16, 3.11.2"),
        ),
    ],
)
def test_a_project_that_is_not_in_order(  # noqa: PLR0917 - pytest passes by name
    text: str | None, code: int, words: tuple[str, ...], project: Path, relenv: Relenv, tmp_path: Path
) -> None:
    if text is not None:
        (project / "pyproject.toml").write_text(text)
    failed(
        relenv("bundle", project, "-o", tmp_path / "it.zip", check=False),
        code,
        str(project if code == 3 else ""),
        *words,
    )
    assert not list(tmp_path.glob("*.zip"))


def test_a_sample_that_no_known_python_fits(relenv: Relenv, sample: Callable[[str], Path], tmp_path: Path) -> None:
    failed(relenv("bundle", sample("requires-new-python"), cwd=tmp_path, check=False), 3, "requires-python")


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("unresolvable", 8, ("unresolvable cannot be installed", "relenv-sample-nobody-publishes", "hint: ")),
        ("bad-build", 7, ("bad-build: its build backend failed", "this build fails on purpose", "hint: ")),
        ("broken-import", 9, ("the script broken-import", "a_module_that_nobody_installed", "hint: ")),
    ],
)
def test_a_project_that_cannot_be_bundled(  # noqa: PLR0917
    name: str,
    code: int,
    words: tuple[str, ...],
    relenv: Relenv,
    interpreter: Path,  # noqa: ARG001 - it must be built
    sample: Callable[[str], Path],
    data: Path,
    tmp_path: Path,
) -> None:
    project = sample(name)
    before = sorted(tmp_path.iterdir())
    for place in ("it.zip", f"new/sub{os.sep}"):
        failed(relenv("bundle", project, "-o", f"{tmp_path}/{place}", check=False), code, *words)
        assert sorted(tmp_path.iterdir()) == before
    assert list((data / "work").glob("bundle-*")) == []


def test_a_dependency_without_a_wheel_that_fails_to_build(
    relenv: Relenv, sample: Callable[[str], Path], project: Path, tmp_path: Path
) -> None:
    bad = sample("bad-build")
    packed = tmp_path / "links" / "bad-build-1.2.3"
    shutil.copytree(bad, packed)
    (packed / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: bad-build\nVersion: 1.2.3\n")
    shutil.make_archive(str(packed), "gztar", packed.parent, packed.name)
    shutil.rmtree(packed)
    (project / "pyproject.toml").write_text(PROJECT + 'dependencies = ["bad-build"]\n')
    (project / "example.py").write_text("")
    outcome = relenv("bundle", project, cwd=tmp_path, env={"PIP_FIND_LINKS": str(packed.parent)}, check=False)
    failed(outcome, 8, "example cannot be installed", "hint: ")


def test_a_version_that_is_not_known(relenv: Relenv) -> None:
    failed(relenv("build", "--python", "3.13.99", check=False), 2, "Python 3.13.99 is not known", "3.13.15")


def test_no_network(relenv: Relenv, tmp_path: Path) -> None:
    env = {**NO_NETWORK, "RELENV_DATA": str(tmp_path / "data")}
    failed(relenv("build", env=env, check=False), 4, "can be obtained here", "--source-dir", "sha256")
    failed(relenv("toolchain", "download", env=env, check=False), 4, "toolchain", "pip")
    assert list((tmp_path / "data/downloads").glob("*.tar.*")) == []


def test_a_version_that_cannot_be_had_here(relenv: Relenv, interpreter: Path) -> None:  # noqa: ARG001
    """Offline, with one interpreter built: what can be had is named."""
    outcome = relenv("build", "--python", "3.12.14", env=NO_NETWORK, check=False)
    failed(outcome, 4, "Python 3.12.14 cannot be obtained here", "3.13")


def test_a_checksum_mismatch_names_both_sums(relenv: Relenv, tmp_path: Path) -> None:
    wrong = tmp_path / "Python-3.13.15.tar.xz"
    wrong.write_bytes(b"something else")
    env = {"RELENV_DATA": str(tmp_path / "data")}
    outcome = relenv("build", "--python", "3.13.15", "--source-dir", tmp_path, env=env, check=False)
    failed(
        outcome,
        5,
        "1e66a7945a48390ee4c2a4268a0e4185884059a13c4aab6d148aa208deea4a76",
        "f41f3fa625ff120ddca7ef456bf66371ecea23c129f4e4c32367101edb516cf8",
    )
    assert wrong.exists(), "what is the user's stays"


def test_a_compile_error_shows_the_end_of_its_log(relenv: Relenv, interpreter: Path, tmp_path: Path) -> None:
    # configure asks make, too: for its version, and with `-f -` for a list of files
    make = shutil.which("make")
    (tmp_path / "make").write_text(
        f'#!/bin/sh\n[ "$1" = --version ] || [ "$1" = -f ] && exec {make} "$@"\necho broken; exit 7\n'
    )
    (tmp_path / "make").chmod(0o755)
    store = interpreter.parent
    data = tmp_path / "data"
    shutil.copytree(store.parent / "toolchains", data / "toolchains", symlinks=True)
    for name in ("relenv-cache.json", "downloads", "resolved"):
        source = store.parent / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, data / name)
    env = {"RELENV_DATA": str(data), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    outcome = relenv("build", env=env, check=False)
    failed(outcome, 7, "make", "failed (exit 7)", "hint: full log: ")
    assert "broken" in outcome.stderr
    # what was complete by then is kept
    assert all((path / "artifact.json").is_file() for path in (data / "store").glob("*"))
    assert not list((data / "store").glob(f"{outcome.errors[0].split()[1]}-*"))
    assert list((data / "work").glob("bundle-*")) == []


def test_a_place_that_is_not_writable_is_refused_at_once(relenv: Relenv, sample: Callable[[str], Path]) -> None:
    outcome = relenv("bundle", sample("backend-flit-core"), "-o", "/proc/it.zip", check=False)
    failed(outcome, 10, "/proc is not writable", "--output")
    outcome = relenv("bundle", sample("backend-hatchling"), "-o", "/nowhere/at/all/it.zip", check=False)
    failed(outcome, 10, "there is no directory /nowhere/at/all", "make it, or choose another place with --output")


def test_a_full_disk(relenv: Relenv, interpreter: Path, sample: Callable[[str], Path], tmp_path: Path) -> None:  # noqa: ARG001
    small = tmp_path / "small"
    with own_disk(small, "size=2m"):
        outcome = relenv("bundle", sample("backend-flit-core"), "-o", small / "it.zip", check=False)
        failed(outcome, 10, "No space left on device")
        outcome = relenv("bundle", tmp_path / "projects/backend-flit-core", "-o", f"{small}/new/sub/", check=False)
        failed(outcome, 10, "No space left on device")
        assert list(small.iterdir()) == []
        outcome = relenv("toolchain", "download", env={"RELENV_DATA": str(small / "data")}, check=False)
        failed(outcome, 10, "disk")


def test_a_foreign_cache_is_left_alone(relenv: Relenv, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    outcome = relenv("build", env={"RELENV_DATA": str(tmp_path)}, check=False)
    failed(outcome, 11, f"{tmp_path} is not empty and no cache of relenv's", "RELENV_DATA")
    outcome = relenv("build", env={"RELENV_DATA": str(tmp_path / "thesis.tex")}, check=False)
    failed(outcome, 11, "thesis.tex cannot be used")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a cache that belongs to another")
def test_another_users_cache(relenv: Relenv, tmp_path: Path) -> None:
    data = tmp_path / "data"
    relenv("build", "--python", "3.13.99", env={"RELENV_DATA": str(data)}, check=False)
    data.mkdir(exist_ok=True)
    os.chown(data, 65534, 65534)
    failed(relenv("build", env={"RELENV_DATA": str(data)}, check=False), 11, "belongs to another user (uid 65534)")


def test_a_damaged_cache_marker(relenv: Relenv, tmp_path: Path) -> None:
    (tmp_path / "relenv-cache.json").write_text("{")
    failed(relenv("build", env={"RELENV_DATA": str(tmp_path)}, check=False), 11, "is damaged")


def _wait_until_it_listens(pid: int) -> None:
    """Wait until the process has a handler for SIGTERM: before that it is Python starting, not relenv."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status").read_text()
        caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
        if int(caught, 16) & 1 << (signal.SIGTERM - 1):
            return
        time.sleep(0.01)


@pytest.mark.parametrize("after", [0.0, 0.5, 1.5, 3.0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(  # noqa: PLR0917
    after: float,
    number: signal.Signals,
    relenv: Relenv,
    interpreter: Path,  # noqa: ARG001 - it must be built
    sample: Callable[[str], Path],
    data: Path,
    tmp_path: Path,
) -> None:
    project = sample("example")
    command = [sys.executable, "-m", "relenv", "bundle", str(project), "-o", str(tmp_path / "it.zip")]
    process = subprocess.Popen(
        command, env={**os.environ, "RELENV_DATA": str(data)}, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    _wait_until_it_listens(process.pid)
    time.sleep(after)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    if (tmp_path / "it.zip").exists():
        # whatever became of the process after that
        subprocess.run(["unzip", "-tqq", tmp_path / "it.zip"], check=True)
        pytest.skip("it was quicker than the interrupt")
    # CPython ends itself by SIGINT, which shells call 130 too, if it came while a dataclass was made: exec() of a text
    assert process.returncode in (130, -signal.SIGINT), errors
    assert errors.splitlines()[-1] == "error: interrupted"
    assert not list(tmp_path.glob(".*"))
    assert list((data / "work").glob("bundle-*")) == []
    if (number, after) == (signal.SIGINT, 3.0):
        relenv("bundle", project, "-o", tmp_path / "it.zip")
