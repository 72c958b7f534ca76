"""What a backend said that it requires is remembered as long as it cannot say anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relenv.bundle.wheel import BuildEnvironment, Caller, _more

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SETUPTOOLS = "setuptools.build_meta"


@pytest.fixture
def asked(tmp_path: Path) -> Callable[..., int]:
    """Give what asks twice, with an edit between, and tells how often the backend was."""
    project, builder = tmp_path / "project", tmp_path / "builder"
    project.mkdir()
    builder.mkdir()

    def ask(files: dict[str, str], edit: dict[str, str], *, backend: str = SETUPTOOLS, requires: str = "") -> int:
        calls: list[str] = []

        def answer() -> set[str]:
            calls.append(backend)
            return {"wheel"}

        required = {backend.partition(".")[0].replace("_build", ""), *requires.split()}
        caller = Caller(backend=backend, requires=required, more=answer, build=str)
        for texts in (files, edit):
            for name, text in texts.items():
                (project / name).write_text(text)
            assert set(_more(project, BuildEnvironment(root=builder), caller)) == {"wheel"}
        return len(calls)

    return ask


PLAIN = {"pyproject.toml": "[project]\nname = 'a'\n", "a.py": "x = 1\n"}


def test_an_edit_of_the_code_asks_nothing_anew(asked: Callable[..., int]) -> None:
    assert asked(PLAIN, {"a.py": "x = 2\n"}) == 1


@pytest.mark.parametrize(
    ("files", "edit"),
    [
        (PLAIN, {"pyproject.toml": "[project]\nname = 'b'\n"}),
        (PLAIN, {"setup.cfg": "[options]\nsetup_requires = b\n"}),
        (PLAIN, {"setup.py": ""}),
        ({**PLAIN, "setup.py": ""}, {}),
        ({**PLAIN, "hatch_build.py": ""}, {}),
        ({"pyproject.toml": "[tool.hatch.build.hooks.custom]\npath = 'x.py'\n"}, {}),
        ({"pyproject.toml": "[build-system]\nbackend-path = ['.']\n"}, {}),
    ],
)
def test_what_may_change_the_answer_does(
    asked: Callable[..., int], files: dict[str, str], edit: dict[str, str]
) -> None:
    assert asked(files, edit) == 2


@pytest.mark.parametrize(
    ("backend", "requires", "times"),
    [
        (SETUPTOOLS, "wheel", 1),
        (SETUPTOOLS, "setuptools-scm>=8", 2),
        ("hatchling.build", "hatchling", 1),
        ("hatchling.build", "hatch-vcs", 2),
        ("mesonpy", "", 2),
        ("setuptools.build_meta:__legacy__", "", 2),
    ],
)
def test_only_what_is_known_is_trusted(asked: Callable[..., int], backend: str, requires: str, times: int) -> None:
    assert asked(PLAIN, {}, backend=backend, requires=requires) == times
