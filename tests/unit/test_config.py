from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relenv.bundle.config import load_config
from relenv.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = '[project]\nname = "example"\nversion = "1"\n'


def _write(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_everything_is_optional(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path, PROJECT))
    assert (config.project, config.python, config.name, config.extras) == ("example", "", "", ())
    assert config.requires_python is None


def test_settings_are_read_and_the_command_line_wins(tmp_path: Path) -> None:
    text = (
        PROJECT
        + 'requires-python = ">=3.11"\noptional-dependencies = { web = [], cli = [] }\n'
        + '[tool.relenv]\npython = "3.13"\nname = "shown"\nextras = ["web"]\n'
    )
    config = load_config(_write(tmp_path, text))
    assert (config.python, config.name, config.extras) == ("3.13", "shown", ("web",))
    assert config.requires_python is not None
    assert config.requires_python.contains("3.13.1")
    config = load_config(tmp_path, {"python": "3.11", "extras": ["cli"]})
    assert (config.python, config.name, config.extras) == ("3.11", "shown", ("cli",))


def test_a_legacy_project_needs_no_pyproject(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("")
    assert load_config(tmp_path).project == ""


def test_poetry_projects_may_lack_a_project_table(tmp_path: Path) -> None:
    assert load_config(_write(tmp_path, '[tool.poetry]\nname = "older"\n')).project == "older"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (None, "there is no pyproject.toml", "relenv bundle PATH"),
        ("[project\n", "is not valid TOML", ""),
        ("\ufeff[project]\n", "byte order mark", "UTF-8"),
        ("[tool.other]\n", "no [project] table", "name"),
        (PROJECT + '[tool.relenv]\npyhton = "3.13"\n', "unknown key `pyhton`", "`python`"),
        (
            PROJECT + "[tool.relenv]\nbuild-backend = 'relenv.backend'\n",
            "`build-backend` is relenv.backend, which hands on to another: name that",
            "a backend such as",
        ),
        (PROJECT + "[tool.relenv]\nzzz = 1\n", "unknown key `zzz`", "known keys: build-backend, bytecode, compression"),
        (PROJECT + "[tool.relenv]\npython = 3.13\n", "`python` must be a version", ""),
        (PROJECT + '[tool.relenv]\nname = "a/b"\n', "`name` must be a file name", ""),
        (PROJECT + '[tool.relenv]\nextras = "web"\n', "`extras` must be a list", ""),
        (PROJECT + 'optional-dependencies = { web = [] }\n[tool.relenv]\nextras = ["wbe"]\n', "`wbe`", "`web`"),
        (PROJECT + '[tool.relenv]\nextras = ["web"]\n', "extras names `web`, which the project lacks", "it has: none"),
        (PROJECT + "[tool]\nrelenv = 3\n", "must be a table", ""),
        (PROJECT + 'dependencies = ["idna", "idna>=>3"]\n', "project.dependencies has 'idna>=>3', which is no req", ""),
        (
            PROJECT + 'optional-dependencies = { web = ["a b"] }\n',
            "project.optional-dependencies.web has 'a b', which is no requirement: Expected semicolon",
            "",
        ),
        (PROJECT + "dependencies = [3]\n", "project.dependencies has 3, which is no requirement", ""),
        (PROJECT + 'requires-python = "three"\n', "requires-python is not a version range", ""),
    ],
)
def test_errors_name_the_place_and_what_to_do(tmp_path: Path, text: str | None, message: str, hint: str) -> None:
    if text is not None:
        _write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert message in caught.value.message
    assert str(tmp_path) in caught.value.message
    assert hint in caught.value.hint


def test_a_project_that_is_no_directory(tmp_path: Path) -> None:
    for name in ("tool.py", "pyproject.toml"):
        (tmp_path / name).touch()
    for name, message, hint in (
        ("missing", "is not a directory", "`relenv init` begins a project"),
        ("tool.py", "is a file, and relenv bundles projects", "`relenv init DIR` begins one"),
        ("pyproject.toml", "is a file", f"relenv bundle {tmp_path}"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            load_config(tmp_path / name)
        assert hint in caught.value.hint


def test_a_directory_that_is_no_project(tmp_path: Path) -> None:
    for name in ("main.py", "requirements.txt"):
        with pytest.raises(ConfigError, match=r"there is no pyproject\.toml in") as caught:
            load_config(tmp_path)
        assert "`relenv init` writes a pyproject.toml" in caught.value.hint
        assert "requirements.txt" not in caught.value.hint
        (tmp_path / name).touch()
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert caught.value.hint.endswith("into which goes what requirements.txt lists")


def test_what_the_command_line_names_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    poetry = '[tool.poetry]\nname = "older"\n[tool.poetry.group.dev.dependencies]\none = "*"\n'
    _write(tmp_path, poetry)
    with pytest.raises(UsageError, match=r"^the command line: --group names `dev`, which \[dep") as caught:
        load_config(tmp_path, {"groups": ["dev"]})
    assert caught.value.hint.startswith("it is in [tool.poetry.group], which nothing but poetry reads: PEP 735 ")
    _write(tmp_path, PROJECT + "optional-dependencies = { web = [] }\n")
    with pytest.raises(UsageError, match=r"^the command line: --extra names `wbe`, which the project lacks$"):
        load_config(tmp_path, {"extras": ["wbe"]})
    with pytest.raises(UsageError, match=r"^the command line: --include names `gone`, which is not there$"):
        load_config(tmp_path, {"include": [{"from": "gone"}]})
    with pytest.raises(UsageError, match=r"^the command line: --extra names `web`, which the project lacks$"):
        load_config(_write(tmp_path, PROJECT), {"extras": ["web"]})
    config = load_config(tmp_path, {"prune": "none"})
    assert (config.fault("prune"), config.fault("name", "prune"), config.fault("name")) == (
        UsageError,
        UsageError,
        ConfigError,
    )


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (PROJECT + 'dynamic = ["optional-dependencies"]\n', ""),
        (PROJECT + '[tool.poetry.extras]\nweb = ["idna"]\n', ""),
        ('[tool.poetry]\nname = "older"\n', ""),
        (PROJECT, "setup.py"),
        (PROJECT, "setup.cfg"),
    ],
)
def test_extras_that_the_backend_alone_knows_are_not_refused(tmp_path: Path, text: str, other: str) -> None:
    if other:
        (tmp_path / other).touch()
    assert load_config(_write(tmp_path, text), {"extras": ["web"]}).extras == ("web",)
