"""Two at once, with one cache or in one place: both succeed or one says why not, and what both need is made once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Relenv

TWIN = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "twin"
version = "1.0"
[project.scripts]
twin = "twin:main"
[tool.setuptools]
py-modules = ["twin"]
"""
ROUNDS = 5


def at_once(data: Path, commands: list[list[str | Path]]) -> list[tuple[int, str, str]]:
    """Run `relenv bundle` with each of some arguments at once; return how each ended, and what it said."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "relenv", "bundle", *words],
            env={**os.environ, "RELENV_DATA": str(data)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in commands
    ]
    said = [process.communicate() for process in processes]
    return [(process.returncode, *one) for process, one in zip(processes, said, strict=True)]


def bundle_both(data: Path, projects: list[Path], folder: Path) -> list[str]:
    """Bundle two projects at once; return what each said."""
    ended = at_once(data, [[project, "-o", folder / f"{project.name}.zip"] for project in projects])
    said = [errors for _, _, errors in ended]
    assert [code for code, _, _ in ended] == [0, 0], said
    assert all((folder / f"{project.name}.zip").is_file() for project in projects)
    assert list((data / "work").glob("bundle-*")) == []
    return said


def test_an_interpreter_is_laid_out_once(
    interpreter: Path, data: Path, sample: Callable[[str], Path], tmp_path: Path
) -> None:
    own = tmp_path / "data"
    own.mkdir()
    shutil.copy(data / "relenv-cache.json", own)
    shutil.copytree(data / "resolved", own / "resolved")
    (own / "toolchains").symlink_to(data / "toolchains")
    shutil.copytree(
        interpreter.parent,
        own / "store",
        symlinks=True,
        ignore=shutil.ignore_patterns("python-*"),
        copy_function=os.link,
    )
    said = bundle_both(own, [sample("example"), sample("backend-flit-core")], tmp_path)
    assert sum(text.count("is ready") for text in said) == 1, said
    assert any("Waiting for another relenv" in text for text in said)


@pytest.mark.nightly
def test_an_empty_cache_is_filled_once(sample: Callable[[str], Path], tmp_path: Path) -> None:
    """Compiles everything: some ten minutes."""
    said = bundle_both(tmp_path / "data", [sample("example"), sample("backend-flit-core")], tmp_path)
    assert sum(text.count("Built cpython") for text in said) == 1, said
    assert sum(text.count("Built openssl") for text in said) == 1, said


def twin(root: Path, word: str) -> Path:
    """Write a project that is called as others are, and prints a word of its own."""
    root.mkdir(exist_ok=True)
    (root / "pyproject.toml").write_text(TWIN)
    (root / "twin.py").write_text(f"def main():\n    print({word!r})\n")
    return root


def bundle_into(folder: Path, data: Path, projects: list[Path], *options: str) -> list[tuple[int, str, str]]:
    """Bundle projects into one directory at once; return how each ended, and what it said."""
    folder.mkdir(exist_ok=True)
    ended = at_once(data, [[project, "-o", f"{folder}{os.sep}", "--json", *options] for project in projects])
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    return ended


def words(folder: Path, home: Path) -> list[str]:
    """Return what the programs in a zip and in a run file print."""
    with zipfile.ZipFile(folder / "twin.zip") as archive:
        assert archive.testzip() is None
        source = archive.read("twin/lib/python3.13/site-packages/twin.py").decode()
    env = {**os.environ, "XDG_CACHE_HOME": str(home)}
    done = subprocess.run([folder / "twin.run"], env=env, check=True, capture_output=True, text=True)
    return [source.split("'")[1], done.stdout.strip()]


def test_two_of_one_name_in_one_place(relenv: Relenv, interpreter: Path, data: Path, tmp_path: Path) -> None:  # noqa: ARG001
    relenv("bundle", twin(tmp_path / "one", "none"), "-o", tmp_path / "none.zip")
    for number in range(ROUNDS):
        projects = [twin(tmp_path / name, f"{name} {number}") for name in ("one", "two")]
        time.sleep(0.2)  # files that have just been written may change once more without its showing
        ended = bundle_into(tmp_path / "made", data, projects, "--format", "zip", "--format", "run")
        assert [code for code, _, _ in ended] == [0, 0], ended
        sums = [{file["sha256"] for file in json.loads(told)["files"]} for _, told, _ in ended]
        assert not sums[0] & sums[1]
        last, same = words(tmp_path / "made", tmp_path / "home")
        assert last == same in (f"one {number}", f"two {number}")
        # what the other has put there is not taken for one's own
        options = ("--format", "zip", "--format", "run", "-o", f"{tmp_path / 'made'}{os.sep}")
        relenv("bundle", projects[0], *options)
        assert words(tmp_path / "made", tmp_path / "home") == [f"one {number}"] * 2


def test_one_project_twice_in_one_place(interpreter: Path, data: Path, tmp_path: Path) -> None:  # noqa: ARG001
    project = twin(tmp_path / "one", "one")
    ended = bundle_into(tmp_path / "made", data, [project, project], "--format", "zip", "--format", "run")
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert words(tmp_path / "made", tmp_path / "home") == ["one", "one"]
    # a directory is not replaced
    ended = bundle_into(tmp_path / "other", data, [project, project], "--format", "dir")
    assert sorted(code for code, _, _ in ended) == [0, 10], ended
    (errors,) = (said for code, _, said in ended if code)
    assert f"error: {tmp_path}/other/twin exists already" in errors
    program = tmp_path / "other/twin/bin/twin"
    assert subprocess.run([program], check=True, capture_output=True, text=True).stdout == "one\n"
