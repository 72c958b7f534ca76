"""benchmarks/reproducible.py: what differs between its builds, and that it says no more than that."""

from __future__ import annotations

import os
import subprocess
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relenv.host import HOST_TOOLS

if TYPE_CHECKING:
    from types import ModuleType

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def reproducible(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("reproducible")


def test_path_is_another_and_begins_with_compilers_that_fail(reproducible: ModuleType, tmp_path: Path) -> None:
    first = reproducible.decoys(tmp_path / "decoys")
    plain, other = reproducible.builds(first)
    assert "PATH" not in plain.env
    assert other.env["PATH"].split(":") == [str(first), *reversed(os.environ["PATH"].split(":"))]
    assert other.name.endswith(", PATH")
    assert subprocess.run(["gcc"], env=other.env, check=False, capture_output=True).returncode == 1
    assert not set(reproducible.DECOYS) & set(HOST_TOOLS)


def test_the_name_says_what_differs_and_no_more(
    reproducible: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twists = {"host name": ("env", "A=1"), "clock": ("false",), "moon": ("no-such-program",)}
    monkeypatch.setattr(reproducible, "TWISTS", twists)
    _, other = reproducible.builds(tmp_path)
    assert "host name, umask 077" in other.name
    assert "clock" not in other.name
    assert other.start == ("nice", "-n", "19", "env", "A=1")
