"""Facts of ELF files, and what an audit makes of them."""

from __future__ import annotations

import mmap
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from relenv.audit import Severity, completeness, elf
from relenv.audit.binary import Binary, Broken, Requirement, Symbol, _Symbols, binaries
from relenv.audit.closure import closures, expand
from relenv.audit.tree import Tree

Compile = Callable[..., Path]

SITE = "lib/python3.13/site-packages"
EXTENSION = "lib/python3.13/lib-dynload/_one.cpython-313-x86_64-linux-gnu.so"
WHEEL = f"{SITE}/pkg/_two.abi3.so"


def tree(**changes: object) -> Tree:
    return replace(Tree(root=Path("/nowhere"), series="3.13", files=(), links=()), **changes)


def binary(path: str, **changes: object) -> Binary:
    plain = Binary(path=path, machine="EM_X86_64", bits=64, little=True, dynamic=True, relro=True, bind_now=True)
    return replace(plain, **changes)


PYTHON = binary(
    "bin/python3",
    program=True,
    rpath="$ORIGIN/../lib",
    needed=("libc.so.6", "libm.so.6"),
    defined=frozenset({"PyModule_Create2"}),
)
LIBZ = binary(
    "lib/libz.so.1",
    soname="libz.so.1",
    rpath="$ORIGIN",
    defined=frozenset({"inflate", "inflate@Z_1"}),
    versioned=True,
)


def found(*facts: Binary | Broken, within: Tree | None = None) -> list[tuple[str, str, str]]:
    return [(str(one.severity), one.check, one.file) for one in elf.check(within or tree(), (PYTHON, *facts))]


def test_a_plain_tree_is_clean() -> None:
    extension = binary(
        EXTENSION,
        needed=("libz.so.1", "libc.so.6"),
        rpath="$ORIGIN/../..",
        undefined=frozenset({Symbol("PyModule_Create2", "", ""), Symbol("inflate", "", "")}),
        requires=(Requirement(library="libc.so.6", version="GLIBC_2.17"),),
    )
    assert found(LIBZ, extension) == []


@pytest.mark.parametrize(
    ("check", "theirs", "change"),
    [
        ("textrel", "warning", {"textrel": True}),
        ("execstack", "warning", {"execstack": True}),
        ("relro", "note", {"relro": False}),
        ("bind-now", "note", {"bind_now": False}),
        ("runpath", None, {"runpath": "$ORIGIN"}),
        ("kernel", "warning", {"kernel": (5, 16, 9)}),
        ("rpath", "warning", {"rpath": "/opt/lib"}),
        ("rpath", "warning", {"rpath": "$ORIGIN/../../../../../lib"}),
        ("rpath", "warning", {"rpath": "$ORIGIN:"}),
        ("rpath", "warning", {"rpath": "lib"}),
        ("needed", "error", {"needed": ("libnot.so.1",)}),
        ("needed", "warning", {"needed": ("libz.so.1",), "runpath": "$ORIGIN"}),
        ("host-library", "warning", {"needed": ("libstdc++.so.6",)}),
        ("symbols", "warning", {"undefined": frozenset({Symbol("PyNot_There", "", "")})}),
        (
            "symbols",
            "warning",
            {"needed": ("libz.so.1",), "undefined": frozenset({Symbol("inflate", "Z_2", "libz.so.1")})},
        ),
        ("glibc", "note", {"requires": (Requirement(library="libc.so.6", version="GLIBC_2.28"),)}),
        ("glibc", "note", {"requires": (Requirement(library="libc.so.6", version="GLIBC_ABI_DT_RELR"),)}),
        ("glibc", "warning", {"requires": (Requirement(library="libc.so.6", version="GLIBC_PRIVATE"),)}),
        ("machine", "error", {"machine": "EM_AARCH64"}),
        ("machine", "error", {"bits": 32}),
    ],
)
def test_what_is_an_error_in_ours_is_less_in_a_package(
    check: str, theirs: str | None, change: dict[str, object]
) -> None:
    ours = found(LIBZ, binary(EXTENSION, **change))
    name = "needed" if check == "host-library" else check
    assert ("error", name, EXTENSION) in ours
    assert {one for one in ours if one[1] not in (name, "runpath")} == set()
    wheel = found(LIBZ, binary(WHEEL, **change))
    assert wheel == ([(theirs, check, WHEEL)] if theirs else [])


