"""Nothing of the machine's own headers and libraries enters a build: every file that a step opens is looked at."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conftest import Relenv

import relenv as package

BUILD = """\
import os, sys
from relenv.build import build
from relenv.context import Context
from relenv.plan import make_plan
from relenv.recipes.libraries import LIBRARIES
from relenv.toolchain import key_for
from relenv.ui import open_ui

context = Context(environ=os.environ, ui=open_ui(quiet=True, verbose=False), jobs=2)
for name in sys.argv[1:]:
    source = context.sources.resolve(name, [one.source for one in LIBRARIES[name]])
    recipe = next(one for one in LIBRARIES[name] if one.source == source)
    build(make_plan(recipe, {}, platform=context.platform, toolchain_key=key_for(context.platform)), context.workshop())
"""
CONFIGURED = """\
import dataclasses, os
from relenv.build import build
from relenv.context import Context
from relenv.plan import make_plan
from relenv.recipes.toolchain import AIM, PARTS
from relenv.toolchain import key_for
from relenv.ui import open_ui

context = Context(environ=os.environ, ui=open_ui(quiet=True, verbose=False), jobs=2)
parts = {}
for name, releases in PARTS.items():
    source = context.sources.resolve(name, [one.source for one in releases])
    parts[name] = next(one for one in releases if one.source == source)
