"""The variables and the compilers of `relenv buildenv`, with a compiler that tells what it was asked."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from relenv.buildenv import Tree, compiler_script, lay_compilers, lay_name, open_tree, shell, variables
from relenv.cli import main
from relenv.errors import CacheError, HostError, UsageError
from relenv.relocate.sysconfig import _makefile
from relenv.store import open_cache
from relenv.toolchain import Toolchain
from relenv.ui import open_ui

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Compile = Callable[..., list[str]]

TRIPLET = "x86_64-linux-gnu"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What of a tree is looked at."""
    root = tmp_path / "env"
    for name in ("include/python3.13/Python.h", "lib/libcrypto.so", "lib/pkgconfig/zlib.pc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "relenv.json").write_text(json.dumps({"platform": TRIPLET}))
    return root


@pytest.fixture
def toolchain(tmp_path: Path) -> Toolchain:
    toolchain = Toolchain(name="tc-1", triplet=TRIPLET, key="k", root=tmp_path / "a toolchain")
    (toolchain.root / "bin").mkdir(parents=True)
    toolchain.tool("gcc").write_text('#!/bin/sh\nfor word do echo "$word"; done; echo "CPATH=${CPATH-unset}"\n')
    toolchain.tool("gcc").chmod(0o755)
    return toolchain


@pytest.fixture
def compiled(root: Path, toolchain: Toolchain, tmp_path: Path) -> Compile:
    """Call the compiler's script, and return the words that reach the compiler."""
    script = tmp_path / "gcc"
    script.write_text(compiler_script(toolchain, "gcc"))
    script.chmod(0o755)

    def call(*words: str, tree: str = str(root)) -> list[str]:
        env = {"PATH": os.defpath, "RELENV_BUILDENV": tree, "CPATH": "/usr/include"}
        return subprocess.run([script, *words], env=env, capture_output=True, text=True, check=True).stdout.splitlines()

    return call


def _settings(root: Path, toolchain: Toolchain, **environ: str) -> dict[str, str]:
    tree = Tree(root=root, triplet=TRIPLET)
    folder = root.parent
    return variables(tree, toolchain=toolchain, tools=folder / "tools", wheels=folder / "pip", environ=environ)


def test_everything_points_to_where_the_tree_is(root: Path, toolchain: Toolchain) -> None:
    settings = _settings(root, toolchain, PATH="/usr/bin")
    moved = _settings(root.with_name("moved"), toolchain, PATH="/usr/bin")
    assert {name: value.replace(str(root), str(root.with_name("moved"))) for name, value in settings.items()} == moved
    assert settings["PKG_CONFIG_LIBDIR"] == settings["PKG_CONFIG_PATH"] == f"{root}/lib/pkgconfig"
    assert settings["CMAKE_PREFIX_PATH"] == settings["OPENSSL_DIR"] == str(root)
    assert (settings["OPENSSL_LIB_DIR"], settings["OPENSSL_INCLUDE_DIR"]) == (f"{root}/lib", f"{root}/include")
    assert settings["CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER"] == settings["CC"] == "gcc"
    assert settings["PIP_CACHE_DIR"] == f"{root.parent}/pip"


def test_what_would_do_harm_is_left_alone(root: Path, toolchain: Toolchain) -> None:
    settings = _settings(root, toolchain, CFLAGS="-O1", LDFLAGS="-s", PATH="/usr/bin")
    flags = {"CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "RUSTFLAGS"}
    others = {"LD", "LDSHARED", "LD_LIBRARY_PATH", "PIP_NO_BINARY", "PYTHONPATH"}
    assert not (flags | others) & settings.keys()


def test_the_tools_come_first_and_once(root: Path, toolchain: Toolchain) -> None:
    once = _settings(root, toolchain, PATH="/opt:/usr/bin")["PATH"]
    assert once == f"{root.parent}/tools:/opt:/usr/bin"
    assert _settings(root, toolchain, PATH=once)["PATH"] == once
    assert _settings(root, toolchain)["PATH"] == f"{root.parent}/tools:{os.defpath}"


def test_a_tree_for_another_machine_is_refused(root: Path, toolchain: Toolchain) -> None:
    tree = Tree(root=root, triplet="aarch64-linux-gnu")
    with pytest.raises(HostError, match="is for aarch64-linux-gnu"):
        variables(tree, toolchain=toolchain, tools=root, wheels=root, environ={})


def test_a_shell_gets_back_what_was_quoted() -> None:
    awkward = {"A": "a b", "B": "it's $HOME `x`\nend", "C": "", "D": "plain"}
    done = subprocess.run(
        ["/bin/sh", "-c", f"{shell(awkward)} exec env -0"], capture_output=True, text=True, check=True
    )
    assert awkward.items() <= dict(line.split("=", 1) for line in done.stdout.split("\0") if line).items()


def test_compiling_looks_into_the_tree_last(compiled: Compile, root: Path) -> None:
    words = compiled("-c", "-Iown", "a b.c")
    assert words[:3] == ["-c", "-Iown", "a b.c"]
    assert words[words.index("-isystem") + 1] == f"{root}/include"
    assert not [word for word in words if word.startswith(("-L", "-Wl", "-static", "-Xlinker"))]
    assert words[-1] == "CPATH=unset"


def test_linking_leaves_no_trace_of_the_place(compiled: Compile, root: Path) -> None:
    words = compiled("-shared", "a.o", "-Lown", "-o", "a.so")
    assert words.index("-Lown") < words.index(f"-L{root}/lib")
    assert {"-static-libgcc", "-static-libstdc++", "-Wl,--disable-new-dtags", "-pthread"} <= set(words)
    assert not [word for word in words if word.startswith("-Wl,-rpath")]


@pytest.mark.parametrize("sign", [",", "="])
def test_a_search_path_loses_what_is_in_the_tree(compiled: Compile, root: Path, sign: str) -> None:
    option = f"-Wl,-rpath{sign}"
    tree, own = f"{root}/lib/pkgconfig/../../lib", "$ORIGIN/own:/a b:/*"
    assert compiled("-shared", f"{option}{tree}", "a.o")[:2] == ["-shared", "a.o"]
    for places in (f"{tree}:{own}", f"{own}:{tree}", f"{tree}:{own}:{root}/lib"):
        assert compiled("-shared", f"{option}{places}", "a.o")[1:3] == [f"-Wl,-rpath,{own}", "a.o"]
    for untouched in (f"{option}{own}", f"{option}{own},-z,now"):
        assert compiled("-shared", untouched, "a.o")[1] == untouched


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        # as setuptools spells runtime_library_dirs
        ("-Wl,-R,{root}/lib", []),
        ("-Wl,-R{root}/lib", []),
        ("-Wl,--enable-new-dtags,-R{root}/lib", ["-Wl,--enable-new-dtags"]),
        ("-Wl,--enable-new-dtags,-rpath,{root}/lib", ["-Wl,--enable-new-dtags"]),
        ("-Wl,--rpath={root}/lib", []),
        # as libtool does
        ("-Wl,-rpath -Wl,{root}/lib", []),
        ("-Wl,-rpath -Wl,{root}/lib -Wl,-soname -Wl,a.so", ["-Wl,-soname", "-Wl,a.so"]),
        ("-Wl,-rpath -O2 -Wl,{root}/lib:/opt/lib", ["-O2", "-Wl,-rpath,/opt/lib"]),
        ("-Wl,-z,now,-rpath -Wl,{root}/lib,-s", ["-Wl,-z,now", "-Wl,-s"]),
        # word by word, past the compiler
        ("-Xlinker -rpath -Xlinker {root}/lib", []),
        ("-Xlinker --rpath -Xlinker {root}/lib:/opt/lib", ["-Wl,-rpath,/opt/lib"]),
        ("-Xlinker -R -Xlinker {root}/lib -Xlinker -soname -Xlinker a.so", ["-Wl,-soname", "-Wl,a.so"]),
        ("-Xlinker -rpath={root}/lib", []),
        ("-Xlinker -R{root}/lib", []),
        ("-Xlinker -rpath -Wl,{root}/lib", []),
        ("-Wl,-rpath -Xlinker {root}/lib -Wl,-s", ["-Wl,-s"]),
        ("-Xlinker -rpath -Xlinker /opt/lib", ["-Wl,-rpath,/opt/lib"]),
        ("-Xlinker -rpath-link -Xlinker {root}/lib", ["-Wl,-rpath-link", "-Wl,{root}/lib"]),
        # -Wl would be split at the comma
        ("-Xlinker -rpath -Xlinker /a,b", ["-Wl,-rpath", "-Xlinker", "/a,b"]),
        ("-Xlinker --wrap=a,b", ["-Xlinker", "--wrap=a,b"]),
        # one among others
        ("-Wl,-rpath,{root}/lib,-z,now", ["-Wl,-z,now"]),
        ("-Wl,-z,now,-rpath,{root}/lib", ["-Wl,-z,now"]),
        ("-Wl,-rpath,{root}/lib,-R,/opt/lib,-s", ["-Wl,-R,/opt/lib,-s"]),
    ],
)
def test_a_search_path_may_be_spelt_in_many_ways(compiled: Compile, root: Path, asked: str, given: list[str]) -> None:
    words = compiled("-shared", *asked.format(root=root).split(), "a.o")
    assert words[: words.index("a.o")] == ["-shared", *(word.format(root=root) for word in given)]


