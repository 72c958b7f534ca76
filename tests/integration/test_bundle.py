"""Bundles: of every backend, of real projects, and away from everything that made them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import AWKWARD, EXAMPLE, elsewhere, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Relenv

MODULES = (
    "ssl, sqlite3, ctypes, lzma, bz2, zlib, curses, readline, uuid, hashlib, decimal, asyncio, multiprocessing, venv"
)


def unzip(bundle: Path, into: Path) -> Path:
    """Unpack as a user does, and return the single directory that comes out."""
    into.mkdir(parents=True)
    subprocess.run([shutil.which("unzip") or "unzip", "-q", bundle, "-d", into], check=True)
    (top,) = into.iterdir()
    return top


@pytest.fixture(scope="module")
def example(relenv: Relenv, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's zip."""
    folder = tmp_path_factory.mktemp("bundle")
    source = Path(__file__).parents[2] / "examples/sitewatch"
    outcome = relenv("bundle", source, cwd=folder)
    assert outcome.stdout == "sitewatch.zip\n"
    return folder / "sitewatch.zip"


def test_the_example_runs_away_from_everything(example: Path, data: Path, tmp_path: Path) -> None:
    """In a path with a space, with an empty environment, and with what made it out of the way."""
    top = unzip(example, tmp_path / AWKWARD)
    trace = tmp_path / "trace"
    start = [*elsewhere({str(data): None}), "strace", "-f", "-qq", "-e", "trace=open,openat,execve", "-o", str(trace)]
    for script in ("sitewatch", "sitewatch-page"):
        program = [top / "bin" / script, "demo" if script == "sitewatch" else "--help"]
        subprocess.run([*start, "env", "-i", *program], check=True)
        opened = trace.read_text()
        assert "/sitewatch/lib/python3" in opened  # strace spells the letter otherwise
        assert str(data) not in opened
        assert str(Path(__file__).parents[2]) not in opened
    subprocess.run([*start, "env", "-i", top / "bin/python3", "-c", f"import {MODULES}"], check=True)


def test_a_bundle_holds_no_links_and_keeps_its_modes(example: Path) -> None:
    with zipfile.ZipFile(example) as archive:
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    assert modes["sitewatch/bin/sitewatch"] == 0o100755
    assert modes["sitewatch/bin/python3"] == 0o100755
    assert modes["sitewatch/README.txt"] == 0o100644
    assert {oct(mode) for mode in modes.values()} == {"0o100755", "0o100644"}


def test_every_script_answers(example: Path, tmp_path: Path) -> None:
    top = unzip(example, tmp_path / AWKWARD)
    assert "example.com" in say(top / "bin/sitewatch", "demo")
    (tmp_path / "link").symlink_to(top / "bin/sitewatch")
    assert "example.com" in say(tmp_path / "link", "demo")
    assert "example.com" in say(Path("bin/sitewatch"), "demo", cwd=top)


def test_nothing_of_the_host_leads_it_astray(example: Path, tmp_path: Path) -> None:
    top = unzip(example, tmp_path / "there")
    stray = tmp_path / "stray"
    stray.mkdir()
    (stray / "json.py").write_text("raise SystemExit('the wrong json')\n")
    (stray / "libssl.so.3").write_bytes(b"\x7fELF nonsense")
    env = {"PYTHONPATH": str(stray), "PYTHONHOME": str(stray), "LD_LIBRARY_PATH": str(stray), "HOME": str(stray)}
    assert "example.com" in say(top / "bin/sitewatch", "demo", env=env, cwd=stray)


def test_the_same_inputs_give_the_same_bytes(
    example: Path, relenv: Relenv, sample: Callable[[str], Path], tmp_path: Path
) -> None:
    """From another directory, under another umask, in another time zone and language."""
    project = sample("example")
    env = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "SOURCE_DATE_EPOCH": "1700000000"}
    before = os.umask(0o077)
    try:
        relenv("bundle", project, "-o", tmp_path / "again.zip", env=env)
    finally:
        os.umask(before)
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (example, tmp_path / "again.zip")}
    assert len(digests) == 1