TOOL, PLUGIN = "bin/tool", "lib/mine/plugin.so"
BUNDLE = tree(manifest={"bundle": {"include": [TOOL, PLUGIN]}}, allowed=(2, 28))


@pytest.mark.parametrize(
    ("check", "tool", "plugin", "change"),
    [
        ("textrel", "warning", "warning", {"textrel": True}),
        ("execstack", "warning", "warning", {"execstack": True}),
        ("relro", "note", "note", {"relro": False}),
        ("bind-now", "note", "note", {"bind_now": False}),
        ("runpath", None, None, {"runpath": "$ORIGIN"}),
        ("kernel", None, "warning", {"kernel": (5, 16, 9)}),
        ("rpath", "warning", "warning", {"rpath": "/opt/lib"}),
        ("loader", "error", "error", {"interpreter": "/lib/ld-musl-x86_64.so.1"}),
        ("needed", "error", "error", {"needed": ("libnot.so.1",)}),
        ("needed", "error", "warning", {"needed": ("libz.so.1",), "runpath": "$ORIGIN"}),
        ("host-library", "warning", "warning", {"needed": ("libstdc++.so.6",)}),
        ("symbols", "error", "warning", {"undefined": frozenset({Symbol("not_there", "", "")})}),
        ("glibc", "note", "note", {"requires": (Requirement(library="libc.so.6", version="GLIBC_2.28"),)}),
        ("glibc", "error", "error", {"requires": (Requirement(library="libc.so.6", version="GLIBC_2.29"),)}),
        ("machine", "note", "error", {"machine": "EM_AARCH64"}),
    ],
)
def test_what_a_project_includes_is_held_to_less_than_ours_but_has_to_start(
    check: str, tool: str | None, plugin: str | None, change: dict[str, object]
) -> None:
    program = binary(TOOL, program=True, **change)
    assert found(LIBZ, program, within=BUNDLE) == ([(tool, check, TOOL)] if tool else [])
    library = binary(PLUGIN, **change)
    assert found(LIBZ, library, within=BUNDLE) == ([(plugin, check, PLUGIN)] if plugin else [])
    outside = {one[:2] for one in found(LIBZ, program, within=replace(BUNDLE, manifest={"bundle": {}}))}
    assert ("error", "needed" if check == "host-library" else check) in outside or check == "kernel"


def test_what_an_included_program_needs_has_to_have_all_it_needs_itself() -> None:
    library = binary(PLUGIN, soname="plugin.so", needed=("libz.so.1",))
    program = binary(TOOL, program=True, needed=("plugin.so",), runpath="$ORIGIN/../lib/mine")
    assert found(LIBZ, library, within=BUNDLE) == []  # bin/python3 leads there
    assert found(LIBZ, library, program, within=BUNDLE) == [("error", "needed", PLUGIN)]


def test_findings_of_a_package_are_put_together() -> None:
    other = f"{SITE}/pkg/_three.abi3.so"
    (one,) = elf.check(tree(), (PYTHON, binary(WHEEL, bind_now=False), binary(other, bind_now=False)))
    assert one.severity is Severity.NOTE
    assert one.what == "has no BIND_NOW (pkg: 2 files)"


def test_vendored_libraries_find_each_other() -> None:
    first = binary(f"{SITE}/pkg.libs/liba-1.so", soname="liba-1.so", needed=("libb-1.so",), runpath="$ORIGIN")
    second = binary(f"{SITE}/pkg.libs/libb-1.so", soname="libb-1.so")
    wheel = binary(WHEEL, needed=("liba-1.so",), runpath="$ORIGIN/../pkg.libs")
    assert found(first, second, wheel) == []
    # what an older auditwheel wrote: the rpath of who loads it serves the library as well
    first = replace(first, runpath=None)
    assert found(first, second, replace(wheel, runpath=None, rpath="$ORIGIN/../pkg.libs")) == []
    # DT_RUNPATH is for the file itself alone
    assert [one[1:] for one in found(first, second, wheel)] == [("needed", first.path)]


def test_a_package_finds_our_libraries_unless_it_has_a_runpath() -> None:
    assert found(LIBZ, binary(WHEEL, needed=("libz.so.1",))) == []


