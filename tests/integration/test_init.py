"""`relenv init`, and what it tells to do next: it works, for new projects and for those of every backend."""

from __future__ import annotations

import json
from difflib import ndiff
from typing import TYPE_CHECKING

import pytest
from conftest import AWKWARD, say
from test_bundle import unzip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Relenv

PDM = """\
[build-system]
requires = ["pdm-backend"]
build-backend = "pdm.backend"

[project]
name = "backend-pdm"
version = "1.2.3"
requires-python = ">=3.11"

[project.scripts]
backend-pdm = "backend_pdm:main"

[tool.pdm]
distribution = true
"""


def test_from_nothing_to_a_program_that_runs_elsewhere(relenv: Relenv, tmp_path: Path) -> None:
    place = tmp_path / "Hello Wörld"
    place.mkdir()
    outcome = relenv("init", cwd=place)
    assert outcome.stdout.splitlines()[-1] == "pyproject.toml"
    assert "next: relenv bundle ." in outcome.stderr
    made = json.loads(relenv("bundle", ".", "--json", cwd=place).stdout)
    assert made["path"] == str(place / "hello-world.zip")
    top = unzip(place / "hello-world.zip", tmp_path / AWKWARD)
    assert say(top / "bin/hello-world") == "Hello, world!\n"
    assert say(top / "bin/python3", "-Im", "hello_world", "Ada") == "Hello, Ada!\n"


def test_a_name_that_the_standard_library_has(relenv: Relenv, tmp_path: Path) -> None:
    relenv("init", "json", cwd=tmp_path)
    relenv("bundle", "json", "-o", "it.zip", cwd=tmp_path)
    assert say(unzip(tmp_path / "it.zip", tmp_path / "there") / "bin/json") == "Hello, world!\n"


@pytest.fixture
def pdm(tmp_path: Path) -> Path:
    project = tmp_path / "projects/backend-pdm"
    (project / "src/backend_pdm").mkdir(parents=True)
    (project / "pyproject.toml").write_text(PDM)
    (project / "src/backend_pdm/__init__.py").write_text("def main():\n    print('backend-pdm 1.2.3: hello')\n")
    return project


@pytest.mark.parametrize(
    "name", ["backend-setuptools", "backend-hatchling", "backend-flit-core", "backend-poetry-core", "backend-pdm"]
)
def test_a_project_of_each_backend_stays_what_it_is(
    name: str, relenv: Relenv, sample: Callable[[str], Path], pdm: Path, tmp_path: Path
) -> None:
    project = pdm if name == "backend-pdm" else sample(name)
    file = project / "pyproject.toml"
    before = file.read_text()
    relenv("bundle", project, "-o", tmp_path / "before.zip")
    assert relenv("init", project).stdout == f"{file}\n"
    assert not [line for line in ndiff(before.splitlines(), file.read_text().splitlines()) if line[0] in "-?"]
    relenv("bundle", project, "-o", tmp_path / "after.zip")
    assert (tmp_path / "before.zip").read_bytes() == (tmp_path / "after.zip").read_bytes()
    assert say(unzip(tmp_path / "after.zip", tmp_path / "there") / "bin" / name).startswith(f"{name} 1.2.3: hello")


def test_settings_are_those_that_were_uncommented(relenv: Relenv, tmp_path: Path) -> None:
    relenv("init", "app", cwd=tmp_path)
    file = tmp_path / "app/pyproject.toml"
    text = file.read_text()
    assert '\n#format = ["zip", "run"]\n' in text
    file.write_text(
        text.replace('#format = ["zip", "run"]', 'format = ["zip", "run"]').replace(
            '#name = "myproject"', 'name = "myproject"'
        )
    )
    relenv("bundle", "app", cwd=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"app", "myproject.zip", "myproject.run"}
    assert say(tmp_path / "myproject.run", env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}) == "Hello, world!\n"
