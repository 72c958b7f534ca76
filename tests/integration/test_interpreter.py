"""The interpreter: complete, and independent of its place and of the host."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from conftest import AWKWARD, Relenv, say
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from relenv.relocate import bytecode
from relenv.relocate.elf import elf_files, inspect

GLIBC = re.compile(r"(ld-linux.*|lib(c|m|dl|pthread|rt|util|crypt|resolv))\.so\.\d+")
MODULES = (
    "ssl, sqlite3, ctypes, lzma, bz2, zlib, curses, readline, uuid, hashlib, decimal, asyncio, multiprocessing, venv"
)


@pytest.fixture
def moved(interpreter: Path, tmp_path: Path) -> Path:
    return shutil.copytree(interpreter, tmp_path / AWKWARD / "python", symlinks=True)


def test_it_imports_what_it_should_wherever_it_is(moved: Path) -> None:
    assert say(moved / "bin/python3", "-c", f"import {MODULES}; import sys; print(sys.prefix)").strip() == str(moved)


@pytest.mark.parametrize("name", ["python3", "-python3", "nowhere/python3", "no such python", ""])
def test_it_finds_itself_under_any_name(name: str, moved: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    command = [name, "-Ic", "import json, sys; print(sys.prefix, sys.executable)"]
    done = subprocess.run(
        command, executable=moved / "bin/python3", env={"PATH": f"{tmp_path}/bin"}, check=False, capture_output=True
    )
    assert done.stdout.decode() == f"{moved} {moved}/bin/python3\n", done.stderr


def test_a_link_and_a_virtual_environment_are_heeded(moved: Path, tmp_path: Path) -> None:
    asked = "import sys; print(sys.prefix, sys.base_prefix)"
    (tmp_path / "link").symlink_to(moved)
    (tmp_path / "python").symlink_to(moved / "bin/python3")
    assert say(tmp_path / "link/bin/python3", "-Ic", asked).strip() == f"{tmp_path}/link {tmp_path}/link"
    assert say(tmp_path / "python", "-Ic", asked).strip() == f"{moved} {moved}"
    say(moved / "bin/python3", "-m", "venv", "--without-pip", str(tmp_path / "venv"))
    assert say(tmp_path / "venv/bin/python", "-Ic", asked).strip() == f"{tmp_path}/venv {moved}"


def test_nothing_names_a_place_of_this_machine(interpreter: Path, data: Path) -> None:
    strays = {str(data).encode(), f"{getpass.getuser()}@{os.uname().nodename}".encode()}
    if len(Path.home().parts) > 2:
        strays.add(f"{Path.home()}/".encode())
    for path in interpreter.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            assert not [stray for stray in strays if stray in content], path


def test_every_library_is_inside_or_glibcs(interpreter: Path) -> None:
    ours = {path.name for path in (interpreter / "lib").glob("*.so*")}
    for path in elf_files(interpreter):
        elf = inspect(path)
        assert elf is not None
        assert not elf.runpath, path
        for name in elf.needed:
            assert name in ours or GLIBC.fullmatch(name), f"{path} needs {name}"
        if set(elf.needed) & ours:
            assert elf.rpath.startswith("$ORIGIN"), path
            assert (path.parent / elf.rpath.replace("$ORIGIN", ".")).resolve() == interpreter / "lib"


def test_nothing_needs_more_than_glibc_2_17(interpreter: Path) -> None:
    for path in elf_files(interpreter):
        with path.open("rb") as file:
            sections = ELFFile(file).iter_sections()
            for section in (s for s in sections if isinstance(s, GNUVerNeedSection)):
                for _, versions in section.iter_versions():
                    for version in versions:
                        found = re.fullmatch(r"GLIBC_(\d+)\.(\d+).*", version.name)
                        assert not found or (int(found[1]), int(found[2])) <= (2, 17), f"{path}: {version.name}"


@pytest.fixture
def oldest(moved: Path, relenv: Relenv) -> list[str]:
    """How the interpreter is started with glibc 2.17."""
    toolchain = Path(relenv("toolchain", "download").stdout.strip())
    sysroot = toolchain / "x86_64-linux-gnu/sysroot/lib"
    return [f"{sysroot}/ld-2.17.so", "--library-path", f"{sysroot}:{moved}/lib", f"{moved}/bin/python3"]


def test_it_runs_under_the_oldest_glibc(oldest: list[str]) -> None:
    code = f"import {MODULES}; import os; print(os.confstr('CS_GNU_LIBC_VERSION'))"
    done = subprocess.run([*oldest, "-I", "-c", code], env={}, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "glibc 2.17", done.stderr


EVERY_MODULE = """\
import importlib, pkgutil, sys, warnings
warnings.simplefilter("ignore")
left_out = {"antigravity", "this", "idlelib", "turtle", "turtledemo", "tkinter", "test", "lib2to3"}
others = {"_scproxy", "_winapi", "msvcrt", "nt", "winreg", "winsound", "msilib", "_msi", "_overlapped", "_wmi"}
others |= {"_android_support", "_apple_support", "_ios_support"}
absent = set()
for name in sorted(sys.stdlib_module_names - left_out - others):
    try:
        importlib.import_module(name)
    except ImportError as error:
        absent.add(name)
