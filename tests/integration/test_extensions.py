"""Extensions from source: with the machine's compiler, and with the toolchain through `relenv buildenv`."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import AWKWARD, say

from relenv.bundle import imported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conftest import Relenv

PKG_CONFIG = shutil.which("pkg-config") or ""
CARGO = shutil.which("cargo") or ""

needs_compiler = pytest.mark.skipif(
    not all(map(shutil.which, ("gcc", "g++"))), reason="this machine has no compiler of its own"
)

CODE = """\
import json, markupsafe._speedups, extension_cython, greenlet._greenlet
from extension_cffi import ffi, lib
from extension_cpp import driver, named
from _cffi_backend import __file__ as backend

@ffi.callback("int(int)")  # made by libffi
def twice(number):
    return 2 * number

loaded = {line[line.index("/"):].strip() for line in open("/proc/self/maps", encoding="utf-8") if "/" in line}
print(json.dumps({
    "says": [driver.says(), named.says(), extension_cython.says(), lib.apply(twice, 21)],
    "loaded": sorted(loaded),
}))
"""
SAID = ["says C++", "says C++", "says Cython 36", 42]
SAMPLES = ("extension-cpp", "extension-cython", "extension-cffi")


@pytest.fixture(params=["3.13", pytest.param("3.11", marks=pytest.mark.nightly)])
def env(request: pytest.FixtureRequest, relenv: Relenv, tmp_path: Path) -> Path:
    """A fresh environment in an awkward place."""
    relenv("create", tmp_path / AWKWARD, "--python", request.param)
    return tmp_path / AWKWARD


def _install(env: Path, *what: str | Path, variables: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        [env / "bin/pip3", "install", "-q", *what],
        env={**os.environ, **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _variables(relenv: Relenv, env: Path, **caller: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(relenv("buildenv", env, "--json", env=caller).stdout)
    return found


def _built(env: Path) -> list[Path]:
    """Return the extensions of packages; pip's vendored ones are none."""
    found = sorted(env.glob("lib/python3.*/site-packages/**/*.so"))
    assert found
    return found


def _use(env: Path, code: str = CODE) -> Any:
    """Move the environment, and run code in it with nothing in the process environment."""
    env = env.rename(env.with_name("moved"))
    try:
        return json.loads(say(env / "bin/python3", "-I", "-c", code))
    finally:
        env.rename(env.with_name(AWKWARD))


def _named(env: Path, name: str) -> set[str]:
    """Return what of some modules `prune = "max"` finds in a compiled one."""
    (made,) = env.glob(f"lib/python3.*/site-packages/{name}.*.so")
    assert b"decompress" in made.read_bytes()
    known, listed = env / "known.json", env / "listed.json"
    modules = {"colorsys", "asyncio", "sqlite3", "wave"}
    known.write_text(json.dumps(sorted(modules)))
    listed.write_text(json.dumps([str(made)]))
    return modules & {*json.loads(say(env / "bin/python3", "-I", imported.__file__, "uses", known, listed))}


@needs_compiler
def test_the_hosts_compiler_builds_extensions(env: Path, sample: Callable[[str], Path], tmp_path: Path) -> None:
    own = {"PIP_CACHE_DIR": str(tmp_path / "pip")}  # nothing that was built before
    _install(env, "--no-binary", "markupsafe,greenlet", "markupsafe", "greenlet", "cffi", variables=own)
    _install(env, *map(sample, SAMPLES), variables=own)
    assert _use(env)["says"] == SAID
    assert _named(env, "extension_cython") == {"colorsys"}


def test_the_toolchain_builds_extensions(relenv: Relenv, env: Path, sample: Callable[[str], Path]) -> None:
    variables = _variables(relenv, env)
    sources = "markupsafe,greenlet,cffi"
    _install(env, "--no-cache-dir", "--no-binary", sources, *sources.split(","), variables=variables)
    _install(env, *map(sample, SAMPLES), variables=variables)
    used = _use(env)
    assert used["says"] == SAID
    # its own libffi, from the interpreter's DT_RPATH alone
    assert [path for path in used["loaded"] if "libffi" in str(path)] == [
        str(env.with_name("moved") / "lib/libffi.so.8")
    ]
    assert not [path for path in used["loaded"] if re.search(r"libstdc\+\+|libgcc_s", str(path))]
    report = json.loads(relenv("check", env, "--json").stdout)
    assert (report["glibc"]["version"], report["errors"], report["warnings"]) == ("2.17", 0, 0)
    assert not [path for path in _built(env) if os.fsencode(env) in path.read_bytes()]