@pytest.mark.parametrize(
    "asked", ["-Wl,-rpath-link,{root}/lib,-s", "-Wl,--version-script,{root}/x.map", "-Wl,-R,/opt/lib", "-Wl,-R/opt/x"]
)
def test_other_options_for_the_linker_stay(compiled: Compile, root: Path, asked: str) -> None:
    word = asked.format(root=root)
    assert compiled("-shared", word, "a.o")[1] == word
    assert "-Wl,-rpath" in compiled("-shared", "a.o", "-Wl,-rpath")


def test_a_program_finds_libraries_from_bin(compiled: Compile) -> None:
    assert "-Wl,-rpath,$ORIGIN/../lib" in compiled("a.o", "-o", "a")


@pytest.mark.parametrize("question", [["-v"], ["--version"], ["-print-search-dirs"], ["-Wl,--version"]])
def test_a_question_gets_no_input_for_the_linker(compiled: Compile, question: list[str]) -> None:
    words = compiled(*question)
    assert words[0] == question[0]
    assert not [word for word in words[1:] if word.startswith(("-L", "-Wl", "-Xlinker"))]


def test_standard_input_is_an_input(compiled: Compile) -> None:
    assert "-Wl,--disable-new-dtags" in compiled("-xc", "-")


@pytest.mark.parametrize(
    ("asked", "given"), [("-lstdc++", ["-l:libstdc++.a", "-lm"]), ("-lgcc_s", ["-lgcc_eh", "-lgcc"])]
)
def test_runtime_libraries_by_name_are_linked_in(compiled: Compile, asked: str, given: list[str]) -> None:
    words = compiled("a.o", asked, "-lown")
    assert words[1:4] == [*given, "-lown"]


