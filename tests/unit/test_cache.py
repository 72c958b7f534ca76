"""The cache: who uses it, what is in it, what goes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nobody import as_nobody

from relenv import current, interpreter
from relenv.cli import main
from relenv.context import Context
from relenv.errors import CacheError
from relenv.housekeeping import ago, choose, programs_below, prune, survey
from relenv.interpreter import forget, key_of
from relenv.plan import make_plan
from relenv.platforms import host_platform
from relenv.recipes.cpython import CPYTHON
from relenv.recipes.libraries import LIBRARIES
from relenv.store import Cache, is_cache_there, open_cache
from relenv.toolchain import directory_for, key_for
from relenv.training import aim_for
from relenv.ui import open_ui

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relenv.recipes.model import Recipe

DAY = 86400
NOW = time.time()

PLACES = {
    "store/python-3.13.15-0123": ("interpreters", 40),
    "store/trimmed-python-3.13.15-0123-4567": ("parts of bundles", 40),
    "store/tarball-3.13.15-0123": ("interpreters, as tarballs", 1),
    "store/.trimmed-python-3.13.15-0123-4567.77.part": ("left over", 1),
    "store/zlib-1.3.1-4567": ("libraries and their like", 1),
    "store/xz-5.8.1-89ab": ("libraries and their like", 31),
    "logs/zlib-1.3.1-4567": ("logs of builds", 90),
    "logs/xz-5.8.1-gone": ("logs of builds", 0),
    "downloads/0123-zlib-1.3.1.tar.gz": ("sources", 0),
    "downloads/0123-zlib-1.3.1.tar.gz.part": ("left over", 0),
    "work/openssl-3.5.7-cdef.123": ("left over", 0),
    "work/python-3.13.15-0123.partial": ("left over", 0),
    "work/gone-0f": ("left over", 0),
    "work/bundle-1-0f": ("left over", 0),
    "toolchains/gcc": ("toolchains", 100),
    "toolchains/gcc-tools-0f": ("toolchains", 1),
    "pip": ("wheels of pip and uv", 3),
    "resolved/zlib.json": ("lists of sources", 400),
    "apt/trixie-0f": ("lists of sources", 400),
    "buildenv/0f": ("names for build tools", 400),
    "what is this": ("unknown", 400),
}
"""Kind and days since the last use, by place."""
WASTE = {place for place, (kind, _) in PLACES.items() if kind == "left over"} | {"logs/xz-5.8.1-gone"}
USABLE = {
    *("store/python-3.13.15-0123", "store/tarball-3.13.15-0123", "store/zlib-1.3.1-4567", "store/xz-5.8.1-89ab"),
    *("downloads/0123-zlib-1.3.1.tar.gz", "toolchains/gcc"),
}

OPEN = (
    "import sys; from pathlib import Path; from relenv.store import open_cache; cache = open_cache(Path(sys.argv[1]))"
)
USING = f"{OPEN}; cache.use(Path(sys.argv[2])); print('in', flush=True); sys.stdin.read()"
MAKING = f"""{OPEN}
from relenv.ui import open_ui
with cache.lock(sys.argv[2], open_ui(quiet=True)):
    print('in', flush=True)
    sys.stdin.read()
"""
PRUNING = f"""{OPEN}
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been ignored
from relenv.housekeeping import choose, prune, survey
def tell(entry):
    print('in', flush=True)
    time.sleep(60)
prune(cache, choose(survey(cache), everything=True, now=time.time()), tell=tell)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "cache"
    os.close(open_cache(root).users)
    for place, (_, days) in PLACES.items():
        path = root / place
        file = path if place.startswith(("downloads", "resolved")) else path / "file"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x" * 5000)
        os.utime(path, (NOW - days * DAY,) * 2)
    return root


@pytest.fixture
def cache(root: Path) -> Iterator[Cache]:
    cache = open_cache(root)
    yield cache
    os.close(cache.users)