def test_json_tells_what_was_made(relenv: Relenv, sample: Callable[[str], Path], tmp_path: Path) -> None:
    outcome = relenv("bundle", sample("backend-setuptools"), "--json", "--name", "shown", cwd=tmp_path)
    made = json.loads(outcome.stdout)
    assert made["path"] == str(tmp_path / "shown.zip")
    assert made["sha256"] == hashlib.sha256((tmp_path / "shown.zip").read_bytes()).hexdigest()
    assert made["scripts"] == ["backend-setuptools"]
    assert unzip(tmp_path / "shown.zip", tmp_path / "out").name == "shown"


@pytest.mark.parametrize(
    ("name", "script", "says"),
    [
        ("backend-hatchling", "backend-hatchling", "backend-hatchling 1.2.3: hello from a data file"),
        ("backend-flit-core", "backend-flit-core", "backend-flit-core 1.2.3: hello from a single module"),
        ("backend-poetry-core", "backend-poetry-core", "backend-poetry-core 1.2.3: hello"),
        ("backend-setuptools", "backend-setuptools", "backend-setuptools 1.2.3: hello from package data"),
        ("backend-setuptools-c", "backend-setuptools-c", "backend-setuptools-c 1.2.3: 20 + 22 = 42 says C"),
        ("dotted.name-project", "dotted.name-run", "dotted.name-project 1.2.3: hello from a namespace package"),
    ],
)
def test_each_backend(  # noqa: PLR0917 - pytest passes by name
    name: str, script: str, says: str, relenv: Relenv, sample: Callable[[str], Path], tmp_path: Path
) -> None:
    relenv("bundle", sample(name), "-o", tmp_path / "it.zip")
    top = unzip(tmp_path / "it.zip", tmp_path / AWKWARD)
    assert top.name == name
    assert say(top / "bin" / script).strip() == says


def test_an_extension_is_compiled_for_the_oldest_glibc(
    relenv: Relenv, sample: Callable[[str], Path], tmp_path: Path
) -> None:
    relenv("bundle", sample("backend-setuptools-c"), "-o", tmp_path / "it.zip")
    top = unzip(tmp_path / "it.zip", tmp_path / "there")
    toolchain = Path(relenv("toolchain", "download").stdout.strip())
    sysroot = toolchain / "x86_64-linux-gnu/sysroot/lib"
    loader = [sysroot / "ld-2.17.so", "--library-path", f"{sysroot}:{top}/lib", top / "bin/python3", "-I"]
    done = subprocess.run(
        [*loader, top / "bin/backend-setuptools-c"], env={}, capture_output=True, text=True, check=False
    )
    assert "says C" in done.stdout, done.stderr


