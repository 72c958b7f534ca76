"""relenv.backend: what another backend makes, to the byte, and a bundle if asked for."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
BACKENDS = {
    "setuptools.build_meta": ("setuptools", ""),
    "hatchling.build": ("hatchling", ""),
    "flit_core.buildapi": ("flit_core", ""),
    "poetry.core.masonry.api": ("poetry-core", ""),
}
PROJECT = """\
[build-system]
requires = ["{requires}"]
build-backend = "{backend}"

[project]
name = "shown"
version = "1.0"
description = "Shown"

[project.scripts]
shown = "shown:main"

[tool.relenv]
build-backend = "{delegate}"
include = [{{ from = "notes", to = "share/shown" }}]
"""


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this relenv, built as any other project is: a standard backend builds it."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    source = tmp_path_factory.mktemp("source") / "relenv"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", "build", "*.egg-info", ".*_cache"))
    run("-m", "build", "-q", "--wheel", "-o", folder, source)
    return folder


def run(*arguments: str | Path, env: Mapping[str, str] | None = None, check: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stdout[-3000:]
    else:
        assert done.returncode != 0
    return done.stdout


@pytest.fixture
def links(wheelhouse: Path) -> dict[str, str]:
    given = os.environ.get("PIP_FIND_LINKS", "")
    return {"PIP_FIND_LINKS": f"{given} {wheelhouse}".strip(), "SOURCE_DATE_EPOCH": "1700000000"}


def project(root: Path, delegate: str = "hatchling.build", backend: str = "relenv.backend") -> Path:
    root.mkdir(parents=True)
    requires = "relenv>=1.0.0.dev0" if backend == "relenv.backend" else BACKENDS[backend][0]
    (root / "pyproject.toml").write_text(PROJECT.format(requires=requires, backend=backend, delegate=delegate))
    (root / "src/shown").mkdir(parents=True)
    (root / "src/shown/__init__.py").write_text('''"""Shown."""\n\n\ndef main():\n    print("shown", __file__)\n''')
    (root / "notes").mkdir()
    (root / "notes/note.txt").write_text("a note")
    return root


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("backend", BACKENDS)
def test_wheels_are_those_of_the_other_backend(backend: str, links: dict[str, str], tmp_path: Path) -> None:
    plain = project(tmp_path / "plain/shown", backend, backend)
    ours = project(tmp_path / "ours/shown", backend)
    for root in (plain, ours):
        run("-m", "build", "-q", "--wheel", "-o", root.parent / "dist", root, env=links)
    (one,), (other,) = ((root.parent / "dist").iterdir() for root in (plain, ours))
    assert one.name == other.name
    assert digest(one) == digest(other)


def test_a_bundle_comes_along_if_asked_for(links: dict[str, str], tmp_path: Path) -> None:
    root = project(tmp_path / "shown")
    run("-m", "build", "-o", tmp_path / "dist", root, env=links)
    plain = {path.name: digest(path) for path in (tmp_path / "dist").iterdir()}
    assert set(plain) == {"shown-1.0-py2.py3-none-any.whl", "shown-1.0.tar.gz"}
    options = (
        "-C",
        "relenv.bundle=true",
        "-C",
        "relenv.format=zip",
        "-C",
        "relenv.format=dir",
        "-C",
        "relenv.bytecode=false",
    )
    run("-m", "build", *options, "-o", tmp_path / "dist", root, env=links)
    assert {path.name for path in (tmp_path / "dist/relenv").iterdir()} == {"shown.zip", "shown"}
    assert {path.name: digest(path) for path in (tmp_path / "dist").iterdir() if path.is_file()} == plain
    made = tmp_path / "dist/relenv/shown"
    assert not list(made.glob("lib/python3.*/site-packages/shown/__pycache__"))
    said = subprocess.run([made / "bin/shown"], check=True, capture_output=True, text=True).stdout
    assert said.startswith(f"shown {made}")
    # from the sdist, which carries what `include` names
    assert (made / "share/shown/note.txt").read_text() == "a note"


def test_the_sdist_has_what_a_bundle_needs(links: dict[str, str], tmp_path: Path) -> None:
    root = project(tmp_path / "shown", "setuptools.build_meta")
    for folder in ("one", "two"):
        run("-m", "build", "-q", "--sdist", "-o", tmp_path / folder, root, env=links)
    (one,), (two,) = (list((tmp_path / folder).iterdir()) for folder in ("one", "two"))
    with tarfile.open(one) as tar:
        assert "shown-1.0/notes/note.txt" in tar.getnames()
        assert "shown-1.0/src/shown/__init__.py" in tar.getnames()
    assert one.name == two.name == "shown-1.0.tar.gz"


@pytest.mark.parametrize("delegate", ["setuptools.build_meta", "hatchling.build"])
def test_pip_installs_it_and_edits_it(delegate: str, links: dict[str, str], tmp_path: Path) -> None:
    root = project(tmp_path / "shown", delegate)
    run("-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    for options in ((), ("-e",)):
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "--force-reinstall", "--no-deps", *options, root],
            env={**os.environ, **links},
            check=True,
            capture_output=True,
        )
        said = subprocess.run([tmp_path / "venv/bin/shown"], check=True, capture_output=True, text=True).stdout
        assert said.startswith(f"shown {root if options else tmp_path / 'venv'}")
    run("-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path / "wheels", root, env=links)
    assert [path.name.partition("-")[0] for path in (tmp_path / "wheels").iterdir()] == ["shown"]


def test_uv_builds_it(uv: str, links: dict[str, str], wheelhouse: Path, tmp_path: Path) -> None:
    root = project(tmp_path / "shown")
    env = {**os.environ, **links, "UV_FIND_LINKS": str(wheelhouse), "UV_PRERELEASE": "allow"}
    done = subprocess.run([uv, "build", "-q", "-o", tmp_path / "dist", root], env=env, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len([path for path in (tmp_path / "dist").iterdir() if path.suffix in (".whl", ".gz")]) == 2
    # the wheel is built of the sdist, unpacked in the cache
    lost = ("-C", "relenv.bundle=true", "-C", "relenv.output=out/")
    command = [uv, "build", *lost, "-o", tmp_path / "dist", root]
    done = subprocess.run(command, env=env, check=False, capture_output=True)
    assert done.returncode
    assert b"-C relenv.output=out/ would write to " in done.stderr


def test_a_backend_of_the_project_s_own_may_build_on_it(links: dict[str, str], tmp_path: Path) -> None:
    root = project(tmp_path / "shown")
    text = (root / "pyproject.toml").read_text()
    text = text.replace('build-backend = "relenv.backend"', 'build-backend = "own"\nbackend-path = ["tools"]')
    (root / "pyproject.toml").write_text(text.replace('0.dev0"]', '0.dev0", "hatchling"]'))
    (root / "tools").mkdir()
    (root / "tools/own.py").write_text("from relenv.backend import *\n")
    run("-m", "build", "-q", "--wheel", "-o", tmp_path / "dist", root, env=links)
    assert [path.name for path in (tmp_path / "dist").iterdir()] == ["shown-1.0-py2.py3-none-any.whl"]


def test_what_is_wrong_is_said(links: dict[str, str], tmp_path: Path) -> None:
    root = project(tmp_path / "shown")
    said = run(
        "-m", "build", "--wheel", "-C", "relenv.bundle=true", "-C", "relenv.formt=zip", root, env=links, check=False
    )
    assert "unrecognized arguments: --formt=zip" in said
    for setting, why in (
        ("relenv.bundle=maybe", "-C relenv.bundle=maybe makes no bundle"),
        ("relenv.format=zip", "-C relenv.format makes no bundle: that takes -C relenv.bundle=true"),
    ):
        assert why in run("-m", "build", "--wheel", "-C", setting, root, env=links, check=False)
    # pip builds in a directory that is gone afterwards
    made = ("-m", "pip", "wheel", "--no-deps", "-w", tmp_path / "wheels", "--config-settings=relenv.bundle=true")
    assert "-C relenv.output=DIR/ keeps it" in run(*made, root, env=links, check=False)
    # and others of an sdist that they unpack in one
    lost = ("-C", "relenv.bundle=true", "-C", "relenv.output=out/", "-o", tmp_path / "dist")
    assert "-C relenv.output=out/ would write to " in run("-m", "build", *lost, root, env=links, check=False)
    other = project(tmp_path / "other", "nowhere.backend")
    said = run("-m", "build", "--wheel", other, env=links, check=False)
    assert "build-system.requires must name what provides nowhere.backend" in said


def test_setup_py_has_a_command(wheelhouse: Path, links: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "old"
    root.mkdir()
    (root / "setup.py").write_text(
        "from setuptools import setup\n"
        'setup(name="old", version="1", py_modules=["old"], entry_points={"console_scripts": ["old=old:main"]})\n'
    )
    (root / "old.py").write_text("def main():\n    print('old')\n")
    run("-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    (wheel,) = wheelhouse.glob("relenv-*.whl")
    env = {**os.environ, **links}
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "setuptools>=70.1", wheel], env=env, check=True, capture_output=True
    )
    command = [python, "setup.py", "-q", "bdist_relenv", "--options", "format=dir smoke='old --there'"]
    done = subprocess.run(command, cwd=root, env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([root / "dist/relenv/old/bin/old"], check=True, capture_output=True).stdout == b"old\n"


def test_a_bundle_needs_no_relenv_to_build_in(relenv: object, tmp_path: Path) -> None:
    """What our own backend hands on to is called at once: no relenv is installed to build the wheel."""
    root = project(tmp_path / "shown")
    text = (root / "pyproject.toml").read_text().replace("relenv>=1.0.0.dev0", "relenv>=999")
    (root / "pyproject.toml").write_text(text)
    relenv("bundle", root, "--format", "dir", "-o", tmp_path / "made")  # type: ignore[operator]
    assert subprocess.run([tmp_path / "made/bin/shown"], check=True, capture_output=True).stdout.startswith(b"shown")
