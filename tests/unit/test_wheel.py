"""What a backend said that it requires is remembered as long as it cannot say anything else."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from installer.utils import Scheme

from relenv.bundle.wheel import BuildEnvironment, Caller, _more, _Replacing

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
        (PLAIN, {"hatch.toml": "[build.hooks.version]\npath = 'a.py'\n"}),
        ({"pyproject.toml": "[tool.hatch.build.hooks.custom]\npath = 'x.py'\n"}, {}),
        ({"pyproject.toml": "[tool.hatch.build]\nhooks = { custom = { path = 'x.py' } }\n"}, {}),
        ({**PLAIN, "hatch.toml": "[build.hooks.custom]\npath = 'x.py'\n"}, {}),
        ({**PLAIN, "hatch.toml": "[build.'hooks']\ncustom.path = 'x.py'\n"}, {}),
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


@pytest.fixture
def destination(tmp_path: Path) -> _Replacing:
    (tmp_path / "site/package").mkdir(parents=True)
    (tmp_path / "site/file").write_text("old")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("precious")
    scheme = {"purelib": str(tmp_path / "site")}
    return _Replacing(scheme, interpreter="python3", script_kind="posix", overwrite_existing=True)


@pytest.mark.parametrize("name", ["../precious", "../precious/file", "package/../../precious", "{root}/precious/file"])
def test_a_wheel_removes_nothing_outside_of_the_bundle(destination: _Replacing, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="leads out of the bundle"):
        destination.write_to_fs(Scheme("purelib"), name.format(root=tmp_path), io.BytesIO(b"new"), is_executable=False)
    assert (tmp_path / "precious/file").read_text() == "precious"


def test_a_file_takes_the_place_of_a_file_only(destination: _Replacing, tmp_path: Path) -> None:
    other = tmp_path / "store's"
    (tmp_path / "site/file").rename(other)
    (tmp_path / "site/file").hardlink_to(other)
    destination.write_to_fs(Scheme("purelib"), "file", io.BytesIO(b"new"), is_executable=False)
    assert ((tmp_path / "site/file").read_text(), other.read_text()) == ("new", "old")
    with pytest.raises(ValueError, match="where another package has a directory: 'package'"):
        destination.write_to_fs(Scheme("purelib"), "package", io.BytesIO(b"new"), is_executable=False)