def test_an_environments_own_libraries_are_used(relenv: Relenv, env: Path, sample: Callable[[str], Path]) -> None:
    # whatever the machine has, and whatever leads to it
    stray = {"CPATH": "/usr/include", "LD_RUN_PATH": "/usr/lib", "PKG_CONFIG_PATH": "/usr/lib/pkgconfig"}
    variables = _variables(relenv, env, CC="false", LDFLAGS="-Wl,--enable-new-dtags,-rpath,/usr/lib", **stray)
    _install(env, sample("extension-libraries"), variables={**stray, **variables})
    code = (
        "import json, ssl, sqlite3, zlib; from extension_libraries.deeper import versions;"
        "print(json.dumps([versions.says(),"
        "[ssl.OPENSSL_VERSION.split()[1], *2 * [sqlite3.sqlite_version], zlib.ZLIB_RUNTIME_VERSION, 'own zlib.h', 0]]))"
    )
    used, own = _use(env, code)
    assert used == own


def test_meson_leaves_no_search_path(relenv: Relenv, env: Path, sample: Callable[[str], Path]) -> None:
    _install(env, sample("extension-meson"), variables=_variables(relenv, env))
    code = "import json, ssl, extension_meson; print(json.dumps([extension_meson.says(), ssl.OPENSSL_VERSION]))"
    used, own = _use(env, code)
    assert used == own
    report = json.loads(relenv("check", env, "--json").stdout)
    assert (report["glibc"]["version"], report["errors"], report["warnings"]) == ("2.17", 0, 0)


def test_a_second_place_needs_a_second_buildenv(relenv: Relenv, env: Path, sample: Callable[[str], Path]) -> None:
    old = _variables(relenv, env)
    env = env.rename(env.with_name("elsewhere"))
    project = sample("extension-cpp")
    done = subprocess.run(
        [env / "bin/pip3", "install", project],
        env={**os.environ, **old},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "run `relenv buildenv DIR` again" in done.stdout + done.stderr
    _install(env, project, variables=_variables(relenv, env))
    assert say(env / "bin/python3", "-Ic", "from extension_cpp import driver; print(driver.says())") == "says C++\n"


def test_a_shell_can_evaluate_it(relenv: Relenv, env: Path) -> None:
    printed = relenv("buildenv", env).stdout
    done = subprocess.run(["/bin/sh", "-c", f"{printed}\nexec env -0"], capture_output=True, text=True, check=True)
    evaluated = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    assert _variables(relenv, env).items() <= evaluated.items()


@pytest.mark.skipif(not PKG_CONFIG, reason="this machine has no pkg-config")
def test_pkg_config_finds_what_is_in_the_tree_and_nothing_else(relenv: Relenv, env: Path) -> None:
    variables = {**os.environ, **_variables(relenv, env)}
    names = {path.stem for path in (env / "lib/pkgconfig").glob("*.pc")}
    listed = subprocess.run(
        [PKG_CONFIG, "--list-package-names"], env=variables, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:  # pkgconf's
        assert set(listed.stdout.split()) - {"pkg-config", "pkgconf"} == names
    for name in names:
        flags = subprocess.run(
            [PKG_CONFIG, "--cflags", "--libs", name], env=variables, capture_output=True, text=True, check=True
        )
        for flag in shlex.split(flags.stdout):
            if flag.startswith(("-I", "-L")):
                assert os.path.realpath(flag[2:]).startswith(str(env)), (name, flag)
                assert Path(flag[2:]).is_dir(), (name, flag)


@pytest.mark.skipif(not CARGO, reason="this machine has no Rust")
def test_rust_is_linked_for_the_same_glibc(relenv: Relenv, env: Path, tmp_path: Path) -> None:
    project = tmp_path / "rust"
    (project / "src").mkdir(parents=True)
    (project / "Cargo.toml").write_text(
        '[package]\nname = "extension"\nversion = "0.1.0"\nedition = "2021"\n[lib]\ncrate-type = ["cdylib"]\n'
    )
    (project / "src/lib.rs").write_text(
        '#[no_mangle]\npub extern "C" fn caught() -> i32 {\n'
        '    std::panic::catch_unwind(|| if std::env::args().count() < 99 { panic!("x") } else { 1 }).unwrap_or(42)\n'
        "}\n"
    )
    subprocess.run(
        [CARGO, "build", "--release", "--offline", "-q"],
        cwd=project,
        env={**os.environ, **_variables(relenv, env)},
        check=True,
    )
    (package := next(env.glob("lib/python3.*/site-packages")) / "extension").mkdir()
    shutil.copy(project / "target/release/libextension.so", package / "native.so")
    code = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).caught())"
    assert say(env / "bin/python3", "-Ic", code, str(package / "native.so")) == "42\n"
    report = json.loads(relenv("check", env, "--json").stdout)
    assert (report["glibc"]["version"], report["errors"]) == ("2.17", 0)
    assert not [finding for finding in report["findings"] if finding["check"] in ("needed", "host-library", "symbols")]