steps = parts[AIM].steps
end = next(at for at, step in enumerate(steps) if getattr(step, "argv", ())[:2] == ("make", "configure-gcc"))
aim = dataclasses.replace(parts[AIM], steps=steps[: end + 1])
build(make_plan(aim, parts, platform=context.platform, toolchain_key=key_for(context.platform)), context.workshop())
"""
"""Builds all that GCC is made of and made with, and has GCC itself look for what there is."""
OPENED = re.compile(r'open(?:at2?\([^,]+, |\()"([^"]+)".* = \d+<(.*)>$', re.MULTILINE)
"""The name that was asked for, and where that is: links, `..` and the current directory make it another place."""
STARTED = re.compile(r'execve\("([^"]+)", .* = 0$', re.MULTILINE)
FORKED = re.compile(r"(?:vfork|fork|clone3?)\(.* = (\d+)$", re.MULTILINE)
INPUT = re.compile(r"\.(h|hpp|a|o|la|pc|m4|ld)$|/lib[^/]*\.so$|/crt[^/]*$")
"""What a compiler, a linker or a configure script takes in. Shared libraries with a number are what programs run on."""
DEVELOPMENT = re.compile(
    r"(/usr)?(/local)?/(include|lib\d*/(gcc|gcc-cross|llvm[^/]*|clang|pkgconfig|cmake)|libexec/gcc"
    r"|[^/]+-linux-gnu[^/]*/include|share/(aclocal|pkgconfig|cmake[^/]*)|lib/[^/]+-linux-gnu[^/]*/(pkgconfig|cmake))(/|$)"
)
"""Where a machine has what is there to build with: headers of C++ have no ending, as `/usr/include/c++/12/vector`."""
OURS = (Path(sys.prefix), Path(sys.base_prefix), Path(package.__file__).parent)
"""Where relenv itself runs from."""
ASKED_FOR_ITS_VERSION = ("rustc",)
"""pip runs it with --version for its user agent; what it is itself linked with enters nothing."""
FINE = (
    *("/dev/", "/proc/", "/etc/", "/usr/share/perl", "/usr/lib/x86_64-linux-gnu/perl"),
    "/usr/lib/x86_64-linux-gnu/gconv/",  # glibc loads these into what a configure script has compiled, and runs
)


def strangers(log: Path, places: Sequence[Path]) -> set[tuple[str, str]]:
    """Return the program and the file of each input that lies in none of some places."""
    inside = (*FINE, *(f"{place.resolve()}/" for place in places))
    started: dict[str, str] = {}
    parents: dict[str, str] = {}
    taken: dict[str, set[str]] = {}
    for trace in log.parent.glob("log.*"):
        pid = trace.name.rpartition(".")[2]
        text = trace.read_text(errors="replace")  # one at a time: those of a compiler's build take gigabytes
        started[pid] = next(reversed(STARTED.findall(text)), "")
        parents |= dict.fromkeys(FORKED.findall(text), pid)
        found = {path for name, path in OPENED.findall(text) if is_input(name, path)}
        taken[pid] = {path for path in found if not path.startswith(inside)}

    def program(pid: str) -> str:
        while pid in started:
            if started[pid]:
                return started[pid]
            pid = parents.get(pid, "")
        return "?"

    return {
        (program(pid), path)
        for pid, paths in taken.items()
        if Path(program(pid)).name not in ASKED_FOR_ITS_VERSION
        for path in paths
    }


def is_input(name: str, path: str) -> bool:
    """Tell whether a file is one to build with, by the name it was asked for and the place where it is."""
    return bool(path.startswith("/") and (INPUT.search(name) or INPUT.search(path) or DEVELOPMENT.match(path)))


def traced(command: Sequence[str | Path], log: Path, env: dict[str, str]) -> None:
    """Run a command; what each of its processes opens and starts is in a file of its own, `log.<pid>`."""
    watch = "trace=open,openat,openat2,execve,fork,vfork,clone,clone3"
    start = ["strace", "-ff", "-y", "--seccomp-bpf", "-e", watch, "-o", log]
    subprocess.run([*start, *command], env=env, check=True)


@pytest.fixture
def bare(relenv: Relenv, data: Path, tmp_path: Path) -> Path:
    """A cache with the toolchain and the tarballs, and nothing built."""
    relenv("build", "--download-only")
    bare = tmp_path / "data"
    bare.mkdir()
    shutil.copy(data / "relenv-cache.json", bare)
    for name in ("toolchains", "downloads", "resolved"):
        (bare / name).symlink_to(data / name)
    return bare


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("{here}/theirs.h", "{here}/theirs.h"),
        ("theirs.h", "{here}/theirs.h"),
        ("ours/../theirs.h", "{here}/theirs.h"),
        ("ours/link.h", "{here}/theirs.txt"),
        ("ours/one.h", None),
        ("theirs.txt", None),
        # it is on every machine
        ("/usr/include", "/usr/include"),
        ("ours/include", "/usr/include"),
    ],
)
def test_a_file_of_the_machine_would_be_seen(tmp_path: Path, name: str, seen: str | None) -> None:
    (tmp_path / "ours").mkdir()
    for path in ("ours/one.h", "theirs.h", "theirs.txt"):
        (tmp_path / path).write_text("")
    (tmp_path / "ours/link.h").symlink_to(tmp_path / "theirs.txt")
    (tmp_path / "ours/include").symlink_to("/usr/include")
    log = tmp_path / "log"
    asked = name.format(here=tmp_path)
    traced(["sh", "-c", 'cd "$1" && cat "$2"; true', "sh", tmp_path, asked], log, dict(os.environ))
    found = {(Path(program).name, path) for program, path in strangers(log, [tmp_path / "ours"])}
    assert found == ({("cat", seen.format(here=tmp_path.resolve()))} if seen else set())


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        *(("/usr/include/c++/12/vector", True), ("/usr/local/include/thing", True), ("/usr/include", True)),
        *(("/usr/lib/gcc/x86_64-linux-gnu/12/plugin/gtype.state", True), ("/usr/libexec/gcc/x/12/cc1", True)),
        *(("/usr/lib/llvm-14/lib/clang/14/include/x", True), ("/usr/aarch64-linux-gnu/include/c++/12/map", True)),
        *(("/usr/share/aclocal/README", True), ("/usr/lib/x86_64-linux-gnu/cmake/x/y", True), ("/include/x", True)),
        *(("/usr/bin/perl", False), ("/usr/lib/x86_64-linux-gnu/libc.so.6", False), ("/usr/share/doc/gcc", False)),
        *(("/usr/includes/x", False), ("pipe:[1]", False), ("/home/ada/include/x", False)),
    ],
)
def test_what_is_there_to_build_with_is_known_by_its_place(path: str, is_one: bool) -> None:  # noqa: FBT001
    assert is_input(path, path) == is_one


def test_libraries_are_built_from_their_source_and_the_toolchain_alone(bare: Path, data: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    env = {**os.environ, "RELENV_DATA": str(bare)}
    traced([sys.executable, "-c", BUILD, "zlib", "libffi", "bzip2"], log, env)
    assert len(list((bare / "store").iterdir())) == 3
    assert strangers(log, [bare.resolve(), data.resolve(), *OURS]) == set()


@pytest.mark.nightly
@pytest.mark.parametrize("python", ["3.11.2", "3.13"])
def test_an_interpreter_is_too(python: str, bare: Path, data: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    env = {**os.environ, "RELENV_DATA": str(bare)}
    traced([sys.executable, "-m", "relenv", "build", "--python", python], log, env)
    assert strangers(log, [bare.resolve(), data.resolve(), *OURS]) == set()


@pytest.mark.nightly
def test_a_toolchain_is_too(bare: Path, data: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    env = {**os.environ, "RELENV_DATA": str(bare)}
    traced([sys.executable, "-c", CONFIGURED], log, env)
    assert strangers(log, [bare.resolve(), data.resolve(), *OURS]) == set()
