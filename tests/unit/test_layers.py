"""Imports point one way, from the edges of the program to its vocabulary."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "relenv"

LAYERS = (
    {"errors", "pip_shim", "texts"},
    {"checksums", "interrupts", "pip_config", "settings"},
    {"platforms"},
    {"recipes"},
    {"plan"},
    {"process", "ui"},
    {"inside", "store"},
    {"download", "housekeeping", "pip_errors"},
    {"apt", "index"},
    {"sources", "unpack"},
    {"toolchain"},
    {"host"},
    {"build", "relocate"},
    {"manifest"},
    {"layout"},
    {"context"},
    {"compilers", "interpreter"},
    {"buildenv", "environment", "release", "training"},
    {"fetch", "workplace"},
    {"current", "obtain"},
    {"audit"},
    {"bundle"},
    {"commands"},
    {"cli"},
    {"backend"},
    {"__main__"},
)
"""From the bottom up; a module imports from lower layers and from its own package only."""

RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def _units() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def _unit_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imported(path: Path) -> set[str]:
    """Return the top-level units of relenv that a module imports, for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("relenv.")}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module == "relenv":
                found |= {name.name for name in node.names if name.name in RANK}
            elif node.module.startswith("relenv."):
                found.add(node.module.split(".")[1])
    return found


@pytest.mark.parametrize("path", _units(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    unit = _unit_of(path)
    assert unit in RANK, f"{unit} has no layer yet"
    wrong = {name for name in _imported(path) - {unit} if RANK[name] >= RANK[unit]}
    assert not wrong, f"{unit} must not import {wrong}"


def test_the_shim_is_an_island() -> None:
    for path in (ROOT / "pip_shim").glob("*.py"):
        assert not _imported(path)


def test_only_the_edges_read_the_environment() -> None:
    readers = set()
    for path in _units():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in ("environ", "getenv")
                and isinstance(node.value, ast.Name)
                and node.value.id == "os"
            ):
                readers.add(_unit_of(path))
    assert readers <= {"cli", "backend", "pip_shim"}


def test_only_the_runner_starts_programs() -> None:
    starters = {_unit_of(path) for path in _units() if "import subprocess" in path.read_text(encoding="utf-8")}
    assert starters <= {"process", "pip_shim"}


def test_test_files_have_names_of_their_own() -> None:
    """Pytest imports them by their last name alone: two of one name end a whole run, though either directory passes."""
    tests = ROOT.parent / "tests"
    names = Counter(path.name for place in ("unit", "integration") for path in (tests / place).glob("*.py"))
    assert {name for name, count in names.items() if count > 1} <= {"conftest.py"}


def test_the_map_for_newcomers_has_every_unit_and_no_other() -> None:
    text = (ROOT.parent / "docs/code.md").read_text(encoding="utf-8")
    for name in RANK.keys() - {"__main__"}:
        assert f"`{name}`" in text, name
    for path in re.findall(r"`((?:relenv|tests|templates)/[^`]+|\.ci/run)`", text):
        assert (ROOT.parent / path).exists(), path
