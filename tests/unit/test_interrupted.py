"""What a pip that was killed leaves is taken away by the next one, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relenv.pip_shim.interrupted import MARK, ROUNDED, under_way
from relenv.pip_shim.repair import repair

CHILD = """\
import pathlib, sys
sys.path.insert(0, sys.argv[2])
from relenv.pip_shim.interrupted import under_way
with under_way(pathlib.Path(sys.argv[1])):
    print("under way", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "lib/python3.13/site-packages"
    for name in ("before-1.0.dist-info", "whole-1.0.dist-info"):
        (site / name).mkdir(parents=True)
    for name in ("RECORD", "INSTALLER"):
        (site / "whole-1.0.dist-info" / name).touch()
    (tmp_path / "bin").mkdir()
    return site


def leave(site: Path) -> None:
    """Leave what a killed pip does, after a mark."""
    time.sleep(ROUNDED + 0.1)
    (site / f"{MARK}1").touch()
    (site / "half-1.0.dist-info").mkdir()
    (site / "half-1.0.dist-info/METADATA").touch()
    # while it compiles, that of the wheel is there
    (site / "other-1.0.dist-info").mkdir()
    (site / "other-1.0.dist-info/RECORD").touch()
    (site / "~alf").mkdir()
    (site.parents[2] / "bin/.relenv-1.part").touch()


def names(site: Path) -> list[str]:
    return sorted(path.name for path in (*site.iterdir(), *(site.parents[2] / "bin").iterdir()))


WHOLE = ["before-1.0.dist-info", "whole-1.0.dist-info"]


def test_remains_go(site: Path) -> None:
    leave(site)
    with under_way(site.parents[2]) as remains:
        assert sorted(one.distribution for one in remains) == ["", "", "half 1.0", "other 1.0"]
        assert [name for name in names(site) if not name.startswith(MARK)] == WHOLE
    assert names(site) == WHOLE
    with under_way(site.parents[2]) as remains:
        assert remains == ()


def test_without_a_mark_nothing_is_remains(site: Path) -> None:
    leave(site)
    (site / f"{MARK}1").unlink()
    before = names(site)
    with under_way(site.parents[2]) as remains:
        assert remains == ()
    assert names(site) == before


def test_what_another_pip_has_under_way_stays(site: Path) -> None:
    leave(site)
    (site / f"{MARK}1").unlink()
    command = [sys.executable, "-c", CHILD, str(site.parents[2]), str(Path(__file__).parents[2])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "under way\n"
        (site / "half-1.0.dist-info/INSTALLER").touch()
        with under_way(site.parents[2]) as remains:
            assert remains == ()
        assert (site / "half-1.0.dist-info").is_dir()
        other.kill()
    with under_way(site.parents[2]) as remains:
        assert "half 1.0" in [one.distribution for one in remains]


def test_repair_takes_them_away_too(site: Path) -> None:
    leave(site)
    would = repair(site.parents[2], dry_run=True)
    assert {deed.path.rpartition("/")[2] for deed in would} >= {"half-1.0.dist-info", "~alf", ".relenv-1.part"}
    assert "half-1.0.dist-info" in names(site)
    assert repair(site.parents[2]) == would
    assert names(site) == WHOLE


def test_the_mark_goes_with_an_error(site: Path) -> None:
    with pytest.raises(ValueError, match="x"), under_way(site.parents[2]):
        raise ValueError("x")
    assert names(site) == WHOLE


def test_the_mark_of_another_process_1_stays(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as in two containers
    with under_way(site.parents[2]):
        (mark,) = site.glob(f"{MARK}*")
        with under_way(site.parents[2]):
            pass
        assert mark.exists()


@pytest.mark.parametrize("again", [False, True])
def test_what_was_being_replaced_is_named(site: Path, again: bool) -> None:  # noqa: FBT001
    time.sleep(ROUNDED + 0.1)
    (site / f"{MARK}1").touch()
    (site / "~ig_pkg-1.0.dist-info").mkdir()
    (site / "~ig_pkg-1.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: Big.Pkg\nVersion: 1.0\n\nName: x\n"
    )
    if again:
        (site / "big_pkg-2.0.dist-info").mkdir()
        for name in ("RECORD", "INSTALLER"):
            (site / "big_pkg-2.0.dist-info" / name).touch()
    with under_way(site.parents[2]) as remains:
        assert [one.distribution for one in remains] == ["" if again else "Big.Pkg 1.0"]
    assert not list(site.glob("~*"))


def test_a_bundle_gets_no_links_that_it_never_had(site: Path) -> None:
    prefix = site.parents[2]
    (site.parent / "encodings").mkdir()
    (prefix / "bin/python3").touch(0o755)
    (prefix / "relenv.json").write_text('{"bundle": {}}')
    assert repair(prefix) == []
    (prefix / "relenv.json").write_text("{}")
    assert [one.path for one in repair(prefix)] == ["bin/python", "bin/python3.13"]