print(*sorted(absent))
"""
ABSENT = {
    "3.11": {"_crypt", "_dbm", "_gdbm", "_tkinter", "crypt", "nis"},
    "3.13": {"_dbm", "_gdbm", "_tkinter"},
}
"""What of the standard library is not there, by series: docs/build.md says why."""


def test_the_whole_standard_library_imports_under_the_oldest_glibc(moved: Path, oldest: list[str]) -> None:
    series = next((moved / "lib").glob("python3*")).name.removeprefix("python")
    done = subprocess.run(
        [*oldest, "-Ic", EVERY_MODULE], env={}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert set(done.stdout.split()) == ABSENT[series], done.stderr


NEWER = """\
import fcntl, mmap, os, select, socket, sys, threading, time
out = os.memfd_create("out")
with open(sys.executable, "rb") as file:
    assert os.copy_file_range(file.fileno(), os.open(sys.argv[1], os.O_TMPFILE | os.O_RDWR), 1000) == 1000
assert os.pwritev(out, [b"ab", b"c"], 0, os.RWF_DSYNC) == 3
assert os.preadv(out, [bytearray(3)], 0, os.RWF_HIPRI * 0) == 3
assert fcntl.fcntl(out, fcntl.F_GET_SEALS) == fcntl.F_SEAL_SEAL
assert len(os.getrandom(8)) == 8
assert time.clock_gettime(time.CLOCK_TAI) > 0
lock = threading.Lock()
lock.acquire()
assert not lock.acquire(timeout=0.01)
os.closerange(1000, 2000)
primary, secondary = os.openpty()
assert os.isatty(secondary) and os.ttyname(secondary).startswith("/dev/pts/")
pid, terminal = os.forkpty()
if pid == 0:
    os.execv("/bin/sh", ["sh", "-c", "tty; exit 3"])
assert os.read(terminal, 100).startswith(b"/dev/pts/")
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
for names, module in (
    (("AF_VSOCK", "AF_BLUETOOTH", "BTPROTO_RFCOMM", "TCP_FASTOPEN", "IPPROTO_MPTCP"), socket),
    (("EPOLLEXCLUSIVE",), select),
    (("MADV_FREE",), mmap),
    (("F_OFD_SETLK",), fcntl),
):
    assert [name for name in names if not hasattr(module, name)] == []