def test_a_program_of_a_package_is_not_served_by_python() -> None:
    program = binary(f"{SITE}/pkg/tool", program=True, needed=("libz.so.1",))
    assert found(LIBZ, program) == [("warning", "needed", program.path)]
    needs = replace(program, needed=(), undefined=frozenset({Symbol("PyModule_Create2", "", "")}))
    assert found(needs) == [("warning", "symbols", program.path)]


def test_libraries_that_need_each_other_are_looked_at_too() -> None:
    one = binary("lib/liba.so", soname="liba.so", rpath="$ORIGIN", needed=("libb.so",))
    two = binary("lib/libb.so", soname="libb.so", rpath="$ORIGIN", needed=("liba.so", "libgone.so"))
    assert found(one, two) == [("error", "needed", two.path)]
    assert len(closures(tree(), (one, two), PYTHON)) == 1


def test_symbols_without_a_version_may_be_those_of_libm() -> None:
    assert found(binary(EXTENSION, undefined=frozenset({Symbol("log10", "", "")}))) == []
    other = binary(EXTENSION, needed=("libz.so.1",), undefined=frozenset({Symbol("log10", "Z_2", "libz.so.1")}))
    assert found(LIBZ, other) == [("error", "symbols", EXTENSION)]
    known = binary("lib/libq.so", undefined=frozenset({Symbol("qsort_r", "GLIBC_2.8", "libc.so.6")}))
    late = binary(EXTENSION, undefined=frozenset({Symbol("qsort_r", "", "")}))
    assert found(late) == [("error", "symbols", EXTENSION)]
    assert found(known, late) == []


def test_a_library_that_the_tree_carries_may_be_too_old() -> None:
    names = frozenset({"f", "f@GLIBCXX_3.4.21"})
    carried = binary("lib/libstdc++.so.6", soname="libstdc++.so.6", defined=names, versioned=True)
    needs = {
        version: binary(WHEEL, needed=(carried.soname,), undefined=frozenset({Symbol("f", version, carried.soname)}))
        for version in ("GLIBCXX_3.4.21", "GLIBCXX_3.4.32")
    }
    assert found(carried, needs["GLIBCXX_3.4.21"]) == []
    assert found(carried, needs["GLIBCXX_3.4.32"]) == [("warning", "symbols", WHEEL)]


def test_nothing_is_said_of_symbols_whose_library_is_missing() -> None:
    lacks = binary(WHEEL, needed=("libgone.so",), undefined=frozenset({Symbol("gone", "", "")}))
    assert found(lacks) == [("error", "needed", WHEEL)]


def test_bin_python3_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3.13").touch()
    (tmp_path / "bin/python3").symlink_to("python3.13")
    program = replace(PYTHON, path="bin/python3.13", defined=frozenset({"PyInit__one"}))
    library = binary("lib/libpython3.13.so.1.0", defined=frozenset({"PyInit_math"}))
    assert list(elf.check(tree(root=tmp_path), (program, library))) == []
    assert completeness.extensions(tree(root=tmp_path), (program, library)) == {"math"}
    (tmp_path / "bin/python3").unlink()
    (tmp_path / "bin/python3").symlink_to("/usr/bin/env")
    (one,) = elf.check(tree(root=tmp_path), (program,))
    assert (one.file, one.what) == ("bin/python3", "is not an ELF program")


def test_an_extension_module_that_is_empty_is_none() -> None:
    (one,) = elf.check(tree(files=(EXTENSION, "bin/python3")), (PYTHON,))
    assert (one.severity, one.check, one.file) == ("error", "elf", EXTENSION)


def test_programs_for_other_machines_are_data() -> None:
    arm = binary(f"{SITE}/pkg/data/tool-arm64", machine="EM_AARCH64", program=True, relro=False)
    assert found(arm) == [("note", "machine", arm.path)]


@pytest.mark.parametrize("loader", ["/opt/glibc/ld.so", "/lib/ld-musl-x86_64.so.1", "ld.so"])
def test_a_program_is_started_by_the_loader_that_every_machine_has(loader: str) -> None:
    python = replace(PYTHON, interpreter=loader)
    (one,) = elf.check(tree(), (python,))
    assert (one.severity, one.check, one.file) == ("error", "loader", "bin/python3")
    assert loader in one.what
    assert one.hint == "patchelf --set-interpreter /lib64/ld-linux-x86-64.so.2"
    tool = binary(f"{SITE}/pkg/tool", program=True, interpreter=loader)
    assert found(tool) == [("warning", "loader", tool.path)]
    assert found(replace(tool, interpreter="/lib64/ld-linux-x86-64.so.2")) == []
    stranger = replace(tool, machine="EM_AARCH64")
    assert found(stranger) == [("note", "machine", tool.path)]
    # of which machines no loader is known, nothing is said
    other = [replace(one, machine="EM_PPC64", interpreter=loader) for one in (PYTHON, tool)]
    assert list(elf.check(tree(), other)) == []
    arm = replace(PYTHON, machine="EM_AARCH64", interpreter="/lib/ld-linux-aarch64.so.1")
    assert list(elf.check(tree(), (arm,))) == []