@contextmanager
def another(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a Python beside the test, from where it says `in` to the end of the body."""
    words = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "in\n"
            yield process
        finally:
            process.kill()


def relenv(cache: Path, *arguments: str, command: str = "cache") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "relenv", command, *arguments],
        env={**os.environ, "RELENV_DATA": str(cache)},
        check=False,
        capture_output=True,
        text=True,
    )


def context_for(root: Path) -> Context:
    return Context(environ={"RELENV_DATA": str(root)}, ui=open_ui(quiet=True), jobs=1)


def record(context: Context) -> dict[str, Recipe]:
    """Choose the last release of each library, and return these."""
    chosen = {name: releases[-1] for name, releases in LIBRARIES.items()}
    for name, recipe in chosen.items():
        context.sources._record(name, [release.source for release in LIBRARIES[name]]).write(recipe.source)
    return chosen


def there(cache: Cache) -> set[str]:
    return {entry.place for entry in survey(cache)}


def prune_all(cache: Cache) -> dict[str, str]:
    """Prune everything, and return what stays, and why."""
    pruned = prune(cache, choose(survey(cache), everything=True, now=NOW))
    busy = {busy.entry.place: busy.why for busy in pruned.busy}
    assert there(cache) == set(busy)
    return busy


def test_everything_in_it_has_a_kind(cache: Cache) -> None:
    assert {entry.place: entry.kind.name for entry in survey(cache)} == {
        place: kind for place, (kind, _) in PLACES.items()
    }


def test_locks_are_those_of_whoever_makes_it(cache: Cache) -> None:
    locks = {entry.place: entry.lock for entry in survey(cache)}
    assert locks["store/trimmed-python-3.13.15-0123-4567"] == "trimmed-python-3.13.15-0123-4567"
    assert locks["store/.trimmed-python-3.13.15-0123-4567.77.part"] == "trimmed-python-3.13.15-0123-4567"
    assert locks["work/openssl-3.5.7-cdef.123"] == locks["work/openssl-3.5.7-cdef.123"] == "openssl-3.5.7-cdef"
    assert locks["work/python-3.13.15-0123.partial"] == "python-3.13.15-0123"
    assert locks["downloads/0123-zlib-1.3.1.tar.gz.part"] == locks["downloads/0123-zlib-1.3.1.tar.gz"]
    assert locks["resolved/zlib.json"] == "resolved-zlib"
    assert locks["apt/trixie-0f"] == "apt-trixie-0f"
    assert locks["logs/zlib-1.3.1-4567"] == "zlib-1.3.1-4567"


def test_a_file_of_two_names_counts_once(cache: Cache) -> None:
    folder = cache.store / "zlib-1.3.1-4567"

    def size() -> int:
        return next(entry.size for entry in survey(cache) if entry.path == folder)

    before = size()
    os.link(folder / "file", folder / "file.1")
    assert size() == before >= 5000


@pytest.mark.parametrize(
    ("usable", "older_than", "going"),
    [
        (USABLE, None, WASTE),
        (
            USABLE,
            30,
            {
                *WASTE,
                *("store/python-3.13.15-0123", "store/trimmed-python-3.13.15-0123-4567", "store/xz-5.8.1-89ab"),
                *("toolchains/gcc", "logs/zlib-1.3.1-4567"),
            },
        ),
        (
            USABLE - {"store/python-3.13.15-0123", "store/zlib-1.3.1-4567", "toolchains/gcc"},
            None,
            {
                *WASTE,
                *("store/python-3.13.15-0123", "store/trimmed-python-3.13.15-0123-4567"),
                *("store/zlib-1.3.1-4567", "logs/zlib-1.3.1-4567", "toolchains/gcc", "toolchains/gcc-tools-0f"),
            },
        ),
        (USABLE - {"downloads/0123-zlib-1.3.1.tar.gz"}, None, {*WASTE, "downloads/0123-zlib-1.3.1.tar.gz"}),
    ],
)
def test_what_is_of_no_use_goes(cache: Cache, usable: set[str], older_than: float | None, going: set[str]) -> None:
    chosen = choose(survey(cache), usable=usable, older_than=older_than, now=NOW)
    assert {entry.place for entry in chosen} == going
    assert prune(cache, chosen).removed == chosen
    assert there(cache) == set(PLACES) - going


def test_everything_is_everything_but_the_cache_itself(cache: Cache) -> None:
    cache.use(cache.store / "zlib-1.3.1-4567")
    os.close(cache.uses.popitem()[1])
    assert prune_all(cache) == {}
    assert {path.name for path in cache.root.glob("*/*")} == {"users", "prune.lock"}
    assert is_cache_there(cache.root)


def test_a_dry_run_removes_nothing(cache: Cache) -> None:
    before = survey(cache)
    pruned = prune(cache, choose(before, everything=True, now=NOW), dry=True)
    assert pruned.removed == before
    assert survey(cache) == before


def test_what_can_be_used_is_what_building_looks_for(tmp_path: Path) -> None:
    context = context_for(tmp_path / "cache")
    chosen = record(context)
    usable = current.usable(context)
    platform = host_platform()

    def plan(**others: int) -> tuple[str, set[str]]:
        libraries = {**chosen, **{name: LIBRARIES[name][at] for name, at in others.items()}}
        plan = make_plan(CPYTHON[-1], libraries, platform=platform, toolchain_key=key_for(platform))
        return f"store/python-{plan.aim.recipe.version}-{key_of(plan)}", {f"store/{node.slug}" for node in plan.nodes}

    python, artifacts = plan()
    assert {python, *artifacts} < usable
    assert python.replace("store/python-", "store/tarball-") in usable
    assert len([place for place in usable if place.startswith("store/cpython-profile-3.11.2-")]) == 1
    assert any(place.startswith("downloads/1e66a7945a48390e-Python-3.13.15.tar") for place in usable)
    assert f"toolchains/{directory_for(platform)}" in usable
    # a release that was not chosen, and all that is built on it
    python, artifacts = plan(zlib=0)
    assert python not in usable
    assert len(artifacts - usable) == 2
    (context.cache.root / "resolved" / "zlib.json").unlink()
    assert {python, *artifacts} < current.usable(context)
    # what of an older recipe there is
    assert "store/zlib-1.3.1-0123456789abcdef" not in usable


def test_what_another_makes_stays(cache: Cache) -> None:
    with another(MAKING, cache.root, "python-3.13.15-0123"):
        busy = prune_all(cache)
    why = "another relenv is making it"
    assert {place for place in busy if busy[place] == why} == {
        "store/python-3.13.15-0123",
        "work/python-3.13.15-0123.partial",
    }
    # it has no lock of its own: whoever is there may be using it
    assert {place for place in busy if busy[place] != why} == {"what is this", "work/bundle-1-0f", "buildenv/0f"}


def test_to_ask_who_is_there_is_not_to_leave(cache: Cache) -> None:
    with another(USING, cache.root, "x"), cache.alone() as alone:
        assert not alone
    visitor = open_cache(cache.root)
    with visitor.alone() as alone:
        assert not alone
    os.close(cache.users)
    with visitor.alone() as alone:
        assert alone
    os.dup2(visitor.users, cache.users)
    os.close(visitor.users)


def test_what_another_uses_stays(cache: Cache) -> None:
    with another(USING, cache.root, cache.store / "zlib-1.3.1-4567"):
        busy = prune_all(cache)
        # a new file of that name would be another lock
        assert (cache.root / "locks/zlib-1.3.1-4567.use").exists()
    assert busy["store/zlib-1.3.1-4567"] == "another relenv is using it"
    assert "store/xz-5.8.1-89ab" not in busy
    # however it ended
    assert prune_all(cache) == {}


def test_what_is_used_is_as_new(cache: Cache) -> None:
    cache.use(cache.store / "python-3.13.15-0123")
    cache.use(cache.store / "python-3.13.15-none")
    (entry,) = [entry for entry in survey(cache) if entry.place == "store/python-3.13.15-0123"]
    assert time.time() - entry.used < DAY / 2
    assert "store/python-3.13.15-none" not in there(cache)


def test_what_a_program_runs_from_stays(cache: Cache) -> None:
    program = cache.store / "python-3.13.15-0123/python3"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "60"], cwd=cache.root / "pip") as sleeping:
        try:
            while program not in programs_below(cache.root):
                time.sleep(0.01)
            busy = prune_all(cache)
        finally:
            sleeping.kill()
    assert busy == dict.fromkeys(("store/python-3.13.15-0123", "pip"), "a program that runs came from it")


def test_maps_and_exe_are_read_each_for_itself(tmp_path: Path) -> None:
    for number, name in enumerate(("exe", "cwd", "maps"), start=1):
        (tmp_path / "proc" / str(number)).mkdir(parents=True)
        link = tmp_path / "proc" / str(number) / name
        if name == "maps":
            link.write_text(
                f"7f00-7f01 r-xp 00000000 08:01 42    {tmp_path}/c/a lib.so\n7f02-7f03 rw-p 00000000 00:00 0\n"
            )
        else:
            link.symlink_to(tmp_path / "c" / name)
    (tmp_path / "proc/4").mkdir()
    assert programs_below(tmp_path / "c", tmp_path / "proc") == {tmp_path / "c" / x for x in ("exe", "cwd", "a lib.so")}


def test_whoever_comes_while_it_loses_its_name_waits(cache: Cache) -> None:
    path = cache.store / "zlib-1.3.1-4567"
    words = [sys.executable, "-c", USING, cache.root, path]
    with cache.unused(path.name) as unused:
        assert unused
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.7)
    assert process.communicate(timeout=20)[0] == "in\n"


def test_one_prunes_at_a_time(cache: Cache) -> None:
    with another(PRUNING, cache.root), pytest.raises(CacheError, match="another relenv is pruning"):
        prune(cache, survey(cache))


def test_an_interrupt_leaves_names_to_what_is_whole_alone(root: Path) -> None:
    with another(PRUNING, root) as process:
        # all names are gone before the first file is
        cache = open_cache(root)
        assert {entry.path.parent for entry in survey(cache)} == {cache.work}
        process.send_signal(signal.SIGINT)
        process.communicate()
        assert process.returncode != 0
    assert len(there(cache)) == len(PLACES)
    done = relenv(root, "prune", "--all", "--json")
    assert len(json.loads(done.stdout)["removed"]) == len(PLACES)
    os.close(cache.users)


def test_what_may_not_be_written_to_goes_too(cache: Cache) -> None:
    (cache.work / "closed").mkdir(mode=0o555)
    if os.access(cache.work / "closed", os.W_OK):
        pytest.skip("root may write everywhere")
    folder = cache.store / "zlib-1.3.1-4567"
    (folder / "lib").mkdir()
    (folder / "lib").chmod(0o555)
    folder.chmod(0o555)
    assert prune_all(cache) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes directories of two users")
def test_what_cannot_be_removed_keeps_nothing_else(root: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "cache")
        shutil.copytree(root, place)
        for path in (Path(folder), *Path(folder).rglob("*")):
            os.chown(path, 65534, 65534)
        # of root's as a whole, and with something of root's in it
        os.chown(place / "store/zlib-1.3.1-4567", 0, 0)
        (place / "store/xz-5.8.1-89ab/lib").mkdir()
        (place / "store/xz-5.8.1-89ab/lib/it").touch()
        with as_nobody():
            cache = open_cache(place)
            pruned = prune(cache, choose(survey(cache), everything=True, now=NOW))
        os.close(cache.users)
        why = {busy.entry.place: busy.why for busy in pruned.busy}
        assert set(why) == {"store/zlib-1.3.1-4567", "store/xz-5.8.1-89ab"}
        assert why["store/zlib-1.3.1-4567"] == "it cannot be removed (Operation not permitted)"
        (left,) = there(cache) - {"store/zlib-1.3.1-4567"}
        assert left.startswith("work/gone-")
        assert why["store/xz-5.8.1-89ab"] == f"{place / left} cannot be removed whole (Permission denied)"
        assert {one.place for one in pruned.removed} == set(PLACES) - set(why)


def test_the_command(root: Path) -> None:
    context = context_for(root)
    record(context)
    os.close(context.cache.users)
    toolchain = root / "toolchains" / directory_for(host_platform())
    toolchain.mkdir()
    shown = relenv(root)
    assert shown.returncode == 0, shown.stderr
    assert "parts of bundles" in shown.stdout
    assert shown.stdout == relenv(root, "show").stdout
    described = json.loads(relenv(root, "--json").stdout)
    assert described == json.loads(relenv(root, "show", "--json").stdout)
    assert described["size"] == sum(entry["size"] for entry in described["entries"])
    would = json.loads(relenv(root, "--json", "prune", "--dry-run").stdout)
    going = [entry["path"] for entry in would["removed"]]
    # nothing there is of this relenv
    assert f"{root}/store/zlib-1.3.1-4567" in going
    assert f"{root}/pip" not in going
    assert str(toolchain) not in going
    assert relenv(root, "prune").stdout.splitlines() == going
    assert relenv(root, "prune").stdout == ""
    assert relenv(root, "prune", "--older-than", "2").stdout.splitlines() == [f"{root}/pip"]
    assert relenv(root, "prune", "--older-than", "soon").returncode == 2
    assert json.loads(relenv(root, "prune", "--all", "--json").stdout)["removed"]
    assert json.loads(relenv(root, "--json").stdout)["entries"] == []


def test_what_stays_is_said(root: Path) -> None:
    with another(USING, root, root / "store/zlib-1.3.1-4567"):
        done = relenv(root, "prune", "--all", "--json")
    assert done.returncode == 0
    said = {busy["path"]: busy["why"] for busy in json.loads(done.stdout)["busy"]}
    assert said[f"{root}/store/zlib-1.3.1-4567"] == "another relenv is using it"
    assert f"{root}/store/zlib-1.3.1-4567 stays: another relenv is using it" in done.stderr


@pytest.mark.parametrize("action", ["show", "prune"])
def test_no_cache_is_made_and_no_other_directory_touched(
    action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(name: str, *options: str) -> int:
        return main(["cache", action, *options], {"RELENV_DATA": str(tmp_path / name)})

    (tmp_path / "empty").mkdir()
    for name in ("none", "empty"):
        assert run(name) == 0
        told = capsys.readouterr()
        assert not told.out
        assert "there is no cache yet" in told.err
        assert run(name, "--json") == 0
        assert json.loads(capsys.readouterr().out)["size"] == 0
    assert not (tmp_path / "none").exists()
    assert not list((tmp_path / "empty").iterdir())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").touch()
    (tmp_path / "file").touch()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/relenv-cache.json").touch()
    for name in ("mine", "file", "damaged"):
        assert run(name, *(["--all"] if action == "prune" else [])) == CacheError.exit_code
    assert (tmp_path / "mine/thesis.tex").exists()


def test_forgetting_waits_for_whoever_lays_it_out(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = host_platform()
    libraries = {name: releases[0] for name, releases in LIBRARIES.items()}
    (recipe,) = [recipe for recipe in CPYTHON if recipe.version == "3.13.15"]
    plan = make_plan(recipe, libraries, platform=platform, toolchain_key=key_for(platform))
    monkeypatch.setattr(interpreter, "resolve_plan", lambda _context, _releases, **_: plan)
    context = context_for(cache.root)
    artifact = cache.store / plan.nodes[0].slug
    artifact.mkdir()
    path = cache.store / "python-3.13.15-0123"
    with another(MAKING, cache.root, path.name) as process:
        thread = threading.Thread(target=forget, args=(context, (recipe,)))
        thread.start()
        thread.join(0.7)
        assert path.exists()
        process.communicate("")
        thread.join(20)
    assert not path.exists()
    assert not artifact.exists()
    assert {place for place in there(cache) if place.startswith("work/gone-")} == {"work/gone-0f"}
    assert (cache.store / "zlib-1.3.1-4567").exists()


def test_what_was_packed_of_it_is_forgotten_too(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = {name: releases[0] for name, releases in LIBRARIES.items()}
    (recipe,) = [recipe for recipe in CPYTHON if recipe.version == "3.13.15"]
    plan = make_plan(recipe, libraries, platform=host_platform(), toolchain_key="0")
    monkeypatch.setattr(interpreter, "resolve_plan", lambda _context, _releases, **_: plan)
    stay = ["tarball-3.13.5-01", "tarball-toolchain-15.3.0-01"]
    for name in ("tarball-3.13.15-01", *stay):
        (cache.store / name).mkdir()
    forget(context_for(cache.root), (recipe,))
    assert sorted(path.name for path in cache.store.glob("tarball-*") if path.name.endswith("-01")) == stay


def test_a_training_is_forgotten_alone(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = {name: releases[0] for name, releases in LIBRARIES.items()}
    (recipe,) = [recipe for recipe in CPYTHON if recipe.version == "3.13.15"]
    plan = make_plan(aim_for(recipe, "ppbt-0.1.8"), libraries, platform=host_platform(), toolchain_key="0")
    monkeypatch.setattr(interpreter, "resolve_plan", lambda _context, _releases, aim_of: plan if aim_of else None)
    (cache.store / "python-3.13.15-01").mkdir()
    (cache.store / plan.aim.slug).mkdir()
    forget(context_for(cache.root), (recipe,), aim_of=aim_for)
    assert (cache.store / "python-3.13.15-01").exists()
    assert not (cache.store / plan.aim.slug).exists()


def test_versions_tells_of_profiles(tmp_path: Path) -> None:
    listed = json.loads(relenv(tmp_path / "cache", "--json", command="versions").stdout)
    profiles = {version["version"]: version["profiles"] for version in listed}
    assert "ppbt-0.1.8" in profiles["3.13.15"]
    assert profiles["3.14.7"] == []
    assert "ppbt-0.1.8" in relenv(tmp_path / "cache", command="versions").stdout


@pytest.mark.parametrize(("days", "said"), [(0.5, "today"), (1.5, "yesterday"), (40, "40 days ago")])
def test_ages(days: float, said: str) -> None:
    assert ago(NOW - days * DAY, now=NOW) == said


@pytest.mark.parametrize("name", ["a\nb", "caf\udce9"])
def test_a_path_that_cannot_be_written_down_is_refused_at_the_door(tmp_path: Path, name: str) -> None:
    with pytest.raises(CacheError, match=r"has control characters in its path, or what is no UTF-8"):
        open_cache(tmp_path / name)
    assert not any(tmp_path.iterdir())
    assert open_cache(tmp_path / "caf\u00e9 \u4e16 it's").root.is_dir()


def test_the_command_removes_what_a_killed_run_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = open_cache(tmp_path / "cache")
    os.close(cache.users)
    left = (cache.work / ".builder-python.01234567.part", cache.work / "layer-1.partial", cache.root / "locks/x.lock")
    left[0].mkdir(parents=True)
    for path in left[1:]:
        path.touch()
    assert main(["cache", "prune"], {"RELENV_DATA": str(cache.root)}) == 0
    assert "another relenv" not in capsys.readouterr().err
    assert not any(path.exists() for path in left)
