"""`relenv init`: a commented [tool.relenv] in any pyproject.toml, and new projects."""

from __future__ import annotations

import ast
import json
import os
import re
import tomllib
from difflib import ndiff
from typing import TYPE_CHECKING, Any

import pytest
from packaging.utils import canonicalize_name

from relenv.bundle.config import load_config
from relenv.bundle.keys import KEYS
from relenv.bundle.scaffold import named, names_for, new_project, section, with_section
from relenv.cli import main
from relenv.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = '[project]\nname = "example"\nversion = "1"\n'
SHAPES = {
    "small": PROJECT,
    "no newline at its end": PROJECT.rstrip("\n"),
    "CR LF": f"# one\r\n{PROJECT}\r\n[tool.ruff]\r\nline-length = 9 # why\r\n".replace("\n", "\r\n").replace(
        "\r\r", "\r"
    ),
    "other tools": f"{PROJECT}\n[tool.a]\nx = 1\n\n[[tool.b.c]]\nz = 1\n[dependency-groups]\nd=[ 'x',  ] # odd\n",
    "tools here and there": f"[tool.a]\nx = 1\n\n{PROJECT}\n[tool.b]\ny = 1\n\n# the end\n\n",
    "dotted keys": f"tool.a.x = 1\n{PROJECT}",
    "dotted keys of a table": f"[tool]\na.x = 1\n{PROJECT}",
    "an empty table": f"[tool]\n{PROJECT}",
    "strings of many lines": f'{PROJECT}description = """\n[tool.relenv]\n# not this one\n"""\n\n\n\t# tab\n',
}


def uncommented() -> str:
    return re.sub(r"^#(?! )", "", section(), flags=re.MULTILINE)


def test_the_section_sets_nothing_and_names_every_key() -> None:
    assert tomllib.loads(section()) == {"tool": {"relenv": {}}}
    settings = tomllib.loads(uncommented())["tool"]["relenv"]
    assert list(settings) == list(KEYS)
    for name, key in KEYS.items():
        assert f"# {key.summary}\n" in section()
        assert key.shape.accept(settings[name])
        assert list(settings[name]) == list(key.shape.keys) if key.shape.keys else True


def test_the_examples_are_valid_all_at_once(tmp_path: Path) -> None:
    extras = "optional-dependencies = { postgres = [] }\n[dependency-groups]\ndeploy = []\n"
    (tmp_path / "data").mkdir()
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/icon.svg").write_text("<svg/>")
    (tmp_path / "pyproject.toml").write_text(PROJECT + extras + uncommented())
    config = load_config(tmp_path)
    assert (config.python, config.extras, config.oci.base) == ("3.13", ("postgres",), "debian:12-slim")


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_else_changes(name: str, tmp_path: Path) -> None:
    text = SHAPES[name]
    made = with_section(text, "pyproject.toml")
    newline = "\r\n" if "\r" in text else "\n"
    assert made.count("\r\n") == (made.count("\n") if "\r" in text else 0)
    lines = list(ndiff(text.splitlines(), made.splitlines()))
    assert [line for line in lines if line.startswith(("-", "?"))] == []
    added = [line[2:] for line in lines if line.startswith("+ ")]
    assert "\n".join(added).strip("\n").splitlines() == section().splitlines()
    head, own, tail = made.partition(section().replace("\n", newline))
    assert own
    assert head == "" or head.endswith(newline * 2)
    assert tail == "" or tail.startswith(newline)
    (tmp_path / "pyproject.toml").write_text(made, newline="")
    assert load_config(tmp_path).project == "example"


def test_what_cannot_have_a_section() -> None:
    for text in ("[tool.relenv]\n", "[tool]\nrelenv.python = '3.13'\n", "[tool.relenv.oci]\n", "tool={relenv={}}"):
        with pytest.raises(ConfigError, match=r"has a \[tool.relenv\] already"):
            with_section(text, "pyproject.toml")
    with pytest.raises(ConfigError, match="inline table `tool`"):
        with_section("tool = { a = {} }\n", "pyproject.toml")


@pytest.mark.parametrize(
    ("text", "project", "module", "script"),
    [
        ("myproject", "myproject", "myproject", "myproject"),
        ("My Äpp 2", "my-app-2", "my_app_2", "my-app-2"),
        ("a.b--c", "a.b--c", "a_b_c", "a.b--c"),
        ("2048", "2048", "app_2048", "2048"),
        ("json", "json", "json_app", "json"),
        ("class", "class", "class_app", "class"),
        ("python", "python", "python", "python-app"),
        ("python3.13", "python3.13", "python3_13", "python3.13-app"),
        (".hidden_", "hidden", "hidden", "hidden"),
        ("x" * 300, "x" * 100, "x" * 100, "x" * 100),
    ],
)
def test_names_of_a_directory(text: str, project: str, module: str, script: str) -> None:
    names = names_for(text)
    assert (names.project, names.module, names.script) == (project, module, script)
    assert named(project) == names
    assert module.isidentifier()
    canonicalize_name(project, validate=True)


@pytest.mark.parametrize("text", ["", "日本", "..", "-"])
def test_no_name(text: str) -> None:
    with pytest.raises(UsageError, match="no name for a project"):
        names_for(text)
    with pytest.raises(UsageError, match="no valid name"):
        named(text)


@pytest.mark.parametrize("text", ["pip", "PIP", "pip_"])
def test_a_name_that_is_taken(text: str) -> None:
    with pytest.raises(UsageError, match="a project cannot be called pip: ") as caught:
        names_for(text)
    assert "--name" in caught.value.hint
    with pytest.raises(UsageError, match=r"a project cannot be called (?i:pip): |no valid name"):
        named(text)


