"""The executor, on recipes that need no compiler."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import threading
import time
from pathlib import Path

import pytest

from relenv import process
from relenv.build import Artifact, Budget, Workshop, _io_error, build
from relenv.context import Context
from relenv.errors import BuildError, HostError, OutputError, SourceError
from relenv.interpreter import Interpreter, _laying_out
from relenv.plan import Plan, make_plan
from relenv.platforms import PLATFORMS
from relenv.recipes.model import Copy, Recipe, Remove, Replace, Run, Source, Step, Write
from relenv.store import Cache, open_cache
from relenv.toolchain import Toolchain
from relenv.ui import open_ui


def _tarball(folder: Path) -> Path:
    path = folder / "source.tar.gz"
    if not path.exists():
        with tarfile.open(path, "w:gz") as tar:
            for name, text in (("thing-1/LICENSE", "free\n"), ("thing-1/in.txt", "one two one\n")):
                info = tarfile.TarInfo(name)
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
    return path


def _recipe(name: str, *steps: Step, needs: tuple[str, ...] = (), cost: float = 1) -> Recipe:
    source = Source(version="1", filename="source.tar.gz", sha256=hashlib.sha256(name.encode()).hexdigest())
    return Recipe(
        name=name, source=source, steps=steps, needs=needs, licence="MIT", licence_files=("LICENSE",), cost=cost
    )


def _sh(script: str) -> Run:
    return Run(argv=("sh", "-ec", script))


def _plan(*recipes: Recipe) -> Plan:
    named = {recipe.name: recipe for recipe in recipes}
    return make_plan(recipes[-1], named, platform=PLATFORMS["x86_64-linux-gnu"], toolchain_key="none")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return open_cache(tmp_path / "cache")


def _build(plan: Plan, cache: Cache, tmp_path: Path, **changes: object) -> dict[str, Artifact]:
    tarball = changes.pop("tarball", lambda _source: _tarball(tmp_path))
    toolchain = Toolchain(name="none", triplet="x86_64-linux-gnu", key="none", root=tmp_path / "toolchain")
    shop = Workshop(
        cache=cache,
        ui=open_ui(quiet=True),
        environ=changes.pop("environ", os.environ),  # type: ignore[arg-type]
        jobs=2,
        toolchain={toolchain.key: toolchain}.__getitem__,
        tarball=tarball,  # type: ignore[arg-type]
    )
    return build(plan, shop)


def test_the_steps_make_the_artifact(cache: Cache, tmp_path: Path) -> None:
    steps = (
        Replace(path="{src}/in.txt", old="one", new="1"),
        Write(path="{src}/made/run.sh", text="#!/bin/sh\necho hello\n", mode=0o755),
        _sh("./made/run.sh > out.txt"),
        Copy(pattern="{src}/*.txt", into="{out}/share"),
        Write(path="{out}/share/rest", text=""),
        Remove(pattern="{out}/share/re*"),
    )
    path = _build(_plan(_recipe("thing", *steps)), cache, tmp_path)["thing"].path
    found = {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}
    assert found == {"share/in.txt", "share/out.txt", "licenses/thing-1/LICENSE", "artifact.json"}
    assert (path / "share/in.txt").read_text() == "1 two 1\n"
    assert (path / "share/out.txt").read_text() == "hello\n"
    assert json.loads((path / "artifact.json").read_text())["name"] == "thing"
    assert list(cache.work.iterdir()) == []


def test_what_is_in_the_store_is_not_built_again(cache: Cache, tmp_path: Path) -> None:
    count = tmp_path / "count"
    plan = _plan(_recipe("thing", _sh(f"echo x >> {count}")))
    _build(plan, cache, tmp_path)
    _build(plan, cache, tmp_path)
    assert count.read_text() == "x\n"


def test_what_is_built_with_is_used_before_anything_is_built(cache: Cache, tmp_path: Path) -> None:
    low = _recipe("low")
    _build(_plan(low), cache, tmp_path)
    again = open_cache(cache.root)
    plan = _plan(low, _recipe("bad", _sh("exit 1"), needs=("low",)))
    with pytest.raises(BuildError):
        _build(plan, again, tmp_path)
    assert set(again.uses) == {node.slug for node in plan.nodes}


def test_a_need_is_there_when_it_is_needed(cache: Cache, tmp_path: Path) -> None:
    low = _recipe("low", Write(path="{out}/lib/low.txt", text="from below"))
    high = _recipe("high", Copy(pattern="{deps}/lib/low.txt", into="{out}/lib"), needs=("low",))
    artifacts = _build(_plan(low, high), cache, tmp_path)
    assert (artifacts["high"].path / "lib/low.txt").read_text() == "from below"


def test_the_environment_is_ours_alone(cache: Cache, tmp_path: Path) -> None:
    recipe = _recipe("thing", _sh("env | sort > {out}/env; command -v gcc > {out}/gcc"))
    environ = {"PATH": os.environ["PATH"], "CFLAGS": "-march=native", "SECRET": "x"}
    path = _build(_plan(recipe), cache, tmp_path, environ=environ)["thing"].path
    env = dict(line.split("=", 1) for line in (path / "env").read_text().splitlines())
    assert env["CFLAGS"] == "-O2 -fPIC -pipe"
    assert "SECRET" not in env
    assert env["PATH"].endswith("/tools")
    assert (path / "gcc").read_text().rstrip().endswith("/tools/gcc")


def test_the_work_directory_is_forgotten(cache: Cache, tmp_path: Path) -> None:
    path = _build(_plan(_recipe("thing", _sh("pwd > {out}/where"))), cache, tmp_path)["thing"].path
    assert (path / "where").read_text() == "/relenv/src/thing/src\n"


def test_a_binary_that_names_its_work_directory_is_refused(cache: Cache, tmp_path: Path) -> None:
    recipe = _recipe("thing", _sh(r"printf '\0' > {out}/where; pwd >> {out}/where"))
    with pytest.raises(BuildError, match="where contains the path of its build"):
        _build(_plan(recipe), cache, tmp_path)
    assert not cache.store.exists() or list(cache.store.iterdir()) == []


def test_a_failure_shows_the_end_of_the_right_log(cache: Cache, tmp_path: Path) -> None:
    recipe = _recipe("thing", _sh("echo fine"), _sh("echo first; echo the reason >&2; exit 3"))
    with pytest.raises(BuildError) as caught:
        _build(_plan(recipe), cache, tmp_path)
    assert caught.value.message == "thing 1: sh -ec failed (exit 3)"
    assert caught.value.detail == "first\nthe reason"
    log = Path(caught.value.hint.removeprefix("full log: "))
    assert log.read_text() == "first\nthe reason\n"
    assert list(cache.work.iterdir()) == []
    assert not cache.store.exists() or list(cache.store.iterdir()) == []


def test_a_source_that_cannot_be_had_is_missed_before_its_turn_comes(cache: Cache, tmp_path: Path) -> None:
    built = tmp_path / "built"
    low, high = _recipe("low", _sh(f"sleep 60; touch {built}")), _recipe("high", needs=("low",))

    def tarball(source: Source) -> Path:
        if source == high.source:
            raise SourceError("high cannot be had")
        return _tarball(tmp_path)

    with pytest.raises(SourceError, match="high cannot be had"):
        _build(_plan(low, high), cache, tmp_path, tarball=tarball)
    assert not built.exists()
    assert not list(cache.work.glob("*"))
    _build(_plan(_recipe("other")), cache, tmp_path)


def test_a_failure_stops_the_others(cache: Cache, tmp_path: Path) -> None:
    done = tmp_path / "done"
    slow = _recipe("slow", _sh(f"sleep 60; touch {done}"))
    bad = _recipe("bad", _sh("exit 1"))
    both = _recipe("both", needs=("slow", "bad"))
    with pytest.raises(BuildError, match="bad 1"):
        _build(_plan(slow, bad, both), cache, tmp_path)
    assert not done.exists()
    # and commands can be run afterwards
    assert process.run(["echo", "again"]) == "again\n"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Replace(path="{src}/in.txt", old="absent", new=""), "does not contain 'absent'"),
        (Copy(pattern="{src}/*.so", into="{out}"), "the build left no"),
    ],
)
def test_a_step_that_does_nothing_is_an_error(step: Step, message: str, cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=message):
        _build(_plan(_recipe("thing", step)), cache, tmp_path)


def test_a_full_disk_is_named(cache: Cache, tmp_path: Path) -> None:
    recipe = _recipe("thing", _sh("echo 'cc1: No space left on device'; exit 1"))
    with pytest.raises(OutputError, match="the disk is full"):
        _build(_plan(recipe), cache, tmp_path)


def test_a_disk_that_is_full_while_files_are_copied_is_named(tmp_path: Path) -> None:
    (node,) = _plan(_recipe("thing")).nodes
    why = "[Errno 28] No space left on device: '/a/0' -> '/b/0'"
    error = _io_error(shutil.Error([(f"/a/{n}", f"/b/{n}", why) for n in range(1000)]), node, tmp_path)
    assert error.message == f"thing 1 in {tmp_path}: the disk is full"
    error = _io_error(shutil.Error([("/a", "/b", "[Errno 31] Too many links: '/a' -> '/b'")] * 9), node, tmp_path)
    assert error.message == "thing 1: Too many links (/b)"


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ("strip: x: No space left on device", OutputError, r"^Python 3\.13\.15 in .*/work: the disk is full$"),
        ("OSError: Disk quota exceeded", OutputError, "the disk is full$"),
        ("strip: x: bad value", BuildError, r"^Python 3\.13\.15: sh -c failed \(exit 3\)$"),
    ],
)
def test_what_fails_while_an_interpreter_is_laid_out_is_no_bug(
    said: str, kind: type[Exception], message: str, cache: Cache
) -> None:
    context = Context(environ={"RELENV_DATA": str(cache.root)}, ui=open_ui(quiet=True), jobs=1)
    root = cache.store / "python-3.13.15-0"
    interpreter = Interpreter(root=root, version="3.13.15", triplet="x86_64-linux-gnu", key="0")
    with pytest.raises(kind, match=message), _laying_out(context, interpreter):
        process.run(["sh", "-c", f"echo '{said}'; exit 3"])
    assert not list(cache.work.iterdir())


def test_a_missing_program_is_named_with_the_command_that_installs_it(cache: Cache, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for program in Path("/usr/bin").iterdir():
        if program.name not in ("perl", "make"):
            (tools / program.name).symlink_to(program)
    with pytest.raises(HostError, match="needs make, perl") as caught:
        _build(_plan(_recipe("thing")), cache, tmp_path, environ={"PATH": str(tools)})
    assert caught.value.hint.endswith("make perl")


@pytest.mark.parametrize("answer", ["echo 'BSD make 1.1'", "echo 'make: unknown option -- -' >&2; exit 2", "kill $$"])
def test_a_make_that_is_not_gnus_is_named(answer: str, cache: Cache, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "make").write_text(f"#!/bin/sh\n{answer}\n")
    (tools / "make").chmod(0o755)
    environ = {"PATH": f"{tools}:{os.environ['PATH']}"}
    with pytest.raises(HostError, match=f"^{tools}/make is not GNU make$") as caught:
        _build(_plan(_recipe("thing")), cache, tmp_path, environ=environ)
    assert "install GNU make" in caught.value.hint


def test_two_at_once_build_once(cache: Cache, tmp_path: Path) -> None:
    count = tmp_path / "count"
    plan = _plan(_recipe("thing", _sh(f"echo x >> {count}; sleep 0.5")))
    _tarball(tmp_path)
    threads = [threading.Thread(target=_build, args=(plan, cache, tmp_path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count.read_text() == "x\n"


def test_a_budget_is_never_exceeded_and_comes_back() -> None:
    budget = Budget(2)
    most, now = [0], [0]
    guard = threading.Lock()

    def hold() -> None:
        with budget.token(1):
            with guard:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.02)
            with guard:
                now[0] -= 1

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [2]
    assert os.read(budget.read, 9) == b"++"
    budget.close()


def test_make_shares_the_budget(cache: Cache, tmp_path: Path) -> None:
    """Two makes with four jobs each run no more than two at a time."""
    trace = tmp_path / "trace"
    makefile = "all: a b c d\n%:\n\t@echo + >> TRACE; sleep 0.2; echo - >> TRACE\n".replace("TRACE", str(trace))
    steps = (Write(path="{src}/Makefile", text=makefile), Run(argv=("make",)))
    one, two = _recipe("one", *steps), _recipe("two", *steps)
    _build(_plan(one, two, _recipe("both", needs=("one", "two"))), cache, tmp_path)
    level = most = 0
    for line in trace.read_text().split():
        level += 1 if line == "+" else -1
        most = max(most, level)
    assert most == 2