def test_a_library_without_scripts(relenv: Relenv, sample: Callable[[str], Path], tmp_path: Path) -> None:
    outcome = relenv("bundle", sample("no-scripts"), "--format", "zip", "--format", "run", "-o", f"{tmp_path}/")
    ways = "run it as bin/python3 -Im MODULE or no-scripts.run -m MODULE"
    assert f"has no scripts: {ways}; [project.scripts], or `scripts` in [tool.relenv]" in outcome.stderr
    top = unzip(tmp_path / "no-scripts.zip", tmp_path / "there")
    code = ("-c", "import no_scripts; print(no_scripts.answer())")
    assert say(top / "bin/python3", "-I", *code).strip() == "42"
    # where it is Python that starts, nothing leads it astray either
    (tmp_path / "no_scripts.py").write_text("raise SystemExit('astray')")
    env = {"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    assert say(tmp_path / "no-scripts.run", *code, env=env, cwd=tmp_path).strip() == "42"
    info = say(tmp_path / "no-scripts.run", "--info", env=env)
    assert "\nscripts: none, so it starts python3 -I; [project.scripts], or `scripts` in [tool.relenv]," in info


@pytest.mark.parametrize("prune", ["safe", "max"])
@pytest.mark.parametrize(
    ("requirement", "script", "arguments", "says"),
    [
        (
            "httpie==3.2.4",
            "http",
            ("--ignore-stdin", "--offline", "--pretty=all", "--print=HB", "example.org", "a=1"),
            "application/json",
        ),
        ("black==24.10.0", "black", ("-q", "-c", "x=1"), "x = 1"),
        ("flask==3.1.0", "flask", ("--version",), "Flask 3.1.0"),
    ],
)
def test_real_projects_from_their_sdists(  # noqa: PLR0917
    requirement: str, script: str, arguments: tuple[str, ...], says: str, prune: str, relenv: Relenv, tmp_path: Path
) -> None:
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    name, version = requirement.split("==")
    done = subprocess.run([*pip, "-d", tmp_path / "sdist", requirement], capture_output=True, text=True, check=False)
    sdists = list((tmp_path / "sdist").glob("*.tar.gz"))
    assert sdists, done.stderr
    (tmp_path / "unpacked").mkdir()
    subprocess.run(["tar", "-xf", sdists[0], "-C", tmp_path / "unpacked"], check=True)
    project = tmp_path / "unpacked" / f"{name}-{version}"
    relenv("bundle", project, "--prune", prune, "-o", tmp_path / "it.zip")
    top = unzip(tmp_path / "it.zip", tmp_path / AWKWARD)
    assert says in say(top / "bin" / script, *arguments)
    assert (tmp_path / "it.zip").stat().st_size < {"safe": 20e6, "max": 16e6}[prune]


def test_a_bundle_leaves_nothing_behind(
    relenv: Relenv, sample: Callable[[str], Path], data: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    project = sample("backend-flit-core")
    before = sorted(project.rglob("*"))
    # pip asks a rustc for its version, and that of rustup makes a directory
    env = {"HOME": str(home), "PIP_CACHE_DIR": str(tmp_path / "pip"), "RUSTUP_HOME": str(tmp_path / "rustup")}
    relenv("bundle", project, "-o", tmp_path / "it.zip", env=env)
    assert sorted(project.rglob("*")) == before
    assert list(home.iterdir()) == []
    assert list((data / "work").glob("bundle-*")) == []


def _project(folder: Path, *dependencies: str, script: str = "") -> Path:
    """Write a project of one module."""
    folder.mkdir()
    scripts = f'[project.scripts]\n{script} = "{folder.name}:main"\n' if script else ""
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{folder.name}"\nversion = "1"\ndependencies = {list(dependencies)!r}\n{scripts}'
    )
    (folder / f"{folder.name}.py").write_text("def main():\n    print('here')\n")
    return folder


def test_a_package_that_writes_into_the_interpreter_is_caught(
    relenv: Relenv, interpreter: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "meddler"
    bad.mkdir()
    (bad / "setup.py").write_text(
        "import setuptools, sys, pathlib\n"
        "with (pathlib.Path(sys.base_prefix) / 'lib/python3.13/this.py').open('a') as file:\n"
        "    file.write('# changed\\n')\n"
        "setuptools.setup(name='meddler', version='1', py_modules=[])\n"
    )
    project = _project(tmp_path / "victim", f"meddler @ file://{bad}")
    outcome = relenv("bundle", project, "-o", tmp_path / "it.zip", check=False)
    assert outcome.code == 11
    assert "lib/python3.13/this.py" in outcome.errors[0]
    assert not list(tmp_path.glob("*.zip"))
    relenv("build")
    assert "# changed" not in (interpreter / "lib/python3.13/this.py").read_text()


def test_what_was_deleted_from_a_project_is_not_bundled(
    relenv: Relenv, sample: Callable[[str], Path], tmp_path: Path
) -> None:
    project = sample("backend-setuptools")
    stale = project / "src/backend_setuptools/deleted_later.py"
    stale.write_text("")
    for name in ("first", "second"):
        relenv("bundle", project, "-o", tmp_path / f"{name}.zip")
        stale.unlink(missing_ok=True)
    with zipfile.ZipFile(tmp_path / "first.zip") as first, zipfile.ZipFile(tmp_path / "second.zip") as second:
        assert any("deleted_later" in name for name in first.namelist())
        assert not any("deleted_later" in name for name in second.namelist())


def test_a_users_destinations_for_pip_are_not_ours(relenv: Relenv, tmp_path: Path) -> None:
    project = _project(tmp_path / "plain", "six")
    settings = ("PIP_USER", "PIP_REQUIRE_VIRTUALENV", "PIP_NO_DEPS", "PIP_DRY_RUN")
    env = {
        **dict.fromkeys(settings, "1"),
        "PIP_TARGET": str(tmp_path / "target"),
        "PIP_PREFIX": str(tmp_path / "prefix"),
        "PIP_CONFIG_FILE": str(project / "pip.conf"),
    }
    (project / "pip.conf").write_text(f"[global]\nroot = {tmp_path}/root\n[install]\nprefix = {tmp_path}/other\n")
    relenv("bundle", project, "-o", tmp_path / "it.zip", "--installer", "pip", env=env)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["it.zip", "plain"]
    top = unzip(tmp_path / "it.zip", tmp_path / "there")
    assert say(top / "bin/python3", "-Ic", "import six, plain; plain.main()").strip() == "here"


def test_a_script_may_not_take_the_interpreters_name(relenv: Relenv, tmp_path: Path) -> None:
    project = _project(tmp_path / "usurper", script="python3")
    outcome = relenv("bundle", project, "-o", tmp_path / "it.zip", check=False)
    assert outcome.code == 9
    assert "python3" in outcome.errors[0]


def test_a_floor_above_ours_is_told(relenv: Relenv, tmp_path: Path) -> None:
    project = _project(tmp_path / "numbers", "numpy")
    for number in range(2):  # the second time numpy is there already
        outcome = relenv("bundle", project, "-o", tmp_path / f"{number}.zip")
        assert "needs glibc 2.2" in outcome.stderr
        assert "because of numpy" in outcome.stderr
    assert (tmp_path / "0.zip").read_bytes() == (tmp_path / "1.zip").read_bytes()
    assert "glibc 2.2" in (unzip(tmp_path / "0.zip", tmp_path / "there") / "README.txt").read_text()


def test_an_extra_that_is_not_there(relenv: Relenv, tmp_path: Path) -> None:
    project = _project(tmp_path / "plain")
    outcome = relenv("bundle", project, "--extra", "nope", cwd=tmp_path, check=False)
    assert outcome.code == 2
    assert outcome.errors[0] == "error: the command line: --extra names `nope`, which the project lacks"
    assert "Building" not in outcome.stderr
    # of these the wheel has to be asked
    file = project / "pyproject.toml"
    text = file.read_text().replace("version =", 'dynamic = ["optional-dependencies"]\nversion =')
    file.write_text(f'{text}[tool.setuptools.dynamic]\noptional-dependencies.web = {{ file = "web.txt" }}\n')
    (project / "web.txt").touch()
    outcome = relenv("bundle", project, "--extra", "nope", cwd=tmp_path, check=False)
    assert (outcome.code, outcome.errors) == (2, ["error: plain has no extra `nope`", "hint: it has: web"])
    file.write_text(file.read_text() + '[tool.relenv]\nextras = ["nope"]\n')
    outcome = relenv("bundle", project, cwd=tmp_path, check=False)
    assert (outcome.code, outcome.errors) == (3, ["error: plain has no extra `nope`", "hint: it has: web"])


def test_relenv_bundles_itself(relenv: Relenv, data: Path, tmp_path: Path) -> None:
    relenv("bundle", EXAMPLE.parents[1], "-o", tmp_path / "relenv.zip")
    bundled = unzip(tmp_path / "relenv.zip", tmp_path / AWKWARD) / "bin" / "relenv"
    project = _project(tmp_path / "plain")
    made = {}
    for name, command in (("here", [sys.executable, "-m", "relenv"]), ("there", [bundled])):
        subprocess.run(
            [*command, "bundle", project, "-o", tmp_path / f"{name}.zip"],
            env={**os.environ, "RELENV_DATA": str(data)},
            check=True,
            capture_output=True,
        )
        made[name] = {info.filename: info.CRC for info in zipfile.ZipFile(tmp_path / f"{name}.zip").infolist()}
    assert made["here"] == made["there"]
