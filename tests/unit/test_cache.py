"""The cache: who uses it, what is in it, what goes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relenv.housekeeping import ago, choose, programs_below, prune, survey
from relenv.store import Cache, open_cache

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = 86400
NOW = time.time()

HOLD = """\
import sys
from pathlib import Path
from relenv.store import open_cache
open_cache(Path(sys.argv[1]))
print("in", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = open_cache(tmp_path / "cache")
    for place, days in (
        ("store/python-3.13.15-0123/bin/python3", 40),
        ("store/python-3.13.15-0123.pack-zlib/blob", 40),
        ("store/zlib-1.3.1-4567/lib/libz.so", 1),
        ("store/xz-5.8.1-89ab/lib/liblzma.so", 31),
        ("logs/zlib-1.3.1-4567/1-make.log", 90),
        ("logs/xz-5.8.1-gone/1-make.log", 0),
        ("downloads/0123-zlib-1.3.1.tar.gz", 0),
        ("work/openssl-3.5.7-cdef.123/src/x.c", 0),
        ("toolchains/gcc/bin/gcc", 100),
        ("resolved/zlib.json", 400),
        ("what is this", 400),
    ):
        path = cache.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 5000)
        top = cache.root.joinpath(*Path(place).parts[:2])
        os.utime(top, (NOW - days * DAY,) * 2)
    return cache


def relenv(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "relenv", "cache", *arguments],
        env={**os.environ, "RELENV_DATA": str(cache)},
        check=False,
        capture_output=True,
        text=True,
    )


def names(paths: object) -> set[str]:
    assert isinstance(paths, (list, tuple, set))
    return {getattr(path, "path", path).name for path in paths}


def test_everything_in_it_has_a_kind(cache: Cache) -> None:
    kinds = {entry.path.relative_to(cache.root).as_posix(): entry.kind for entry in survey(cache)}
    assert kinds == {
        "store/python-3.13.15-0123": "interpreters",
        "store/python-3.13.15-0123.pack-zlib": "interpreters, for bundles",
        "store/zlib-1.3.1-4567": "libraries and their like",
        "store/xz-5.8.1-89ab": "libraries and their like",
        "logs/zlib-1.3.1-4567": "logs of builds",
        "logs/xz-5.8.1-gone": "logs of builds",
        "downloads/0123-zlib-1.3.1.tar.gz": "sources",
        "work/openssl-3.5.7-cdef.123": "left over",
        "toolchains/gcc": "toolchains",
        "resolved/zlib.json": "lists of sources",
        "what is this": "unknown",
    }


def test_a_file_of_two_names_counts_once(cache: Cache) -> None:
    def size() -> int:
        return next(entry.size for entry in survey(cache) if entry.path == cache.store / "zlib-1.3.1-4567")

    before = size()
    os.link(cache.root / "store/zlib-1.3.1-4567/lib/libz.so", cache.root / "store/zlib-1.3.1-4567/lib/libz.so.1")
    assert size() == before >= 5000


@pytest.mark.parametrize(
    ("options", "going"),
    [
        (
            {"older_than": 30, "everything": False},
            {
                *("python-3.13.15-0123", "python-3.13.15-0123.pack-zlib", "xz-5.8.1-89ab", "gcc"),
                *("xz-5.8.1-gone", "openssl-3.5.7-cdef.123", "zlib-1.3.1-4567"),
            },
        ),
        ({"older_than": 1000, "everything": False}, {"xz-5.8.1-gone", "openssl-3.5.7-cdef.123"}),
    ],
)
def test_what_was_not_used_goes(cache: Cache, options: dict, going: set[str]) -> None:
    chosen = choose(survey(cache), now=NOW, **options)
    assert names(chosen) == going
    # a log of 90 days, not the library of yesterday
    assert cache.root / "store/zlib-1.3.1-4567" not in {entry.path for entry in chosen}
    pruned = prune(cache, chosen)
    assert names(pruned.removed) == going
    assert not [entry.path for entry in chosen if entry.path.exists()]
    assert (cache.root / "store/zlib-1.3.1-4567/lib/libz.so").exists()
    assert not list(cache.work.iterdir())


def test_everything_is_everything_but_the_cache_itself(cache: Cache) -> None:
    prune(cache, choose(survey(cache), older_than=30, everything=True, now=NOW))
    assert survey(cache) == ()
    open_cache(cache.root)


def test_a_dry_run_removes_nothing(cache: Cache) -> None:
    before = survey(cache)
    pruned = prune(cache, choose(before, older_than=0, everything=True, now=NOW), dry=True)
    assert pruned.removed == before
    assert names(survey(cache)) == names(before)


def test_what_a_program_runs_from_stays(cache: Cache) -> None:
    program = cache.root / "store/python-3.13.15-0123/bin/python3"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as sleeping:
        try:
            while program not in programs_below(cache.root):
                time.sleep(0.01)
            pruned = prune(cache, choose(survey(cache), older_than=0, everything=True, now=NOW))
        finally:
            sleeping.kill()
    assert names(pruned.busy) == {"python-3.13.15-0123"}
    assert program.exists()
    assert names(survey(cache)) == {"python-3.13.15-0123"}


@pytest.fixture
def guest(cache: Cache) -> Callable[[], subprocess.Popen[str]]:
    def enter() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, cache.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        process.stdout.readline()
        return process

    return enter


def test_nothing_goes_while_another_uses_it(cache: Cache, guest: Callable[[], subprocess.Popen[str]]) -> None:
    with guest() as process:
        done = relenv(cache.root, "prune", "--all")
        process.communicate()
    assert done.returncode == 11
    assert "another relenv is using the cache" in done.stderr
    assert len(survey(cache)) == 11


def test_whoever_comes_while_it_is_pruned_waits(cache: Cache) -> None:
    with cache.alone():
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, cache.root], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.7)
    assert process.communicate()[0] == "in\n"


def test_the_command(cache: Cache) -> None:
    os.close(cache.users)
    shown = relenv(cache.root, "show")
    assert shown.returncode == 0, shown.stderr
    assert "interpreters, for bundles" in shown.stdout
    assert relenv(cache.root).stdout == shown.stdout
    would = json.loads(relenv(cache.root, "prune", "--dry-run", "--json").stdout)
    assert relenv(cache.root, "prune").stdout.splitlines() == [entry["path"] for entry in would["removed"]]
    assert relenv(cache.root, "prune").stdout == ""
    assert relenv(cache.root, "prune", "--older-than", "soon").returncode == 2
    assert json.loads(relenv(cache.root, "prune", "--all", "--json").stdout)["removed"]
    assert json.loads(relenv(cache.root, "show", "--json").stdout)["entries"] == []


def test_no_cache_is_made_and_no_other_directory_touched(tmp_path: Path) -> None:
    for action in ("show", "prune"):
        done = relenv(tmp_path / "none", action)
        assert (done.returncode, done.stdout) == (0, "")
        assert "there is no cache yet" in done.stderr
    assert not (tmp_path / "none").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").touch()
    assert relenv(tmp_path / "mine", "prune", "--all").returncode == 11
    assert (tmp_path / "mine/thesis.tex").exists()


@pytest.mark.parametrize(("days", "said"), [(0.5, "today"), (1.5, "yesterday"), (40, "40 days ago")])
def test_ages(days: float, said: str) -> None:
    assert ago(NOW - days * DAY, now=NOW) == said