@pytest.mark.parametrize("tree", ["", "/nonexistent/env"])
def test_a_tree_that_has_gone_is_said(compiled: Compile, tree: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as error:
        compiled("-c", "a.c", tree=tree)
    assert "run `relenv buildenv DIR` again" in error.value.stderr


def test_the_tools_are_laid_once_for_a_toolchain(toolchain: Toolchain, tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "cache")
    tools = lay_compilers(toolchain, cache=cache, ui=open_ui(quiet=True))
    assert (tools / "ld").readlink() == toolchain.tool("ld")
    assert shlex.quote(str(toolchain.tool("g++"))) in (tools / "c++").with_name("g++").read_text()
    (tools / "mark").touch()
    assert lay_compilers(toolchain, cache=cache, ui=open_ui(quiet=True)) == tools
    assert (tools / "mark").exists()


def test_a_plain_name_stays(tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "cache")
    assert lay_name(tmp_path / "env", cache=cache) == tmp_path / "env"


@pytest.mark.parametrize("name", ["a b", "ö", "a:b", "a,b", "a$b", "a'b", "a\nb"])
def test_an_awkward_name_gets_a_plain_one(name: str, tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "cache")
    plain = lay_name(tmp_path / name, cache=cache)
    assert plain == lay_name(tmp_path / name, cache=cache)
    assert plain.readlink() == tmp_path / name
    assert plain.is_relative_to(cache.root)
    assert plain != lay_name(tmp_path / f"{name}2", cache=cache)
    with pytest.raises(CacheError, match="nothing can be compiled"):
        lay_name(tmp_path / name, cache=open_cache(tmp_path / "a cache"))


def test_a_tree_is_recognised(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert open_tree(root.__class__()) == Tree(root=root, triplet=TRIPLET)
    (root / "relenv.json").write_text(json.dumps({"triplet": TRIPLET}))
    assert open_tree(root).triplet == TRIPLET


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: root.rename(root.with_name("gone")), "is not a directory"),
        (lambda root: (root / "relenv.json").unlink(), r"no environment or interpreter of relenv's: no relenv\.json"),
        (lambda root: (root / "relenv.json").write_text("{"), "is damaged"),
        (lambda root: (root / "relenv.json").write_text("[]"), "is damaged"),
        (lambda root: (root / "relenv.json").write_text("{}"), "is damaged"),
        (lambda root: (root / "lib/libcrypto.so").unlink(), "lacks headers or libraries"),
        (lambda root: (root / "include/python3.13/Python.h").unlink(), "lacks headers or libraries"),
    ],
)
def test_anything_else_is_refused(root: Path, change: Callable[[Path], object], message: str) -> None:
    change(root)
    with pytest.raises(UsageError, match=message) as error:
        open_tree(root)
    assert error.value.hint


def test_a_bad_directory_is_one_error_and_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = tmp_path / "cache"
    assert main(["buildenv", str(tmp_path)], environ={"RELENV_DATA": str(cache)}) == UsageError.exit_code
    printed = capsys.readouterr()
    assert [line.partition(":")[0] for line in printed.err.splitlines()] == ["error", "hint"]
    assert not printed.out
    assert not cache.exists()


def test_a_path_after_an_option_is_relocated_too() -> None:
    text = (
        "prefix=\t/relenv\nA=-I/relenv/src/cpython/deps/include -L/relenv/lib -I/relenv\nB=/x/relenv/lib -I/relenvy\n"
    )
    made = _makefile(text).splitlines()
    assert made[1:] == ["A=-I$(prefix)/include -L$(prefix)/lib -I$(prefix)", "B=/x/relenv/lib -I/relenvy"]