def test_the_floor_names_who_raises_it() -> None:
    low = replace(PYTHON, requires=(Requirement(library="libc.so.6", version="GLIBC_2.9"),))
    high = binary(WHEEL, requires=(Requirement(library="libc.so.6", version="GLIBC_2.28"),))
    assert elf.floor(elf.needs(tree(), [])) is None
    one = elf.floor(elf.needs(tree(), [low]))
    assert one is not None
    assert (one.version, one.file) == ("2.9", "bin/python3")
    both = elf.floor(elf.needs(tree(), [low, high]))
    assert both is not None
    assert (both.version, both.file) == ("2.28", WHEEL)


def test_programs_for_other_machines_do_not_raise_the_floor() -> None:
    low = replace(PYTHON, requires=(Requirement(library="libc.so.6", version="GLIBC_2.9"),))
    needs = (Requirement(library="libc.so.6", version="GLIBC_2.34"),)
    arm = binary(f"{SITE}/pkg/data/tool-arm64", machine="EM_AARCH64", program=True, requires=needs)
    one = elf.floor(elf.needs(tree(), [low, arm]))
    assert one is not None
    assert (one.version, one.file) == ("2.9", "bin/python3")
    # without a program whose machine is the tree's, all count
    alone = elf.floor(elf.needs(tree(), [arm]))
    assert alone is not None
    assert alone.version == "2.34"


def test_the_host_library_is_named_with_its_version() -> None:
    needs = (
        Requirement(library="libstdc++.so.6", version="GLIBCXX_3.4.9"),
        Requirement(library="libstdc++.so.6", version="GLIBCXX_3.4.21"),
    )
    (one,) = elf.check(tree(), (PYTHON, binary(WHEEL, needed=("libstdc++.so.6",), requires=needs)))
    assert "libstdc++.so.6 (GLIBCXX_3.4.21 or newer)" in one.what


@pytest.mark.parametrize(
    ("rpath", "places"),
    [
        (None, []),
        ("", [""]),
        ("$ORIGIN", ["lib/x"]),
        ("${ORIGIN}/../y:/opt", ["lib/y", "/opt"]),
        ("$ORIGIN/../../..", [".."]),
        ("$ORIGINAL/y", ["$ORIGINAL/y"]),
    ],
)
def test_search_paths_become_relative_to_the_tree(rpath: str | None, places: list[str]) -> None:
    assert list(expand(rpath, "lib/x/file.so")) == places


@pytest.fixture
def compile_c(tmp_path: Path) -> Compile:
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no compiler here")

    def build(name: str, source: str, *options: str) -> Path:
        (tmp_path / f"{name}.c").write_text(source)
        subprocess.run(
            [compiler, "-nostdlib", "-o", tmp_path / name, tmp_path / f"{name}.c", *options],
            check=True,
            cwd=tmp_path,
        )
        return tmp_path / name

    return build


def read(*paths: Path) -> list[Binary | Broken]:
    names = tuple(path.name for path in paths)
    return list(binaries(tree(root=paths[0].parent, files=names)))


