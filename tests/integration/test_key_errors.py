"""What is wrong with a value of [tool.relenv] is said in one sentence that names it: at least one mistake a key."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest
from wheels import make_wheel

from relenv.bundle.keys import KEYS

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Relenv

PROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "keyed"
version = "1.0"
dependencies = ["rlnvplain"]

[project.optional-dependencies]
more = ["rlnvnew"]

[project.scripts]
keyed = "keyed:main"

[tool.setuptools]
py-modules = ["keyed"]

[dependency-groups]
deploy = ["rlnvnew"]
broken = [{ include-group = "broken" }]
senseless = ["rlnvnew; sys_platform ~= 'linux'"]

[tool.relenv]
find-links = ["wheels"]
"""
TABLES = ("env", "scripts", "oci", "service", "desktop")
MISTAKES: list[tuple[str, int, str]] = [
    # values that no machine can make sense of: 3, before anything is built
    *((f"{name} = {{ 1 = 2 }}", 3, f"`{name}` must be ") for name in KEYS if name not in TABLES),
    ("env = { A = 1 }", 3, "`env` must be "),
    ('scripts = { keyed = "keyed" }', 3, "`scripts` must be "),
    ("oci = { bass = 'none' }", 3, "tool.relenv.oci has an unknown key `bass`"),
    ("oci = { ports = ['http'] }", 3, "tool.relenv.oci: `ports` must be "),
    ("service = { scirpt = 'keyed' }", 3, "tool.relenv.service has an unknown key `scirpt`"),
    ("service = { settings = { ExecStart = 'x' } }", 3, "tool.relenv.service.settings sets ExecStart"),
    ("service = { web = { restart = 'never' } }", 3, "tool.relenv.service.web: `restart` must be "),
    ("desktop = { icon = 'icon.jpg' }", 3, "tool.relenv.desktop: `icon` must be "),
    # values that are not true of this project or this machine
    ('python = "2.7"', 2, "Python 2.7 is not known"),
    ('python = "3.13.99"', 2, "3.13.99"),
    ('output = "pyproject.toml/it.zip"', 10, "pyproject.toml"),
    ('output = "it.zip"\nformat = "tar.gz"', 3, "output it.zip has the ending of zip, and the format is tar.gz"),
    ('output = "keyed.py"', 10, "keyed.py exists already, and is no bundle"),
    ('scripts = { python3 = "keyed:main" }', 3, "with names other than python3"),
    ('scripts = ["kyed"]', 3, "no package installs a script `kyed`"),
    ('scripts = { new = "keyed:absent" }', 9, "the script new (keyed:absent) cannot start"),
    ('extras = ["mroe"]', 3, "names `mroe`, which the project lacks"),
    ('groups = ["depoly"]', 3, "names `depoly`, which [dependency-groups] lacks"),
    ('groups = ["broken"]', 3, "[dependency-groups] is not in order"),
    ('groups = ["senseless"]', 3, "[dependency-groups] is not in order"),
    ('lock = "absent.lock"', 3, "absent.lock"),
    ('find-links = ["absent"]', 3, "find-links names "),
    ('index-url = "example.org/simple"', 3, "`index-url` must be the address of a package index"),
    ('index-url = "http://127.0.0.1:9/simple"\nfind-links = []', 8, "rlnvplain"),
    ('only-binary = [":all:"]\nextras = ["more"]\nglibc = "2.17"', 8, "rlnvnew"),
    ('glibc = "2.17"\nextras = ["more"]', 8, "rlnvnew"),
    ('include = [{ from = "absent" }]', 3, "include names `absent`, which is not there"),
    ('exclude = ["absent/*"]', 3, "exclude: nothing in the bundle matches 'absent/*'"),
    ('build-backend = "absent.backend"', 3, "keyed: the build backend absent.backend cannot be imported ("),
    ('smoke = ["exit 3"]', 9, "smoke: `exit 3` failed (exit 3)"),
    ('service = { script = "kyed" }', 3, "tool.relenv.service: `script` names kyed, which the bundle lacks"),
    ('desktop = { name = "x" }', 3, "tool.relenv.desktop: the project has no gui scripts"),
    ("desktop = { kyed = {} }", 3, "tool.relenv.desktop names kyed, which the bundle lacks"),
    ('desktop = { icon = "absent.png" }', 3, "icon names `absent.png`, which is not there"),
    ('format = "oci"\noci = { base = "absent.tar" }', 3, "oci.base: "),
    ('format = "oci"\noci = { entrypoint = ["absent"] }', 3, "oci.entrypoint: the bundle has no bin/absent"),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "keyed"
    root.mkdir()
    (root / "keyed.py").write_text("def main():\n    print('keyed')\n")
    make_wheel(root / "wheels", "rlnvplain")
    wheel = make_wheel(root / "wheels", "rlnvnew")
    wheel.rename(wheel.with_name("rlnvnew-1.0-py3-none-manylinux_2_28_x86_64.whl"))
    return root


@pytest.mark.parametrize(("line", "code", "sentence"), MISTAKES, ids=[line for line, _, _ in MISTAKES])
def test_a_mistake(  # noqa: PLR0917 - pytest passes by name
    line: str, code: int, sentence: str, relenv: Relenv, project: Path, tmp_path: Path
) -> None:
    text = PROJECT.replace('find-links = ["wheels"]\n', "") if "find-links" in line else PROJECT
    if line.startswith("build-backend"):
        text = text.replace('["setuptools"]', '["relenv"]').replace("setuptools.build_meta", "relenv.backend")
    (project / "pyproject.toml").write_text(f"{text}{line}\n")
    before = sorted(project.rglob("*"))
    outcome = relenv("bundle", project, cwd=tmp_path, check=False)
    assert outcome.code == code, outcome.stderr
    assert sentence in "\n".join(outcome.errors)
    assert len([one for one in outcome.errors if one.startswith("error: ")]) == 1
    assert sorted(path for path in project.rglob("*") if "egg-info" not in str(path)) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keyed"]


def test_no_key_is_without_a_mistake() -> None:
    tried = {name for line, _, _ in MISTAKES for name in tomllib.loads(line)}
    assert tried == KEYS.keys()
