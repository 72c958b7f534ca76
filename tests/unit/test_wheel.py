"""What a backend requires is remembered as long as it can say nothing else; and what is wrong with a wheel is told."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest
from installer.utils import Scheme

from relenv.bundle.wheel import BuildEnvironment, Builders, Caller, Wheel, _more, _Replacing, build_wheel
from relenv.context import Context
from relenv.environment import Environment
from relenv.errors import BuildError, ConfigError
from relenv.interpreter import Interpreter
from relenv.ui import open_ui

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


def _wheel(folder: Path, *, metadata: str = "", points: str = "", pack: int = zipfile.ZIP_STORED) -> Path:
    path = folder / "shown-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", pack) as archive:
        archive.writestr("shown.py", "harmed = 'by one bit, or two' # x\n")
        archive.writestr("shown.txt", "spoiled " * 9)
        archive.writestr(
            "shown-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: shown\nVersion: 1.0\n{metadata}"
        )
        archive.writestr("shown-1.0.dist-info/entry_points.txt", points)
        archive.writestr("shown-1.0.dist-info/RECORD", "")
    return path


def _harm(path: Path, member: str) -> None:
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
    data = bytearray(path.read_bytes())
    begin = info.header_offset + 30 + len(member)
    data[begin : begin + info.compress_size] = b"\xff" * info.compress_size
    path.write_bytes(data)


@pytest.mark.parametrize("pack", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_damaged_wheel_is_told(tmp_path: Path, pack: int) -> None:
    path = _wheel(tmp_path, pack=pack)
    wheel = Wheel.read(path)
    _harm(path, "shown.txt")
    assert len(dict(wheel.texts())) == 2
    root = tmp_path / "root"
    (root / "lib/python3.13/site-packages").mkdir(parents=True)
    interpreter = Interpreter(root=root, version="3.13.5", triplet="x86_64-linux-gnu", key="key")
    with pytest.raises(BuildError, match=r"shown-1\.0-py3-none-any\.whl cannot be installed: "):
        wheel.install(Environment(root=root, interpreter=interpreter))
    _harm(path, "shown.py")
    with pytest.raises(BuildError, match=r"whl is damaged: shown\.py cannot be read: "):
        dict(wheel.texts())
    _harm(path, "shown-1.0.dist-info/METADATA")
    with pytest.raises(BuildError, match="which is no wheel: "):
        Wheel.read(path)


@pytest.mark.parametrize(
    ("points", "told"),
    [
        ("[console_scripts]\nshown\n", "its entry_points.txt has 'shown', and no NAME = VALUE"),
        ("[console_scripts]\n; shown = shown:main\nshown=shown:main\n  more\n", "has 'more', and no NAME = VALUE"),
        ("[console_scripts]\nx=mett\n", "its script x calls 'mett', which is no MODULE:FUNCTION"),
        ("[gui_scripts]\nx = m:f()\n", r"its script x calls 'm:f\(\)', which is no MODULE:FUNCTION"),
        ("shown = shown:main\n", "entry_points.txt cannot be read: File contains no section headers"),
        ("[console_scripts]\nx = a:b\nx = a:c\n", "entry_points.txt cannot be read: .*option 'x'"),
    ],
)
def test_entry_points_that_are_none_are_told(tmp_path: Path, points: str, told: str) -> None:
    with pytest.raises(BuildError, match=f"^the build backend made shown.* is no wheel: .*{told}"):
        Wheel.read(_wheel(tmp_path, points=points))


def test_entry_points_that_call_no_function_may_be_those_of_plugins(tmp_path: Path) -> None:
    points = "# ours\n[console_scripts]\nshown = shown.cli : App.run [x, y]\n\n[plugins]\nshown = shown\n"
    assert Wheel.read(_wheel(tmp_path, points=points)).name == "shown"


def test_a_marker_that_compares_nothing_is_told(tmp_path: Path) -> None:
    wheel = Wheel.read(_wheel(tmp_path, metadata="Requires-Dist: dep; sys_platform ~= 'linux'\n"))
    interpreter = Interpreter(root=tmp_path, version="3.13.5", triplet="x86_64-linux-gnu", key="key")
    with pytest.raises(BuildError, match=r"whl has an invalid requirement: dep; sys_platform ~= .linux.: Undefined"):
        wheel.requires(interpreter, ())


def test_what_building_requires_has_to_be_requirements(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text('[build-system]\nbuild-backend = "relenv.backend"\nrequires = ["relenv", "!!bad"]\n')
    context = Context(environ={}, ui=open_ui(quiet=True), jobs=1)
    interpreter = Interpreter(root=tmp_path, version="3.13.5", triplet="x86_64-linux-gnu", key="key")
    builders = Builders(
        context=context, interpreter=interpreter, environ={}, label="shown", delegate="flit_core.buildapi"
    )
    (tmp_path / "work").mkdir()
    with pytest.raises(
        ConfigError, match=f"{file}: build-system.requires has '!!bad', which is no requirement: .*name"
    ):
        build_wheel(tmp_path, builders, tmp_path / "work")
