"""benchmarks/bundlers.py: its tables, and what it calls the same."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bundlers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("bundlers")


def row(bundlers: ModuleType, peer: str, seconds: float, **more: Any) -> Any:
    builds = {**dict.fromkeys(("cold", "again", "edited"), seconds), "froze": min(seconds, 4)}
    return bundlers.Row(peer=peer, builds=builds, packed=10**6, first=0.1, second=0.1, warm=0.1, **more)


def test_a_table_has_ratios_to_ours(bundlers: ModuleType) -> None:
    rows = [row(bundlers, "relenv", 2.0), row(bundlers, "other", 5.0), bundlers.Row(peer="bad", failed="a | b")]
    lines = bundlers.table(bundlers.PROGRAMS["hello"], rows).splitlines()
    assert lines[4].startswith("| relenv | 2.00 (1.00) |  | 2.00 (1.00) |")
    assert lines[5].startswith("| other | 5.00 (2.50) | 4.00 | 5.00 (2.50) |")
    assert lines[6].startswith("| bad | failed: a   b ")
    assert len({line.count("|") for line in lines[2:]}) == 1


def test_without_ours_there_are_no_ratios(bundlers: ModuleType) -> None:
    rows = [row(bundlers, "other", 5.0), bundlers.Row(peer="relenv", failed="no")]
    assert "(" not in bundlers.table(bundlers.PROGRAMS["hello"], rows).splitlines()[4]


def test_what_is_between_the_marks_is_replaced(bundlers: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    web, other = bundlers.BEGIN.format("web"), f"{bundlers.BEGIN.format('hello')}\nold\n{bundlers.END}\n"
    page.write_text(f"before\n{other}{web}\nold\n{bundlers.END}\nafter\n")
    for _ in range(2):
        bundlers.insert(page, "web", "new")
        assert page.read_text() == f"before\n{other}{web}\n\nnew\n{bundlers.END}\nafter\n"


def test_what_has_no_marks_comes_to_the_end(bundlers: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n")
    for text in ("old", "new"):
        bundlers.insert(page, "large", text)
        assert page.read_text() == f"before\n\n{bundlers.BEGIN.format('large')}\n\n{text}\n{bundlers.END}\n"


def test_a_directory_is_the_same_by_names_and_contents(bundlers: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = bundlers.digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/a.pyc").write_text("1")
    assert bundlers.digest(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert bundlers.digest(tmp_path) != first


def test_each_program_is_a_project_that_can_be_edited(bundlers: ModuleType, tmp_path: Path) -> None:
    for program in bundlers.PROGRAMS.values():
        bundlers.write_project(program, tmp_path / program.name)
        assert "EDITED" in program.code
        compile((tmp_path / program.name / f"{program.name}.py").read_text(), program.name, "exec")