def test_a_name_with_a_dot_is_the_name_of_the_script(tmp_path: Path) -> None:
    (pyproject,) = (one.text for one in new_project(named("my.app")) if one.path == "pyproject.toml")
    (tmp_path / "pyproject.toml").write_text(pyproject)
    assert load_config(tmp_path).project == "my.app"
    assert tomllib.loads(pyproject)["project"]["scripts"] == {"my.app": "my_app.__main__:main"}


def test_a_new_project_is_valid(tmp_path: Path) -> None:
    for one in new_project(named("json")):
        assert not re.search(r"@[A-Z]+@", one.text), one.path
        if one.path.endswith(".py"):
            ast.parse(one.text)
        path = tmp_path / one.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(one.text)
    assert load_config(tmp_path).project == "json"
    scripts = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"json": "json_app.__main__:main"}
    assert (tmp_path / "src/json_app/__main__.py").is_file()


# --- the command --------------------------------------------------------------------------------------


@pytest.fixture
def init(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str | Path, code: int = 0) -> tuple[str, str]:
        environ = {"RELENV_DATA": str(tmp_path / "cache")}
        assert main(["init", *map(str, words)], environ) == code
        said = capsys.readouterr()
        return said.out, said.err

    return run


def content(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if "cache" not in path.parts)
    return {str(path.relative_to(folder)): path.read_text() for path in found if path.is_file()}


def test_into_a_project(init: Any, tmp_path: Path) -> None:
    file = tmp_path / "real.toml"
    file.write_text(PROJECT)
    file.chmod(0o640)
    (tmp_path / "pyproject.toml").symlink_to("real.toml")
    out, err = init(tmp_path)
    assert out == f"{tmp_path}/pyproject.toml\n"
    assert f"next: relenv bundle {tmp_path}" in err
    assert file.read_text() == f"{PROJECT}\n{section()}"
    assert (tmp_path / "pyproject.toml").is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    _, err = init(tmp_path, code=3)
    assert "has a [tool.relenv] already" in err
    assert file.read_text() == f"{PROJECT}\n{section()}"


def test_a_project_in_setup_py_gets_a_section_alone(init: Any, tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("")
    init(tmp_path)
    assert content(tmp_path) == {"setup.py": "", "pyproject.toml": section()}


def test_a_new_project_leaves_what_is_there(init: Any, tmp_path: Path) -> None:
    place = tmp_path / "some where" / "new thing"
    place.mkdir(parents=True)
    (place / "README.md").write_text("mine")
    out, err = init(place, "--json")
    made = json.loads(out)
    assert (made["project"], made["new"], made["path"]) == ("new-thing", True, str(place))
    assert sorted(made["files"]) == sorted(str(place / name) for name in content(place) if name != "README.md")
    assert (place / "README.md").read_text() == "mine"
    assert f"next: relenv bundle '{place}'" in err


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("[tool.ruff]\n", 3, "has no [project] table"),
        ("[project\n", 3, "is not valid TOML"),
        ("\ufeff[project]\n", 3, "byte order mark"),
        ("[project]\nversion = '1'\n", 3, "project.name is missing"),
        ("tool = { a = 1 }\n[project]\nname = 'a'\n", 3, "inline table"),
    ],
)
def test_a_pyproject_that_is_none(init: Any, tmp_path: Path, text: str, code: int, message: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    _, err = init(tmp_path, code=code)
    assert message in err
    assert content(tmp_path) == {"pyproject.toml": text}


def test_poetry_of_old_is_a_project(init: Any, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.poetry]\nname = "older"\n\n[build-system]\nrequires = []\n')
    assert json.loads(init(tmp_path, "--json")[0])["project"] == "older"


def test_all_or_nothing(init: Any, tmp_path: Path) -> None:
    place = tmp_path / "there"
    (place / "src/there").mkdir(parents=True)
    (place / "src/there/__main__.py").write_text("mine")
    _, err = init(place, code=10)
    assert "there/__main__.py exists already" in err
    assert content(place) == {"src/there/__main__.py": "mine"}
    other = tmp_path / "other"
    other.mkdir()
    (other / "src").write_text("a file in the way")  # only found out when it is too late
    _, err = init(other, code=10)
    assert "cannot write" in err
    assert content(other) == {"src": "a file in the way"}


def test_what_is_in_the_way(init: Any, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").mkdir()
    assert "is no file" in init(tmp_path, code=10)[1]
    (tmp_path / "a file").write_text("")
    assert "is no directory" in init(tmp_path / "a file", code=10)[1]
    dangling = tmp_path / "dangling"
    dangling.mkdir()
    (dangling / "pyproject.toml").symlink_to("nowhere")
    assert "is no file" in init(dangling, code=10)[1]


def test_where_there_can_be_no_directory(init: Any) -> None:
    assert "cannot write /proc/example" in init("/proc/example", code=10)[1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_where_nobody_may_write(init: Any, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    tmp_path.chmod(0o500)
    try:
        assert init(tmp_path, code=10)
        assert init(tmp_path / "new", code=10)
    finally:
        tmp_path.chmod(0o700)


def test_names_on_the_command_line(init: Any, tmp_path: Path) -> None:
    assert "no valid name" in init(tmp_path / "x", "--name", "a b", code=2)[1]
    assert not (tmp_path / "x").exists()
    init(tmp_path / "x", "--name", "Other.Name")
    assert "src/other_name/__main__.py" in content(tmp_path / "x")
    assert "--name is for a new project" in init(tmp_path / "x", "--name", "y", code=2)[1]
