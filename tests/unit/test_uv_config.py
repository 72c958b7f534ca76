"""Which of uv's configuration files count, and what of them is handed on."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from relenv.bundle.uv_config import Table, places, tables, without_choices

PROJECT = '[project]\nname = "example"\n'


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _said(root: Path, project: str = "work/project", **environ: str) -> list[str]:
    """Return what each file says for itself."""
    given = {"HOME": f"{root}/home", "XDG_CONFIG_DIRS": f"{root}/none:{root}/etc", **environ}
    return [str(one.values.get("index-url")) for one in tables(root / project, given)]


FILES = {
    "work/project/pyproject.toml": f'{PROJECT}[tool.uv]\nindex-url = "project"\n',
    "home/.config/uv/uv.toml": 'index-url = "user"\n',
    "etc/uv/uv.toml": 'index-url = "system"\n',
}


def test_the_projects_count_more_than_the_users_and_these_than_the_systems(tmp_path: Path) -> None:
    _write(tmp_path, FILES)
    assert _said(tmp_path) == ["project", "user", "system"]
    _write(tmp_path, {"xdg/uv/uv.toml": 'index-url = "xdg"\n'})
    assert _said(tmp_path, XDG_CONFIG_HOME=f"{tmp_path}/xdg") == ["project", "xdg", "system"]
    assert _said(tmp_path, UV_CONFIG_FILE=f"{tmp_path}/xdg/uv/uv.toml") == ["xdg"]
    assert _said(tmp_path, UV_CONFIG_FILE="../../xdg/uv/uv.toml", UV_NO_CONFIG="1") == ["xdg"]
    assert _said(tmp_path, UV_NO_CONFIG="1") == []
    assert _said(tmp_path, UV_NO_CONFIG="false") == ["project", "user", "system"]
    assert _said(tmp_path, "home", UV_PROJECT="../work/project")[0] == "project"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"work/project/uv.toml": 'index-url = "own"\n'}, "own"),
        ({"work/project/pyproject.toml": PROJECT, "work/uv.toml": 'index-url = "above"\n'}, "above"),
        ({"work/project/pyproject.toml": PROJECT, "pyproject.toml": '[tool.uv]\nindex-url = "above"\n'}, "above"),
        ({"work/uv.toml": 'index-url = "above"\n'}, "project"),
        ({"work/pyproject.toml": '[tool.uv]\nindex-url = "root"\n[tool.uv.workspace]\nmembers = ["pro*"]\n'}, "root"),
        ({"work/pyproject.toml": '[tool.uv]\nindex-url = "root"\n[tool.uv.workspace]\nmembers = ["x*"]\n'}, "project"),
        ({"work/project/pyproject.toml": "no TOML", "work/uv.toml": 'index-url = "above"\n'}, "above"),
    ],
)
def test_the_nearest_counts_and_that_of_a_workspace_comes_first(
    tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    _write(tmp_path, FILES | files)
    assert _said(tmp_path)[0] == expected


CHOOSY = """\
constraint-dependencies = ["dep<2"]
override-dependencies = ["other==1"]
find-links = ["wheels", "https://example.org/wheels"]
exclude-newer = 2026-01-01T00:00:00Z
no-build-isolation-package = ["dep"]
[sources]
dep = { index = "ours" }
[[index]]
name = "ours"
url = "../simple"
explicit = true
[pip]
resolution = "lowest"
target = "/elsewhere"
extra-index-url = ["simple", "file:///srv/simple"]
"""


def test_what_is_exact_is_looked_for_where_it_was_without_limits(tmp_path: Path) -> None:
    less = Table(folder=Path("/etc/uv"), values={"find-links": ["own"], "index-url": "https://u.invalid", "pip": 1})
    more = Table(folder=tmp_path, values=tomllib.loads(CHOOSY))
    found = without_choices([more, less])
    assert found
    assert found == {
        "find-links": [f"{tmp_path}/wheels", "https://example.org/wheels", "/etc/uv/own"],
        "exclude-newer": more.values["exclude-newer"],
        "no-build-isolation-package": ["dep"],
        "index": [{"name": "ours", "url": f"{tmp_path}/../simple", "explicit": True}],
        "index-url": "https://u.invalid",
        "pip": {"extra-index-url": [f"{tmp_path}/simple", "file:///srv/simple"]},
    }
    for name in ("target", "prefix"):
        assert without_choices([Table(folder=tmp_path, values={"no-index": True, "pip": {name: "x"}})]) == {
            "no-index": True
        }
    # nothing to be left out: uv may as well read its files itself
    assert without_choices([less]) is None


def test_places_are_known(tmp_path: Path) -> None:
    found = places([Table(folder=tmp_path, values=tomllib.loads(CHOOSY))])
    inside = [f"{tmp_path}/wheels", f"{tmp_path}/simple", f"{tmp_path}/../simple"]
    assert sorted(found) == sorted([*inside, "https://example.org/wheels", "file:///srv/simple"])


@pytest.mark.parametrize("text", ["find-links = 1", "index = 1", "index = [1]", "pip = 1", "index-url = 1", "[index]"])
def test_what_makes_no_sense_is_uvs_to_complain_of(tmp_path: Path, text: str) -> None:
    one = Table(folder=tmp_path, values=tomllib.loads(text))
    assert places([one]) == []
    assert without_choices([one]) is None