print("all", os.confstr("CS_GNU_LIBC_VERSION"))
"""


def test_what_linux_has_since_glibc_2_17_is_used(moved: Path, oldest: list[str], tmp_path: Path) -> None:
    assert say(moved / "bin/python3", "-Ic", NEWER, str(tmp_path)).startswith("all")
    done = subprocess.run([*oldest, "-Ic", NEWER, str(tmp_path)], env={}, capture_output=True, text=True, check=False)
    assert done.stdout == "all glibc 2.17\n", done.stderr


def test_sysconfig_follows_every_move(moved: Path) -> None:
    code = (
        "import sysconfig, json; print(json.dumps([v for v in sysconfig.get_config_vars().values() if type(v) is str]))"
    )
    for place in ("first", "second place"):
        moved = moved.rename(moved.with_name(place))
        values = json.loads(say(moved / "bin/python3", "-c", code))
        assert str(moved) in values
        assert not [value for value in values if "/relenv/" in value]
        assert say(moved / "bin/python3-config", "--includes", env={"PATH": os.defpath}).startswith(f"-I{moved}")


def test_pkg_config_files_are_relative(interpreter: Path) -> None:
    files = sorted((interpreter / "lib/pkgconfig").glob("*.pc"))
    assert len(files) > 5
    for path in files:
        text = path.read_text()
        assert "prefix=${pcfiledir}/../.." in text
        assert "/relenv" not in text


def test_every_script_starts(moved: Path) -> None:
    arguments = {"python3-config": "--help", "pydoc3": "sys"}
    tried = set()
    for script in sorted((moved / "bin").iterdir()):
        name = re.sub(r"\d\.\d+", "3", script.name).replace("3-config", "3-config")
        say(script, arguments.get(name, "--version"), env={"PATH": os.defpath})
        tried.add(script.name)
    assert {"python3", "pip3", "pydoc3", "python3-config"} <= tried


def test_what_every_start_imports_is_in_the_program(moved: Path) -> None:
    loaded = say(moved / "bin/python3", "-ISc", "import sys; print(*sorted(sys.modules))").split()
    origins = "import sys; print(*{m.__spec__.origin for n, m in sys.modules.items() if n != '__main__'})"
    assert set(say(moved / "bin/python3", "-ISc", origins).split()) <= {"frozen", "built-in"}, loaded
    # and can be had from its files, and brings the rest of the package
    files = "import encodings, encodings.latin_1 as other; print(encodings.__spec__.origin, other.__file__)"
    place = (
        moved / "lib" / f"python{'.'.join(say(moved / 'bin/python3', '-V').split()[1].split('.')[:2])}" / "encodings"
    )
    assert say(moved / "bin/python3", "-Ic", files) == f"frozen {place}/latin_1.py\n"
    assert say(moved / "bin/python3", "-X", "frozen_modules=off", "-Ic", files) == (
        f"{place}/__init__.py {place}/latin_1.py\n"
    )


def test_small_objects_lie_on_huge_pages_where_there_are_some(moved: Path) -> None:
    """proc_pid_smaps(5): `hg` says that huge pages were asked for."""
    mapped = say(
        moved / "bin/python3", "-Ic", "held = list(map(str, range(90000))); print(open('/proc/self/smaps').read())"
    )
    asked = [
        part
        for part in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", mapped, flags=re.MULTILINE)
        if re.search(r"^VmFlags:.* hg", part, re.MULTILINE)
    ]
    assert asked
    bounds = [[int(end, 16) for end in part.split()[0].split("-")] for part in asked]
    assert all(end % (2 << 20) == 0 for pair in bounds for end in pair)
    # 90,000 texts of some 54 bytes
    assert sum(end - start for start, end in bounds) >= 2 * (2 << 20)


def test_optimisation_flags_arrived(interpreter: Path) -> None:
    flags = say(interpreter / "bin/python3", "-Ic", "import sysconfig; print(sysconfig.get_config_var('PY_CFLAGS'))")
    assert "-O3" in flags
    assert "-DNDEBUG" in flags
    # signed arithmetic that wraps around is something that CPython relies on
    assert "-fwrapv" in flags or "-fno-strict-overflow" in flags


_ZLIB = """
import hashlib, random, zlib
chance = random.Random(7)
words = [bytes(chance.choices(range(97, 123), k=chance.randint(1, 9))) for _ in range(300)]
texts = {
    'text': b' '.join(chance.choices(words, k=40000)),
    'noise': chance.randbytes(70000),
    'runs': b''.join(bytes([chance.randrange(4)]) * chance.randint(1, 700) for _ in range(500)),
    'rows': b''.join(b'%08d,%s;' % (n, words[n % 7]) for n in range(9000)),
    'short': b'abcabcabc',
    'none': b'',
}
def spell(data, how):
    out, unpacker = [], zlib.decompressobj(how)
    try:
        while data:
            size = chance.choice((1, 2, 5, 6, 7, 8, 9, 300, 5000))
            part, data = data[:size], data[size:]
            while part:
                out.append(unpacker.decompress(part, chance.choice((1, 257, 258, 259, 4000))))
                part = unpacker.unconsumed_tail
        out.append(unpacker.flush())
    except zlib.error as error:
        out.append(str(error).encode())
    return hashlib.sha256(b''.join(out)).hexdigest()