OURS = re.compile(r"-fprofile|-flto|-ffile-prefix-map|-rpath|--as-needed|--exclude-libs|-pipe")
"""Flags that are of a build of relenv's."""
BUILDING = ("CC", "CXX", "LDSHARED", "LDCXXSHARED", "CCSHARED", "CFLAGS", "OPT", "LDFLAGS", "AR", "ARFLAGS", "LIBS")
"""What setuptools builds extensions with."""


def test_no_flag_or_path_of_the_build_leaks(env: Path, data: Path) -> None:
    code = "import json, sysconfig; print(json.dumps(sysconfig.get_config_vars()))"
    for place in ("first", "second place"):
        previous = env
        env = env.rename(env.with_name(place))
        variables = json.loads(say(env / "bin/python3", "-Ic", code))
        strange = (str(data), str(previous), "/relenv/")
        assert not {name: value for name, value in variables.items() if any(word in str(value) for word in strange)}
        flags = {name: variables[name] for name in BUILDING if variables.get(name) is not None}
        assert not {name: value for name, value in flags.items() if OURS.search(value)}
        assert {
            "CC": "gcc -pthread",
            "LDSHARED": "gcc -pthread -shared",
            "LDFLAGS": "",
            "AR": "ar",
        }.items() <= flags.items()
        _holds_python_config(env)
        _holds_pkg_config(env)
        _holds_build_details(env)


def _holds_python_config(env: Path) -> None:
    for option in ("--cflags", "--ldflags", "--includes", "--libs"):
        told = say(env / "bin/python3-config", option, env={"PATH": os.defpath})
        assert not OURS.search(told), told
        assert "/relenv" not in told.replace(str(env), "")
        paths = re.findall(r"-[IL](/.*?)(?= -|\s*$)", told)
        assert all(path.startswith(str(env)) for path in paths), told
        assert bool(paths) == (option != "--libs")


def _holds_pkg_config(env: Path) -> None:
    if not PKG_CONFIG:
        return
    search = {"PATH": os.environ["PATH"], "PKG_CONFIG_LIBDIR": str(env / "lib/pkgconfig")}
    for path in sorted((env / "lib/pkgconfig").glob("*.pc")):
        done = subprocess.run(
            [PKG_CONFIG, "--cflags", "--libs", path.stem], env=search, capture_output=True, text=True, check=True
        )
        assert not OURS.search(done.stdout), done.stdout
        assert "/relenv" not in done.stdout.replace(str(env).replace(" ", "\\ "), "")


def _holds_build_details(env: Path) -> None:
    for path in env.glob("lib/python3.*/build-details.json"):  # PEP 739, from 3.14
        details = json.loads(path.read_text(encoding="utf-8"))
        assert details["base_prefix"] == "../.."
        assert "/relenv" not in path.read_text(encoding="utf-8")