def test_facts_are_read_from_a_file(compile_c: Compile, tmp_path: Path) -> None:
    (tmp_path / "map").write_text("V_1 { global: given; local: *; };")
    library = compile_c(
        "libgiven.so.1",
        "int given(void) { return 1; } int hidden_one(void) { return 2; }",
        *("-shared", "-fPIC", "-Wl,-soname,libgiven.so.1,--version-script,map,-z,relro,-z,now"),
    )
    user = compile_c(
        "user.so",
        "int given(void); int lacking(void); __attribute__((weak)) int perhaps(void);"
        "int call(void) { return given() + lacking() + (perhaps ? perhaps() : 0); }",
        *("-shared", "-fPIC", "-Wl,-z,lazy,-z,execstack,--disable-new-dtags,-rpath,$ORIGIN/x"),
        str(library),
    )
    one, two = read(library, user)
    assert isinstance(one, Binary)
    assert isinstance(two, Binary)
    assert (one.soname, one.bind_now, one.relro, one.execstack, one.versioned) == (
        *("libgiven.so.1", True, True),
        *(False, True),
    )
    assert {"given", "given@V_1"} <= one.defined
    assert not {"hidden_one"} & one.defined
    assert (two.needed, two.rpath, two.runpath) == (("libgiven.so.1",), "$ORIGIN/x", None)
    assert (two.bind_now, two.execstack) == (False, True)
    assert two.undefined == {Symbol("given", "V_1", "libgiven.so.1"), Symbol("lacking", "", "")}
    assert two.requires == (Requirement(library="libgiven.so.1", version="V_1"),)


def test_the_loader_is_read_from_a_file(compile_c: Compile) -> None:
    code = "void _start(void) { for (;;); }"
    program = compile_c("program", code, "-fPIE", "-pie", "-Wl,--dynamic-linker,/opt/glibc/ld.so")
    library = compile_c("libx.so", "int x;", "-shared", "-fPIC")
    one, two = read(program, library)
    assert isinstance(one, Binary)
    assert isinstance(two, Binary)
    assert [(one.program, one.interpreter), (two.program, two.interpreter)] == [(True, "/opt/glibc/ld.so"), (False, "")]


def test_a_file_without_section_headers_says_the_same(compile_c: Compile) -> None:
    path = compile_c("user.so", "int call(void); int here(void) { return call(); }", "-shared", "-fPIC")
    (before,) = read(path)
    data = bytearray(path.read_bytes())
    for at, size in ((0x28, 8), (0x3C, 4)):  # e_shoff; e_shnum and e_shstrndx
        data[at : at + size] = bytes(size)
    path.write_bytes(data)
    assert read(path) == [before]


def test_what_is_cut_off_is_broken(compile_c: Compile) -> None:
    path = compile_c("user.so", "int call(void); int here(void) { return call(); }", "-shared", "-fPIC")
    whole = path.read_bytes()
    for size in (4, 20, 64, 200):
        path.write_bytes(whole[:size])
        (one,) = read(path)
        assert isinstance(one, Broken), size


def test_object_files_are_nobodys_business(compile_c: Compile) -> None:
    assert read(compile_c("some.o", "int x;", "-c")) == []


def test_the_newest_cxx_library_that_a_file_asks_for_is_told() -> None:
    cxx = [Requirement(library="libstdc++.so.6", version=f"GLIBCXX_3.4.{minor}") for minor in (9, 21)]
    libc = Requirement(library="libc.so.6", version="GLIBC_2.28")
    facts = [PYTHON, binary(WHEEL, requires=(*cxx, libc))]
    assert elf.needs(tree(), facts)[WHEEL] == {"GLIBC": "2.28", "GLIBCXX": "3.4.21"}
    found = elf.floor(elf.needs(tree(), facts), "GLIBCXX")
    assert found is not None
    assert (found.version, found.file) == ("3.4.21", WHEEL)
    assert elf.floor(elf.needs(tree(), [PYTHON]), "GLIBCXX") is None


def test_numbers_that_lead_nowhere_are_a_finding(compile_c: Compile) -> None:
    path = compile_c("user.so", "int here(void) { return 1; }", "-shared", "-fPIC")
    data = bytearray(path.read_bytes())
    at = next(at for at in range(64, 64 + 56 * 12, 56) if data[at] == 2)  # PT_DYNAMIC: its p_offset
    data[at + 8 : at + 16] = b"\xff" * 8
    path.write_bytes(data)
    assert isinstance(read(path)[0], Broken)


def test_a_chain_of_versions_ends(compile_c: Compile) -> None:
    library = compile_c("libgiven.so.1", "int given(void) { return 1; }", "-shared", "-fPIC")
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        symbols = _Symbols.__new__(_Symbols)
        symbols._order, symbols._image, symbols._left = "<", image, 9
        # behind the header's magic there are eight zeros: the last has no step
        assert len(list(symbols._chain("I", 8, 2**40))) == 1
        symbols._left = 2
        with pytest.raises(ValueError, match="more symbol versions than there are numbers for"):
            list(symbols._chain("B", 4, 2**40))