for name, text in texts.items():
    for level in range(10):
        for bits, strategy in ((15, 0), (-9, 0), (31, 1), (12, 2), (15, 3)):
            packer = zlib.compressobj(level, zlib.DEFLATED, bits, 1 + level % 9, strategy)
            packed = packer.compress(text[:31]) + packer.flush(zlib.Z_SYNC_FLUSH) + packer.compress(text[31:])
            packed += packer.flush()
            print(name, level, bits, strategy, hashlib.sha256(packed).hexdigest(), spell(packed, bits))
            assert zlib.decompress(packed, bits) == text
            if level in (1, 6):
                spoilt = bytearray(packed)
                for _ in range(1 + len(packed) // 500):
                    spoilt[chance.randrange(len(packed))] ^= 1 << chance.randrange(8)
                print(spell(bytes(spoilt), bits), zlib.crc32(spoilt), zlib.crc32(spoilt[3:], 5))
"""


def test_zlib_gives_what_upstreams_gives(interpreter: Path) -> None:
    """The recipe makes it read more at a time: not a byte may differ, whole or in pieces, sound or damaged."""
    if not re.fullmatch(r"[\d.]+", zlib.ZLIB_RUNTIME_VERSION):  # others that stand in for it add their names
        pytest.skip(f"this Python's zlib is not upstream's: {zlib.ZLIB_RUNTIME_VERSION}")
    ours = say(interpreter / "bin/python3", "-Ic", _ZLIB)
    assert ours == say(Path(sys.executable), "-Ic", _ZLIB)


def test_sqlite_has_its_extensions(interpreter: Path) -> None:
    code = "import sqlite3; print(*[r[0] for r in sqlite3.connect(':memory:').execute('pragma compile_options')])"
    options = say(interpreter / "bin/python3", "-Ic", code).split()
    for name in (
        "FTS3",
        "FTS4",
        "FTS5",
        "RTREE",
        "GEOPOLY",
        "DBSTAT_VTAB",
        "COLUMN_METADATA",
        "SESSION",
        "MATH_FUNCTIONS",
    ):
        assert f"ENABLE_{name}" in options


def test_bytecode_does_not_depend_on_what_was_compiled_before(interpreter: Path, moved: Path) -> None:
    library = next(moved.glob("lib/python3.*"))
    compiled = [path for path in moved.rglob("*.pyc") if "pip" not in path.parts]
    assert len(compiled) > 500
    for path in compiled[::3]:
        path.unlink()
    subprocess.run([moved / "bin/python3", "-I", "-c", "import functools, asyncio, json"], check=True)
    bytecode.compile_tree(moved, library)
    differing = subprocess.run(["diff", "-rq", interpreter, moved], check=False, capture_output=True)
    assert differing.returncode == 0, differing.stdout


def test_bytecode_is_there_and_never_stale(interpreter: Path, moved: Path) -> None:
    library = next((interpreter / "lib").glob("python3*"))
    lacking = [
        path for path in library.glob("*.py") if not list(path.parent.glob(f"__pycache__/{path.stem}.cpython-*.pyc"))
    ]
    assert lacking == []
    env = {"PYTHONDONTWRITEBYTECODE": ""}
    for path in library.rglob("*.py"):
        os.utime(moved / path.relative_to(interpreter), (0, 0))
    before = sorted(moved.rglob("*.pyc"))
    say(moved / "bin/python3", "-c", "import json, asyncio", env=env)
    assert sorted(moved.rglob("*.pyc")) == before
